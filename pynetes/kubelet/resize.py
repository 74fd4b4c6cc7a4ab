"""Resizing running pods in place (KEP-1287).

A container carries the resources it was created with in an annotation; what was applied since is remembered by its
pod's worker. When the spec says something else, the new sum is checked against the node first: what could never fit
is Infeasible, what does not fit now is Deferred. What fits is applied to the pod's cgroup and to the container
without a restart, except where the container's `resizePolicy` asks for one.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pynetes.kubelet import resources, spec
from pynetes.kubelet.observed import Container, PodView
from pynetes.machinery import quantity
from pynetes.machinery.meta import Obj

RESOURCES = "pynetes.dev/resources"
RESIZABLE = ("cpu", "memory")

Verdict = Literal["fits", "Deferred", "Infeasible"]


@dataclass(frozen=True, slots=True)
class Resize:
    """One container whose resources are to change."""

    described: Obj
    container: Container
    restart: bool


def annotation(container: Obj) -> dict[str, str]:
    """What a container is created with, for a later kubelet to compare."""
    return {RESOURCES: json.dumps(container.get("resources") or {}, sort_keys=True)}


def applied(container: Container, remembered: dict[str, Obj]) -> Obj | None:
    """The resources in force for an instance; None if nothing is known of them."""
    if container.id in remembered:
        return remembered[container.id]
    text = container.annotations.get(RESOURCES)
    return json.loads(text) if text else None


def wanted(pod: Obj, view: PodView, remembered: dict[str, Obj]) -> list[Resize]:
    """The running containers whose resources differ from the spec."""
    found = []
    for described in [*spec.containers(pod), *(c for c in spec.init_containers(pod) if spec.is_sidecar(c))]:
        container = view.latest(described["name"])
        if container is None or not container.running:
            continue
        before = applied(container, remembered)
        if before is None:
            continue
        changed = _changed(before, described.get("resources") or {})
        if changed:
            found.append(Resize(described, container, _needs_restart(described, changed)))
    return found


def _changed(before: Obj, after: Obj) -> set[str]:
    """The names of the resources whose request or limit is another."""

    def amount(source: Obj, kind: str, name: str) -> int:
        text = (source.get(kind) or {}).get(name)
        return quantity.milli(str(text)) if text is not None else -1

    return {
        name
        for name in RESIZABLE
        for kind in ("requests", "limits")
        if amount(before, kind, name) != amount(after, kind, name)
    }


def _needs_restart(described: Obj, changed: set[str]) -> bool:
    policies = {
        policy.get("resourceName"): policy.get("restartPolicy") for policy in described.get("resizePolicy") or []
    }
    return any(policies.get(name) == "RestartContainer" for name in changed)


def feasible(pod: Obj, others: Iterable[Obj], allocatable: dict[str, str]) -> tuple[Verdict, str]:
    """Whether the node can give what the pod now asks for, and what to say if not."""
    others = list(others)
    for name in RESIZABLE:
        milli = name == "cpu"
        asked, _ = resources.total(pod, "requests", name, milli)
        there = quantity.milli(allocatable[name]) if milli else quantity.value(allocatable[name])
        if asked > there:
            return "Infeasible", f"Node didn't have enough capacity: {name}, requested: {asked}, capacity: {there}"
        used = sum(resources.total(other, "requests", name, milli)[0] for other in others)
        if asked + used > there:
            numbers = f"requested: {asked}, used: {used}, capacity: {there}"
            return "Deferred", f"Node didn't have enough resource: {name}, {numbers}"
    return "fits", ""
