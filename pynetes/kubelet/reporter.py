"""Telling the API what became of the pods: status patches, one at a time per pod, only what changed.

`report` is cheap and never waits: it notes the newest status and wakes the pod's sender. The sender patches the
difference to what the API is known to have; statuses that were overtaken meanwhile are never sent. That a changed spec
was seen is no news by itself: it waits a moment for what the change brings about. A pod that is gone from the API, or
was replaced by another of its name, is not reported any more.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

from pynetes.client.client import Client, Unreachable
from pynetes.kubelet import spec
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
SEEN_SECONDS = 0.5  # how long "I saw the new spec" waits for company
OWNED = (
    "phase",
    "reason",
    "message",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "qosClass",
    "observedGeneration",
    "allocatedResources",
    "resources",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "conditions",
)
TRANSIENT = ("PodResizePending", "PodResizeInProgress")  # conditions of ours that go away again
_MERGED_LISTS = ("podIPs", "hostIPs")


@dataclass
class _Entry:
    pod: Obj
    known: Obj
    wanted: Obj
    sender: asyncio.Task[None] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: bool = False  # for company; nothing is on its way


class Reporter:
    """The senders of all pods on this node."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._entries: dict[str, _Entry] = {}

    def report(self, pod: Obj, status: Obj) -> None:
        """Note the newest status of the pod."""
        uid = meta.uid(pod)
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, pod.get("status") or {}, status)
        entry.pod, entry.wanted = pod, status
        entry.settled.clear()
        entry.stirred.set()
        if entry.sender is None or entry.sender.done():
            entry.sender = asyncio.get_running_loop().create_task(self._send(entry), name=f"status-{meta.name(pod)}")

    def seen(self, pod: Obj) -> None:
        """The API shows this version of the pod."""
        entry = self._entries.get(meta.uid(pod))
        if entry is not None and (entry.waiting or entry.sender is None or entry.sender.done()):
            entry.known = pod.get("status") or {}

    async def flush(self, pod: Obj) -> None:
        """Wait until the newest status has arrived, or can never arrive."""
        entry = self._entries.get(meta.uid(pod))
        if entry is not None:
            await entry.settled.wait()

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        entry = self._entries.pop(uid, None)
        if entry is not None and entry.sender is not None:
            entry.sender.cancel()

    async def close(self) -> None:
        """Stop sending."""
        for uid in [*self._entries]:
            self.forget(uid)

    async def _send(self, entry: _Entry) -> None:
        failures = 0
        while status_patch(entry.known, entry.wanted):
            await _wait_for_company(entry)
            patch = status_patch(entry.known, entry.wanted)
            if not patch:
                break
            sent = entry.wanted
            body = {"metadata": {"uid": meta.uid(entry.pod)}, "status": patch}
            pod = entry.pod
            try:
                answer = await self._client.patch(
                    "pods", meta.name(pod), body, meta.namespace(pod), type="strategic", subresource="status"
                )
            except StatusError as error:
                if error.code == 404 or (error.code == 409 and "UID" in error.message):
                    break
                log.warning("status of %s: %s", spec.describe(pod), error.message)
            except Unreachable as error:
                log.warning("status of %s: %s", spec.describe(pod), error)
            else:
                failures = 0
                entry.known = answer.get("status") or {}
                if status_patch(entry.known, sent) and entry.wanted is sent:
                    # The server keeps something else than we asked for: asking again would not end.
                    break
                continue
            await clock.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1
        entry.settled.set()


async def _wait_for_company(entry: _Entry) -> None:
    """Return when there is more to tell than which spec was seen, or when that has waited long enough."""

    async def company() -> None:
        while not status_patch(_without_generation(entry.known), _without_generation(entry.wanted)):
            entry.stirred.clear()
            await entry.stirred.wait()

    entry.waiting = True
    try:
        with contextlib.suppress(TimeoutError):
            await clock.wait_for(company(), SEEN_SECONDS)
    finally:
        entry.waiting = False


def _without_generation(status: Obj) -> Obj:
    """The status but for which spec it speaks of."""
    conditions = [
        {key: value for key, value in condition.items() if key != "observedGeneration"}
        for condition in status.get("conditions") or []
    ]
    return {key: value for key, value in status.items() if key != "observedGeneration"} | {"conditions": conditions}


def status_patch(known: Obj, wanted: Obj) -> Obj:
    """A strategic merge patch from `known` to `wanted`; empty if nothing the kubelet owns differs."""
    patch: Obj = {}
    for key in OWNED:
        old, new = known.get(key), wanted.get(key)
        if key == "conditions":
            changed = _changed_conditions(old or [], new or [])
            if changed:
                patch[key] = changed
        elif new is None:
            if old is not None:
                patch[key] = None
        elif old != new:
            patch[key] = [{"$patch": "replace"}, *new] if key in _MERGED_LISTS and old else new
    return patch


def _changed_conditions(old: list[Obj], new: list[Obj]) -> list[Obj]:
    known = {condition["type"]: condition for condition in old}
    changed = []
    for condition in new:
        before = known.get(condition["type"])
        if before is not None and _without_time(before) == _without_time(condition):
            continue
        gone: dict[str, Any] = {key: None for key in before or {} if key not in condition}
        changed.append(gone | condition)
    present = {condition["type"] for condition in new}
    changed += [{"$patch": "delete", "type": kind} for kind in TRANSIENT if kind in known and kind not in present]
    return changed


def _without_time(condition: Obj) -> Obj:
    return {k: v for k, v in condition.items() if k not in ("lastTransitionTime", "lastProbeTime") and v is not None}
