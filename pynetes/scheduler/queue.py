"""Pods that wait to be scheduled.

A pod is in one of four places: `active` (highest priority first, then oldest), `backoff` (it did not fit, and something
changed since; 1 s doubling to 10 s, or earlier when no pod is active: KEP-5142), `error` (its attempt went wrong; it
waits as long, in any case) or `unschedulable` (it fits nowhere until something changes). An event in the cluster moves
a pod out of `unschedulable` if one of the plugins that rejected it said that such an event may help; what stays there
for five minutes is tried again anyway.
"""

import asyncio
import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from pynetes.machinery import clock
from pynetes.machinery.meta import Obj
from pynetes.scheduler.podinfo import PodInfo

FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 10.0
UNSCHEDULABLE_SECONDS = 300.0


@dataclass
class Waiting:
    """A pod in the queue."""

    info: PodInfo
    since: float
    attempts: int = 0
    parked_at: float = 0.0
    failed_at: float = 0.0
    wakes: frozenset[str] = frozenset()
    place: str = "active"
    stamp: int = field(default=0)


def queue_of(config: Obj) -> "SchedulingQueue":
    """The queue that a configuration asks for."""
    first, longest = config.get("podInitialBackoffSeconds"), config.get("podMaxBackoffSeconds")
    return SchedulingQueue(first or FIRST_BACKOFF, longest or LONGEST_BACKOFF)


class SchedulingQueue:
    """The queue; `pop` waits for the next pod, everything else returns at once."""

    def __init__(self, first: float = FIRST_BACKOFF, longest: float = LONGEST_BACKOFF) -> None:
        self._first, self._longest = first, longest
        self._pods: dict[str, Waiting] = {}
        self._active: list[tuple[int, float, int, str]] = []
        self._backoff: list[tuple[float, int, str]] = []
        self._errors: list[tuple[float, int, str]] = []
        self._stamps = itertools.count(1)
        self._changed = asyncio.Event()
        self._in_flight: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, info: PodInfo) -> None:
        """A new pod, or a pod that changed: it may be tried at once."""
        old = self._pods.get(info.uid)
        waiting = Waiting(info, old.since if old else clock.monotonic(), old.attempts if old else 0)
        if old is not None and old.place in ("backoff", "error"):
            waiting.failed_at = old.failed_at
            self._pods[info.uid] = waiting
            self._to_backoff(waiting, old.place)
            return
        self._pods[info.uid] = waiting
        self._to_active(waiting)

    def refresh(self, info: PodInfo) -> None:
        """The pod changed in a way that cannot help it; keep its place."""
        if (waiting := self._pods.get(info.uid)) is not None:
            waiting.info = info

    def remove(self, uid: str) -> None:
        """The pod is gone or scheduled."""
        self._pods.pop(uid, None)

    def park(self, waiting: Waiting, wakes: Iterable[str]) -> None:
        """A pod that fits nowhere; `wakes` are the events that may change that."""
        missed = self._in_flight.pop(waiting.info.uid, [])
        waiting.wakes = frozenset(wakes)
        waiting.failed_at = waiting.parked_at = clock.monotonic()
        self._pods[waiting.info.uid] = waiting
        if waiting.wakes.intersection(missed):
            self._to_backoff(waiting)
            return
        waiting.place = "unschedulable"
        waiting.stamp = next(self._stamps)
        self._changed.set()  # so that the five-minute timer is looked at

    def retry(self, waiting: Waiting) -> None:
        """A pod whose attempt failed for a passing reason: again after its back-off."""
        self._in_flight.pop(waiting.info.uid, None)
        waiting.failed_at = clock.monotonic()
        self._pods[waiting.info.uid] = waiting
        self._to_backoff(waiting, "error")

    def done(self, uid: str) -> None:
        """The attempt ended well."""
        self._in_flight.pop(uid, None)

    def happened(self, event: str) -> None:
        """Something changed in the cluster."""
        for missed in self._in_flight.values():
            missed.append(event)
        for waiting in self._pods.values():
            if waiting.place == "unschedulable" and event in waiting.wakes:
                if self._ready_at(waiting) <= clock.monotonic():
                    self._to_active(waiting)
                else:
                    self._to_backoff(waiting)

    def _ready_at(self, waiting: Waiting) -> float:
        """When its back-off is over."""
        return waiting.failed_at + min(self._first * 2 ** max(waiting.attempts - 1, 0), self._longest)

    async def pop(self) -> Waiting:
        """The next pod to schedule."""
        while True:
            self._changed.clear()
            wake_in = self._advance()
            if (waiting := self._take()) is not None:
                return waiting
            try:
                await clock.wait_for(self._changed.wait(), wake_in)
            except TimeoutError:
                continue

    def _take(self) -> Waiting | None:
        while self._active:
            *_, stamp, uid = heapq.heappop(self._active)
            waiting = self._pods.get(uid)
            if waiting is not None and waiting.place == "active" and waiting.stamp == stamp:
                return self._attempt(waiting)
        while self._backoff:
            _, stamp, uid = heapq.heappop(self._backoff)
            waiting = self._pods.get(uid)
            if waiting is not None and waiting.place == "backoff" and waiting.stamp == stamp:
                return self._attempt(waiting)
        return None

    def _attempt(self, waiting: Waiting) -> Waiting:
        uid = waiting.info.uid
        del self._pods[uid]
        waiting.attempts += 1
        self._in_flight[uid] = []
        return waiting

    def _advance(self) -> float | None:
        """Move what has waited long enough; returns the seconds until the next one has."""
        now = clock.monotonic()
        soonest = []
        for place, heap in (("backoff", self._backoff), ("error", self._errors)):
            while heap and heap[0][0] <= now:
                _, stamp, uid = heapq.heappop(heap)
                waiting = self._pods.get(uid)
                if waiting is not None and waiting.place == place and waiting.stamp == stamp:
                    self._to_active(waiting)
            if heap:
                soonest.append(heap[0][0])
        for waiting in list(self._pods.values()):
            if waiting.place == "unschedulable":
                due = waiting.parked_at + UNSCHEDULABLE_SECONDS
                if due <= now:
                    self._to_active(waiting)
                else:
                    soonest.append(due)
        return max(0.0, min(soonest) - now) if soonest else None

    def _to_active(self, waiting: Waiting) -> None:
        waiting.place, waiting.stamp = "active", next(self._stamps)
        heapq.heappush(self._active, (-waiting.info.priority, waiting.since, waiting.stamp, waiting.info.uid))
        self._changed.set()

    def _to_backoff(self, waiting: Waiting, place: str = "backoff") -> None:
        waiting.place, waiting.stamp = place, next(self._stamps)
        heap = self._errors if place == "error" else self._backoff
        heapq.heappush(heap, (self._ready_at(waiting), waiting.stamp, waiting.info.uid))
        self._changed.set()
