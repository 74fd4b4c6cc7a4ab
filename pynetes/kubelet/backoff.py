"""Exponential back-off by key, as the kubelet delays restarts and image pulls.

A key's delay starts at `initial` and doubles with each failure up to `limit`; after twice the limit without a failure
it starts anew. Asking and recording are separate: `remaining` tells how long to wait, `next` records a failure.
"""

from dataclasses import dataclass

from pynetes.machinery import clock


@dataclass(slots=True)
class _Entry:
    delay: float
    updated: float


class Backoff:
    """Delays by key."""

    def __init__(self, initial: float = 10.0, limit: float = 300.0) -> None:
        self.initial = initial
        self.limit = limit
        self._entries: dict[str, _Entry] = {}

    def remaining(self, key: str, since: float) -> float:
        """Seconds still to wait, counted from the event at `since`; 0 when free to go."""
        entry = self._entries.get(key)
        if entry is None or since - entry.updated > 2 * self.limit:
            return 0.0
        return max(0.0, since + entry.delay - clock.time())

    def next(self, key: str, at: float) -> None:
        """Record one more failure, seen at `at`."""
        entry = self._entries.get(key)
        if entry is None or at - entry.updated > 2 * self.limit:
            self._entries[key] = _Entry(self.initial, clock.time())
        else:
            entry.delay = min(entry.delay * 2, self.limit)
            entry.updated = clock.time()

    def delay(self, key: str) -> float:
        """The key's present delay in full; 0 if it has none."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def updated(self, key: str) -> float:
        """When the key last failed."""
        entry = self._entries.get(key)
        return entry.updated if entry else 0.0

    def forget(self, prefix: str) -> None:
        """Drop every key that starts with `prefix`."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]
