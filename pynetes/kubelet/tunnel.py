"""Byte-for-byte tunnels: from a client's connection to the runtime's streaming server.

exec, attach and port-forward upgrade an HTTP connection to SPDY or WebSocket. We need to understand neither: the
request's head is sent on to the URL the runtime gave us, and from then on bytes are copied both ways, the runtime's
answer (101 or an error) included. Back-pressure goes both ways as well; either end's closing closes the other.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import cast
from urllib.parse import urlsplit

from aiohttp import web

PASSED_ON = (
    "upgrade",
    "connection",
    "x-stream-protocol-version",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "origin",
)
CONNECT_SECONDS = 10.0


class _End(asyncio.Protocol):
    """One end of the tunnel; what it receives it writes to its peer."""

    def __init__(self, closed: asyncio.Event) -> None:
        self.peer: asyncio.Transport | None = None
        self.transport: asyncio.Transport | None = None
        self._closed = closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports offer what asyncio.Transport does without being one.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.write(data)

    def eof_received(self) -> bool:
        if self.peer is not None and not self.peer.is_closing() and self.peer.can_write_eof():
            self.peer.write_eof()
            # Half-open only where the transport can be: over TLS it cannot.
            return self.transport is not None and self.transport.get_extra_info("sslcontext") is None
        return False

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            with contextlib.suppress(RuntimeError):
                self.peer.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.peer is not None:
            self.peer.close()
        self._closed.set()


async def tunnel(request: web.Request, url: str) -> web.StreamResponse:
    """Join the request's connection to `url`; returns when both ends have closed."""
    parts = urlsplit(url)
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    client_transport = request.transport
    if client_transport is None:
        raise ConnectionResetError
    far_transport, far = await asyncio.wait_for(
        loop.create_connection(lambda: _End(closed), parts.hostname or "", parts.port or 80), CONNECT_SECONDS
    )
    far_transport.pause_reading()
    original = client_transport.get_protocol()
    near = _End(closed)
    near.connection_made(client_transport)
    client_transport.set_protocol(near)
    near.peer, far.peer = far_transport, client_transport
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    far_transport.write(_head(request.method, target, parts.netloc, request.headers.items()))
    far_transport.resume_reading()
    with contextlib.suppress(RuntimeError):
        client_transport.resume_reading()
    try:
        await closed.wait()
    finally:
        far_transport.close()
        client_transport.close()
        original.connection_lost(None)
    # Nothing can be written any more: the connection is gone, and the response with it.
    return web.Response(status=101)


def _head(method: str, target: str, host: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() in PASSED_ON]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
