"""Nodes: ranges, silence, taints, eviction; and the pods and requests they leave behind."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pynetes.machinery import clock, meta

World = Any


def taints(node: dict[str, Any], effect: str) -> set[str]:
    return {t["key"] for t in node["spec"].get("taints") or [] if t["effect"] == effect}


async def node(world: World, name: str = "node-1") -> Any:
    return await world.client.get("nodes", name)


async def keep_alive(world: World, name: str) -> None:
    """Renew a node's lease."""
    spec = {"holderIdentity": name, "renewTime": clock.micro_timestamp(), "leaseDurationSeconds": 40}
    patch = {"spec": spec}
    await world.client.patch("leases.coordination.k8s.io", name, patch, "kube-node-lease")


async def test_each_node_gets_a_range_of_its_own(world: World) -> None:
    await world.add_node("node-2")

    async def ranges() -> Any:
        found = [(await node(world, name))["spec"].get("podCIDR") for name in ("node-1", "node-2")]
        return found if all(found) else None

    assert sorted(await world.eventually(ranges)) == ["10.244.0.0/24", "10.244.1.0/24"]
    found = await node(world)
    assert found["spec"]["podCIDRs"] == [found["spec"]["podCIDR"]]


async def test_a_node_that_reports_not_ready_is_tainted_and_recovers(world: World) -> None:
    await world.add_node("node-2")
    await world.report_node("node-1", "False")

    async def tainted() -> bool:
        found = await node(world)
        key = {"node.kubernetes.io/not-ready"}
        return taints(found, "NoSchedule") == key and taints(found, "NoExecute") == key

    await world.eventually(tainted)
    await world.report_node("node-1", "True")

    async def clean() -> bool:
        found = await node(world)
        return not taints(found, "NoSchedule") and not taints(found, "NoExecute")

    await world.eventually(clean)


async def test_a_cordoned_node_is_tainted_unschedulable(world: World) -> None:
    await world.client.patch("nodes", "node-1", {"spec": {"unschedulable": True}})

    async def tainted() -> bool:
        return taints(await node(world), "NoSchedule") == {"node.kubernetes.io/unschedulable"}

    await world.eventually(tainted)


@pytest.mark.options(node_monitor_grace_period=1.5, node_eviction_rate=100)
async def test_a_silent_node_becomes_unknown_and_loses_its_pods(world: World) -> None:
    await world.add_node("node-2")
    lease = {"metadata": {"name": "node-2", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "node-2"}}
    await world.client.create("leases.coordination.k8s.io", lease, "kube-node-lease")
    toleration = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "operator": "Exists"}
    spec = {
        "containers": [{"name": "app", "image": "a"}],
        "nodeName": "node-1",
        "tolerations": [{**toleration, "tolerationSeconds": 1}],
    }
    stays = {**spec, "tolerations": [toleration]}
    await world.create("pods", {"metadata": {"name": "goes"}, "spec": spec})
    await world.create("pods", {"metadata": {"name": "stays"}, "spec": stays})

    async def running() -> bool:
        return all(meta.is_condition_true(pod, "Ready") for pod in await world.items("pods"))

    await world.eventually(running)
    world.nodes.script = lambda pod: "Pending"  # from now on the kubelet says nothing any more

    async def silenced() -> bool:
        await keep_alive(world, "node-2")
        await world.report_node("node-2")
        found = await node(world)
        ready = meta.get_condition(found, "Ready")
        assert ready is not None
        return (
            ready["status"] == "Unknown"
            and ready["reason"] == "NodeStatusUnknown"
            and ready["message"] == "Kubelet stopped posting node status."
            and "node.kubernetes.io/unreachable" in taints(found, "NoExecute")
        )

    await world.eventually(silenced)

    async def evicted() -> bool:
        await keep_alive(world, "node-2")
        await world.report_node("node-2")
        return await world.gone("pods", "goes")

    await world.eventually(evicted)
    assert not meta.is_condition_true(await world.get("pods", "stays"), "Ready")
    assert await world.eventually(lambda: world.events("TaintManagerEviction")) == [
        "Marking for deletion Pod default/goes"
    ]


@pytest.mark.options(node_monitor_grace_period=1.0)
async def test_when_every_node_is_silent_nothing_is_evicted(world: World) -> None:
    async def silenced() -> bool:
        found = await node(world)
        ready = meta.get_condition(found, "Ready")
        return ready is not None and ready["status"] == "Unknown" and bool(taints(found, "NoSchedule"))

    await world.eventually(silenced)
    assert taints(await node(world), "NoExecute") == set()


async def test_a_no_execute_taint_evicts_at_once_who_does_not_tolerate_it(world: World) -> None:
    spec = {"containers": [{"name": "app", "image": "a"}], "nodeName": "node-1"}
    key = {"key": "gone", "operator": "Exists", "effect": "NoExecute"}
    await world.create("pods", {"metadata": {"name": "goes"}, "spec": spec})
    await world.create("pods", {"metadata": {"name": "stays"}, "spec": {**spec, "tolerations": [key]}})
    await world.client.patch("nodes", "node-1", {"spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]}})
    await world.eventually(lambda: world.gone("pods", "goes"))
    assert not await world.gone("pods", "stays")


async def test_a_kubelets_request_is_approved_and_signed(world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, "system:node:node-9"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    spec = {
        "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"],
    }
    await world.client.create(
        "certificatesigningrequests.certificates.k8s.io", {"metadata": {"name": "k"}, "spec": spec}
    )

    async def approved() -> Any:
        found = await world.client.get("certificatesigningrequests.certificates.k8s.io", "k")
        return next((c for c in found["status"]["conditions"] if c["type"] == "Approved"), None)

    condition = await world.eventually(approved)
    assert condition["reason"] == "AutoApproved"
    assert condition["message"] == "Auto approving kubelet client certificate after SubjectAccessReview."
