"""Counting and deciding for Jobs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.controllers import job_indexes as indexes
from pynetes.controllers import job_plan as planning
from pynetes.controllers import job_policy as policy
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> str:
    return clock.format_time(NOW - timedelta(seconds=seconds))


def job(status: Obj | None = None, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"job-name": "w"}}, "spec": {"restartPolicy": "Never", "containers": [{}]}}
    base = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": template}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "w", "namespace": "d", "uid": "j"},
        "spec": {**base, **spec},
        "status": status or {},
    }


def pod(name: str, phase: str = "Running", index: int | None = None, **options: Any) -> Obj:
    made: Obj = {
        "metadata": {"name": name, "namespace": "d", "uid": name, "creationTimestamp": ago(100)},
        "spec": {"nodeName": "n"},
        "status": {"phase": phase},
    }
    if options.get("tracked", True):
        made["metadata"]["finalizers"] = [planning.FINALIZER]
    if index is not None:
        made["metadata"]["annotations"] = {indexes.INDEX: str(index)}
    if options.get("deleting"):
        made["metadata"]["deletionTimestamp"] = ago(0)
    if phase in ("Succeeded", "Failed"):
        ended = {
            "exitCode": options.get("code", 0 if phase == "Succeeded" else 1),
            "finishedAt": ago(options.get("ended", 50)),
        }
        made["status"]["containerStatuses"] = [{"name": "app", "state": {"terminated": ended}}]
    if options.get("conditions"):
        made["status"]["conditions"] = options["conditions"]
    return made


def test_a_pod_is_counted_once_on_its_way_through_the_status() -> None:
    work = job(completions=5)
    done = pod("a", "Succeeded")
    first = planning.tally(work, [done])
    assert (first.succeeded, [meta.name(p) for p in first.new_succeeded]) == (1, ["a"])
    noted = job({"uncountedTerminatedPods": {"succeeded": ["a"]}}, completions=5)
    second = planning.tally(noted, [done])
    assert (second.succeeded, second.new_succeeded, second.uncounted_succeeded) == (1, [], ["a"])
    freed = planning.tally(noted, [pod("a", "Succeeded", tracked=False)])
    assert (freed.succeeded, freed.uncounted_succeeded) == (1, [])
    counted = planning.tally(job({"succeeded": 1}, completions=5), [pod("a", "Succeeded", tracked=False)])
    assert counted.succeeded == 1
    assert planning.tally(job({"succeeded": 1}, completions=5), []).succeeded == 1


def test_a_pod_being_deleted_counts_as_failed_unless_only_failed_ones_are_replaced() -> None:
    going = pod("a", deleting=True)
    assert planning.tally(job(), [going]).failed == 1
    patient = planning.tally(job(podReplacementPolicy="Failed"), [going])
    assert (patient.failed, patient.terminating) == (0, 1)


def test_indexes_are_counted_by_index() -> None:
    work = job({"completedIndexes": "0"}, completions=4, completionMode="Indexed")
    seen = planning.tally(work, [pod("b", "Succeeded", 1), pod("c", "Succeeded", 1), pod("x", "Succeeded", 9)])
    assert seen.completed_indexes == {0, 1}
    assert seen.succeeded == 2


@pytest.mark.parametrize(
    ("spec", "pods", "reason"),
    [
        ({"backoffLimit": 0}, [pod("a", "Failed")], "BackoffLimitExceeded"),
        ({"backoffLimit": 1}, [pod("a", "Failed"), pod("b", "Failed")], "BackoffLimitExceeded"),
        ({"completions": 1}, [pod("a", "Succeeded")], "CompletionsReached"),
        ({"completions": None}, [pod("a", "Succeeded")], "CompletionsReached"),
    ],
)
def test_how_a_job_is_decided(spec: Obj, pods: list[Obj], reason: str) -> None:
    work = job(**spec)
    if spec.get("completions", 1) is None:
        del work["spec"]["completions"]
    decided = planning.outcome(work, planning.tally(work, pods), NOW)
    assert decided is not None
    assert decided.reason == reason


def test_a_work_queue_is_not_done_while_a_pod_still_runs() -> None:
    work = job()
    del work["spec"]["completions"]
    seen = planning.tally(work, [pod("a", "Succeeded"), pod("b")])
    assert planning.outcome(work, seen, NOW) is None
    assert planning.plan(work, seen, [], NOW).create == 0


def test_restarts_in_place_count_against_the_limit() -> None:
    work = job(backoffLimit=3)
    work["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    restarted = pod("a")
    restarted["status"]["containerStatuses"] = [{"restartCount": 3}]
    decided = planning.outcome(work, planning.tally(work, [restarted]), NOW)
    assert decided is not None
    assert decided.reason == "BackoffLimitExceeded"


def test_a_deadline_counts_from_the_start_but_not_while_suspended() -> None:
    late = job({"startTime": ago(20)}, activeDeadlineSeconds=10)
    decided = planning.outcome(late, planning.tally(late, [pod("a")]), NOW)
    assert decided is not None
    assert decided.reason == "DeadlineExceeded"
    assert planning.seconds_to_deadline(job({"startTime": ago(4)}, activeDeadlineSeconds=10), NOW) == 6
    assert planning.seconds_to_deadline({**late, "spec": {**late["spec"], "suspend": True}}, NOW) is None


def test_a_decision_once_written_stands() -> None:
    target = {"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy", "message": "m"}
    work = job({"conditions": [target]})
    decided = planning.outcome(work, planning.tally(work, [pod("a", "Succeeded")]), NOW)
    assert decided is not None
    assert (decided.final, decided.reason) == ("Failed", "PodFailurePolicy")


def test_no_more_pods_are_made_than_completions_are_missing() -> None:
    work = job({"succeeded": 8}, completions=10, parallelism=5)
    assert planning.plan(work, planning.tally(work, [pod("a")]), [], NOW).create == 1


def test_lower_parallelism_removes_pods() -> None:
    work = job(completions=10, parallelism=1)
    seen = planning.tally(work, [pod("a"), pod("b"), pod("c", "Pending")])
    assert next(meta.name(p) for p in planning.plan(work, seen, [], NOW).delete) == "c"
    assert len(planning.plan(work, seen, [], NOW).delete) == 2


def test_the_lowest_missing_indexes_are_started_and_doubles_removed() -> None:
    work = job({"completedIndexes": "1"}, completions=5, parallelism=4, completionMode="Indexed")
    seen = planning.tally(work, [pod("a", index=0)])
    assert planning.plan(work, seen, [], NOW).indexes == [2, 3, 4]
    double = planning.tally(work, [pod("a", index=0), pod("b", index=0), pod("c", index=7)])
    doomed = {meta.name(p) for p in planning.plan(work, double, [], NOW).delete}
    assert "c" in doomed
    assert len(doomed & {"a", "b"}) == 1


@pytest.mark.parametrize(("failures", "expected"), [(1, 5), (2, 15), (3, 35), (20, 595)])
def test_failures_hold_back_new_pods_ever_longer(failures: int, expected: float) -> None:
    ended = [pod(f"f{i}", "Failed", ended=5 + i) for i in range(failures)]
    assert planning.backoff_left(ended, NOW) == expected


def test_a_success_ends_the_back_off() -> None:
    ended = [pod("f", "Failed", ended=5), pod("s", "Succeeded", ended=2)]
    assert planning.backoff_left(ended, NOW) == 0


def test_an_indexed_pod_knows_its_index() -> None:
    work = job(completions=3, completionMode="Indexed")
    made = planning.new_pod(work, 2, [])
    assert made["metadata"]["annotations"][indexes.INDEX] == "2"
    assert made["metadata"]["labels"][indexes.INDEX] == "2"
    assert made["metadata"]["generateName"] == "w-2-"
    assert made["spec"]["hostname"] == "w-2"
    (env,) = made["spec"]["containers"][0]["env"]
    assert env["name"] == "JOB_COMPLETION_INDEX"
    assert planning.FINALIZER in made["metadata"]["finalizers"]


def test_an_index_fails_when_its_own_limit_is_used_up() -> None:
    work = job(completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=1)
    first = pod("a", "Failed", 0)
    assert planning.tally(work, [first]).failed_indexes == set()
    second = pod("b", "Failed", 0)
    second["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] = "1"
    assert planning.tally(work, [second]).failed_indexes == {0}
    retry = planning.new_pod(work, 0, [first])
    assert retry["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "1"


def test_policy_rules_are_tried_in_order() -> None:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "app", "operator": "NotIn", "values": [3]}},
    ]
    work = job(podFailurePolicy={"rules": rules})
    evicted = pod("a", "Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}])
    assert policy.judge_failure(work, evicted).action == "Ignore"
    assert policy.judge_failure(work, pod("b", "Failed", code=3)).action == "Count"
    failed = policy.judge_failure(work, pod("c", "Failed", code=4))
    assert failed.action == "FailJob"
    assert failed.message == "Container app for pod d/c failed with exit code 4 matching FailJob rule at index 1"


@pytest.mark.parametrize(
    ("rule", "succeeded", "met"),
    [
        ({"succeededIndexes": "0,2-3"}, {0, 2}, False),
        ({"succeededIndexes": "0,2-3"}, {0, 2, 3}, True),
        ({"succeededCount": 2}, {1, 4}, True),
        ({"succeededIndexes": "1-3", "succeededCount": 2}, {0, 1}, False),
        ({"succeededIndexes": "1-3", "succeededCount": 2}, {1, 3}, True),
    ],
)
def test_a_success_policy_is_met_by_indexes_and_counts(rule: Obj, succeeded: set[int], met: bool) -> None:
    work = job(completions=5, completionMode="Indexed", successPolicy={"rules": [rule]})
    assert policy.success_rule(work, succeeded) == ("Matched rules at index 0" if met else None)


def test_indexes_are_written_in_runs() -> None:
    assert indexes.render({1, 3, 4, 5, 7, 8}) == "1,3-5,7,8"
    assert indexes.render(set()) == ""


@given(st.sets(st.integers(0, 200)))
def test_indexes_survive_writing_and_reading(found: set[int]) -> None:
    assert indexes.parse(indexes.render(found), 201) == found


def test_the_last_failed_pod_of_an_index_waits_for_its_replacement() -> None:
    work = job(completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=2)
    older, latest = pod("a", "Failed", 0, ended=90), pod("b", "Failed", 0, ended=20)
    replaced, running = pod("c", "Failed", 1), pod("d", "Running", 1)
    seen = planning.tally(work, [older, latest, replaced, running])
    planning.keep_for_replacements(work, seen)
    assert [meta.name(each) for each in seen.new_failed] == ["a", "c"]
    assert seen.failed == 2
    plain = job(completions=3, completionMode="Indexed")
    seen = planning.tally(plain, [older, latest])
    planning.keep_for_replacements(plain, seen)
    assert seen.failed == 2
