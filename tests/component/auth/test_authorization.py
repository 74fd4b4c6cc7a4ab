"""What the server lets whom do, and how it says no."""

from base64 import b64encode
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pynetes.apiserver.authz.reconcile import reconcile
from pynetes.testing.apiserver import RunningApiServer
from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"


def rule(verbs: str, resources: str, group: str = "") -> dict[str, Any]:
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}


def bound(name: str, role: str, user: str, kind: str = "ClusterRole") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": user}],
    }


async def grant(admin: Rest, namespace: str, user: str, role: str) -> None:
    await admin.make(f"{RBAC}/namespaces/{namespace}/rolebindings", bound(f"{user}-{role}", role, user))


async def test_a_binding_takes_effect_with_the_next_request(admin: Rest, namespace: str) -> None:
    jane = admin.as_user("jane-1")
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert (await jane("GET", path)).status == 403
    await grant(admin, namespace, "jane-1", "view")
    assert (await jane("GET", path)).status == 200
    assert (await jane("POST", path, {"metadata": {"name": "x"}})).status == 403
    await admin("DELETE", f"{RBAC}/namespaces/{namespace}/rolebindings/jane-1-view")
    assert (await jane("GET", path)).status == 403


async def test_a_role_may_not_give_what_its_author_does_not_hold(admin: Rest, namespace: str) -> None:
    await grant(admin, namespace, "jane-2", "admin")
    jane = admin.as_user("jane-2")
    path = f"{RBAC}/namespaces/{namespace}/roles"
    own = await jane("POST", path, {"metadata": {"name": "own"}, "rules": [rule("get list", "pods")]})
    assert own.status == 201
    more = {"metadata": {"name": "more"}, "rules": [rule("create delete", "resourcequotas"), rule("get", "pods")]}
    refused = await jane("POST", path, more)
    assert refused.status == 403
    assert refused.message == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "jane-2" (groups=["system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["resourcequotas"], Verbs:["create" "delete"]}'
    )
    raised = await jane.patch(f"{path}/own", {"rules": more["rules"]})
    assert raised.status == 403
    labelled = await jane.patch(f"{path}/own", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.status == 200


async def test_a_binding_may_not_give_what_its_author_does_not_hold(admin: Rest, namespace: str) -> None:
    await grant(admin, namespace, "jane-3", "admin")
    jane = admin.as_user("jane-3")
    path = f"{RBAC}/namespaces/{namespace}/rolebindings"
    assert (await jane("POST", path, bound("edits", "edit", "bob"))).status == 201
    refused = await jane("POST", path, bound("rules", "cluster-admin", "jane-3"))
    assert refused.status == 403
    assert "is attempting to grant RBAC permissions not currently held:\n" in refused.message
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in refused.message
    missing = await jane("POST", path, bound("none", "none", "jane-3"))
    assert missing.status == 404
    assert missing.message == 'clusterrole.rbac.authorization.k8s.io "none" not found'


async def test_bind_and_escalate_are_rights_of_their_own(admin: Rest, namespace: str) -> None:
    await admin.make(
        f"{RBAC}/namespaces/{namespace}/roles",
        {"metadata": {"name": "r"}, "rules": [rule("create bind escalate", "roles rolebindings clusterroles", GROUP)]},
    )
    await admin.make(f"{RBAC}/namespaces/{namespace}/rolebindings", bound("b", "r", "jane-4", "Role"))
    jane = admin.as_user("jane-4")
    base = f"{RBAC}/namespaces/{namespace}"
    made = await jane("POST", f"{base}/roles", {"metadata": {"name": "any"}, "rules": [rule("*", "secrets")]})
    assert made.status == 201
    assert (await jane("POST", f"{base}/rolebindings", bound("c", "cluster-admin", "jane-4"))).status == 201


async def test_an_aggregation_rule_takes_full_authority(admin: Rest) -> None:
    await admin.make(
        f"{RBAC}/clusterroles", {"metadata": {"name": "mk"}, "rules": [rule("create", "clusterroles", GROUP)]}
    )
    await admin.make(f"{RBAC}/clusterrolebindings", bound("mk", "mk", "jane-5"))
    aggregate = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    refused = await admin.as_user("jane-5")(
        "POST", f"{RBAC}/clusterroles", {"metadata": {"name": "agg"}, "aggregationRule": aggregate}
    )
    assert refused.status == 403
    assert refused.message.endswith("must have cluster-admin privileges to use the aggregationRule")


async def test_access_reviews_answer_and_say_why(admin: Rest, namespace: str) -> None:
    await grant(admin, namespace, "jane-6", "view")
    attributes = {"verb": "list", "resource": "pods", "namespace": namespace}
    spec = {"user": "jane-6", "resourceAttributes": attributes}
    status = (await admin.make(f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec}))["status"]
    assert status == {
        "allowed": True,
        "reason": f'RBAC: allowed by RoleBinding "jane-6-view/{namespace}" of ClusterRole "view" to User "jane-6"',
    }
    attributes["verb"] = "delete"
    assert (await admin.make(f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec}))["status"] == {"allowed": False}
    local = f"{AUTHORIZATION}/namespaces/{namespace}/localsubjectaccessreviews"
    attributes["verb"] = "get"
    assert (await admin.make(local, {"spec": spec}))["status"]["allowed"]
    attributes["namespace"] = "other"
    assert (await admin("POST", local, {"spec": spec})).status == 422
    path = {"spec": {"user": "x", "nonResourceAttributes": {"path": "/metrics", "verb": "get"}}}
    assert not (await admin.make(f"{AUTHORIZATION}/subjectaccessreviews", path))["status"]["allowed"]


async def test_anybody_may_ask_about_themselves(admin: Rest, namespace: str) -> None:
    await grant(admin, namespace, "jane-7", "view")
    jane = admin.as_user("jane-7")
    spec = {"resourceAttributes": {"verb": "watch", "resource": "pods", "namespace": namespace}}
    assert (await jane.make(f"{AUTHORIZATION}/selfsubjectaccessreviews", {"spec": spec}))["status"]["allowed"]
    review = await jane.make(f"{AUTHORIZATION}/selfsubjectrulesreviews", {"spec": {"namespace": namespace}})
    status = review["status"]
    assert status["incomplete"] is False
    assert any("pods/log" in entry["resources"] and "get" in entry["verbs"] for entry in status["resourceRules"])
    assert any("/version" in entry["nonResourceURLs"] for entry in status["nonResourceRules"])
    assert (await jane("POST", f"{AUTHORIZATION}/selfsubjectrulesreviews", {"spec": {}})).status == 400


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"user": "x"}, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        ({"resourceAttributes": {}}, "at least one of user or group must be specified"),
        (
            {"user": "x", "resourceAttributes": {}, "nonResourceAttributes": {}},
            "spec: Invalid value: {}: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            {"user": "x", "resourceAttributes": {"fieldSelector": {}}},
            "spec.resourceAttributes.fieldSelector.requirements: Required value: when "
            "spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
        ),
        (
            {
                "user": "x",
                "resourceAttributes": {
                    "fieldSelector": {"rawSelector": "a=b", "requirements": [{"key": "", "operator": "In"}]},
                    "labelSelector": {"requirements": [{"key": "k", "operator": "Exists", "values": ["v"]}]},
                },
            },
            '[spec.resourceAttributes.fieldSelector.rawSelector: Invalid value: "a=b": may not specified at the same '
            "time as requirements, spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must "
            "be specified, spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be "
            "specified when `operator` is 'In' or 'NotIn', spec.resourceAttributes.labelSelector.requirements[0]"
            ".values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist']",
        ),
    ],
)
async def test_a_review_that_makes_no_sense_is_invalid(admin: Rest, spec: dict[str, Any], message: str) -> None:
    answer = await admin("POST", f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec})
    assert answer.status == 422
    assert message in answer.message


async def test_only_a_signer_answers_a_pods_certificate_request(admin: Rest, namespace: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    stub = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    spec = {"signerName": "example.com/s", "stubPKCS10Request": b64encode(stub.public_bytes(Encoding.DER)).decode()}
    spec |= {f"{what}{end}": "x" for what in ("pod", "serviceAccount", "node") for end in ("Name", "UID")}
    path = f"/apis/certificates.k8s.io/v1/namespaces/{namespace}/podcertificaterequests"
    await admin.make(path, {"metadata": {"name": "r"}, "spec": spec})
    rules = [{"verbs": ["*"], "apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests/status"]}]
    await grant_rules(admin, "signs-not", "cy", rules)
    condition = {"type": "Denied", "status": "True", "reason": "R", "message": "no"}
    denial = {"status": {"conditions": [condition | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
    refused = await admin.as_user("cy").patch(f"{path}/r/status", denial)
    assert refused.status == 422
    assert refused.message.endswith(
        'spec.signerName: Forbidden: User "cy" is not permitted to "sign" for signer "example.com/s"'
    )
    rule = {"verbs": ["sign"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"]}
    await grant_rules(admin, "signs", "cy", [rule | {"resourceNames": ["example.com/*"]}])
    assert (await admin.as_user("cy").patch(f"{path}/r/status", denial)).status == 200


async def grant_rules(admin: Rest, name: str, user: str, rules: list[dict[str, Any]]) -> None:
    await admin.make(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    await admin.make(
        f"{RBAC}/clusterrolebindings", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    )


async def test_default_roles_are_mended_at_start_unless_they_opt_out(server: RunningApiServer, admin: Rest) -> None:
    path = f"{RBAC}/clusterroles"
    mine = rule("get", "widgets", "example.com")
    await admin.patch(f"{path}/system:kube-dns", {"rules": [mine]})
    await admin.patch(
        f"{path}/system:heapster",
        {"rules": [], "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}},
    )
    await admin("DELETE", f"{path}/system:monitoring")
    subjects = [{"apiGroup": GROUP, "kind": "User", "name": "me"}]
    await admin.patch(f"{RBAC}/clusterrolebindings/cluster-admin", {"subjects": subjects})
    await reconcile(server.server.registry)
    rules = (await admin("GET", f"{path}/system:kube-dns")).json["rules"]
    assert mine in rules
    assert rule("list", "endpoints")["resources"][0] in {name for entry in rules for name in entry["resources"]}
    assert not (await admin("GET", f"{path}/system:heapster")).json.get("rules")
    assert (await admin("GET", f"{path}/system:monitoring")).status == 200
    names = {
        each["name"] for each in (await admin("GET", f"{RBAC}/clusterrolebindings/cluster-admin")).json["subjects"]
    }
    assert names == {"me", "system:masters"}


# Nodes.


def pod(node: str = "", mirror: bool = False, **spec: Any) -> dict[str, Any]:
    annotations = {"kubernetes.io/config.mirror": "x"} if mirror else {}
    body = {"containers": [{"name": "c", "image": "i"}], **({"nodeName": node} if node else {}), **spec}
    return {"metadata": {"name": "p", "annotations": annotations}, "spec": body}


@pytest_asyncio.fixture(loop_scope="module")
async def kubelet(admin: Rest) -> Rest:
    return admin.as_user("system:node:n1", "system:nodes")


async def test_a_kubelet_reads_only_the_secrets_of_its_pods(admin: Rest, kubelet: Rest, namespace: str) -> None:
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    await admin.make(secrets, {"metadata": {"name": "s"}})
    assert (await kubelet("GET", f"{secrets}/s")).message == (
        f'secrets "s" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" '
        f"in the namespace \"{namespace}\": no relationship found between node 'n1' and this object"
    )
    volumes = [{"name": "v", "secret": {"secretName": "s"}}]
    await admin.make(f"/api/v1/namespaces/{namespace}/pods", pod("n1", volumes=volumes))
    assert (await kubelet("GET", f"{secrets}/s")).status == 200
    assert (await kubelet("GET", secrets)).status == 403
    assert (await admin.as_user("system:node:n2", "system:nodes")("GET", f"{secrets}/s")).status == 403


async def test_a_kubelet_lists_its_own_pods_only(kubelet: Rest) -> None:
    assert (await kubelet("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1")).status == 200
    refused = await kubelet("GET", "/api/v1/pods")
    assert refused.status == 403
    assert refused.message.endswith("can only list/watch pods with spec.nodeName field selector")


async def test_a_kubelet_registers_and_changes_only_itself(kubelet: Rest) -> None:
    assert (await kubelet("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})).status == 201
    refused = await kubelet("POST", "/api/v1/nodes", {"metadata": {"name": "n2"}})
    assert refused.message == 'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'
    assert (
        await kubelet.patch("/api/v1/nodes/n1", {"metadata": {"labels": {"kubernetes.io/os": "linux"}}})
    ).status == 200
    label = {"node-restriction.kubernetes.io/x": "y"}
    refused = await kubelet.patch("/api/v1/nodes/n1", {"metadata": {"labels": label}})
    assert refused.message == (
        'nodes "n1" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x'
    )
    refused = await kubelet.patch("/api/v1/nodes/n1", {"spec": {"taints": []}})
    assert refused.message.endswith('node "n1" is not allowed to modify taints')


async def test_a_kubelet_creates_only_mirror_pods(admin: Rest, kubelet: Rest, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    refused = await kubelet("POST", path, pod("n1"))
    assert refused.message == (
        'pods "p" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, '
        'node "n1" can only create mirror pods'
    )
    refused = await kubelet("POST", path, pod("n2", mirror=True))
    assert refused.message.endswith('node "n1" can only create pods with spec.nodeName set to itself')
    assert (await kubelet("POST", path, pod("n1", mirror=True))).status == 201
    other = admin.as_user("system:node:n2", "system:nodes")
    assert (await other("DELETE", f"{path}/p")).status == 403


async def test_a_kubelet_asks_for_tokens_of_its_pods_accounts_only(admin: Rest, kubelet: Rest, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    refused = await kubelet("POST", path, {"spec": {}})
    assert "no relationship found" in refused.message
    made = await admin.make(f"/api/v1/namespaces/{namespace}/pods", pod("n1"))
    refused = await kubelet("POST", path, {"spec": {}})
    assert refused.message.endswith("node requested token not bound to a pod")
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    assert (await kubelet("POST", path, {"spec": {"boundObjectRef": reference}})).status == 201
    refused = await kubelet("POST", path, {"spec": {"boundObjectRef": reference, "audiences": ["vault"]}})
    assert refused.message.endswith('audience "vault" not found in pod spec volume')
