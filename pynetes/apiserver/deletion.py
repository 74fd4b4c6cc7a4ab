"""What a DELETE does to an object: a pure decision.

An object leaves the store at once unless something holds it: a grace period (pods), finalizers, or a propagation
policy that is itself a finalizer (`orphan`, `foregroundDeletion`) for the garbage collector to act on. Then the
deletion is only recorded in its metadata, and the write that takes the last hold away removes it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pynetes.apis.strategy import Strategy
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_BY_POLICY = {"Orphan": ORPHAN, "Foreground": FOREGROUND, "Background": ""}
_UNCOLLECTED = frozenset({"events", "events.events.k8s.io"})


@dataclass(frozen=True, slots=True)
class Plan:
    """`remove` the object (its last state is `obj`), `update` it to `obj`, or `keep` it as it is."""

    action: Literal["remove", "update", "keep"]
    obj: Obj


def plan(strategy: Strategy, obj: Obj, options: Obj) -> Plan:
    """What deleting `obj` (which is changed) under `options` comes to."""
    strategy.prepare_delete(obj)
    metadata = obj["metadata"]
    grace = options.get("gracePeriodSeconds")
    if grace is not None and grace < 0:
        grace = 1
    marked = False
    if _is_graceful(strategy):
        if meta.is_deleting(obj):
            period = metadata.get("deletionGracePeriodSeconds")
            if period:  # without one it is over already
                if grace is None or grace >= period:
                    return Plan("keep", obj)
                _shorten(metadata, period, grace)
                marked = True
        else:
            _mark(strategy, obj, strategy.graceful_delete(obj, grace))
            marked = True
    _set_finalizers(metadata, _finalizers(strategy, metadata.get("finalizers") or [], options))
    if not marked and not strategy.blocks_removal(obj):
        return Plan("remove", obj)
    if not marked:
        _mark_now(strategy, obj)
    if strategy.blocks_removal(obj) or metadata.get("deletionGracePeriodSeconds"):
        return Plan("update", obj)
    return Plan("remove", obj)


def completes(strategy: Strategy, new: Obj, old: Obj) -> bool:
    """Whether an update takes away the last thing that held an object being deleted."""
    if not meta.is_deleting(old) or strategy.blocks_removal(new) or not strategy.blocks_removal(old):
        return False
    return not old["metadata"].get("deletionGracePeriodSeconds")


def _is_graceful(strategy: Strategy) -> bool:
    return type(strategy).graceful_delete is not Strategy.graceful_delete


def _mark(strategy: Strategy, obj: Obj, grace: int) -> None:
    """Begin the deletion: it is over `grace` seconds from now."""
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = clock.format_time(clock.now() + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace
    _bump(metadata)
    strategy.mark_deleting(obj)


def _mark_now(strategy: Strategy, obj: Obj) -> None:
    """Begin (or hasten) the deletion of an object without a grace period."""
    metadata = obj["metadata"]
    now = clock.timestamp()
    if not meta.is_deleting(obj):
        _bump(metadata)
    if not meta.is_deleting(obj) or metadata["deletionTimestamp"] > now:
        metadata["deletionTimestamp"] = now
    if strategy.resource.group_resource != "namespaces":
        metadata["deletionGracePeriodSeconds"] = 0
    strategy.mark_deleting(obj)


def _shorten(metadata: Obj, period: int, grace: int) -> None:
    """A second delete may only bring the end nearer."""
    end = clock.parse_time(metadata["deletionTimestamp"])
    metadata["deletionTimestamp"] = clock.format_time(end - timedelta(seconds=period - grace))
    metadata["deletionGracePeriodSeconds"] = grace


def _bump(metadata: Obj) -> None:
    if metadata.get("generation", 0) > 0:
        metadata["generation"] += 1


def _set_finalizers(metadata: Obj, finalizers: list[str]) -> None:
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _finalizers(strategy: Strategy, present: list[str], options: Obj) -> list[str]:
    """The finalizers with the one that the propagation policy asks for, and without the one it does not."""
    if strategy.resource.group_resource in _UNCOLLECTED:
        return present
    wanted = _propagation_finalizer(strategy, present, options)
    if wanted == next((each for each in present if each in (ORPHAN, FOREGROUND)), ""):
        return present
    return [each for each in present if each not in (ORPHAN, FOREGROUND)] + ([wanted] if wanted else [])


def _propagation_finalizer(strategy: Strategy, present: list[str], options: Obj) -> str:
    """An explicit policy wins, then a finalizer that is there already, then the kind's default."""
    orphan = options.get("orphanDependents")
    if orphan is not None:
        return ORPHAN if orphan else ""
    policy = options.get("propagationPolicy")
    if policy is not None:
        return _BY_POLICY[policy]
    for finalizer in present:
        if finalizer in (ORPHAN, FOREGROUND):
            return finalizer
    return ORPHAN if strategy.default_propagation == "Orphan" else ""
