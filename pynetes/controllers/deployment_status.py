"""The status of a Deployment: its counts, and whether it is available and progressing. Pure functions."""

from collections.abc import Sequence
from datetime import datetime

from pynetes.controllers import deployment_rollout as rollout
from pynetes.controllers.status import (
    compact,
    find_condition,
    generation,
    replicas,
    with_condition,
    without_condition,
)
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

_NO_DEADLINE = 2**31 - 1


def progress_deadline(deployment: Obj) -> int | None:
    """`progressDeadlineSeconds`, None for none."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == _NO_DEADLINE else seconds


def conditions_of(deployment: Obj) -> list[Obj]:
    """`status.conditions`."""
    return deployment.get("status", {}).get("conditions") or []


def set_condition(conditions: list[Obj], kind: str, state: str, reason: str, message: str) -> list[Obj]:
    """`conditions` with one of a Deployment's kind set."""
    return with_condition(conditions, kind, state, reason, message, update_time=True)


def calculate(deployment: Obj, all_sets: Sequence[Obj], new: Obj | None) -> Obj:
    """Counts and the Available condition."""
    available = rollout.total_status(all_sets, "availableReplicas")
    conditions = conditions_of(deployment)
    if available >= replicas(deployment) - rollout.max_unavailable(deployment):
        conditions = set_condition(
            conditions, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
        )
    else:
        conditions = set_condition(
            conditions,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    old = deployment.get("status", {})
    terminating = [rs["status"]["terminatingReplicas"] for rs in all_sets if "terminatingReplicas" in rs["status"]]
    status = {
        "observedGeneration": generation(deployment),
        "replicas": rollout.total_status(all_sets, "replicas"),
        "updatedReplicas": rollout.total_status([new] if new else [], "replicas"),
        "readyReplicas": rollout.total_status(all_sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, rollout.total_replicas(all_sets) - available),
        "terminatingReplicas": sum(terminating),
        "conditions": conditions,
        "collisionCount": old.get("collisionCount"),
    }
    return compact(status, keep=("terminatingReplicas",))


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Whether every pod is updated and available and no old one is left."""
    desired = replicas(deployment)
    return (
        status.get("updatedReplicas", 0) == desired
        and status.get("replicas", 0) == desired
        and status.get("availableReplicas", 0) == desired
        and status.get("observedGeneration", 0) >= generation(deployment)
    )


def has_progressed(before: Obj, after: Obj) -> bool:
    """Whether there are more updated, ready or available pods, or fewer old ones, than before."""

    def old_pods(status: Obj) -> int:
        return status.get("replicas", 0) - status.get("updatedReplicas", 0)

    return old_pods(after) < old_pods(before) or any(
        after.get(field, 0) > before.get(field, 0)
        for field in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def has_timed_out(deployment: Obj, status: Obj, now: datetime) -> bool:
    """Whether there was no progress within the deadline."""
    condition = find_condition(status.get("conditions") or [], "Progressing")
    deadline = progress_deadline(deployment)
    if deadline is None or condition is None or condition.get("reason") == "NewReplicaSetAvailable":
        return False
    if condition.get("reason") == "ProgressDeadlineExceeded":
        return True
    since = clock.parse_time(condition.get("lastUpdateTime") or condition["lastTransitionTime"])
    return (now - since).total_seconds() > deadline


def seconds_until_stuck(deployment: Obj, status: Obj, now: datetime) -> float | None:
    """When to look again for a missed deadline; None if there is nothing to wait for."""
    condition = find_condition(conditions_of(deployment), "Progressing")
    deadline = progress_deadline(deployment)
    if deadline is None or condition is None:
        return None
    if is_complete(deployment, status) or condition.get("reason") == "ProgressDeadlineExceeded":
        return None
    since = clock.parse_time(condition.get("lastUpdateTime") or condition["lastTransitionTime"])
    return max(0.0, deadline - (now - since).total_seconds()) + 1.0


def rollout_status(deployment: Obj, all_sets: Sequence[Obj], new: Obj | None, now: datetime) -> Obj:
    """The whole status during a rollout: `calculate` and the conditions Progressing and ReplicaFailure."""
    status = calculate(deployment, all_sets, new)
    conditions: list[Obj] = status.get("conditions") or []
    if progress_deadline(deployment) is None:
        conditions = without_condition(conditions, "Progressing")
    else:
        conditions = _progress(deployment, status, conditions, new, now)
    failure = _replica_failure(all_sets, new)
    if failure is None:
        conditions = without_condition(conditions, "ReplicaFailure")
    else:
        conditions = set_condition(
            conditions, "ReplicaFailure", failure["status"], failure.get("reason", ""), failure.get("message", "")
        )
    return {**status, "conditions": conditions}


def _progress(deployment: Obj, status: Obj, conditions: list[Obj], new: Obj | None, now: datetime) -> list[Obj]:
    current = find_condition(conditions, "Progressing")
    finished_before = (
        current is not None
        and current.get("reason") == "NewReplicaSetAvailable"
        and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    )
    if finished_before:
        return conditions
    subject = f'ReplicaSet "{meta.name(new)}"' if new else f'Deployment "{meta.name(deployment)}"'
    if is_complete(deployment, status):
        text = f"{subject} has successfully progressed."
        return set_condition(conditions, "Progressing", "True", "NewReplicaSetAvailable", text)
    if has_progressed(deployment.get("status", {}), status):
        text = f"{subject} is progressing."
        fresh = set_condition(
            without_condition(conditions, "Progressing"), "Progressing", "True", "ReplicaSetUpdated", text
        )
        if current is not None and current["status"] == "True":
            fresh[-1]["lastTransitionTime"] = current["lastTransitionTime"]
        return fresh
    if has_timed_out(deployment, status, now):
        text = f"{subject} has timed out progressing."
        return set_condition(conditions, "Progressing", "False", "ProgressDeadlineExceeded", text)
    return conditions


def _replica_failure(all_sets: Sequence[Obj], new: Obj | None) -> Obj | None:
    every = [new] if new else []
    for rs in [*every, *all_sets]:
        found = find_condition(rs.get("status", {}).get("conditions") or [], "ReplicaFailure")
        if found is not None:
            return found
    return None
