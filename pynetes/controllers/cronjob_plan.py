"""What a CronJob does now. Pure functions of the CronJob, its schedule, its Jobs and the time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pynetes.controllers.cron_schedule import Schedule
from pynetes.controllers.status import find_condition, key_by_age
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY_MISSED = 100


def finished_as(job: Obj) -> str:
    """`Complete`, `Failed`, or an empty string while it runs."""
    found = job.get("status", {}).get("conditions") or []
    for kind in ("Complete", "Failed"):
        condition = find_condition(found, kind)
        if condition is not None and condition["status"] == "True":
            return kind
    return ""


@dataclass(frozen=True, slots=True)
class Due:
    """The latest time that was missed, if any, and whether suspiciously many were."""

    at: datetime | None
    too_many: bool = False


def most_recent(cron: Obj, schedule: Schedule, now: datetime) -> Due:
    """The latest scheduled time not after `now` that has not been run."""
    status, spec = cron.get("status", {}), cron["spec"]
    earliest = clock.parse_time(cron["metadata"]["creationTimestamp"])
    if status.get("lastScheduleTime"):
        earliest = clock.parse_time(status["lastScheduleTime"])
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - timedelta(seconds=deadline))
    first = schedule.after(earliest)
    if first is None or first > now:
        return Due(None)
    second = schedule.after(first)
    if second is None or second > now:
        return Due(first)
    # Skip ahead by the shortest interval seen, then walk the rest.
    step = (second - first).total_seconds()
    missed = int((now - first).total_seconds() // step) + 1
    start = max(first, now - timedelta(seconds=2 * step)) if missed > _TOO_MANY_MISSED else first
    latest = first
    moment: datetime | None = start if start == first else schedule.after(start)
    while moment is not None and moment <= now:
        latest = moment
        moment = schedule.after(moment)
    return Due(latest, too_many=missed > _TOO_MANY_MISSED)


def job_name(cron: Obj, at: datetime) -> str:
    """The Job's name tells its scheduled minute, so a minute never runs twice."""
    return f"{meta.name(cron)}-{int(at.timestamp()) // 60}"


def make_job(cron: Obj, at: datetime, zone_time: datetime) -> Obj:
    """The Job for a scheduled time."""
    template = meta.deep_copy(cron["spec"]["jobTemplate"])
    given = template.get("metadata") or {}
    stamp = zone_time.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron, at),
            "namespace": meta.namespace(cron),
            "labels": given.get("labels") or {},
            "annotations": {**(given.get("annotations") or {}), SCHEDULED_AT: stamp},
            "creationTimestamp": clock.format_time(at),
            "ownerReferences": [meta.owner_reference(cron)],
        },
        "spec": template["spec"],
    }


def history_to_delete(cron: Obj, jobs: Iterable[Obj]) -> list[Obj]:
    """Finished Jobs beyond the history limits, oldest first."""
    doomed: list[Obj] = []
    ended = [(finished_as(job), job) for job in jobs]
    for kind, field, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = cron["spec"].get(field, default)
        mine = sorted((job for how, job in ended if how == kind), key=lambda j: (_started(j), key_by_age(j)))
        doomed += mine[: max(0, len(mine) - limit)]
    return doomed


def _started(job: Obj) -> str:
    return job.get("status", {}).get("startTime") or ""


def reference(job: Obj) -> Obj:
    """The entry for a Job in `status.active`."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta.name(job),
        "namespace": meta.namespace(job),
        "uid": meta.uid(job),
        "resourceVersion": job["metadata"].get("resourceVersion", ""),
    }


def last_success(status: Obj, jobs: Sequence[Obj]) -> str | None:
    """The latest completion time among those known."""
    times = [status.get("lastSuccessfulTime")]
    times += [job.get("status", {}).get("completionTime") for job in jobs if finished_as(job) == "Complete"]
    return max((moment for moment in times if moment), default=None)
