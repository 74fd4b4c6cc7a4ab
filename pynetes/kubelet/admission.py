"""Whether this node takes a pod that was bound to it.

The scheduler decides with what it knows; a pod bound by hand, or by a scheduler that was too late, is checked again
where it lands. A rejection ends the pod at once with phase Failed and upstream's reason.
"""

import fnmatch
from collections.abc import Iterable

from pynetes.kubelet import resources, spec
from pynetes.kubelet.sandbox import normal_sysctl
from pynetes.machinery import meta, quantity
from pynetes.machinery.meta import Obj

SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
)

Rejection = tuple[str, str]  # reason, message


def check(
    pod: Obj, others: Iterable[Obj], allocatable: dict[str, str], labels: dict[str, str], unsafe_sysctls: list[str]
) -> Rejection | None:
    """The reason to reject the pod, if there is one; `others` are the pods that run here already."""
    active = [other for other in others if meta.uid(other) != meta.uid(pod)]
    return (
        _sysctls(pod, unsafe_sysctls)
        or _resources(pod, active, allocatable)
        or _node_selector(pod, labels)
        or _ports(pod, active)
    )


def under_pressure(pod: Obj, pressures: set[str]) -> Rejection | None:
    """A node under pressure takes critical pods, and with memory short those that asked for some."""
    if not pressures or (pod["spec"].get("priority") or 0) >= 2_000_000_000:
        return None
    if pressures == {"MemoryPressure"}:
        tolerated = any(
            toleration.get("key") in (None, "", "node.kubernetes.io/memory-pressure")
            for toleration in pod["spec"].get("tolerations") or []
            if toleration.get("operator") == "Exists"
        )
        if resources.qos_class(pod) != "BestEffort" or tolerated:
            return None
    return _rejected("Evicted", f"The node had condition: [{' '.join(sorted(pressures))}]. ")


def _rejected(reason: str, message: str) -> Rejection:
    return reason, f"Pod was rejected: {message}"


def _sysctls(pod: Obj, unsafe: list[str]) -> Rejection | None:
    for entry in (pod["spec"].get("securityContext") or {}).get("sysctls") or []:
        name = normal_sysctl(entry["name"])
        if name not in SAFE_SYSCTLS and not any(fnmatch.fnmatchcase(name, pattern) for pattern in unsafe):
            return _rejected("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
        if name.startswith("net.") and spec.host_network(pod):
            return _rejected("SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host net enabled')
        if name.startswith(("kernel.", "fs.mqueue.")) and pod["spec"].get("hostIPC"):
            return _rejected("SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host ipc enabled')
    return None


def _resources(pod: Obj, others: list[Obj], allocatable: dict[str, str]) -> Rejection | None:
    limit = int(allocatable.get("pods", "110"))
    if len(others) + 1 > limit:
        text = f"Node didn't have enough resource: pods, requested: 1, used: {len(others)}, capacity: {limit}"
        return _rejected("OutOfpods", text)
    if meta.is_deleting(pod):
        return None
    for name in ("cpu", "memory", "ephemeral-storage"):
        milli = name == "cpu"
        wanted, _ = resources.total(pod, "requests", name, milli)
        if not wanted or name not in allocatable:
            continue
        used = sum(resources.total(other, "requests", name, milli)[0] for other in others)
        there = quantity.milli(allocatable[name]) if milli else quantity.value(allocatable[name])
        if wanted + used > there:
            numbers = f"requested: {wanted}, used: {used}, capacity: {there}"
            return _rejected(f"OutOf{name}", f"Node didn't have enough resource: {name}, {numbers}")
    return None


def _node_selector(pod: Obj, labels: dict[str, str]) -> Rejection | None:
    wanted = pod["spec"].get("nodeSelector") or {}
    if labels and any(labels.get(key) != value for key, value in wanted.items()):
        return _rejected(
            "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        )
    return None


def _ports(pod: Obj, others: list[Obj]) -> Rejection | None:
    taken = {port for other in others for port in _host_ports(other)}
    for protocol, address, number in _host_ports(pod):
        for other_protocol, other_address, other_number in taken:
            same = (protocol, number) == (other_protocol, other_number)
            if same and (address == other_address or "0.0.0.0" in (address, other_address)):
                text = "node(s) didn't have free ports for the requested pod ports"
                return _rejected("NodePorts", f"Predicate NodePorts failed: {text}")
    return None


def _host_ports(pod: Obj) -> set[tuple[str, str, int]]:
    return {
        (port.get("protocol") or "TCP", port.get("hostIP") or "0.0.0.0", port["hostPort"])
        for container in [*spec.containers(pod), *(c for c in spec.init_containers(pod) if spec.is_sidecar(c))]
        for port in container.get("ports") or []
        if port.get("hostPort")
    }
