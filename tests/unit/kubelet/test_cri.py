"""The client of the runtime: what happens to a call whose caller goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from pynetes._generated import cri_pb2 as cri
from pynetes.kubelet.cri.client import RUNTIME, Cri


class SlowRuntime:
    """A runtime that starts a container only when it is told to, and knows whether the start was cut short."""

    def __init__(self) -> None:
        self.asked, self.go_on, self.cut_short = asyncio.Event(), asyncio.Event(), False

    async def start(self, request: Any, context: Any) -> Any:
        self.asked.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cut_short = True
            raise
        return cri.StartContainerResponse()

    @asynccontextmanager
    async def serve(self, socket: Path) -> AsyncIterator[Cri]:
        handler = grpc.unary_unary_rpc_method_handler(
            self.start,
            request_deserializer=cri.StartContainerRequest.FromString,
            response_serializer=cri.StartContainerResponse.SerializeToString,
        )
        server = grpc.aio.server()
        service = RUNTIME.strip("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"StartContainer": handler}),))
        server.add_insecure_port(f"unix://{socket}")
        await server.start()
        client = Cri(f"unix://{socket}")
        await client.connect()
        try:
            yield client
        finally:
            await client.close()
            await server.stop(None)


async def test_a_start_goes_on_to_its_end_though_its_caller_is_cancelled(tmp_path: Path) -> None:
    runtime = SlowRuntime()
    async with runtime.serve(tmp_path / "cri.sock") as client:
        start = asyncio.ensure_future(client.start_container("c1"))
        await runtime.asked.wait()
        start.cancel()
        await asyncio.wait({start}, timeout=0.1)
        assert not start.done() and not runtime.cut_short
        runtime.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert not runtime.cut_short
