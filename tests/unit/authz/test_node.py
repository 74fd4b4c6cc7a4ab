"""The Node authorizer: a kubelet sees what its own pods refer to."""

import pytest

from pynetes.apiserver.authz.node import NodeAuthorizer, bound_pod, volume
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery.meta import Obj

NODE = UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))


def pod(name: str, node: str, **spec: object) -> Obj:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"nodeName": node, "containers": [], **spec}}


def ask(verb: str, resource: str, name: str = "", namespace: str = "ns", group: str = "", **more: str) -> RequestInfo:
    plural, _, sub = resource.partition("/")
    return RequestInfo(True, verb, group, "v1", plural, sub, namespace, name, **more)


REFERRING = pod(
    "p",
    "n1",
    serviceAccountName="bot",
    imagePullSecrets=[{"name": "pull"}],
    containers=[
        {
            "name": "c",
            "envFrom": [{"configMapRef": {"name": "from"}}],
            "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}],
        }
    ],
    volumes=[
        {"name": "s", "secret": {"secretName": "vol"}},
        {"name": "p", "projected": {"sources": [{"configMap": {"name": "proj"}}, {"secret": {"name": "projs"}}]}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
    ],
)


@pytest.fixture
def authorizer() -> NodeAuthorizer:
    made = NodeAuthorizer()
    made.graph.change_pod(None, bound_pod(REFERRING))
    persistent = {
        "metadata": {"name": "pv"},
        "spec": {"claimRef": {"namespace": "ns", "name": "claim"}, "csi": {"nodePublishSecretRef": {"name": "csi"}}},
    }
    made.graph.change_volume(None, volume(persistent))
    return made


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        *[("secrets", name) for name in ("pull", "key", "vol", "projs", "csi")],
        *[("configmaps", name) for name in ("from", "proj")],
        *[("persistentvolumeclaims", name) for name in ("claim", "p-e")],
        ("serviceaccounts", "bot"),
        ("persistentvolumes", "pv"),
    ],
)
def test_a_node_reads_what_its_pods_refer_to(authorizer: NodeAuthorizer, resource: str, name: str) -> None:
    namespace = "" if resource == "persistentvolumes" else "ns"
    assert authorizer.authorize(NODE, ask("get", resource, name, namespace)).allowed
    other = UserInfo("system:node:n2", groups=("system:nodes",))
    decision = authorizer.authorize(other, ask("get", resource, name, namespace))
    assert decision == (False, "no relationship found between node 'n2' and this object")


def test_what_a_pod_no_longer_holds_is_out_of_reach_again(authorizer: NodeAuthorizer) -> None:
    authorizer.graph.change_pod(bound_pod(REFERRING), None)
    assert not authorizer.authorize(NODE, ask("get", "secrets", "vol")).allowed


def test_mirror_pods_grant_nothing(authorizer: NodeAuthorizer) -> None:
    mirror = pod("m", "n1", volumes=[{"name": "x", "secret": {"secretName": "stolen"}}])
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    authorizer.graph.change_pod(None, bound_pod(mirror))
    assert not authorizer.authorize(NODE, ask("get", "secrets", "stolen")).allowed


@pytest.mark.parametrize(
    ("info", "allowed", "reason"),
    [
        (ask("list", "secrets"), False, "No Object name found"),
        (ask("update", "secrets", "vol"), False, "can only read resources of this type"),
        (ask("list", "pods", field_selector="spec.nodeName=n1", namespace=""), True, ""),
        (ask("list", "pods", field_selector="spec.nodeName=n2", namespace=""), False, None),
        (ask("list", "pods", namespace=""), False, "can only list/watch pods with spec.nodeName field selector"),
        (ask("get", "pods", "p"), True, ""),
        (ask("get", "pods", "other"), False, None),
        (ask("get", "nodes", "n1", ""), True, ""),
        (
            ask("get", "nodes", "n2", ""),
            False,
            "node 'n1' cannot read 'n2', only its own Node object",
        ),
        (ask("list", "nodes", "", ""), False, "node 'n1' cannot read all nodes, only its own Node object"),
        (ask("create", "serviceaccounts/token", "bot"), True, ""),
        (ask("create", "serviceaccounts/token", "root"), False, None),
        (ask("update", "leases", "n1", "kube-node-lease", "coordination.k8s.io"), True, ""),
        (
            ask("update", "leases", "n2", "kube-node-lease", "coordination.k8s.io"),
            False,
            "can only access node lease with the same name as the requesting node",
        ),
        (
            ask("create", "leases", "", "ns", "coordination.k8s.io"),
            False,
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (ask("watch", "services", namespace=""), True, ""),
        (ask("delete", "services", "x"), False, None),
    ],
)
def test_everything_else(authorizer: NodeAuthorizer, info: RequestInfo, allowed: bool, reason: str | None) -> None:
    decision = authorizer.authorize(NODE, info)
    assert decision.allowed is allowed
    if reason is not None:
        assert decision.reason == reason


def test_it_has_no_opinion_on_people(authorizer: NodeAuthorizer) -> None:
    assert authorizer.authorize(UserInfo("alice"), ask("get", "secrets", "vol")) == (False, "")
    assert not authorizer.authorize(UserInfo("system:node:n1"), ask("get", "nodes", "n1", "")).allowed
