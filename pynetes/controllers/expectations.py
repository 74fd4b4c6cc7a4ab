"""Expectations: what a controller has done that its cache does not show yet.

Between creating a pod and seeing it arrive through the watch, the cache is stale; a controller that counts pods would
create one too many. So it writes down what it expects, takes off each as it is observed, and does not act on a key
until all are met or five minutes have passed (an event that never comes must not block for ever). Deletions are
expected by name, because a pod that is being deleted is seen several times.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pynetes.machinery import clock

_TIMEOUT_SECONDS = 300.0


@dataclass(slots=True)
class _Expected:
    creations: int = 0
    deletions: set[str] = field(default_factory=set)
    since: float = 0.0


class Expectations:
    """The outstanding observations of each key."""

    def __init__(self) -> None:
        self._keys: dict[str, _Expected] = {}

    def satisfied(self, key: str) -> bool:
        """Whether `key` may be acted on."""
        expected = self._keys.get(key)
        if expected is None or (expected.creations <= 0 and not expected.deletions):
            return True
        return clock.monotonic() - expected.since > _TIMEOUT_SECONDS

    def expect(self, key: str, creations: int = 0, deletions: Iterable[str] = ()) -> None:
        """Begin to wait for `creations` new objects and the disappearance of those named; forgets older ones."""
        self._keys[key] = _Expected(creations, set(deletions), clock.monotonic())

    def creation_observed(self, key: str, count: int = 1) -> None:
        """An object of `key` appeared (or its creation failed, so that it never will)."""
        expected = self._keys.get(key)
        if expected is not None:
            expected.creations -= count

    def deletion_observed(self, key: str, name: str) -> None:
        """The object `name` of `key` is gone or on its way (or its deletion failed)."""
        expected = self._keys.get(key)
        if expected is not None:
            expected.deletions.discard(name)

    def forget(self, key: str) -> None:
        """`key` is gone."""
        self._keys.pop(key, None)
