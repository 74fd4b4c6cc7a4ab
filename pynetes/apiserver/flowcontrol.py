"""How many requests are served at once.

Reads and writes have a limit each (`--max-requests-inflight`, `--max-mutating-requests-inflight`). Who comes when all
seats are taken waits in line; who would have to wait in a line that is too long, or too long in it, gets a 429 and is
told when to come back. Watches, tunnels and members of `system:masters` are not counted.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery import clock, errors

READING = frozenset({"get", "list", "watch"})
QUEUE_FACTOR = 8
QUEUE_WAIT = 15.0
_REFUSAL = "Too many requests, please try again later."


class Seats:
    """A number of seats and the line in front of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_take(self) -> bool:
        """Take a seat if one is free; no limit if it is 0."""
        if self.limit and self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    async def take(self) -> None:
        """Take a seat, waiting for one if need be; 429 if the wait is too long."""
        if self.try_take():
            return
        if len(self._waiting) >= self.limit * QUEUE_FACTOR:
            raise errors.too_many_requests(_REFUSAL)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await clock.wait_for(turn, QUEUE_WAIT)
        except TimeoutError:
            raise errors.too_many_requests(_REFUSAL) from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the seat to who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1


class FlowControl:
    """The seats for reads and for writes."""

    def __init__(self, reading: int, mutating: int) -> None:
        self.reading = Seats(reading)
        self.mutating = Seats(mutating)

    def seats(self, user: UserInfo, info: RequestInfo) -> Seats | None:
        """Where a request sits; None for those that are exempt."""
        if "system:masters" in user.groups or not info.is_resource:
            return None
        return self.reading if info.verb in READING else self.mutating

    @contextlib.asynccontextmanager
    async def seat(self, user: UserInfo, info: RequestInfo) -> AsyncIterator[None]:
        """Hold a seat while the block runs."""
        seats = self.seats(user, info)
        if seats is None:
            yield
            return
        await seats.take()
        try:
            yield
        finally:
            seats.leave()
