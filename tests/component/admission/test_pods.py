"""What happens to a pod on its way in."""

from typing import Any

import pytest

from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")


def pod(name: str = "p", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    body = {"containers": [{"name": "c", "image": "i"}], **spec}
    return {"metadata": {"name": name, "annotations": annotations or {}}, "spec": body}


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


async def test_nothing_is_created_in_a_namespace_that_is_missing_or_ending(admin: Rest, namespace: str) -> None:
    answer = await admin("POST", pods("missing"), pod())
    assert (answer.status, answer.message) == (404, 'namespaces "missing" not found')
    await admin("DELETE", f"/api/v1/namespaces/{namespace}")
    answer = await admin("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "c"}})
    assert answer.status == 403
    assert answer.message == (
        f'configmaps "c" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    assert answer.json["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_the_system_namespaces_cannot_be_deleted(admin: Rest, name: str) -> None:
    answer = await admin("DELETE", f"/api/v1/namespaces/{name}")
    assert (answer.status, answer.message) == (
        403,
        f'namespaces "{name}" is forbidden: this namespace may not be deleted',
    )


async def test_a_pod_gets_account_token_priority_and_tolerations(admin: Rest, namespace: str) -> None:
    spec = (await admin.make(pods(namespace), pod(initContainers=[{"name": "i", "image": "i"}])))["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert volume["projected"] == {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    }
    mount = {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["volumeMounts"] == [mount]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert spec["tolerations"] == [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]


async def test_a_pod_or_its_account_may_do_without_a_token(admin: Rest, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await admin.make(accounts, {"metadata": {"name": "quiet"}, "automountServiceAccountToken": False})
    quiet = await admin.make(pods(namespace), pod("a", serviceAccountName="quiet"))
    assert "volumes" not in quiet["spec"]
    loud = await admin.make(pods(namespace), pod("b", serviceAccountName="quiet", automountServiceAccountToken=True))
    assert "volumes" in loud["spec"]
    own = await admin.make(pods(namespace), pod("c", automountServiceAccountToken=False))
    assert "volumes" not in own["spec"]


async def test_an_account_that_is_missing_is_named(admin: Rest, namespace: str) -> None:
    answer = await admin("POST", pods(namespace), pod(serviceAccountName="nobody"))
    assert answer.status == 403
    assert answer.message == (
        f'pods "p" is forbidden: error looking up service account {namespace}/nobody: serviceaccount "nobody" not found'
    )


async def test_pull_secrets_come_from_the_account_unless_the_pod_has_its_own(admin: Rest, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await admin.make(accounts, {"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "registry"}]})
    made = await admin.make(pods(namespace), pod("a", serviceAccountName="puller"))
    assert made["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    own = await admin.make(pods(namespace), pod("b", serviceAccountName="puller", imagePullSecrets=[{"name": "x"}]))
    assert own["spec"]["imagePullSecrets"] == [{"name": "x"}]


async def test_an_account_may_limit_the_secrets_of_its_pods(admin: Rest, namespace: str) -> None:
    account = {
        "metadata": {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "fine"}],
    }
    await admin.make(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)

    def using(secret: str) -> dict[str, Any]:
        return pod(serviceAccountName="strict", volumes=[{"name": "v", "secret": {"secretName": secret}}])

    answer = await admin("POST", pods(namespace), using("other"))
    assert answer.message == (
        'pods "p" is forbidden: volume with secret.secretName="other" is not allowed because service account strict '
        "does not reference that secret"
    )
    assert (await admin("POST", pods(namespace), using("fine"))).status == 201


async def test_a_pod_takes_its_priority_from_its_class(admin: Rest, namespace: str) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await admin.make(classes, {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})
    spec = (await admin.make(pods(namespace), pod(priorityClassName="high")))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
    answer = await admin("POST", pods(namespace), pod("q", priorityClassName="none"))
    assert answer.message == 'pods "q" is forbidden: no PriorityClass with name none was found'
    answer = await admin("POST", pods(namespace), pod("q", priorityClassName="high", priority=5))
    assert answer.message == (
        'pods "q" is forbidden: the integer value of priority (5) must not be provided in pod spec; '
        "priority admission controller computed 1000 from the given PriorityClass name"
    )


async def test_only_one_priority_class_is_the_default(admin: Rest, namespace: str) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await admin.make(classes, {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True})
    try:
        spec = (await admin.make(pods(namespace), pod()))["spec"]
        assert (spec["priority"], spec["priorityClassName"]) == (7, "usual")
        answer = await admin("POST", classes, {"metadata": {"name": "two"}, "value": 8, "globalDefault": True})
        assert answer.message == (
            'priorityclasses.scheduling.k8s.io "two" is forbidden: PriorityClass usual is already marked as default. '
            "Only one default can exist"
        )
    finally:
        await admin("DELETE", f"{classes}/usual")


async def test_the_systems_priority_classes_stay(admin: Rest) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical"
    answer = await admin("DELETE", path)
    assert (answer.status, answer.message) == (
        403,
        'priorityclasses.scheduling.k8s.io "system-node-critical" is forbidden: '
        "this is a system priority class and cannot be deleted",
    )


async def test_tolerations_that_a_pod_has_are_left_alone(admin: Rest, namespace: str) -> None:
    everything = [{"operator": "Exists"}]
    assert (await admin.make(pods(namespace), pod(tolerations=everything)))["spec"]["tolerations"] == everything


async def test_a_runtime_class_brings_overhead_selector_and_tolerations(admin: Rest, namespace: str) -> None:
    runtime = {
        "metadata": {"name": "vm"},
        "handler": "vm",
        "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    }
    await admin.make("/apis/node.k8s.io/v1/runtimeclasses", runtime)
    spec = (await admin.make(pods(namespace), pod(runtimeClassName="vm", nodeSelector={"a": "b"})))["spec"]
    assert spec["overhead"] == {"cpu": "250m"}
    assert spec["nodeSelector"] == {"a": "b", "vm": "yes"}
    assert {"key": "vm", "operator": "Exists"} in spec["tolerations"]
    for bad, message in (
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        (
            {"runtimeClassName": "vm", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            {"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}},
            "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
        ),
    ):
        answer = await admin("POST", pods(namespace), pod("bad", **bad))
        assert (answer.status, answer.message) == (403, f'pods "bad" is forbidden: {message}')


async def test_a_limit_range_fills_in_and_bounds_what_containers_ask_for(admin: Rest, namespace: str) -> None:
    limits = {
        "type": "Container",
        "default": {"cpu": "500m"},
        "defaultRequest": {"cpu": "100m"},
        "max": {"cpu": "1", "memory": "1Gi"},
        "min": {"cpu": "50m"},
        "maxLimitRequestRatio": {"cpu": "5"},
    }
    path = f"/api/v1/namespaces/{namespace}/limitranges"
    await admin.make(path, {"metadata": {"name": "l"}, "spec": {"limits": [limits]}})
    made = await admin.make(pods(namespace), pod())
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
    )
    asked = made["spec"]["containers"][0]["resources"]
    assert asked == {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "1Gi"}}

    def asking(requests: dict[str, str], limits: dict[str, str]) -> dict[str, Any]:
        resources = {"requests": requests, "limits": limits}
        return pod("bad", containers=[{"name": "c", "image": "i", "resources": resources}])

    for body, message in (
        (asking({"cpu": "10m"}, {"cpu": "50m"}), "minimum cpu usage per Container is 50m, but request is 10m"),
        (asking({"cpu": "1"}, {"cpu": "2"}), "maximum cpu usage per Container is 1, but limit is 2"),
        (
            asking({"cpu": "100m"}, {"cpu": "600m"}),
            "cpu max limit to request ratio per Container is 5, but provided ratio is 6.000000",
        ),
        (
            asking({"cpu": "10m"}, {"cpu": "2"}),
            "[minimum cpu usage per Container is 50m, but request is 10m, "
            "maximum cpu usage per Container is 1, but limit is 2, "
            "cpu max limit to request ratio per Container is 5, but provided ratio is 200.000000]",
        ),
    ):
        answer = await admin("POST", pods(namespace), body)
        assert (answer.status, answer.message) == (403, f'pods "bad" is forbidden: {message}')


async def test_a_limit_range_bounds_claims(admin: Rest, namespace: str) -> None:
    limits = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    path = f"/api/v1/namespaces/{namespace}"
    await admin.make(f"{path}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limits]}})

    def claim(size: str) -> dict[str, Any]:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c"}, "spec": spec}

    small = await admin("POST", f"{path}/persistentvolumeclaims", claim("500Mi"))
    assert small.message.endswith("minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi")
    large = await admin("POST", f"{path}/persistentvolumeclaims", claim("3Gi"))
    assert large.message.endswith("maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi")
    assert (await admin("POST", f"{path}/persistentvolumeclaims", claim("1Gi"))).status == 201
