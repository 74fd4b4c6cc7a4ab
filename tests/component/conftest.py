"""One API server for each module, and its administrator; folders with other needs have fixtures of their own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from pynetes.testing.apiserver import RunningApiServer, running_apiserver
from pynetes.testing.rest import Rest


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[RunningApiServer]:
    async with running_apiserver() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(server: RunningApiServer) -> AsyncIterator[Rest]:
    async with Rest.open(server) as rest:
        yield rest


@pytest_asyncio.fixture(loop_scope="module")
async def namespace(admin: Rest) -> str:
    """A fresh namespace."""
    return await admin.make_namespace()
