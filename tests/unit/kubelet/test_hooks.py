"""Lifecycle hooks over HTTP."""

import asyncio
from typing import Any, cast

import pytest

from pynetes.kubelet import hooks

NO_RUNTIME = cast("Any", None)


async def test_a_hook_over_https_is_asked_without_tls_if_the_server_knows_none() -> None:
    asked, events = [], []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65536)
        known = first.startswith(b"GET ")
        if known:
            asked.append(first.split(b"\r\n")[0].decode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if known else b"HTTP/1.0 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        hook = {"httpGet": {"scheme": "HTTPS", "path": "/echo?msg=poststart", "port": port}}
        await hooks.run(
            hook, NO_RUNTIME, {"name": "c"}, "id", lambda: "127.0.0.1", "p", lambda *event: events.append(event)
        )
    assert asked == ["GET /echo?msg=poststart HTTP/1.1"]
    text = f"request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
    assert events == [("Warning", "LifecycleHTTPFallback", text)]


async def test_a_hook_that_nobody_answers_fails() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    hook = {"httpGet": {"path": "/", "port": port}}
    with pytest.raises(hooks.HookError) as raised:
        await hooks.run(hook, NO_RUNTIME, {"name": "c"}, "id", lambda: "127.0.0.1", "p", lambda *event: None)
    assert str(raised.value).startswith('HTTP lifecycle hook (/) for Container "c" in Pod "p" failed - error: Get ')
