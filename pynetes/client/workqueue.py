"""The work queue between events and reconciliation.

A key is in the queue at most once however often it is added; a key that is added while it is being worked on is
queued again when its worker is done, so no two workers hold one key and no change is missed. Keys can come back after
a delay (`add_after`, the earliest wins) or after a back-off that doubles with every failure (`add_rate_limited`).
One timer task serves all delays and sleeps until the next is due; an idle queue does nothing.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from pynetes.machinery import clock

K = TypeVar("K", bound=Hashable)


class QueueClosed(Exception):
    """The queue was shut down."""


class WorkQueue(Generic[K]):
    """A deduplicating, delaying, rate-limiting queue of keys."""

    def __init__(self, base_delay: float = 0.005, max_delay: float = 60.0) -> None:
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = 0.0
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued and nothing is being worked on (delayed keys do not count)."""
        return not self._dirty and not self._processing

    def add(self, key: K) -> None:
        """Queue `key` unless it is queued already."""
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._push(key)

    async def get(self) -> K:
        """The next key, now being worked on until `done`; raises QueueClosed when shut down."""
        while not self._ready:
            if self._closed:
                raise QueueClosed
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """The work on `key` has ended; if it was added meanwhile it is queued again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._push(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Queue `key` in `seconds`; of several delays of one key the earliest counts."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = clock.monotonic() + seconds
        if self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
        if self._timer is None or self._timer.done() or due < self._timer_due:
            self._arm()

    def add_rate_limited(self, key: K) -> None:
        """Queue `key` after a delay that doubles with each call until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._base_delay * 2 ** min(failures, 40), self._max_delay))

    def forget(self, key: K) -> None:
        """`key` succeeded (or is given up): its next failure starts from the shortest delay."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often `key` was rate limited since it was last forgotten."""
        return self._failures.get(key, 0)

    def close(self) -> None:
        """Shut down: whoever waits gets QueueClosed once the queue is empty."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiters:
            self._wake()

    def _push(self, key: K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = self._heap[0][0]
        self._timer = asyncio.get_running_loop().create_task(self._run_timer())

    async def _run_timer(self) -> None:
        while self._heap:
            self._timer_due = self._heap[0][0]
            remaining = self._timer_due - clock.monotonic()
            if remaining > 0:
                await clock.sleep(remaining)
                continue
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
