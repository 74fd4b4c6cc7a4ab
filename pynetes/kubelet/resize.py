"""Resizing running pods in place (KEP-1287).

A container carries the resources it was created with in an annotation; what was applied since is remembered by its
pod's worker. When the spec says something else, the new sum is checked against the node first: what could never fit
is Infeasible, what does not fit now is Deferred. What fits is applied to the pod's cgroup and to the container
without a restart, except where the container's `resizePolicy` asks for one. Until it is accepted, a pod holds, and
its containers start with, what it was given before; whose turn is first when room is made says `rank`.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pynetes.kubelet import resources, spec
from pynetes.kubelet.cri.client import CriError
from pynetes.kubelet.launcher import Launcher
from pynetes.kubelet.observed import RESOURCES, Container, PodView
from pynetes.kubelet.plan import Stop
from pynetes.machinery import clock, meta, quantity
from pynetes.machinery.meta import Obj

RESIZABLE = ("cpu", "memory")
KINDS = ("limits", "requests")
CONTAINERS = ("containers", "initContainers")

Verdict = Literal["fits", "Deferred", "Infeasible"]


@dataclass(frozen=True, slots=True)
class Resize:
    """One container whose resources are to change."""

    described: Obj
    container: Container
    restart: bool


def applied(container: Container, remembered: dict[str, Obj]) -> Obj | None:
    """The resources in force for an instance; None if nothing is known of them."""
    if container.id in remembered:
        return remembered[container.id]
    text = container.annotations.get(RESOURCES)
    return json.loads(text) if text else None


def wanted(pod: Obj, view: PodView, remembered: dict[str, Obj]) -> list[Resize]:
    """The containers whose resources differ from the spec; one that has ended may be started again with others."""
    found = []
    for described in [*spec.containers(pod), *(c for c in spec.init_containers(pod) if spec.is_sidecar(c))]:
        container = view.latest(described["name"])
        if container is None:
            continue
        before = applied(container, remembered)
        if before is None:
            continue
        changed = _changed(before, described.get("resources") or {})
        if changed:
            restart = container.running and _needs_restart(described, changed)
            found.append(Resize(described, container, restart))
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


def rank(pod: Obj, since: float) -> tuple[int, bool, float]:
    """Whose deferred resize is tried first: by priority, then guaranteed pods, then who has waited longest."""
    return -(pod["spec"].get("priority") or 0), resources.qos_class(pod) != "Guaranteed", since


def too_low(limits: Iterable[tuple[str, int | None, int | None, int]]) -> str:
    """Why memory limits cannot be lowered: of each, what it is of, the limit now and then, and what is in use."""
    found = [
        f"attempting to set {what} memory limit ({new}) below current usage ({used})"
        for what, old, new, used in limits
        if new is not None and (old is None or new < old) and new < used
    ]
    text = f"[{', '.join(found)}]" if len(found) > 1 else "".join(found)
    return f"cannot decrease memory limits: {text}" if found else ""


def summary(pod: Obj, error: str = "") -> str:
    """What the pod's containers are to have, as the events tell it."""
    found: Obj = {}
    sidecars = [each for each in spec.init_containers(pod) if spec.is_sidecar(each)]
    for key, containers in (("initContainers", sidecars), ("containers", spec.containers(pod))):
        entries = [{"name": each["name"], "resources": _ordered(each.get("resources") or {})} for each in containers]
        found |= {key: entries} if entries else {}
    found["generation"] = pod["metadata"].get("generation", 0)
    return json.dumps(found | ({"error": error} if error else {}), separators=(",", ":"))


def _ordered(resources: Obj) -> Obj:
    return {kind: dict(sorted(resources[kind].items())) for kind in ("limits", "requests") if resources.get(kind)}


def _memory_limit(resources: Obj | None) -> int | None:
    limit = ((resources or {}).get("limits") or {}).get("memory")
    return quantity.value(str(limit)) if limit is not None else None


class Resizer:
    """Resizes the containers of one pod."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._remembered: dict[str, Obj] = {}
        self.level: Obj = launcher.pod["spec"].get("resources") or {}  # in force for the pod as a whole (KEP-5419)
        self._accepted_level = self.level
        self.condition: tuple[str, str, str] | None = None  # type, reason and message while something is under way
        self.since = math.inf  # when it began to wait for room
        self.waiting = False  # it is to be tried again
        self._begun = 0  # the generation of the pod that is being brought about
        self._accepted: dict[str, Obj] = {}  # what was promised but is not yet in force, by container
        self._restarting: set[str] = set()  # containers that are to run again before the resize is complete

    @property
    def deferred(self) -> bool:
        """Whether a resize waits for room."""
        return self.condition is not None and self.condition[1] == "Deferred"

    def applied(self, container: Container) -> Obj | None:
        """The resources in force for an instance."""
        return applied(container, self._remembered)

    def allocated(self, described: Obj) -> Obj:
        """The resources that a container was promised: those of the spec, unless a resize is not accepted yet."""
        asked, latest = described.get("resources") or {}, self._launcher.view.latest(described["name"])
        if latest is None:
            return asked
        before = self._accepted.get(latest.name, self.applied(latest))
        if before is None or not _changed(before, asked):
            return asked
        kept = {kind: {n: v for n, v in (asked.get(kind) or {}).items() if n not in RESIZABLE} for kind in KINDS}
        given = {kind: {n: v for n, v in (before.get(kind) or {}).items() if n in RESIZABLE} for kind in KINDS}
        return asked | {kind: kept[kind] | given[kind] for kind in KINDS if kept[kind] or given[kind]}

    def as_allocated(self, described: Obj) -> Obj:
        """The container with the resources that it was promised."""
        resources = self.allocated(described)
        return described if resources == (described.get("resources") or {}) else {**described, "resources": resources}

    @property
    def allocated_level(self) -> Obj:
        """The resources that the pod as a whole was promised."""
        asked = self._launcher.pod["spec"].get("resources") or {}
        return self._accepted_level if _changed(self._accepted_level, asked) else asked

    def allocated_pod(self) -> Obj:
        """The pod with the resources that it was promised."""
        pod = self._launcher.pod
        held: Obj = {kind: [self.as_allocated(c) for c in pod["spec"].get(kind) or []] for kind in CONTAINERS}
        held["resources"] = self.allocated_level
        return {**pod, "spec": {**pod["spec"], **{field: value for field, value in held.items() if value}}}

    async def apply(self) -> tuple[bool, list[Stop]]:
        """Apply what can be applied; returns whether anything changed, and what must be restarted for it."""
        launcher, node = self._launcher, self._launcher.node
        pod, uid = launcher.pod, meta.uid(launcher.pod)
        self.waiting = False
        changes = wanted(pod, launcher.view, self._remembered)
        level = pod["spec"].get("resources") or {}
        relevelled = bool(_changed(self.level, level))
        if not changes and not relevelled:
            self._settle()
            return False, []
        verdict, why = feasible(pod, node.neighbours(uid), node.allocatable())
        if verdict != "fits":
            self._put_off(verdict, why)
            return False, []
        if node.goes_first(uid):
            self.waiting = True
            return False, []
        held = self.allocated_pod()
        self._accepted |= {change.container.name: change.described.get("resources") or {} for change in changes}
        self._accepted_level = level
        self.since = math.inf
        generation = pod["metadata"].get("generation", 0)
        if self.condition is None or self.condition[0] != "PodResizeInProgress" or self._begun != generation:
            self._begun = generation
            self.condition = ("PodResizeInProgress", "", "")
            self._tell("Normal", "ResizeStarted", "Pod resize started")
        problem = self._too_low(changes, held)
        if problem:
            self._fail(problem)
            return False, []
        pids = node.options.pod_max_pids
        limits = resources.pod_limits(pod, pids if pids > 0 else None)
        # A child may never exceed its parent: growing, the pod's cgroup goes first, shrinking, it goes last.
        node.cgroups.create_pod(uid, resources.qos_class(pod), limits)
        for change in [*changes, *(self._inheriting(changes) if relevelled else [])]:
            if not change.restart:
                await self._update(change)
        node.cgroups.create_pod(uid, resources.qos_class(pod), limits)
        self.level = level
        self.condition = ("PodResizeInProgress", "", "")
        self._restarting = {change.container.name for change in changes if change.restart}
        self._settle()
        node.room_made()
        text = "Container {} resize requires restart"
        return True, [Stop(c.container, text.format(c.container.name)) for c in changes if c.restart]

    def _inheriting(self, changes: list[Resize]) -> list[Resize]:
        """The other containers: those without limits of their own may use what the pod may."""
        changed, pod, view = {change.container.id for change in changes}, self._launcher.pod, self._launcher.view
        described = {each["name"]: each for each in [*spec.containers(pod), *spec.init_containers(pod)]}
        running = [each for each in view.running() if each.name in described and each.id not in changed]
        return [Resize(described[each.name], each, restart=False) for each in running]

    def _put_off(self, verdict: str, why: str) -> None:
        pending = ("PodResizePending", verdict, why)
        if self.condition != pending:
            self._tell("Warning", f"Resize{verdict}", f"Pod resize {verdict}", why)
        self.condition = pending
        self.waiting = verdict == "Deferred"
        self.since = min(self.since, clock.monotonic()) if self.waiting else math.inf

    def _too_low(self, changes: list[Resize], held: Obj) -> str:
        launcher, cgroups = self._launcher, self._launcher.node.cgroups
        path = cgroups.pod_path(meta.uid(launcher.pod), resources.qos_class(launcher.pod))
        before, after = (resources.pod_limits(each).memory for each in (held, launcher.pod))
        limits = [("pod", before, after, cgroups.memory_usage(path))]
        for change in changes:
            if change.container.running and not change.restart:
                old = _memory_limit(self.applied(change.container))
                new = _memory_limit(change.described.get("resources"))
                used = cgroups.memory_usage(f"{path}/{change.container.id}")
                limits.append((f'container "{change.container.name}"', old, new, used))
        return too_low(limits)

    def _settle(self) -> None:
        """Nothing is left to apply: once all that had to be restarted run again, the resize is complete."""
        for name in [*self._restarting]:
            latest = self._launcher.view.latest(name)
            described = spec.container_named(self._launcher.pod, name) or {}
            resources = described.get("resources") or {}
            if latest is not None and latest.running and not _changed(self.applied(latest) or {}, resources):
                self._restarting.discard(name)
        if self._restarting:
            return
        if self.condition is not None and self.condition[0] == "PodResizeInProgress":
            self._tell("Normal", "ResizeCompleted", "Pod resize completed")
        self.condition, self.since = None, math.inf
        self._accepted.clear()
        self._accepted_level = self.level

    def _tell(self, type: str, reason: str, what: str, error: str = "") -> None:
        self._launcher.pod_event(type, reason, f"{what}: {summary(self._launcher.pod, error)}")

    def _fail(self, why: str) -> None:
        """The resize goes on; what stands in its way is said once."""
        self.waiting = True
        if self.condition is None or self.condition[1] != "Error":
            self._tell("Warning", "ResizeError", "Pod resize error", why)
            self.condition = ("PodResizeInProgress", "Error", why)

    async def _update(self, change: Resize) -> None:
        launcher, container = self._launcher, change.container
        numbers = resources.container_resources(launcher.pod, change.described, launcher.node.memory_capacity)
        try:
            if container.running:
                await launcher.node.runtime.update_container_resources(container.id, numbers)
        except CriError as error:
            self._fail(str(error))
            raise
        self._remembered[container.id] = change.described.get("resources") or {}
