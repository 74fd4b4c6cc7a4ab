"""CronJobs: a Job at each scheduled time.

Nothing ticks: each pass ends by asking to come back at the next scheduled time.
"""

from datetime import datetime, timedelta

from pynetes.controllers import cronjob_plan as planning
from pynetes.controllers.controller import (
    Context,
    Controller,
    ignore_not_found,
    is_namespace_terminating,
    own_key,
)
from pynetes.controllers.cron_schedule import Schedule, ScheduleError, parse
from pynetes.controllers.ownership import CONTROLLER_INDEX, owner_keys
from pynetes.controllers.status import update_status
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

CRONJOBS = "cronjobs.batch"
JOBS = "jobs.batch"
_SLACK_SECONDS = 0.1


class CronJobController(Controller):
    """Runs CronJobs."""

    name = "cronjob-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.crons = self.watch(CRONJOBS, own_key)
        self.jobs = self.watch(
            JOBS, owner_keys(self.crons, "CronJob", lambda cron, job: False), indexers=CONTROLLER_INDEX
        )

    async def reconcile(self, key: str) -> None:
        cron = self.crons.get(key)
        if cron is None:
            return
        jobs = self.jobs.by_index("controller", meta.uid(cron))
        await self._trim_history(cron, jobs)
        status = await self._review_active(cron, jobs)
        if not meta.is_deleting(cron):
            status, wake = await self._start(cron, jobs, status)
            if wake is not None:
                self.queue.add_after(key, (wake - clock.now()).total_seconds() + _SLACK_SECONDS)
        await update_status(self.client, CRONJOBS, cron, status)

    async def _trim_history(self, cron: Obj, jobs: list[Obj]) -> None:
        for job in planning.history_to_delete(cron, jobs):
            if not meta.is_deleting(job):
                await self._delete(cron, job)

    async def _delete(self, cron: Obj, job: Obj) -> None:
        try:
            await self.client.delete(
                JOBS, meta.name(job), meta.namespace(job), uid=meta.uid(job), propagation_policy="Background"
            )
        except StatusError as error:
            if error.code == 404:
                return
            self.events.event(cron, "Warning", "FailedDelete", f"Deleted job: {error.message}")
            raise
        self.events.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {meta.name(job)}")

    async def _review_active(self, cron: Obj, jobs: list[Obj]) -> Obj:
        """The status with its list of active Jobs brought up to date."""
        status = dict(cron.get("status", {}))
        active = [*(status.get("active") or [])]
        by_uid = {meta.uid(job): job for job in jobs}
        listed = {entry["uid"] for entry in active}
        strange = [job for job in jobs if meta.uid(job) not in listed and not planning.finished_as(job)]
        if strange:
            # Perhaps only the cache is behind what we noted ourselves a moment ago.
            live = await ignore_not_found(self.client.get(CRONJOBS, meta.name(cron), meta.namespace(cron)))
            noted = [*((live or {}).get("status", {}).get("active") or [])]
            active += [entry for entry in noted if any(entry["uid"] == meta.uid(job) for job in strange)]
            listed = {entry["uid"] for entry in noted}
        for job in strange:
            if meta.uid(job) not in listed:
                # Made by hand; one of ours that could not be noted is found again when its time is tried again.
                text = f"Saw a job that the controller did not create or forgot: {meta.name(job)}"
                self.events.event(cron, "Warning", "UnexpectedJob", text)
        kept = []
        for entry in active:
            job_or_none = by_uid.get(entry["uid"])
            if job_or_none is None:
                job_or_none = await ignore_not_found(self.client.get(JOBS, entry["name"], entry.get("namespace")))
            if job_or_none is None or meta.uid(job_or_none) != entry["uid"]:
                self.events.event(cron, "Normal", "MissingJob", f"Active job went missing: {entry['name']}")
            elif planning.finished_as(job_or_none):
                how = planning.finished_as(job_or_none)
                text = f"Saw completed job: {entry['name']}, condition: {how}"
                self.events.event(cron, "Normal", "SawCompletedJob", text)
            else:
                kept.append(entry)
        status["active"] = kept
        success = planning.last_success(status, jobs)
        if success:
            status["lastSuccessfulTime"] = success
        return {name: value for name, value in status.items() if value}

    async def _start(self, cron: Obj, jobs: list[Obj], status: Obj) -> tuple[Obj, datetime | None]:
        """Start a Job if one is due; the status after it, and when to come back."""
        spec = cron["spec"]
        if spec.get("suspend"):
            return status, None
        schedule = self._schedule(cron)
        if schedule is None:
            return status, None
        now = clock.now()
        wake = schedule.after(now)
        due = planning.most_recent({**cron, "status": status}, schedule, now)
        if due.too_many:
            self.events.event(
                cron,
                "Warning",
                "TooManyMissedTimes",
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
            )
        if due.at is None:
            return status, wake
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and due.at + timedelta(seconds=deadline) < now:
            text = due.at.strftime("%a, %d %b %Y %H:%M:%S +0000")
            self.events.event(cron, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {text}")
            return status, wake
        active = status.get("active") or []
        name = planning.job_name(cron, due.at)
        if any(entry["name"] == name for entry in active) or status.get("lastScheduleTime") == clock.format_time(
            due.at
        ):
            return status, wake
        policy = spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            self.events.event(
                cron,
                "Normal",
                "JobAlreadyActive",
                "Not starting job because prior execution is running and concurrency policy is Forbid",
            )
            return status, wake
        if policy == "Replace":
            for entry in active:
                found = next((job for job in jobs if meta.uid(job) == entry["uid"]), None)
                if found is not None:
                    await self._delete(cron, found)
            active = []
        job = await self._create(cron, due.at, schedule)
        if job is None:
            return status, wake
        started = {
            **status,
            "active": [*active, planning.reference(job)],
            "lastScheduleTime": clock.format_time(due.at),
        }
        return started, wake

    def _schedule(self, cron: Obj) -> Schedule | None:
        spec = cron["spec"]
        try:
            return parse(spec["schedule"], spec.get("timeZone"))
        except ScheduleError as error:
            if "time zone" in str(error):
                text = f'invalid timeZone: "{spec.get("timeZone")}": {error}'
                self.events.event(cron, "Warning", "UnknownTimeZone", text)
            else:
                text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
                self.events.event(cron, "Warning", "UnparseableSchedule", text)
            return None

    async def _create(self, cron: Obj, at: datetime, schedule: Schedule) -> Obj | None:
        wanted = planning.make_job(cron, at, at.astimezone(schedule.zone))
        try:
            job = await self.client.create(JOBS, wanted)
        except StatusError as error:
            if is_namespace_terminating(error):
                return None
            if error.reason == "AlreadyExists":
                found = await self.client.get(JOBS, meta.name(wanted), meta.namespace(wanted))
                owner = meta.controller_of(found)
                if owner is not None and owner["uid"] == meta.uid(cron):
                    return found
            self.events.event(cron, "Warning", "FailedCreate", f"Error creating job: {error.message}")
            raise
        self.events.event(cron, "Normal", "SuccessfulCreate", f"Created job {meta.name(job)}")
        return job
