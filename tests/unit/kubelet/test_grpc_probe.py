"""What a gRPC probe says, against a server of the health protocol."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from pynetes.kubelet.actions import Outcome, grpc_health

SERVICES = {b"": 1, b"\x0a\x04down": 2}


async def check(request: bytes, context: Any) -> bytes:
    if request not in SERVICES:
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes([0x08, SERVICES[request]])


@asynccontextmanager
async def server(service: str) -> AsyncIterator[int]:
    running = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(check)
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Check": method}),))
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield port
    finally:
        await running.stop(None)


@pytest.mark.parametrize(
    ("service", "outcome"),
    [
        ("", Outcome("success", "service healthy")),
        ("down", Outcome("failure", 'service unhealthy (responded with "NOT_SERVING")')),
        (
            "other",
            Outcome("failure", "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"),
        ),
    ],
)
async def test_a_health_service_is_asked(service: str, outcome: Outcome) -> None:
    async with server("grpc.health.v1.Health") as port:
        assert await grpc_health("127.0.0.1", port, service, 5.0) == outcome


async def test_a_server_without_a_health_service_fails() -> None:
    async with server("some.other.Service") as port:
        outcome = await grpc_health("127.0.0.1", port, "", 5.0)
    text = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
    assert (outcome.verdict, outcome.output.partition(": ")[2].startswith(text)) == ("failure", True)


async def test_nobody_there_is_a_failure_too() -> None:
    async with server("grpc.health.v1.Health") as port:
        pass
    outcome = await grpc_health("127.0.0.1", port, "", 0.2)
    text = f'timeout: failed to connect service "127.0.0.1:{port}" within 200ms: context deadline exceeded'
    assert outcome == Outcome("failure", text)
