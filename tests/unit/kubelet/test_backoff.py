"""Exponential back-off."""

import pytest

from pynetes.kubelet.backoff import Backoff
from pynetes.machinery import clock


class Frozen:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_delays_double_up_to_the_limit_and_count_from_the_event() -> None:
    frozen = Frozen()
    with clock.use(frozen):
        backoff = Backoff(10, 300)
        assert backoff.remaining("k", frozen.now) == 0
        delays = []
        for _ in range(7):
            backoff.next("k", frozen.now)
            delays.append(backoff.remaining("k", frozen.now))
            frozen.now += delays[-1]
            assert backoff.remaining("k", frozen.now - delays[-1]) == 0
        assert delays == [10, 20, 40, 80, 160, 300, 300]


def test_ten_quiet_minutes_forgive_everything() -> None:
    frozen = Frozen()
    with clock.use(frozen):
        backoff = Backoff(10, 300)
        for _ in range(5):
            backoff.next("k", frozen.now)
        frozen.now += 601
        assert backoff.remaining("k", frozen.now) == 0
        backoff.next("k", frozen.now)
        assert backoff.remaining("k", frozen.now) == pytest.approx(10)


def test_keys_are_apart_and_can_be_forgotten() -> None:
    backoff = Backoff()
    backoff.next("uid1_a", clock.time())
    backoff.next("uid2_a", clock.time())
    backoff.forget("uid1_")
    assert backoff.delay("uid1_a") == 0 and backoff.delay("uid2_a") == 10
