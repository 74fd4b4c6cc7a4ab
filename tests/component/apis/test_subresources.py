"""Subresources that carry the API's own meaning: binding, eviction, scale, finalize, approval, ephemeral containers."""

import json

import pytest

from tests.component.apis.conftest import Api, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

POD = {"containers": [{"name": "c", "image": "i:1"}]}
LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
WORKLOAD = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}


def binding(node: str, **metadata: object) -> dict:
    return {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": {"kind": "Node", "name": node}}


async def running(api: Api, name: str, **labels: str) -> dict:
    pod = await api.client.create("pods", {"metadata": {"name": name, "labels": labels}, "spec": POD}, api.namespace)
    await api.post(f"pods/{name}/binding", binding("n1", name=name))
    pod = await api.get("pods", name)
    pod["status"] |= {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return await api.update("pods", pod, "status")


# Binding.


async def test_a_binding_writes_the_node_and_the_condition(api: Api) -> None:
    await api.create("pods", "p", spec=POD)
    answer = await api.post("pods/p/binding", binding("n1", name="p", annotations={"why": "it fits"}))
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    pod = await api.get("pods", "p")
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["metadata"]["generation"] == 1
    assert pod["metadata"]["annotations"] == {"why": "it fits"}
    assert [(c["type"], c["status"]) for c in pod["status"]["conditions"]] == [("PodScheduled", "True")]


async def test_the_bindings_resource_binds_the_pod_it_names(api: Api) -> None:
    await api.create("pods", "p", spec=POD)
    await api.post("bindings", binding("n2", name="p"))
    assert (await api.get("pods", "p"))["spec"]["nodeName"] == "n2"


async def test_a_pod_is_bound_once(api: Api) -> None:
    await api.create("pods", "p", spec=POD)
    await api.post("pods/p/binding", binding("n1", name="p"))
    error = await refused(api.post("pods/p/binding", binding("n2", name="p")))
    assert (error.code, error.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
    )


async def test_a_binding_is_for_the_pod_that_it_was_decided_for(api: Api) -> None:
    pod = await api.create("pods", "p", spec=POD)
    for field, called in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        body = binding("n1", name="p")
        body["metadata"][field] = "1"
        error = await refused(api.post("pods/p/binding", body))
        found = pod["metadata"][field]
        detail = f"Precondition failed: {called} in precondition: 1, {called} in object meta: {found}"
        assert (error.code, error.message) == (
            409,
            f'Operation cannot be fulfilled on pods "p": {detail}',
        )


async def test_a_gated_pod_cannot_be_bound(api: Api) -> None:
    await api.create("pods", "p", spec={**POD, "schedulingGates": [{"name": "a.b/c"}]})
    error = await refused(api.post("pods/p/binding", binding("n1", name="p")))
    assert error.message.endswith("pod p has non-empty .spec.schedulingGates")


async def test_a_binding_must_name_a_node(api: Api) -> None:
    await api.create("pods", "p", spec=POD)
    error = await refused(api.post("pods/p/binding", binding("", name="p")))
    assert (error.code, error.message) == (422, 'Binding "p" is invalid: target.name: Required value')


# Eviction.


def eviction(name: str) -> dict:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}


async def budget(api: Api, allowed: int, **spec: object) -> None:
    body = {"minAvailable": 1, "selector": {"matchLabels": LABELS}, **spec}
    made = await api.create("poddisruptionbudgets", "b", spec=body)
    made["status"] = {
        "disruptionsAllowed": allowed,
        "currentHealthy": 1 + allowed,
        "desiredHealthy": 1,
        "expectedPods": 2,
        "observedGeneration": made["metadata"]["generation"],
    }
    await api.update("poddisruptionbudgets", made, "status")


async def test_an_eviction_without_a_budget_deletes_the_pod_and_says_why(api: Api) -> None:
    await running(api, "p")
    await api.post("pods/p/eviction", eviction("p"))
    pod = await api.get("pods", "p")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    (target,) = [c for c in pod["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert (target["status"], target["reason"]) == ("True", "EvictionByEvictionAPI")


async def test_an_eviction_may_speak_of_the_old_version(api: Api) -> None:
    await running(api, "p")
    await api.post("pods/p/eviction", eviction("p") | {"apiVersion": "policy/v1beta1"})
    assert "deletionTimestamp" in (await api.get("pods", "p"))["metadata"]


async def test_an_eviction_spends_the_budget(api: Api) -> None:
    await budget(api, 1)
    await running(api, "p", **LABELS)
    await running(api, "q", **LABELS)
    await api.post("pods/p/eviction", eviction("p"))
    status = (await api.get("poddisruptionbudgets", "b"))["status"]
    assert status["disruptionsAllowed"] == 0
    assert list(status["disruptedPods"]) == ["p"]
    error = await refused(api.post("pods/q/eviction", eviction("q")))
    assert (error.code, error.reason) == (429, "TooManyRequests")
    assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert not error.details.get("retryAfterSeconds")
    condition = next(c for c in status["conditions"] if c["type"] == "DisruptionAllowed")
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "InsufficientPods", "")
    assert error.details["causes"] == [
        {"reason": "DisruptionBudget", "message": "The disruption budget b needs 1 healthy pods and has 2 currently"}
    ]
    assert "deletionTimestamp" not in (await api.get("pods", "q"))["metadata"]


async def test_a_budget_not_yet_observed_stops_evictions(api: Api) -> None:
    await api.create("poddisruptionbudgets", "b", spec={"minAvailable": 1, "selector": {"matchLabels": LABELS}})
    await running(api, "p", **LABELS)
    error = await refused(api.post("pods/p/eviction", eviction("p")))
    assert error.details["causes"][0]["message"] == "The disruption budget b is still being processed by the server."
    assert error.details["retryAfterSeconds"] == 10


async def test_a_pod_of_two_budgets_cannot_be_evicted(api: Api) -> None:
    await budget(api, 1)
    await api.create("poddisruptionbudgets", "c", spec={"minAvailable": 1, "selector": {"matchLabels": LABELS}})
    await running(api, "p", **LABELS)
    error = await refused(api.post("pods/p/eviction", eviction("p")))
    text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    assert (error.code, error.reason, error.message) == (500, "", text)


async def test_pods_that_have_ended_or_not_begun_need_no_budget(api: Api) -> None:
    await budget(api, 0)
    await api.client.create("pods", {"metadata": {"name": "p", "labels": LABELS}, "spec": POD}, api.namespace)
    await api.post("pods/p/eviction", eviction("p"))
    error = await refused(api.get("pods", "p"))
    assert error.code == 404


async def test_an_unhealthy_pod_may_go_where_the_budget_allows_it(api: Api) -> None:
    await budget(api, 0, unhealthyPodEvictionPolicy="AlwaysAllow")
    pod = await running(api, "p", **LABELS)
    pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    await api.update("pods", pod, "status")
    await api.post("pods/p/eviction", eviction("p"))
    assert "deletionTimestamp" in (await api.get("pods", "p"))["metadata"]


# Scale.


async def scale_path(api: Api, group: str, plural: str) -> str:
    base = f"/apis/{group}" if "/" in group else "/api/v1"
    return f"{base}/namespaces/{api.namespace}/{plural}/w/scale"


@pytest.mark.parametrize(
    ("resource", "group", "spec"),
    [
        ("deployments", "apps/v1", WORKLOAD),
        ("replicasets", "apps/v1", WORKLOAD),
        ("statefulsets", "apps/v1", {**WORKLOAD, "serviceName": "s"}),
        ("replicationcontrollers", "v1", {"selector": LABELS, "template": TEMPLATE}),
    ],
)
async def test_scale_is_read_replaced_and_patched(api: Api, resource: str, group: str, spec: dict) -> None:
    await api.create(resource, "w", spec=spec)
    path = await scale_path(api, group, resource)
    scale = json.loads((await api.client.raw("GET", path)).body)
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 1},
        {"replicas": 0, "selector": "app=web"},
    )
    scale["spec"]["replicas"] = 4
    scale = json.loads((await api.client.raw("PUT", path, json.dumps(scale).encode())).body)
    assert scale["spec"]["replicas"] == 4
    patched = await api.client.patch(
        resource, "w", {"spec": {"replicas": 2}}, namespace=api.namespace, subresource="scale"
    )
    assert patched["spec"]["replicas"] == 2
    stored = await api.get(resource, "w")
    assert (stored["spec"]["replicas"], stored["metadata"]["generation"]) == (2, 3)


async def test_a_scale_with_an_old_revision_is_a_conflict(api: Api) -> None:
    await api.create("deployments", "w", spec=WORKLOAD)
    path = await scale_path(api, "apps/v1", "deployments")
    scale = json.loads((await api.client.raw("GET", path)).body)
    scale["spec"]["replicas"] = 2
    await api.client.raw("PUT", path, json.dumps(scale).encode())
    error = await refused(api.client.raw("PUT", path, json.dumps(scale).encode()))
    assert error.code == 409


async def test_a_negative_scale_is_refused(api: Api) -> None:
    await api.create("deployments", "w", spec=WORKLOAD)
    call = api.client.patch(
        "deployments", "w", {"spec": {"replicas": -1}}, namespace=api.namespace, subresource="scale"
    )
    assert (await refused(call)).message.endswith(
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    )


# Views.


async def test_a_namespace_goes_when_its_last_finalizer_does(api: Api) -> None:
    made = await api.client.create("namespaces", {"metadata": {"name": "going"}})
    assert made["spec"]["finalizers"] == ["kubernetes"]
    await api.client.delete("namespaces", "going")
    held = await api.client.get("namespaces", "going")
    assert held["status"]["phase"] == "Terminating"
    held["spec"]["finalizers"] = []
    await api.client.raw("PUT", "/api/v1/namespaces/going/finalize", json.dumps(held).encode())
    assert (await refused(api.client.get("namespaces", "going"))).code == 404


async def test_a_plain_update_cannot_take_a_namespaces_finalizer(api: Api) -> None:
    made = await api.client.create("namespaces", {"metadata": {"generateName": "held-"}})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": made["metadata"]["name"]}
    made["spec"]["finalizers"] = []
    assert (await api.client.update("namespaces", made))["spec"]["finalizers"] == ["kubernetes"]


async def test_an_ephemeral_container_is_added_by_patch(api: Api) -> None:
    await api.create("pods", "p", spec=POD)
    change = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox", "targetContainerName": "c"}]}}
    patched = await api.client.patch(
        "pods", "p", change, namespace=api.namespace, type="strategic", subresource="ephemeralcontainers"
    )
    (added,) = patched["spec"]["ephemeralContainers"]
    assert (added["name"], added["imagePullPolicy"]) == ("debug", "Always")
    pod = await api.get("pods", "p")
    pod["metadata"]["labels"] = {"a": "b"}
    pod["spec"].pop("ephemeralContainers")
    assert (await api.update("pods", pod))["spec"]["ephemeralContainers"] == [added]


async def test_a_resize_changes_resources(api: Api) -> None:
    sized = {"containers": [{**POD["containers"][0], "resources": {"requests": {"cpu": "100m"}}}]}
    await api.create("pods", "p", spec=sized)
    change = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "200m"}}}]}}
    patched = await api.client.patch(
        "pods", "p", change, namespace=api.namespace, type="strategic", subresource="resize"
    )
    assert patched["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "200m"}
    assert patched["metadata"]["generation"] == 2


async def test_a_resize_that_the_node_could_never_give_is_refused(api: Api) -> None:
    node = f"small-{api.namespace}"
    size = {"cpu": "2", "memory": "1Gi"}
    await api.client.create("nodes", {"metadata": {"name": node}, "status": {"capacity": size, "allocatable": size}})
    sized = {**POD["containers"][0], "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}}}
    await api.create("pods", "p", spec={"containers": [sized], "nodeName": node})

    async def resize(**requests: str) -> None:
        change = {"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}}
        await api.client.patch("pods", "p", change, namespace=api.namespace, type="strategic", subresource="resize")

    error = await refused(resize(cpu="2001m", memory="2Gi"))
    assert error.code == 403
    assert error.message == (
        'pods "p" is forbidden: node didn\'t have enough allocatable resources: cpu, requested: 2001, '
        "allocatable: 2000; memory, requested: 2147483648, allocatable: 1073741824"
    )
    assert error.causes == [{"reason": "NodeCapacity"}]
    await resize(cpu="2", memory="1Gi")
    labels = {"metadata": {"labels": {"kubernetes.io/os": "windows"}}}
    await api.client.patch("nodes", node, labels, type="merge")
    error = await refused(resize(cpu="1", memory="1Gi"))
    assert error.message.endswith(f'pod resize is only supported on linux nodes, node "{node}" is "windows"')
    assert error.causes == [{"reason": "UnsupportedPlatform"}]


# Both spellings of an event.


async def test_an_event_is_one_object_in_both_groups(api: Api) -> None:
    reference = {"kind": "Pod", "namespace": api.namespace, "name": "p"}
    await api.client.create(
        "events",
        {"metadata": {"name": "e"}, "involvedObject": reference, "reason": "R", "message": "m", "type": "Normal"},
        namespace=api.namespace,
    )
    path = f"/apis/events.k8s.io/v1/namespaces/{api.namespace}/events"
    new = json.loads((await api.client.raw("GET", f"{path}/e")).body)
    assert (new["regarding"], new["note"], new["reason"]) == (reference, "m", "R")
    core = f"/api/v1/namespaces/{api.namespace}/events"
    for base, field in ((path, "regarding.name"), (core, "involvedObject.name")):
        found = json.loads((await api.client.raw("GET", base, query={"fieldSelector": f"{field}=p"})).body)
        assert [each["metadata"]["name"] for each in found["items"]] == ["e"]
    missing = await refused(api.client.raw("GET", f"{path}/none"))
    assert missing.message == 'events "none" not found'
    body = json.dumps({"metadata": {"name": "f"}, "regarding": reference}).encode()
    invalid = await refused(api.client.raw("POST", path, body))
    assert invalid.message.startswith('Event "f" is invalid: [eventTime: Required value, type: ')


async def test_an_autoscaler_is_one_object_in_both_versions(api: Api) -> None:
    old = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "w"},
            "maxReplicas": 3,
            "targetCPUUtilizationPercentage": 50,
        },
    }
    path = f"namespaces/{api.namespace}/horizontalpodautoscalers"
    await api.client.raw("POST", f"/apis/autoscaling/v1/{path}", json.dumps(old).encode())
    new = json.loads((await api.client.raw("GET", f"/apis/autoscaling/v2/{path}/h")).body)
    assert new["spec"]["metrics"] == [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
        }
    ]
    back = json.loads((await api.client.raw("GET", f"/apis/autoscaling/v1/{path}/h")).body)
    assert back["spec"] == {**old["spec"], "minReplicas": 1}


async def test_a_deprecated_kind_says_so_to_whoever_asks(api: Api) -> None:
    answer = await api.client.raw("GET", f"/api/v1/namespaces/{api.namespace}/endpoints")
    assert answer.headers["Warning"] == (
        '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    )
