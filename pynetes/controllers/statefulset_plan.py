"""What a StatefulSet does next. Pure functions of the pods seen.

`plan` walks the set as upstream does: fill the ordinals upwards, remove what is beyond them downwards, then replace
old revisions from the highest ordinal down to the partition. With OrderedReady it stops at the first pod that is not
ready, so it mostly gives one step; with Parallel it gives all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pynetes.controllers import pods
from pynetes.controllers import statefulset_pods as identity
from pynetes.controllers.deployment_rollout import scaled_value
from pynetes.controllers.status import replicas
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

Verb = Literal["create", "recreate", "fix", "remove", "replace"]


@dataclass(frozen=True, slots=True)
class Step:
    """One change: of the pod at `ordinal`, made from `revision` if it is created."""

    verb: Verb
    ordinal: int
    pod: Obj | None = None
    revision: str = ""


@dataclass(slots=True)
class Revisions:
    """The names of the revision that the set comes from and of the one it goes to."""

    current: str
    update: str


@dataclass(slots=True)
class Plan:
    """The steps to take, in order."""

    steps: list[Step] = field(default_factory=list)


def is_ordered(owner: Obj) -> bool:
    """Whether pods are made and removed one at a time."""
    return owner["spec"].get("podManagementPolicy", "OrderedReady") != "Parallel"


def partition(owner: Obj) -> int | None:
    """The rolling update's partition, None if none is given."""
    rolling = owner["spec"].get("updateStrategy", {}).get("rollingUpdate")
    return None if rolling is None else rolling.get("partition", 0)


def is_rolling(owner: Obj) -> bool:
    """Whether old pods are replaced by the controller."""
    return owner["spec"].get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate"


def max_unavailable(owner: Obj) -> int:
    """How many pods a rolling update may have unavailable."""
    rolling = owner["spec"].get("updateStrategy", {}).get("rollingUpdate") or {}
    return max(1, scaled_value(rolling.get("maxUnavailable", 1), replicas(owner), round_up=False))


def revision_for(owner: Obj, revisions: Revisions, index: int) -> str:
    """The revision that a new pod of that ordinal is made from."""
    boundary = partition(owner)
    if boundary is None:
        boundary = owner.get("status", {}).get("currentReplicas", 0)
    old = is_rolling(owner) and index < identity.start_ordinal(owner) + boundary
    return revisions.current if old else revisions.update


def is_running_and_ready(pod: Obj) -> bool:
    """Whether the pod runs and is ready."""
    return pods.phase(pod) == "Running" and pods.is_ready(pod)


def split(owner: Obj, owned: Sequence[Obj]) -> tuple[dict[int, Obj], list[Obj]]:
    """The pods within the set's ordinals, and those beyond, highest first."""
    start = identity.start_ordinal(owner)
    inside = range(start, start + replicas(owner))
    by_ordinal = {identity.ordinal(pod): pod for pod in owned if identity.ordinal(pod) in inside}
    beyond = [pod for pod in owned if identity.ordinal(pod) >= 0 and identity.ordinal(pod) not in inside]
    return by_ordinal, sorted(beyond, key=identity.ordinal, reverse=True)


def plan(owner: Obj, owned: Sequence[Obj], revisions: Revisions, now: datetime) -> Plan:
    """The next steps."""
    result = Plan()
    if meta.is_deleting(owner):
        return result
    members, condemned = split(owner, owned)
    ordered = is_ordered(owner)
    if _fill(owner, members, revisions, now, ordered, result) and ordered:
        return result
    if _condemn(owner, members, condemned, now, ordered, result) and ordered:
        return result
    if result.steps and ordered:
        return result
    if is_rolling(owner):
        _roll(owner, members, revisions, now, result)
    return result


def _fill(
    owner: Obj, members: dict[int, Obj], revisions: Revisions, now: datetime, ordered: bool, result: Plan
) -> bool:
    """Steps for the set's own ordinals; whether an ordered set must wait here."""
    min_ready = owner["spec"].get("minReadySeconds", 0)
    start = identity.start_ordinal(owner)
    for index in range(start, start + replicas(owner)):
        pod = members.get(index)
        if pod is None:
            result.steps.append(Step("create", index, revision=revision_for(owner, revisions, index)))
            if ordered:
                return True
            continue
        if pods.is_terminal(pod):
            if not meta.is_deleting(pod):
                result.steps.append(Step("recreate", index, pod))
            if ordered:
                return True
            continue
        if meta.is_deleting(pod) or not is_running_and_ready(pod) or not pods.is_available(pod, min_ready, now):
            if not meta.is_deleting(pod) and not pods.node_name(pod):
                # Perhaps it waits for a claim that was deleted meanwhile.
                result.steps.append(Step("fix", index, pod))
            if ordered:
                return True
            continue
        if not identity.has_identity(owner, pod) or not identity.has_storage(owner, pod):
            result.steps.append(Step("fix", index, pod))
    return False


def _condemn(
    owner: Obj, members: dict[int, Obj], condemned: Sequence[Obj], now: datetime, ordered: bool, result: Plan
) -> bool:
    """Steps for pods beyond the set's ordinals; whether an ordered set must wait here."""
    min_ready = owner["spec"].get("minReadySeconds", 0)
    unhealthy = [
        pod
        for pod in [*(members[i] for i in sorted(members)), *reversed(condemned)]
        if not is_running_and_ready(pod) or meta.is_deleting(pod)
    ]
    first_unhealthy = unhealthy[0] if unhealthy else None
    for pod in condemned:
        if meta.is_deleting(pod):
            if ordered:
                return True
            continue
        waits = not is_running_and_ready(pod) or not pods.is_available(pod, min_ready, now)
        if waits and ordered and pod is not first_unhealthy:
            return True
        result.steps.append(Step("remove", identity.ordinal(pod), pod))
        if ordered:
            return True
    return False


def _roll(owner: Obj, members: dict[int, Obj], revisions: Revisions, now: datetime, result: Plan) -> None:
    """Steps that replace pods of other revisions, from the top."""
    min_ready = owner["spec"].get("minReadySeconds", 0)
    start = identity.start_ordinal(owner)
    lowest = start + (partition(owner) or 0)
    touched = {step.ordinal for step in result.steps if step.verb != "fix"}
    limit = max_unavailable(owner)
    unavailable = 0
    for index in range(start, start + replicas(owner)):
        pod = members.get(index)
        if pod is None or meta.is_deleting(pod) or not pods.is_available(pod, min_ready, now):
            unavailable += 1
    if limit > 1:
        room = limit - unavailable
        for index in range(start + replicas(owner) - 1, lowest - 1, -1):
            pod = members.get(index)
            if pod is None or index in touched or meta.is_deleting(pod):
                continue
            if identity.revision_of(pod) == revisions.update:
                continue
            broken = not pods.is_available(pod, min_ready, now)
            if not broken and room <= 0:
                return
            result.steps.append(Step("replace", index, pod))
            room -= 0 if broken else 1
        return
    for index in range(start + replicas(owner) - 1, lowest - 1, -1):
        pod = members.get(index)
        if pod is None or index in touched:
            return
        if identity.revision_of(pod) != revisions.update and not meta.is_deleting(pod):
            result.steps.append(Step("replace", index, pod))
            return
        if meta.is_deleting(pod) or not is_running_and_ready(pod) or not pods.is_available(pod, min_ready, now):
            return


def calculate_status(
    owner: Obj, owned: Sequence[Obj], revisions: Revisions, collisions: int | None, now: datetime
) -> Obj:
    """The set's status, its rolling update completed if it is."""
    created = [pod for pod in owned if pods.phase(pod) and identity.ordinal(pod) >= 0]
    min_ready = owner["spec"].get("minReadySeconds", 0)
    alive = [pod for pod in created if not meta.is_deleting(pod)]
    ready = [pod for pod in created if is_running_and_ready(pod)]
    old = owner.get("status", {})
    status: Obj = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "replicas": len(created),
        "readyReplicas": len(ready),
        "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in ready),
        "currentReplicas": sum(identity.revision_of(pod) == revisions.current for pod in alive),
        "updatedReplicas": sum(identity.revision_of(pod) == revisions.update for pod in alive),
        "currentRevision": revisions.current,
        "updateRevision": revisions.update,
        "collisionCount": collisions or 0,
    }
    wanted = replicas(owner)
    if is_rolling(owner) and status["updatedReplicas"] == status["replicas"] == status["readyReplicas"] == wanted:
        status["currentReplicas"] = status["updatedReplicas"]
        status["currentRevision"] = revisions.update
    if old.get("conditions"):
        status["conditions"] = old["conditions"]
    return {
        name: value
        for name, value in status.items()
        if value or name in ("replicas", "availableReplicas", "collisionCount")
    }
