"""Recording events about objects, as `kubectl describe` shows them.

`event()` never blocks and never fails: it correlates at once and leaves the sending to one task that exists only
while there is something to send. Correlation is upstream's: the same event again raises `count` of the one that is
stored; more than ten that differ only in their message within ten minutes become one "(combined from similar
events)"; and one source may speak about one object 25 times in a burst, then once in five minutes.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pynetes.client.client import Client, Unreachable
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

_REMEMBERED = 4096
_SIMILAR_LIMIT = 10
_SIMILAR_SECONDS = 600.0
_BURST = 25
_REFILL_PER_SECOND = 1 / 300
_QUEUE_LIMIT = 1000
_ATTEMPTS = 12
_RETRY_SECONDS = 10.0
_MESSAGE_LIMIT = 1024


def reference(obj: Mapping[str, Any], field_path: str = "") -> Obj:
    """An ObjectReference to `obj`, which must carry apiVersion and kind."""
    found = {
        "kind": obj.get("kind", ""),
        "namespace": meta.namespace(obj),
        "name": meta.name(obj),
        "uid": meta.uid(obj),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": obj.get("metadata", {}).get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in found.items() if value}


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float

    def take(self, now: float) -> bool:
        self.tokens = min(_BURST, self.tokens + (now - self.at) * _REFILL_PER_SECOND)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class _Similar:
    at: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Logged:
    """What the server holds for one distinct event."""

    name: str
    namespace: str
    count: int
    first: str
    resource_version: str = ""


class _Stamps:
    """Nanoseconds that never repeat, for names."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last = max(self._last + 1, int(clock.time() * 1e9))
        return self._last


_stamps = _Stamps()


class _Memory(OrderedDict[Any, Any]):
    """The most recently used entries."""

    def use(self, key: Any, make: Any) -> Any:
        if key in self:
            self.move_to_end(key)
        else:
            self[key] = make()
            if len(self) > _REMEMBERED:
                self.popitem(last=False)
        return self[key]


class EventRecorder:
    """Speaks for one component (on one host, if it belongs to one).

    With an `instance` it speaks as clients of events.k8s.io/v1 do (KEP-383): every event names an action and the moment
    it happened, and what happens again becomes a series.
    """

    def __init__(self, client: Client, component: str, host: str = "", *, instance: str = "") -> None:
        self._client = client
        self._instance = instance
        self._component = component
        self._host = host
        self._buckets = _Memory()
        self._similar = _Memory()
        self._logged = _Memory()
        self._queue: deque[tuple[Obj, Any]] = deque()
        self._task: asyncio.Task[None] | None = None

    def event(
        self,
        obj: Mapping[str, Any],
        type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
        action: str = "",
        related: Mapping[str, Any] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Tell of something that happened to `obj` (or that a ready-made ObjectReference points at)."""
        involved = {k: v for k, v in obj.items() if v} if "metadata" not in obj else reference(obj, field_path)
        now = clock.monotonic()
        subject = (involved.get("kind"), involved.get("namespace"), involved.get("name"), involved.get("uid"))
        if not self._buckets.use(subject, lambda: _Bucket(_BURST, now)).take(now):
            return
        group = (*subject, involved.get("fieldPath"), type, reason, action)
        similar = self._similar.use(group, lambda: _Similar(now))
        if now - similar.at > _SIMILAR_SECONDS:
            similar.messages.clear()
        similar.at = now
        similar.messages.add(message)
        distinct: tuple[Any, ...] = (*group, message)
        if len(similar.messages) > _SIMILAR_LIMIT:
            message = f"(combined from similar events): {message}"
            distinct = group
        if len(self._queue) >= _QUEUE_LIMIT:
            return
        self._queue.append(
            (self._draft(involved, type, reason, message[:_MESSAGE_LIMIT], action, related, annotations), distinct)
        )
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send_all(), name="events")

    async def flush(self) -> None:
        """Wait until everything said so far is sent or given up."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def _draft(
        self,
        involved: Obj,
        type: str,
        reason: str,
        message: str,
        action: str,
        related: Mapping[str, Any] | None,
        annotations: Mapping[str, str] | None,
    ) -> Obj:
        stamp = clock.timestamp()
        metadata: Obj = {
            "name": f"{involved.get('name', '')}.{_stamps.next():x}",
            "namespace": involved.get("namespace") or "default",
        }
        if annotations:
            metadata["annotations"] = dict(annotations)
        event: Obj = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": metadata,
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": {"component": self._component, **({"host": self._host} if self._host else {})},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        if self._instance:
            event |= {
                "source": {},
                "firstTimestamp": None,
                "lastTimestamp": None,
                "eventTime": clock.micro_timestamp(),
                "reportingInstance": self._instance,
            }
            del event["count"]
        if action:
            event["action"] = action
        if related is not None:
            event["related"] = reference(related) if "metadata" in related else dict(related)
        return event

    async def _send_all(self) -> None:
        while self._queue:
            event, distinct = self._queue.popleft()
            for attempt in range(_ATTEMPTS):
                try:
                    await self._send(event, distinct)
                    break
                except StatusError as error:
                    if error.code < 500 and error.code != 429:
                        log.debug("event %s refused: %s", event["reason"], error.message)
                        break
                except Unreachable as error:
                    log.debug("event %s not sent: %s", event["reason"], error)
                await clock.sleep(min(_RETRY_SECONDS, 0.5 * 2**attempt))

    async def _send(self, event: Obj, distinct: Any) -> None:
        known: _Logged | None = self._logged.get(distinct)
        if known is not None:
            patch: Obj = {
                "count": known.count + 1,
                "lastTimestamp": event["lastTimestamp"],
                "message": event["message"],
            }
            if self._instance:
                patch = {"series": {"count": known.count + 1, "lastObservedTime": event["eventTime"]}}
            try:
                await self._client.patch("events", known.name, patch, known.namespace, type="strategic")
            except StatusError as error:
                if error.code != 404:
                    raise
                del self._logged[distinct]
            else:
                known.count += 1
                self._logged.move_to_end(distinct)
                return
        metadata = event["metadata"]
        await self._client.create("events", event, metadata["namespace"])
        self._logged.pop(distinct, None)
        self._logged.use(distinct, lambda: _Logged(metadata["name"], metadata["namespace"], 1, event["firstTimestamp"]))
