"""The work queue's promises."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pynetes.client.workqueue import QueueClosed, WorkQueue
from pynetes.machinery import clock


class SteppedClock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        for due, waiter in self._sleepers:
            if due <= self.now and not waiter.done():
                waiter.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def stepped() -> AsyncIterator[SteppedClock]:
    with clock.use(SteppedClock()) as made:
        assert isinstance(made, SteppedClock)
        yield made


async def test_a_key_is_queued_once_however_often_it_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(3):
        queue.add("a")
    assert len(queue) == 1


async def test_a_key_added_while_in_work_comes_back_when_its_worker_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_a_waiting_worker_is_woken() -> None:
    queue: WorkQueue[str] = WorkQueue()
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await worker == "a"


async def test_a_cancelled_worker_does_not_swallow_a_wake_up() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


async def test_of_several_delays_the_earliest_counts(stepped: SteppedClock) -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    await stepped.advance(0)
    await stepped.advance(4.9)
    assert len(queue) == 0
    await stepped.advance(0.2)
    assert await queue.get() == "a"
    queue.done("a")
    await stepped.advance(30)
    assert len(queue) == 0


async def test_back_off_doubles_and_is_forgotten(stepped: SteppedClock) -> None:
    queue: WorkQueue[str] = WorkQueue(base_delay=1, max_delay=4)
    waits = []
    for _ in range(4):
        queue.add_rate_limited("a")
        started = stepped.now
        await stepped.advance(0)
        while not len(queue):
            await stepped.advance(0.5)
        waits.append(stepped.now - started)
        queue.done(await queue.get())
    assert waits == [1, 2, 4, 4]
    assert queue.failures("a") == 4
    queue.forget("a")
    assert queue.failures("a") == 0


async def test_closing_ends_waiting_workers() -> None:
    queue: WorkQueue[str] = WorkQueue()
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(QueueClosed):
        await worker
