"""Waiting for an API server that has just been started.

It listens before its bootstrap policy is in force; who asks in between is refused what will be allowed a moment later.
"""

import contextlib

from pynetes.client.client import Client, Unreachable
from pynetes.machinery import clock
from pynetes.machinery.errors import StatusError

WAIT_SECONDS = 10.0
_ASK_AGAIN = 0.05


async def healthy(client: Client) -> None:
    """Return when the server says that it is healthy, or after upstream's ten seconds without it."""
    deadline = clock.monotonic() + WAIT_SECONDS
    while clock.monotonic() < deadline:
        with contextlib.suppress(StatusError, Unreachable):
            await client.raw("GET", "/healthz")
            return
        await clock.sleep(_ASK_AGAIN)
