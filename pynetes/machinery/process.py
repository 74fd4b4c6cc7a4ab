"""The frame of every component's process: an event loop, the two signals that end it, an exit code.

`run_until_stopped` is what each component's `main` ends with, whether it was forked by the supervisor or started with
`python -m`. The component gets an event that is set when it should leave in good order.
"""

import asyncio
import io
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
        loop.add_signal_handler(signal.SIGUSR1, _log_tasks)
        await run(stop)

    try:
        uvloop.run(body())
    except Exception:
        log.exception("the component failed")
        return 1
    return 0


def _log_tasks() -> None:
    """Write where every task of this process waits: what SIGUSR1 asks for."""
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        text = io.StringIO()
        task.print_stack(file=text)
        log.info("%s", text.getvalue().rstrip())


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
