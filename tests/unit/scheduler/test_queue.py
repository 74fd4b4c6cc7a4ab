"""The order in which pods are tried, and what wakes those that wait."""

import asyncio

import pytest

from pynetes.scheduler.queue import SchedulingQueue
from tests.unit.scheduler.conftest import pod


async def test_the_more_important_pod_is_first_then_the_older() -> None:
    queue = SchedulingQueue()
    for name, priority in (("a", 0), ("b", 10), ("c", 0)):
        queue.add(pod(name, priority=priority))
    assert [(await queue.pop()).info.key for _ in range(3)] == ["default/b", "default/a", "default/c"]


async def test_pop_waits_for_a_pod() -> None:
    queue = SchedulingQueue()
    waiting = asyncio.ensure_future(queue.pop())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add(pod("late"))
    assert (await asyncio.wait_for(waiting, 5)).info.key == "default/late"


async def _parked(queue: SchedulingQueue, *wakes: str) -> None:
    queue.add(pod("stuck"))
    queue.park(await queue.pop(), wakes)


@pytest.mark.parametrize(("event", "wakes"), [("pod-delete", True), ("node-label", False)])
async def test_only_an_event_that_may_help_wakes_a_pod(event: str, wakes: bool) -> None:
    queue = SchedulingQueue()
    await _parked(queue, "pod-delete")
    queue.happened(event)
    popping = asyncio.ensure_future(queue.pop())
    done, _ = await asyncio.wait({popping}, timeout=1.5)
    assert bool(done) is wakes
    popping.cancel()


async def test_an_event_during_the_attempt_is_not_missed() -> None:
    queue = SchedulingQueue()
    queue.add(pod("racing"))
    attempt = await queue.pop()
    queue.happened("node-add")
    queue.park(attempt, {"node-add"})
    assert (await asyncio.wait_for(queue.pop(), 5)).info.key == "default/racing"


async def test_a_removed_pod_is_not_tried() -> None:
    queue = SchedulingQueue()
    gone = pod("gone")
    queue.add(gone)
    queue.remove(gone.uid)
    queue.add(pod("here"))
    assert (await queue.pop()).info.key == "default/here"


async def test_a_pod_that_may_fit_now_is_not_made_to_wait_while_nobody_else_does() -> None:
    queue = SchedulingQueue()
    await _parked(queue, "node-add")
    queue.happened("node-add")
    queue.add(pod("other"))
    assert (await queue.pop()).info.key == "default/other"
    popping = asyncio.ensure_future(queue.pop())
    for _ in range(3):
        await asyncio.sleep(0)
    assert popping.done() and popping.result().info.key == "default/stuck"


async def test_a_pod_whose_attempt_went_wrong_waits_in_any_case() -> None:
    queue = SchedulingQueue()
    queue.add(pod("unlucky"))
    queue.retry(await queue.pop())
    popping = asyncio.ensure_future(queue.pop())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not popping.done()
    popping.cancel()
