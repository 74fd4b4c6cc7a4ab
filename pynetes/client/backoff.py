"""Waiting between attempts: doubling, jittered, bounded, and forgiven after success."""

import random

from pynetes.machinery import clock


class Backoff:
    """Delays of `base`, 2·`base`, 4·`base` … up to `limit`, each spread by ±`jitter`."""

    def __init__(self, base: float, limit: float, jitter: float = 0.3) -> None:
        self._base = base
        self._limit = limit
        self._jitter = jitter
        self._attempt = 0

    def reset(self) -> None:
        """The next delay is the shortest again."""
        self._attempt = 0

    def next(self) -> float:
        """The delay before the next attempt."""
        delay = min(self._base * 2 ** min(self._attempt, 30), self._limit)
        self._attempt += 1
        return delay * (1 + self._jitter * (2 * random.random() - 1))

    async def wait(self) -> None:
        """Sleep for the next delay."""
        await clock.sleep(self.next())
