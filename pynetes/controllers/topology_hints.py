"""Topology aware routing (KEP-2433): which zone's traffic each endpoint of a service takes.

A service asks for it by `service.kubernetes.io/topology-mode: Auto`. Every zone should get endpoints in proportion to
the CPUs of its nodes, from its own as far as they go and else from zones that have more than their part. Where that
cannot be done without overloading some endpoint, nobody gets a hint and traffic goes everywhere.
"""

import math
from collections import Counter
from collections.abc import Iterable

from pynetes.machinery import meta, quantity
from pynetes.machinery.meta import Obj

ZONE_LABEL = "topology.kubernetes.io/zone"
_ANNOTATIONS = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_OVERLOAD = 0.2  # how much more than its part an endpoint may get

INSUFFICIENT_NODES = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
ONE_ZONE = "Nodes only ready in one zone"
FEW_ENDPOINTS = "Insufficient number of endpoints"
OVERLOADED = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
NO_ZONE = "One or more endpoints do not have a zone specified"


class NoHints(Exception):
    """Hints cannot be given; the text says why."""


def is_wanted(service: Obj) -> bool:
    """Whether the service asks for topology aware routing."""
    annotations = meta.annotations(service)
    value = next((annotations[key] for key in reversed(_ANNOTATIONS) if key in annotations), "")
    return value in ("Auto", "auto")


def zone_and_cpu(node: Obj) -> tuple[str, int] | None:
    """What a node counts for; None if it takes no part: it is not ready, or part of the control plane."""
    labels, status = meta.labels(node), node.get("status") or {}
    conditions = status.get("conditions") or []
    if any(label in labels for label in _CONTROL_PLANE):
        return None
    if not any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions):
        return None
    return labels.get(ZONE_LABEL, ""), quantity.milli((status.get("allocatable") or {}).get("cpu", "0"))


def shares(nodes: Iterable[Obj]) -> dict[str, float]:
    """Each zone's part of the CPUs; raises NoHints."""
    cpus: Counter[str] = Counter()
    for node in nodes:
        counted = zone_and_cpu(node)
        if counted is None:
            continue
        zone, cpu = counted
        if not zone or not cpu:
            raise NoHints(INSUFFICIENT_NODES)
        cpus[zone] += cpu
    if not cpus:
        raise NoHints(INSUFFICIENT_NODES)
    if len(cpus) < 2:
        raise NoHints(ONE_ZONE)
    total = sum(cpus.values())
    return {zone: cpu / total for zone, cpu in sorted(cpus.items())}


def give(endpoints: list[Obj], nodes: Iterable[Obj]) -> list[Obj]:
    """The endpoints with hints; raises NoHints if there can be none."""
    ready = [each for each in endpoints if each["conditions"].get("ready")]
    wanted = _wanted(shares(nodes), len(ready))
    if any(not each.get("zone") for each in ready):
        raise NoHints(NO_ZONE)
    have = Counter(each["zone"] for each in ready)
    giving = {zone: math.floor(have[zone] - wanted.get(zone, 0)) for zone in have if have[zone] > wanted.get(zone, 0)}
    receiving = {zone: math.ceil(part - have[zone]) for zone, part in wanted.items() if part > have[zone]}
    found = []
    for endpoint in endpoints:
        if not endpoint["conditions"].get("ready"):
            found.append(endpoint)
            continue
        zone = endpoint["zone"]
        taker = next((each for each, number in receiving.items() if number > 0), None)
        if giving.get(zone, 0) > 0 and taker is not None:
            giving[zone] -= 1
            receiving[taker] -= 1
            zone = taker
        found.append({**endpoint, "hints": {"forZones": [{"name": zone}]}})
    return found


def _wanted(parts: dict[str, float], count: int) -> dict[str, float]:
    """How many of `count` endpoints each zone should have, no less than keeps its own from being overloaded."""
    if count < len(parts):
        raise NoHints(f"{FEW_ENDPOINTS} ({count} endpoints, {len(parts)} zones)")
    least = {zone: math.ceil(part * count / (1 + _OVERLOAD)) for zone, part in parts.items()}
    if sum(least.values()) > count:
        raise NoHints(f"{OVERLOADED} ({count} endpoints, {len(parts)} zones)")
    return {zone: max(part * count, least[zone]) for zone, part in parts.items()}
