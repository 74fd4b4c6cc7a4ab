"""What a node's silence means: conditions, taints and how fast a zone may be evicted. Pure functions."""

from collections.abc import Iterable, Mapping
from typing import Literal

from pynetes.controllers.status import find_condition
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

ZoneState = Literal["Initial", "Normal", "PartialDisruption", "FullDisruption"]

_WATCHED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")

# Condition type → its status → the taint that keeps new pods away.
_CONDITION_TAINTS: Mapping[str, Mapping[str, str]] = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
}
_CONDITION_TAINT_KEYS = frozenset(key for table in _CONDITION_TAINTS.values() for key in table.values()) | {
    UNSCHEDULABLE
}

# The label that pods select by → the older label that some still select by.
_LABEL_TWINS = (("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch"))


def conditions(node: Obj) -> list[Obj]:
    """`status.conditions`."""
    return node.get("status", {}).get("conditions") or []


def readiness(node: Obj) -> str | None:
    """The status of the condition Ready; None if the node has never reported."""
    condition = find_condition(conditions(node), "Ready")
    return condition["status"] if condition is not None else None


def silenced(node: Obj, now: str) -> list[Obj]:
    """The node's conditions after its kubelet fell silent."""
    result = [*conditions(node)]
    for kind in _WATCHED_CONDITIONS:
        old = find_condition(result, kind)
        if old is None:
            result.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
                    "lastTransitionTime": now,
                }
            )
        elif old["status"] != "Unknown":
            result[result.index(old)] = {
                **old,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": now,
            }
    return result


def no_schedule_taints(node: Obj) -> set[str]:
    """The keys of the NoSchedule taints that the node's conditions call for."""
    wanted = {
        table[condition["status"]]
        for condition in conditions(node)
        if (table := _CONDITION_TAINTS.get(condition["type"])) and condition["status"] in table
    }
    if node.get("spec", {}).get("unschedulable"):
        wanted.add(UNSCHEDULABLE)
    return wanted


def no_execute_taint(node: Obj) -> str | None:
    """The key of the NoExecute taint that the node's readiness calls for."""
    return _CONDITION_TAINTS["Ready"].get(readiness(node) or "True")


def with_no_schedule(taints: list[Obj], wanted: set[str]) -> list[Obj]:
    """`taints` with exactly the `wanted` condition taints."""
    kept = [
        t
        for t in taints
        if t.get("effect") != "NoSchedule" or t["key"] not in _CONDITION_TAINT_KEYS or t["key"] in wanted
    ]
    have = {t["key"] for t in kept if t.get("effect") == "NoSchedule"}
    return kept + [_taint(key, "NoSchedule") for key in sorted(wanted - have)]


def with_no_execute(taints: list[Obj], wanted: str | None) -> list[Obj]:
    """`taints` with not-ready, unreachable or neither as NoExecute."""
    kept = [
        t
        for t in taints
        if t.get("effect") != "NoExecute" or t["key"] not in (NOT_READY, UNREACHABLE) or t["key"] == wanted
    ]
    if wanted and not any(t["key"] == wanted and t.get("effect") == "NoExecute" for t in kept):
        kept.append(_taint(wanted, "NoExecute"))
    return kept


def _taint(key: str, effect: str) -> Obj:
    return {"key": key, "effect": effect, "timeAdded": clock.timestamp()}


def missing_labels(node: Obj) -> dict[str, str]:
    """Older labels that should be there because the newer ones are."""
    labels = meta.labels(node)
    return {old: labels[new] for new, old in _LABEL_TWINS if new in labels and labels.get(old) != labels[new]}


def zone(node: Obj) -> str:
    """The node's failure domain."""
    labels = meta.labels(node)
    region = labels.get("topology.kubernetes.io/region") or labels.get("failure-domain.beta.kubernetes.io/region", "")
    area = labels.get("topology.kubernetes.io/zone") or labels.get("failure-domain.beta.kubernetes.io/zone", "")
    return f"{region}:\x00:{area}" if region or area else ""


def zone_state(ready: Iterable[bool], threshold: float) -> ZoneState:
    """How badly a zone is off, from the readiness of its nodes."""
    states = [*ready]
    silent = states.count(False)
    if states and silent == len(states):
        return "FullDisruption"
    if silent > 2 and silent / len(states) >= threshold:
        return "PartialDisruption"
    return "Normal"


def eviction_rate(state: ZoneState, nodes: int, *, primary: float, secondary: float, large: int) -> float:
    """Nodes per second that may be tainted NoExecute in a zone."""
    if state == "PartialDisruption":
        return secondary if nodes > large else 0.0
    return primary
