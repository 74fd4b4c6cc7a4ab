"""What a node takes, and what it says of the rest."""

from typing import Any

import pytest

from pynetes.kubelet import admission
from pynetes.machinery.meta import Obj

NODE: Obj = {"metadata": {"name": "n", "labels": {"zone": "a"}}, "spec": {}}
GIB = 1024**3
ALLOCATABLE = {"cpu": "2", "memory": "1Gi", "pods": "3", "example.com/fpga": "1"}


def pod(uid: str = "p", requests: dict[str, str] | None = None, port: Obj | None = None, **spec: Any) -> Obj:
    container: Obj = {"name": "c", "image": "i", "resources": {"requests": requests or {}}}
    if port:
        container["ports"] = [port]
    return {"metadata": {"name": uid, "namespace": "d", "uid": uid}, "spec": {"containers": [container], **spec}}


def check(made: Obj, *others: Obj, node: Obj = NODE) -> admission.Rejection | None:
    return admission.check(made, others, ALLOCATABLE, node, [])


def test_a_pod_that_fits_is_taken() -> None:
    assert check(pod(requests={"cpu": "1", "memory": "512Mi"}), pod("other", {"cpu": "1"})) is None


@pytest.mark.parametrize(
    ("requests", "used", "reason", "numbers"),
    [
        ({"cpu": "1500m"}, {"cpu": "1"}, "OutOfcpu", "cpu, requested: 1500, used: 1000, capacity: 2000"),
        ({"memory": "1Gi"}, {"memory": "1"}, "OutOfmemory", f"memory, requested: {GIB}, used: 1, capacity: {GIB}"),
        (
            {"example.com/fpga": "1"},
            {"example.com/fpga": "1"},
            "OutOfexample.com/fpga",
            "example.com/fpga, requested: 1, used: 1, capacity: 1",
        ),
    ],
)
def test_what_does_not_fit_is_named(requests: Any, used: Any, reason: str, numbers: str) -> None:
    assert check(pod(requests=requests), pod("other", used)) == (reason, f"Node didn't have enough resource: {numbers}")


def test_a_resource_the_node_does_not_know_is_somebody_elses() -> None:
    assert check(pod(requests={"example.com/license": "5"})) is None


def test_the_number_of_pods_is_limited() -> None:
    found = check(pod(), *(pod(str(number)) for number in range(3)))
    assert found == ("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3")


def test_selector_and_affinity_are_checked_again() -> None:
    text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    assert check(pod(nodeSelector={"zone": "a"})) is None
    assert check(pod(nodeSelector={"zone": "b"})) == ("NodeAffinity", text)
    terms = [{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    assert check(pod(affinity={"nodeAffinity": required})) == ("NodeAffinity", text)


def test_only_a_no_execute_taint_keeps_a_bound_pod_out() -> None:
    tainted = NODE | {"spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]}}
    text = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
    assert check(pod(), node=tainted) == ("TaintToleration", text)
    assert check(pod(tolerations=[{"key": "gone", "operator": "Exists"}]), node=tainted) is None
    reserved = NODE | {"spec": {"taints": [{"key": "dedicated", "effect": "NoSchedule"}]}}
    assert check(pod(), node=reserved) is None


def test_host_ports_collide_by_address_and_protocol() -> None:
    def port(address: str, protocol: str = "TCP") -> Obj:
        return {"hostPort": 80, "containerPort": 80, "hostIP": address, "protocol": protocol}

    taken = pod("other", port=port("127.0.0.1"))
    text = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    assert check(pod(port=port("127.0.0.1")), taken) == ("NodePorts", text)
    assert check(pod(port=port("")), taken) == ("NodePorts", text)
    assert check(pod(port=port("192.0.2.1")), taken) is None
    assert check(pod(port=port("127.0.0.1", "UDP")), taken) is None


def test_another_operating_system() -> None:
    text = "Failed to admit pod as the OS field doesn't match node OS"
    assert check(pod(os={"name": "windows"})) == ("PodOSNotSupported", text)


@pytest.mark.parametrize(
    ("name", "extra", "text"),
    [
        ("kernel.msgmax", {}, 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ("net.ipv4.tcp_syncookies", {"hostNetwork": True}, "not allowed with host net enabled"),
        ("kernel.shm_rmid_forced", {"hostIPC": True}, "not allowed with host ipc enabled"),
    ],
)
def test_sysctls(name: str, extra: Any, text: str) -> None:
    found = check(pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **extra))
    assert found is not None and found[0] == "SysctlForbidden" and text in found[1]


def test_app_armor_needs_a_kernel_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    confined = pod(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})
    monkeypatch.setattr("pynetes.kubelet.machine.app_armor", lambda: False)
    assert check(confined) == ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    assert check(pod(securityContext={"appArmorProfile": {"type": "Unconfined"}})) is None
    monkeypatch.setattr("pynetes.kubelet.machine.app_armor", lambda: True)
    assert check(confined) is None


def test_strict_groups_need_a_runtime_that_knows_them() -> None:
    strict = pod(securityContext={"supplementalGroupsPolicy": "Strict"})
    text = "SupplementalGroupsPolicy=Strict is not supported in this node"
    assert check(strict) == ("SupplementalGroupsPolicyNotSupported", text)
    assert check(pod(securityContext={"supplementalGroupsPolicy": "Merge"})) is None
    assert check(strict, node={**NODE, "status": {"features": {"supplementalGroupsPolicy": True}}}) is None
