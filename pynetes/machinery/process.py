"""The frame of every component's process: an event loop, the two signals that end it, an exit code.

`run_until_stopped` is what each component's `main` ends with, whether it was forked by the supervisor or started with
`python -m`. The component gets an event that is set when it should leave in good order.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

import uvloop

log = logging.getLogger(__name__)


def run_until_stopped(run: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `run(stop)` to its end; SIGTERM and SIGINT set `stop`. Returns 0, or 1 if it failed."""

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run(stop)

    try:
        uvloop.run(body())
    except Exception:
        log.exception("the component failed")
        return 1
    return 0


async def until(stop: asyncio.Event, *tasks: Awaitable[None]) -> None:
    """Run `tasks` until `stop` is set or one of them ends; then cancel the rest. A failure is raised."""
    running = {asyncio.ensure_future(task) for task in tasks}
    stopping = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in {*running, stopping}:
            task.cancel()
        await asyncio.gather(*running, stopping, return_exceptions=True)
