"""Jobs with `ttlSecondsAfterFinished`: deleted that long after they finished."""

from collections.abc import Iterable
from datetime import timedelta

from pynetes.controllers.controller import Context, Controller, ignore_not_found
from pynetes.controllers.status import find_condition
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj


def seconds_to_live(job: Obj) -> float | None:
    """How long the job has left; None if it is not to be deleted (yet)."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    conditions = job.get("status", {}).get("conditions") or []
    ends = [find_condition(conditions, kind) for kind in ("Complete", "Failed")]
    finished = next((c for c in ends if c is not None and c["status"] == "True"), None)
    if ttl is None or finished is None or meta.is_deleting(job):
        return None
    until = clock.parse_time(finished["lastTransitionTime"]) + timedelta(seconds=ttl)
    return (until - clock.now()).total_seconds()


class TTLAfterFinishedController(Controller):
    """Deletes finished Jobs."""

    name = "ttl-after-finished-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.jobs = self.watch("jobs.batch", self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return (meta.key(new),) if new is not None and seconds_to_live(new) is not None else ()

    async def reconcile(self, key: str) -> None:
        job = self.jobs.get(key)
        left = seconds_to_live(job) if job is not None else None
        if job is None or left is None:
            return
        if left > 0:
            self.queue.add_after(key, left)
            return
        live = await ignore_not_found(self.client.get("jobs.batch", meta.name(job), meta.namespace(job)))
        left = seconds_to_live(live) if live is not None else None
        if left is None or left > 0:
            return
        await ignore_not_found(
            self.client.delete(
                "jobs.batch",
                meta.name(job),
                meta.namespace(job),
                uid=meta.uid(job),
                propagation_policy="Foreground",
            )
        )
