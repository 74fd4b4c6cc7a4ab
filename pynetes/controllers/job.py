"""Jobs: run pods until enough of them have succeeded.

`job_plan` counts and decides. One pass: count the pods, decide whether the Job is decided, else create or delete;
then write the status, and only then let go of the pods that the status has counted.
"""

import asyncio
from collections.abc import Sequence

from pynetes.controllers import job_indexes as indexes
from pynetes.controllers import job_plan as planning
from pynetes.controllers import pods
from pynetes.controllers.controller import (
    Context,
    Controller,
    SlowStartStopped,
    controller_key,
    ignore_not_found,
    is_namespace_terminating,
    own_key,
    slow_start,
)
from pynetes.controllers.expectations import Expectations
from pynetes.controllers.ownership import CONTROLLER_INDEX, Claimer, candidates, owner_keys
from pynetes.controllers.status import find_condition, update_status
from pynetes.machinery import clock, meta, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

JOBS = "jobs.batch"
_MANAGER = "kubernetes.io/job-controller"
_UNCOUNTED_LIMIT = 500


def selector_of(job: Obj) -> selectors.LabelSelector:
    """What the Job selects."""
    return selectors.from_label_selector(job["spec"].get("selector"))


def with_condition(conditions: list[Obj], kind: str, state: str, reason: str, message: str) -> list[Obj]:
    """`conditions` with one set in the form that Jobs use."""
    old = find_condition(conditions, kind)
    if old is None and state == "False":
        return conditions
    if old is not None and (old["status"], old.get("reason"), old.get("message")) == (state, reason, message):
        return conditions
    now = clock.timestamp()
    made = {
        "type": kind,
        "status": state,
        "lastProbeTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    if old is None:
        return [*conditions, made]
    return [made if condition is old else condition for condition in conditions]


class JobController(Controller):
    """Runs Jobs."""

    name = "job-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.expectations = Expectations()
        self.pod_control = pods.PodControl(self.client, self.events)
        self.claimer = Claimer(self.client, "pods", JOBS)
        self.jobs = self.watch(JOBS, own_key)
        self._owner_keys = owner_keys(self.jobs, "Job", lambda job, pod: selector_of(job).matches(meta.labels(pod)))
        self.pods = self.watch("pods", indexers=CONTROLLER_INDEX)
        self.pods.on_change(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        subject = new or old
        if subject is None:
            return
        key = controller_key(subject, "Job", self.jobs.get)
        if key is not None:
            if old is None:
                self.expectations.creation_observed(key)
            if new is None or meta.is_deleting(new):
                self.expectations.deletion_observed(key, meta.name(subject))
        elif new is not None and planning.has_finalizer(new):
            reference = meta.controller_of(new)
            if reference is None or reference["kind"] == "Job":
                self.queue.add(f"orphan {meta.key(new)}")
        for each in self._owner_keys(old, new):
            self.queue.add(each)

    async def reconcile(self, key: str) -> None:
        if key.startswith("orphan "):
            await self._free_orphan(key.removeprefix("orphan "))
            return
        job = self.jobs.get(key)
        if job is None:
            self.expectations.forget(key)
            return
        if job["spec"].get("managedBy", _MANAGER) != _MANAGER:
            return
        if planning.is_finished(job):
            await self._let_go([p for p in candidates(self.pods, job) if _is_of(p, job) and planning.has_finalizer(p)])
            return
        read = job
        may_act = self.expectations.satisfied(key)
        owned = await self._claim(job)
        now = clock.now()
        if not job.get("status", {}).get("startTime") and not planning.is_suspended(job):
            job = {**job, "status": {**job.get("status", {}), "startTime": clock.timestamp()}}
        seen = planning.tally(job, owned)
        decided = planning.outcome(job, seen, now)
        if decided is None and not meta.is_deleting(job):
            planning.keep_for_replacements(job, seen)
        left = planning.seconds_to_deadline(job, now)
        if left is not None and left > 0:
            self.queue.add_after(key, left)
        error: BaseException | None = None
        if may_act and not meta.is_deleting(job):
            try:
                await self._act(key, job, seen, owned, decided)
            except (SlowStartStopped, StatusError, ConnectionError) as stopped:
                error = stopped.cause if isinstance(stopped, SlowStartStopped) else stopped
        await self._record(read, job, seen, owned, decided)
        if error is not None and not (isinstance(error, StatusError) and is_namespace_terminating(error)):
            raise error

    async def _claim(self, job: Obj) -> list[Obj]:
        owned = await self.claimer.claim(job, selector_of(job), candidates(self.pods, job))
        for pod in owned:
            adopted = pods.is_active(pod) and not planning.has_finalizer(pod)
            if adopted and not meta.is_deleting(job):
                finalizers = [*(pod["metadata"].get("finalizers") or []), planning.FINALIZER]
                patch = {"metadata": {"uid": meta.uid(pod), "finalizers": finalizers}}
                await self.client.patch("pods", meta.name(pod), patch, meta.namespace(pod), type="merge")
        return owned

    # Acting

    async def _act(
        self, key: str, job: Obj, seen: planning.Tally, owned: list[Obj], decided: planning.Outcome | None
    ) -> None:
        if decided is not None:
            await self._delete(key, job, seen.active)
            seen.terminating += len(seen.active)
            seen.active, seen.ready = [], 0
            return
        finished = [pod for pod in owned if pods.is_terminal(pod) or planning.has_failed(job, pod)]
        todo = planning.plan(job, seen, finished, clock.now())
        if todo.wait:
            self.queue.add_after(key, todo.wait)
        if todo.delete:
            # Pods that the Job itself has no use for any more are no failures: nobody is to count them.
            await asyncio.gather(*(self._release(pod) for pod in todo.delete))
            await self._delete(key, job, todo.delete)
            gone = {meta.uid(pod) for pod in todo.delete}
            seen.active = [pod for pod in seen.active if meta.uid(pod) not in gone]
            seen.ready = sum(pods.is_ready(pod) for pod in seen.active)
            seen.terminating += len(gone)
        elif todo.create:
            seen.active += await self._create(key, job, todo, finished)

    async def _create(self, key: str, job: Obj, todo: planning.Plan, finished: Sequence[Obj]) -> list[Obj]:
        self.expectations.expect(key, creations=todo.create)
        left = iter(todo.indexes)
        made: list[Obj] = []

        async def create_next() -> None:
            pod = planning.new_pod(job, next(left, None), finished)
            made.append(await self.pod_control.create(pod, job))

        try:
            await slow_start(todo.create, create_next)
        except SlowStartStopped as stopped:
            self.expectations.creation_observed(key, todo.create - stopped.successes)
            raise
        return made

    async def _delete(self, key: str, job: Obj, doomed: Sequence[Obj]) -> None:
        if not doomed:
            return
        self.expectations.expect(key, deletions=[meta.name(pod) for pod in doomed])

        async def delete(pod: Obj) -> None:
            try:
                await self.pod_control.delete(pod, job)
            except (StatusError, ConnectionError) as error:
                self.expectations.deletion_observed(key, meta.name(pod))
                if not isinstance(error, StatusError) or error.code != 404:
                    raise

        await asyncio.gather(*(delete(pod) for pod in doomed))

    # Writing down

    async def _record(
        self, read: Obj, job: Obj, seen: planning.Tally, owned: list[Obj], decided: planning.Outcome | None
    ) -> None:
        """Status first, finalizers after: nothing is forgotten, nothing counted twice."""
        counting = (seen.new_succeeded + seen.new_failed)[:_UNCOUNTED_LIMIT]
        status = self._status(job, seen, {meta.uid(pod) for pod in counting})
        ended = False
        if decided is not None:
            uncounted = status.get("uncountedTerminatedPods") or {}
            still_running = seen.active or seen.terminating
            ended = not still_running and not any(uncounted.values())
            status = self._decide(job, status, decided, ended=ended)
        else:
            status = self._suspend(job, status)
        written = await update_status(self.client, JOBS, read, status)
        if ended and decided is not None:
            if decided.final == "Complete":
                self.events.event(job, "Normal", "Completed", "Job completed")
            else:
                self.events.event(job, "Warning", decided.reason, decided.message)
        listed = written.get("status", {}).get("uncountedTerminatedPods") or {}
        counted = {*(listed.get("succeeded") or []), *(listed.get("failed") or [])}
        await self._let_go(
            [
                pod
                for pod in owned
                if planning.has_finalizer(pod)
                and (meta.uid(pod) in counted or pod in seen.ignored or self._is_counted(job, seen, pod))
            ]
        )

    def _is_counted(self, job: Obj, seen: planning.Tally, pod: Obj) -> bool:
        """Pods of an Indexed Job are counted by their index; those with no valid index count for nothing."""
        if not planning.is_indexed(job) or pods.phase(pod) != "Succeeded":
            return False
        index = indexes.index_of(pod)
        return index is None or index in seen.completed_indexes or index >= (job["spec"].get("completions") or 0)

    def _status(self, job: Obj, seen: planning.Tally, counting: set[str]) -> Obj:
        indexed = planning.is_indexed(job)
        succeeded = [meta.uid(pod) for pod in seen.new_succeeded if meta.uid(pod) in counting] if not indexed else []
        failed = [meta.uid(pod) for pod in seen.new_failed if meta.uid(pod) in counting]
        uncounted = {
            "succeeded": [*seen.uncounted_succeeded, *succeeded],
            "failed": [*seen.uncounted_failed, *failed],
        }
        pending_succeeded = len(seen.uncounted_succeeded) + len(seen.new_succeeded) if not indexed else 0
        status = {
            **job.get("status", {}),
            "active": len(seen.active),
            "ready": seen.ready,
            "terminating": seen.terminating,
            "succeeded": seen.succeeded - pending_succeeded,
            "failed": seen.failed - len(seen.uncounted_failed) - len(seen.new_failed),
            "uncountedTerminatedPods": {outcome: uids for outcome, uids in uncounted.items() if uids},
        }
        if indexed:
            status["completedIndexes"] = indexes.render(seen.completed_indexes)
            if job["spec"].get("backoffLimitPerIndex") is not None:
                status["failedIndexes"] = indexes.render(seen.failed_indexes)
        shown = ("ready", "terminating", "uncountedTerminatedPods", "failedIndexes")
        return {k: v for k, v in status.items() if k in shown or v not in (0, "", None, [])}

    def _decide(self, job: Obj, status: Obj, decided: planning.Outcome, *, ended: bool) -> Obj:
        conditions = with_condition(
            status.get("conditions") or [], decided.interim, "True", decided.reason, decided.message
        )
        if ended:
            conditions = with_condition(conditions, decided.final, "True", decided.reason, decided.message)
            if decided.final == "Complete":
                status = {**status, "completionTime": clock.timestamp()}
        return {**status, "conditions": conditions}

    def _suspend(self, job: Obj, status: Obj) -> Obj:
        """Note that the Job was suspended or resumed."""
        was = planning.has_condition(job, "Suspended")
        if planning.is_suspended(job) and not was:
            self.events.event(job, "Normal", "Suspended", "Job suspended")
            conditions = with_condition(
                status.get("conditions") or [], "Suspended", "True", "JobSuspended", "Job suspended"
            )
            return {**{k: v for k, v in status.items() if k != "startTime"}, "conditions": conditions}
        if not planning.is_suspended(job) and was:
            self.events.event(job, "Normal", "Resumed", "Job resumed")
            conditions = with_condition(
                status.get("conditions") or [], "Suspended", "False", "JobResumed", "Job resumed"
            )
            return {**status, "conditions": conditions, "startTime": clock.timestamp()}
        return status

    async def _free_orphan(self, pod_key: str) -> None:
        pod = self.pods.get(pod_key)
        if pod is None or not planning.has_finalizer(pod):
            return
        reference = meta.controller_of(pod)
        if reference is not None:
            try:
                found = await self.client.get(JOBS, reference["name"], meta.namespace(pod))
            except StatusError as error:
                if error.code != 404:
                    raise
            else:
                if meta.uid(found) == reference["uid"]:
                    return
        await self._let_go([pod])

    async def _let_go(self, counted: Sequence[Obj]) -> None:
        await asyncio.gather(*(self._release(pod) for pod in counted))

    async def _release(self, pod: Obj) -> None:
        """Take the tracking finalizer off."""
        patch = {"metadata": {"uid": meta.uid(pod), "$deleteFromPrimitiveList/finalizers": [planning.FINALIZER]}}
        await ignore_not_found(self.client.patch("pods", meta.name(pod), patch, meta.namespace(pod), type="strategic"))


def _is_of(pod: Obj, job: Obj) -> bool:
    reference = meta.controller_of(pod)
    return reference is not None and reference["uid"] == meta.uid(job)
