"""Clocks for tests.

`FastClock` runs ahead: an hour passes in a second, for everything in the process that takes its time from
`machinery.clock`, so a test can watch a CronJob for a day or a node's pods until they are evicted. Sockets and the
event loop keep their own time.
"""

import asyncio
import time


class FastClock:
    """Time that passes `speed` times as fast, from now on."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._epoch = time.time()

    def _elapsed(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    def time(self) -> float:
        return self._epoch + self._elapsed()

    def monotonic(self) -> float:
        return self._began + self._elapsed()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
