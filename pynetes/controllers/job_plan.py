"""What a Job has reached and what it does next. Pure functions of the Job and its pods.

A finished pod is counted exactly once: while it carries the tracking finalizer it cannot vanish; its UID is first
written into `status.uncountedTerminatedPods`, then the finalizer is taken off, then the UID becomes a number. So
`status` plus the pods seen always add up, whatever stops in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pynetes.controllers import job_indexes as indexes
from pynetes.controllers import job_policy as policy
from pynetes.controllers import pods
from pynetes.controllers.pod_ranking import deletion_order
from pynetes.controllers.status import find_condition
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

FINALIZER = "batch.kubernetes.io/job-tracking"
BURST = 500
_BACKOFF_SECONDS, _LONGEST_BACKOFF = 10.0, 600.0


def is_indexed(job: Obj) -> bool:
    """Whether its pods are numbered."""
    return job["spec"].get("completionMode", "NonIndexed") == "Indexed"


def is_suspended(job: Obj) -> bool:
    """Whether it asks for no pods now."""
    return bool(job["spec"].get("suspend"))


def conditions(job: Obj) -> list[Obj]:
    """`status.conditions`."""
    return job.get("status", {}).get("conditions") or []


def has_condition(job: Obj, kind: str) -> bool:
    """Whether a condition is True."""
    condition = find_condition(conditions(job), kind)
    return condition is not None and condition["status"] == "True"


def is_finished(job: Obj) -> bool:
    """Whether it is Complete or Failed."""
    return has_condition(job, "Complete") or has_condition(job, "Failed")


def replaces_only_failed(job: Obj) -> bool:
    """Whether a pod that is being deleted is replaced only once it has ended."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None


def has_finalizer(pod: Obj) -> bool:
    """Whether the pod is still to be counted."""
    return FINALIZER in (pod["metadata"].get("finalizers") or [])


def has_failed(job: Obj, pod: Obj) -> bool:
    """Whether the pod counts as failed."""
    if pods.phase(pod) == "Failed":
        return True
    return not replaces_only_failed(job) and meta.is_deleting(pod) and pods.phase(pod) != "Succeeded"


@dataclass(slots=True)
class Tally:
    """The pods of a Job, sorted and counted."""

    active: list[Obj] = field(default_factory=list)
    terminating: int = 0
    ready: int = 0
    new_succeeded: list[Obj] = field(default_factory=list)
    new_failed: list[Obj] = field(default_factory=list)
    ignored: list[Obj] = field(default_factory=list)
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    completed_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    fail_message: str = ""


def tally(job: Obj, owned: Sequence[Obj]) -> Tally:
    """Count."""
    status = job.get("status", {})
    uncounted = status.get("uncountedTerminatedPods") or {}
    completions = job["spec"].get("completions") or 0
    pending = {meta.uid(pod) for pod in owned if has_finalizer(pod)}
    counted = {"succeeded": status.get("succeeded", 0), "failed": status.get("failed", 0)}
    left: dict[str, list[str]] = {}
    for outcome in counted:
        uids = uncounted.get(outcome) or []
        left[outcome] = [uid for uid in uids if uid in pending]
        counted[outcome] += len(uids) - len(left[outcome])
    result = Tally(uncounted_succeeded=left["succeeded"], uncounted_failed=left["failed"])
    known = {*result.uncounted_succeeded, *result.uncounted_failed}
    result.completed_indexes = indexes.parse(status.get("completedIndexes"), completions)
    result.failed_indexes = indexes.parse(status.get("failedIndexes"), completions)
    for pod in owned:
        _sort(job, pod, known, completions, result)
    result.failed_indexes |= policy.newly_failed_indexes(job, result.new_failed)
    if is_indexed(job):
        result.succeeded = len(result.completed_indexes)
    else:
        result.succeeded = counted["succeeded"] + len(result.uncounted_succeeded) + len(result.new_succeeded)
    result.failed = counted["failed"] + len(result.uncounted_failed) + len(result.new_failed)
    return result


def _sort(job: Obj, pod: Obj, known: set[str], completions: int, result: Tally) -> None:
    if pods.is_active(pod):
        result.active.append(pod)
        result.ready += pods.is_ready(pod)
    elif meta.is_deleting(pod) and not pods.is_terminal(pod):
        result.terminating += 1
    if not has_finalizer(pod) or meta.uid(pod) in known:
        return
    if pods.phase(pod) == "Succeeded":
        index = indexes.index_of(pod)
        if not is_indexed(job):
            result.new_succeeded.append(pod)
        elif index is not None and index < completions:
            result.new_succeeded.append(pod)
            result.completed_indexes.add(index)
    elif has_failed(job, pod):
        verdict = policy.judge_failure(job, pod) if pods.phase(pod) == "Failed" else policy.Failure("Count")
        if verdict.action == "Ignore":
            result.ignored.append(pod)
            return
        result.new_failed.append(pod)
        if verdict.action == "FailJob" and not result.fail_message:
            result.fail_message = verdict.message


def keep_for_replacements(job: Obj, seen: Tally) -> None:
    """With a back-off limit for each index, the last failed pod of an index waits, uncounted, for its replacement.

    Only it says how often the index has failed; let go, it might be gone before the new pod has that from it.
    """
    if job["spec"].get("backoffLimitPerIndex") is None or not is_indexed(job):
        return
    settled = seen.completed_indexes | seen.failed_indexes | {indexes.index_of(pod) for pod in seen.active}
    kept: dict[int, Obj] = {}
    for pod in sorted([*seen.new_failed, *seen.ignored], key=lambda p: (policy.all_failures(p), _finish_time(p))):
        index = indexes.index_of(pod)
        if index is not None and index not in settled:
            kept[index] = pod
    waiting = {meta.uid(pod) for pod in kept.values()}
    before = len(seen.new_failed)
    seen.new_failed = [pod for pod in seen.new_failed if meta.uid(pod) not in waiting]
    seen.ignored = [pod for pod in seen.ignored if meta.uid(pod) not in waiting]
    seen.failed -= before - len(seen.new_failed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the Job ends: the interim condition, the final one, and why."""

    interim: str
    final: str
    reason: str
    message: str


def outcome(job: Obj, seen: Tally, now: datetime) -> Outcome | None:
    """Whether the Job is decided."""
    for interim, final in (("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")):
        settled = find_condition(conditions(job), interim)
        if settled is not None and settled["status"] == "True":
            return Outcome(interim, final, settled.get("reason", ""), settled.get("message", ""))
    failure = _failure(job, seen, now)
    if failure is not None:
        return Outcome("FailureTarget", "Failed", *failure)
    success = _success(job, seen)
    if success is not None:
        return Outcome("SuccessCriteriaMet", "Complete", *success)
    return None


def _failure(job: Obj, seen: Tally, now: datetime) -> tuple[str, str] | None:
    spec = job["spec"]
    if seen.fail_message:
        return "PodFailurePolicy", seen.fail_message
    limit = spec.get("backoffLimit", 6)
    if seen.failed > limit or _restarted_too_often(job, seen.active, limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = seconds_to_deadline(job, now)
    if left is not None and left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if spec.get("backoffLimitPerIndex") is not None and is_indexed(job):
        most = spec.get("maxFailedIndexes")
        if most is not None and len(seen.failed_indexes) > most:
            return (
                "MaxFailedIndexesExceeded",
                "Job has exceeded the specified maximal number of failed indexes",
            )
        done = seen.failed_indexes | seen.completed_indexes
        if seen.failed_indexes and len(done) >= (spec.get("completions") or 0):
            return "FailedIndexes", "Job has failed indexes"
    return None


def _success(job: Obj, seen: Tally) -> tuple[str, str] | None:
    spec = job["spec"]
    if is_indexed(job):
        message = policy.success_rule(job, seen.completed_indexes)
        if message is not None:
            return "SuccessPolicy", message
    completions = spec.get("completions")
    if completions is None:
        reached = seen.succeeded > 0 and not seen.active
    else:
        reached = seen.succeeded >= completions
    if is_suspended(job) and not reached:
        return None
    return ("CompletionsReached", "Reached expected number of succeeded pods") if reached else None


def _restarted_too_often(job: Obj, active: Iterable[Obj], limit: int) -> bool:
    if (job["spec"]["template"].get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    total = 0
    for pod in active:
        if pods.phase(pod) in ("Running", "Pending"):
            status = pod.get("status", {})
            both = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
            total += sum(each.get("restartCount", 0) for each in both)
    return total > 0 if limit == 0 else total >= limit


def seconds_to_deadline(job: Obj, now: datetime) -> float | None:
    """How long the Job may stay active."""
    limit = job["spec"].get("activeDeadlineSeconds")
    started = job.get("status", {}).get("startTime")
    if limit is None or not started or is_suspended(job):
        return None
    return (clock.parse_time(started) + timedelta(seconds=limit) - now).total_seconds()


@dataclass(slots=True)
class Plan:
    """Pods to delete, or how many to create (for which indexes), or how long to wait first."""

    delete: list[Obj] = field(default_factory=list)
    create: int = 0
    indexes: list[int] = field(default_factory=list)
    wait: float = 0.0


def plan(job: Obj, seen: Tally, finished_pods: Sequence[Obj], now: datetime) -> Plan:
    """The next step of an undecided Job."""
    if is_suspended(job):
        return Plan(delete=seen.active[:BURST])
    wanted = _wanted(job, seen)
    surplus = max(0, len(seen.active) - wanted)
    doomed = _to_remove(job, seen, surplus, now)
    if doomed:
        return Plan(delete=doomed[:BURST])
    blocked = seen.terminating if replaces_only_failed(job) else 0
    missing = min(wanted - blocked - len(seen.active), BURST)
    if missing <= 0:
        return Plan()
    per_index = is_indexed(job) and job["spec"].get("backoffLimitPerIndex") is not None
    if not per_index:
        wait = backoff_left(finished_pods, now)
        if wait > 0:
            return Plan(wait=wait)
    if not is_indexed(job):
        return Plan(create=missing)
    taken = seen.completed_indexes | seen.failed_indexes
    taken |= {index for pod in seen.active if (index := indexes.index_of(pod)) is not None}
    chosen = indexes.first_missing(taken, missing, job["spec"].get("completions") or 0)
    waits: list[float] = []
    if per_index:
        ready = []
        for index in chosen:
            left = backoff_left([pod for pod in finished_pods if indexes.index_of(pod) == index], now)
            if left > 0:
                waits.append(left)
            else:
                ready.append(index)
        chosen = ready
    return Plan(create=len(chosen), indexes=chosen, wait=min(waits, default=0.0))


def _wanted(job: Obj, seen: Tally) -> int:
    parallelism = job["spec"].get("parallelism", 1)
    completions = job["spec"].get("completions")
    if completions is None:
        return len(seen.active) if seen.succeeded > 0 else parallelism
    remaining = completions - seen.succeeded
    if is_indexed(job) and job["spec"].get("backoffLimitPerIndex") is not None:
        remaining -= len(seen.failed_indexes)
    return max(0, min(remaining, parallelism))


def _to_remove(job: Obj, seen: Tally, at_least: int, now: datetime) -> list[Obj]:
    """Pods whose index is out of range or taken twice, and as many more as are too many."""
    doomed: list[Obj] = []
    rest = seen.active
    if is_indexed(job):
        completions = job["spec"].get("completions") or 0
        rest, used = [], set(seen.completed_indexes | seen.failed_indexes)
        for pod in deletion_order(seen.active, seen.active, now)[::-1]:
            index = indexes.index_of(pod)
            if index is None or index >= completions or index in used:
                doomed.append(pod)
            else:
                used.add(index)
                rest.append(pod)
    if len(doomed) < at_least:
        doomed += deletion_order(rest, rest, now)[: at_least - len(doomed)]
    return doomed


def _finish_time(pod: Obj) -> datetime:
    """When the pod ended, as well as its status tells."""
    ends = [
        clock.parse_time(terminated["finishedAt"])
        for status in pod.get("status", {}).get("containerStatuses") or []
        if (terminated := (status.get("state") or {}).get("terminated")) and terminated.get("finishedAt")
    ]
    if ends:
        return max(ends)
    ready = meta.get_condition(pod, "Ready")
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return clock.parse_time(ready["lastTransitionTime"])
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
        return clock.parse_time(metadata["deletionTimestamp"]) - grace
    return clock.parse_time(metadata["creationTimestamp"])


def backoff_left(finished_pods: Iterable[Obj], now: datetime) -> float:
    """How long to wait after the latest failures: 10 s, doubling with each since the last success, up to 10 min."""
    failures = 0
    last: datetime | None = None
    for pod in sorted(finished_pods, key=_finish_time, reverse=True):
        if pods.phase(pod) == "Succeeded":
            break
        failures += 1
        last = last or _finish_time(pod)
    if last is None:
        return 0.0
    delay = min(_BACKOFF_SECONDS * 2 ** min(failures - 1, 10), _LONGEST_BACKOFF)
    return max(0.0, delay - (now - last).total_seconds())


def new_pod(job: Obj, index: int | None, failed_before: Sequence[Obj]) -> Obj:
    """A pod of the Job, for an index if it is an Indexed one."""
    pod = pods.from_template(job["spec"]["template"], job)
    metadata = pod["metadata"]
    metadata["finalizers"] = [*(metadata.get("finalizers") or []), FINALIZER]
    if index is None:
        return pod
    metadata["annotations"] = {**metadata["annotations"], indexes.INDEX: str(index)}
    metadata["labels"] = {**metadata["labels"], indexes.INDEX: str(index)}
    metadata["generateName"] = pods.generate_name(f"{meta.name(job)}-{index}")
    pod["spec"]["hostname"] = f"{meta.name(job)[: 63 - len(str(index)) - 1]}-{index}"
    if job["spec"].get("backoffLimitPerIndex") is not None:
        counted, ignored = _index_failures(job, index, failed_before)
        metadata["annotations"]["batch.kubernetes.io/job-index-failure-count"] = str(counted)
        if ignored:
            metadata["annotations"]["batch.kubernetes.io/job-index-ignored-failure-count"] = str(ignored)
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{indexes.INDEX}']"}}
    for container in [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]:
        env = container.get("env") or []
        if not any(entry["name"] == "JOB_COMPLETION_INDEX" for entry in env):
            container["env"] = [*env, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
    return pod


def _index_failures(job: Obj, index: int, failed_before: Sequence[Obj]) -> tuple[int, int]:
    mine = [pod for pod in failed_before if indexes.index_of(pod) == index]
    if not mine:
        return 0, 0
    last = max(mine, key=lambda pod: (policy.failure_count(pod), policy.ignored_failures(pod)))
    ignored = policy.judge_failure(job, last).action == "Ignore"
    return policy.failure_count(last) + (not ignored), policy.ignored_failures(last) + ignored
