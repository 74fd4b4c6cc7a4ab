"""The conditions of Deployments."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pynetes.controllers import deployment_status as states
from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def deployment(status: Obj | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"name": "web", "generation": 2},
        "spec": {"replicas": 2, "progressDeadlineSeconds": 600, **spec},
        "status": status or {},
    }


def rs(size: int, available: int, **status: Any) -> Obj:
    counts = {"replicas": size, "readyReplicas": available, "availableReplicas": available}
    return {"metadata": {"name": "web-1"}, "spec": {"replicas": size}, "status": {**counts, **status}}


def progressing(reason: str, age: float = 0, status: str = "True") -> Obj:
    moment = clock.format_time(NOW - timedelta(seconds=age))
    return {
        "type": "Progressing",
        "status": status,
        "reason": reason,
        "message": "",
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
    }


def condition(status: Obj, kind: str) -> Obj:
    return next(c for c in status["conditions"] if c["type"] == kind)


def test_counts_of_zero_are_absent_but_terminating_is_shown() -> None:
    status = states.calculate(deployment(), [], None)
    assert status["observedGeneration"] == 2
    assert status["terminatingReplicas"] == 0
    assert "replicas" not in status
    assert "collisionCount" not in status


def test_availability_allows_for_what_may_be_unavailable() -> None:
    enough = states.calculate(deployment(replicas=4), [rs(4, 3)], None)
    assert condition(enough, "Available")["status"] == "True"
    assert enough["unavailableReplicas"] == 1
    short = states.calculate(deployment(replicas=4), [rs(4, 2)], None)
    assert condition(short, "Available")["reason"] == "MinimumReplicasUnavailable"


def test_a_complete_rollout_says_so() -> None:
    status = states.rollout_status(deployment(), [rs(2, 2)], rs(2, 2), NOW)
    found = condition(status, "Progressing")
    assert (found["status"], found["reason"]) == ("True", "NewReplicaSetAvailable")
    assert found["message"] == 'ReplicaSet "web-1" has successfully progressed.'


def test_progress_renews_the_update_time_but_not_the_transition() -> None:
    old = progressing("ReplicaSetUpdated", age=60)
    before = {"replicas": 2, "updatedReplicas": 1, "conditions": [old]}
    status = states.rollout_status(deployment(before), [rs(2, 1)], rs(2, 1), NOW)
    found = condition(status, "Progressing")
    assert found["reason"] == "ReplicaSetUpdated"
    assert found["lastTransitionTime"] == old["lastTransitionTime"]
    assert found["lastUpdateTime"] != old["lastUpdateTime"]


def test_no_progress_within_the_deadline_is_a_failure_that_stays() -> None:
    counts = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 1}
    before = {**counts, "conditions": [progressing("ReplicaSetUpdated", age=601)]}
    status = states.rollout_status(deployment(before), [rs(2, 1)], rs(2, 1), NOW)
    found = condition(status, "Progressing")
    assert (found["status"], found["reason"]) == ("False", "ProgressDeadlineExceeded")
    again = states.rollout_status(deployment(status), [rs(2, 1)], rs(2, 1), NOW)
    assert condition(again, "Progressing") == found


def test_a_deployment_that_was_complete_does_not_time_out_later() -> None:
    counts = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    before = {**counts, "conditions": [progressing("NewReplicaSetAvailable", age=9999)]}
    status = states.rollout_status(deployment(before), [rs(2, 1)], rs(2, 1), NOW)
    assert condition(status, "Progressing")["reason"] == "NewReplicaSetAvailable"


def test_without_a_deadline_there_is_no_progress_condition() -> None:
    unlimited = deployment({"conditions": [progressing("ReplicaSetUpdated")]}, progressDeadlineSeconds=2**31 - 1)
    status = states.rollout_status(unlimited, [rs(2, 1)], rs(2, 1), NOW)
    assert all(c["type"] != "Progressing" for c in status["conditions"])


def test_a_sets_failure_is_the_deployments() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    status = states.rollout_status(deployment(), [rs(2, 0, conditions=[failure])], None, NOW)
    found = condition(status, "ReplicaFailure")
    assert (found["reason"], found["message"]) == ("FailedCreate", "quota")
    cured = states.rollout_status(deployment(status), [rs(2, 0)], None, NOW)
    assert all(c["type"] != "ReplicaFailure" for c in cured["conditions"])


def test_the_next_look_is_just_after_the_deadline() -> None:
    waiting = deployment({"conditions": [progressing("ReplicaSetUpdated", age=590)]})
    assert states.seconds_until_stuck(waiting, {}, NOW) == 11
    stuck = deployment({"conditions": [progressing("ProgressDeadlineExceeded", status="False")]})
    assert states.seconds_until_stuck(stuck, {}, NOW) is None
