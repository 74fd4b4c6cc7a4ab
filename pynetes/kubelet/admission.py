"""Whether this node takes a pod that was bound to it.

The scheduler decides with what it knows; a pod bound by hand, or by a scheduler that was too late, is checked again
where it lands. A rejection ends the pod at once with phase Failed and upstream's reason. What is known of the node's
labels and taints may be older than what the scheduler saw: a rejection that rests on them (`ABOUT_THE_NODE`) counts
only if it stands against the node as it is now.
"""

import fnmatch
from collections.abc import Iterable

from pynetes.kubelet import machine, resources, spec
from pynetes.kubelet.sandbox import normal_sysctl
from pynetes.machinery import meta, node_affinity, quantity
from pynetes.machinery.meta import Obj
from pynetes.machinery.tolerations import no_execute, untolerated

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

ABOUT_THE_NODE = ("NodeAffinity", "TaintToleration")

Rejection = tuple[str, str]  # reason, message


def check(
    pod: Obj, others: Iterable[Obj], allocatable: dict[str, str], node: Obj, unsafe_sysctls: list[str]
) -> Rejection | None:
    """The reason to reject the pod, if there is one; `others` are the pods that run here already."""
    active = [other for other in others if meta.uid(other) != meta.uid(pod)]
    return (
        _operating_system(pod)
        or _groups(pod, node)
        or _app_armor(pod)
        or _sysctls(pod, unsafe_sysctls)
        or _resources(pod, active, allocatable)
        or _node_affinity(pod, node)
        or _ports(pod, active)
        or _taints(pod, node)
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
    return "Evicted", f"The node had condition: [{' '.join(sorted(pressures))}]. "


def _operating_system(pod: Obj) -> Rejection | None:
    if (pod["spec"].get("os") or {}).get("name", "linux") != "linux":
        return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    if meta.labels(pod).get("kubernetes.io/os", "linux") != "linux":
        text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return "PodOSSelectorNodeLabelDoesNotMatch", text
    return None


def _groups(pod: Obj, node: Obj) -> Rejection | None:
    """Strict supplementary groups need a runtime that knows them (KEP-3619)."""
    supported = ((node.get("status") or {}).get("features") or {}).get("supplementalGroupsPolicy")
    if (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict" and not supported:
        return "SupplementalGroupsPolicyNotSupported", "SupplementalGroupsPolicy=Strict is not supported in this node"
    return None


def _app_armor(pod: Obj) -> Rejection | None:
    wanted = any(
        ((spec.security(pod, container, "appArmorProfile") or {}).get("type") or "Unconfined") != "Unconfined"
        for container in spec.all_containers(pod)
    )
    if wanted and not machine.app_armor():
        return "AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"
    return None


def _sysctls(pod: Obj, unsafe: list[str]) -> Rejection | None:
    for entry in (pod["spec"].get("securityContext") or {}).get("sysctls") or []:
        name = normal_sysctl(entry["name"])
        if name not in SAFE_SYSCTLS and not any(fnmatch.fnmatchcase(name, pattern) for pattern in unsafe):
            return "SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted'
        if name.startswith("net.") and spec.host_network(pod):
            return "SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host net enabled'
        if name.startswith(("kernel.", "fs.mqueue.")) and pod["spec"].get("hostIPC"):
            return "SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host ipc enabled'
    return None


def _resources(pod: Obj, others: list[Obj], allocatable: dict[str, str]) -> Rejection | None:
    limit = int(allocatable.get("pods", "110"))
    if len(others) + 1 > limit:
        text = f"Node didn't have enough resource: pods, requested: 1, used: {len(others)}, capacity: {limit}"
        return "OutOfpods", text
    if meta.is_deleting(pod):
        return None
    for name, there in allocatable.items():
        milli = name == "cpu"
        wanted, _ = resources.total(pod, "requests", name, milli)
        if not wanted or name == "pods":
            continue
        used = sum(resources.total(other, "requests", name, milli)[0] for other in others)
        capacity = quantity.milli(there) if milli else quantity.value(there)
        if wanted + used > capacity:
            numbers = f"requested: {wanted}, used: {used}, capacity: {capacity}"
            return f"OutOf{name}", f"Node didn't have enough resource: {name}, {numbers}"
    return None


def missing(pod: Obj, others: Iterable[Obj], allocatable: dict[str, str]) -> dict[str, int]:
    """How much of which resource the pod would need beyond what is free, cpu in thousandths."""
    active = [other for other in others if meta.uid(other) != meta.uid(pod)]
    short = {"pods": len(active) + 1 - int(allocatable.get("pods", "110"))}
    for name, there in allocatable.items():
        milli = name == "cpu"
        wanted, _ = resources.total(pod, "requests", name, milli)
        if wanted and name != "pods":
            used = sum(resources.total(other, "requests", name, milli)[0] for other in active)
            short[name] = wanted + used - (quantity.milli(there) if milli else quantity.value(there))
    return {name: amount for name, amount in short.items() if amount > 0}


def _node_affinity(pod: Obj, node: Obj) -> Rejection | None:
    if node_affinity.allows(pod["spec"], node):
        return None
    return _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")


def _taints(pod: Obj, node: Obj) -> Rejection | None:
    if spec.is_static(pod) or not untolerated(pod["spec"].get("tolerations") or [], no_execute(node), ["NoExecute"]):
        return None
    return _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")


def _predicate(name: str, text: str) -> Rejection:
    return name, f"Predicate {name} failed: {text}"


def _ports(pod: Obj, others: list[Obj]) -> Rejection | None:
    taken = {port for other in others for port in _host_ports(other)}
    for protocol, address, number in _host_ports(pod):
        for other_protocol, other_address, other_number in taken:
            same = (protocol, number) == (other_protocol, other_number)
            if same and (address == other_address or "0.0.0.0" in (address, other_address)):
                return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def _host_ports(pod: Obj) -> set[tuple[str, str, int]]:
    return {
        (port.get("protocol") or "TCP", port.get("hostIP") or "0.0.0.0", port["hostPort"])
        for container in [*spec.containers(pod), *(c for c in spec.init_containers(pod) if spec.is_sidecar(c))]
        for port in container.get("ports") or []
        if port.get("hostPort")
    }
