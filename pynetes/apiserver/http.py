"""HTTP/1.1 on a connection: bytes to `Request`, `Response` to bytes.

httptools parses, this module frames. One request of a connection is handled at a time, further ones wait in a
queue; bodies that have not arrived when the handler starts are read as they come. A handler that
answers with `Upgrade` takes over the connection. Nothing here knows what the API is: the handler is a function from
`Request` to `Response`.

States of a connection: *idle* (waiting for a request, closed after `IDLE_TIMEOUT` or when the server stops), *busy*
(a handler runs), *tunnel* (an upgrade owns the bytes), *closed*. How long one is idle is told by the event loop's
clock, as the client tells it: a clock that a test runs fast must not close what the client still trusts.
"""

import asyncio
import email.utils
import itertools
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httptools

from pynetes.apiserver.request import Request, Response, Upgrade
from pynetes.machinery import clock

Handler = Callable[[Request], Awaitable[Response]]

IDLE_TIMEOUT = 90.0
MAX_HEADER_BYTES = 1 << 20
BODY_HIGH_WATER = 1 << 18
_REASONS = {
    100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    206: "Partial Content", 301: "Moved Permanently", 302: "Found", 304: "Not Modified", 307: "Temporary Redirect",
    308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 409: "Conflict", 410: "Gone", 413: "Request Entity Too Large",
    415: "Unsupported Media Type", 422: "Unprocessable Entity", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip

log = logging.getLogger(__name__)

# How the body is framed is this connection's business, not the handler's.
_OWN_HEADERS = frozenset({"Cache-Control", "Content-Type", "Content-Length", "Transfer-Encoding", "Connection", "Date"})

_audit_prefix = f"{os.urandom(4).hex()}-{os.urandom(2).hex()}-4{os.urandom(2).hex()[1:]}-8{os.urandom(2).hex()[1:]}-"
_audit_numbers = itertools.count(1)
_heads: dict[tuple[int, str, str], bytes] = {}


def _head(status: int, content_type: str, cache_control: str) -> bytes:
    """Status line and the headers that every such answer has, made once."""
    head = _heads.get((status, content_type, cache_control))
    if head is None:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}", f"Cache-Control: {cache_control}"]
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        head = _heads[status, content_type, cache_control] = ("\r\n".join(lines) + "\r\n").encode("latin-1")
    return head


class _Date:
    """The `Date` header's line, made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def line(self) -> bytes:
        second = int(clock.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {email.utils.formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_date = _Date()


class _Body:
    """A request's body that is still arriving."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._complete = False
        self._broken = False
        self._waiter: asyncio.Future[None] | None = None
        self.announce = False  # the client waits for "100 Continue"

    @property
    def complete(self) -> bool:
        return self._complete

    def feed(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > BODY_HIGH_WATER:
            self._connection.pause_reading()
        self._wake()

    def finish(self, *, broken: bool = False) -> None:
        self._complete = True
        self._broken = broken
        self._wake()

    def take(self) -> bytes:
        """What has arrived so far."""
        if not self._pieces:
            return b""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return data

    async def chunks(self) -> AsyncIterator[bytes]:
        """The rest of the body, piece by piece."""
        if self.announce and not self._complete:
            self.announce = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            piece = self.take()
            if piece:
                self._connection.resume_reading()
                yield piece
            elif self._complete:
                if self._broken:
                    raise ConnectionResetError("the client went away in the middle of its request")
                return
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One client's connection; see the module for its states."""

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._transport: Any = None
        self._parser: Any = None
        self._peer_cert: bytes | None = None
        self._peer_address = ""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._queue: deque[tuple[Request, _Body, bool]] = deque()
        self._body: _Body | None = None
        self._ready: tuple[Request, _Body, bool] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tunnel: Tunnel | None = None
        self._upgraded = b""
        self._paused = False
        self._can_write: asyncio.Future[None] | None = None
        self._closing = False
        self._may_stop = False  # whether the request in progress only reads, so that it ends with its client
        self.idle_since: float | None = server.loop.time()

    # The transport's side.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._peer_cert = tls.getpeercert(binary_form=True)
        peer = transport.get_extra_info("peername")
        self._peer_address = str(peer[0]) if peer else ""
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._server.connections.discard(self)
        self.resume_writing()
        if self._body is not None:
            self._body.finish(broken=True)
        if self._tunnel is not None:
            self._tunnel.feed_eof()
        elif self._task is not None and self._may_stop:
            self._task.cancel()

    def eof_received(self) -> bool:
        if self._tunnel is not None:
            self._tunnel.feed_eof()
            return self._transport.get_extra_info("ssl_object") is None
        return False

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.feed(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded += data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._refuse(400)
            return
        if self._ready is not None:
            self._start()

    def pause_writing(self) -> None:
        self._can_write = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._can_write is not None and not self._can_write.done():
            self._can_write.set_result(None)
        self._can_write = None

    def pause_reading(self) -> None:
        if not self._paused and not self._closing:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            self._transport.resume_reading()

    # The parser's side.

    def on_message_begin(self) -> None:
        self._url, self._headers, self._header_bytes = b"", [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(431)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        raw = self._url.decode("latin-1")
        if not raw.startswith("/"):
            parsed = httptools.parse_url(self._url)
            raw = (parsed.path or b"/").decode("latin-1")
            if parsed.query:
                raw += "?" + parsed.query.decode("latin-1")
        path, _, query = raw.partition("?")
        headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in self._headers}
        body = _Body(self)
        body.announce = headers.get("expect", "").lower() == "100-continue"
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=path,
            raw_query=query,
            headers=headers,
            raw_headers=self._headers,
            peer_cert=self._peer_cert,
            peer_address=self._peer_address,
        )
        self._body = body
        entry = (request, body, self._parser.should_keep_alive())
        if self._task is None and self._ready is None:
            self._ready = entry
        else:
            self._queue.append(entry)
            self.pause_reading()

    def on_body(self, piece: bytes) -> None:
        if self._body is not None:
            self._body.feed(piece)

    def on_message_complete(self) -> None:
        if self._body is not None:
            self._body.finish()
            self._body = None

    # Requests, one after the other.

    def _start(self) -> None:
        assert self._ready is not None
        request, body, keep_alive = self._ready
        self._ready = None
        self.idle_since = None
        self._may_stop = request.method in ("GET", "HEAD") or request.is_upgrade
        request.body = body.take()
        if not body.complete:
            request.chunks = body.chunks
        self._task = self._server.loop.create_task(self._serve(request, body, keep_alive))

    async def _serve(self, request: Request, body: _Body, keep_alive: bool) -> None:
        try:
            response = await self._server.handler(request)
            keep_alive = keep_alive and not self._server.stopping and not request.is_upgrade
            if not body.complete:
                keep_alive = False  # what is left of the body is not worth reading
            await self._respond(request, response, keep_alive)
        except (ConnectionError, asyncio.CancelledError):
            keep_alive = False
        except Exception:
            log.exception("answering %s %s", request.method, request.path)
            keep_alive = False
        self._task = None
        if self._closing:
            return
        if not keep_alive:
            self.close()
        elif self._queue:
            self._ready = self._queue.popleft()
            self.resume_reading()
            self._start()
        else:
            self.idle_since = self._server.loop.time()

    async def _respond(self, request: Request, response: Response, keep_alive: bool) -> None:
        body = response.body
        headers = response.headers
        cache_control = headers.get("Cache-Control", "no-cache, private")
        head = _head(response.status, headers.get("Content-Type", ""), cache_control) + _date.line()
        audit = request.headers.get("audit-id") or f"{_audit_prefix}{next(_audit_numbers):012x}"
        more = f"Audit-Id: {audit}\r\n{request.flow_lines}"
        for name, value in headers.items():
            if name not in _OWN_HEADERS or (response.status == 101 and name != "Date"):
                more += f"{name}: {value}\r\n"
        for text in request.warnings:
            more += f"Warning: {warning(text)}\r\n"
        if isinstance(body, Upgrade):
            await self._switch(b"HTTP/1.1 101 Switching Protocols\r\n" + more.encode("latin-1") + b"\r\n", body)
            return
        if not keep_alive:
            more += "Connection: close\r\n"
        if isinstance(body, bytes):
            body_bytes = b"" if request.method == "HEAD" else body
            rest = more.encode("latin-1", "replace")
            self.write(b"%b%bContent-Length: %d\r\n\r\n%b" % (head, rest, len(body), body_bytes))
        elif isinstance(body, list):
            length = sum(map(len, body))
            self.write(b"%b%bContent-Length: %d\r\n\r\n" % (head, more.encode("latin-1", "replace"), length))
            if request.method != "HEAD":
                for piece in body:
                    self.write(piece)
                    await self.drain()
        else:
            self.write(b"%b%bTransfer-Encoding: chunked\r\n\r\n" % (head, more.encode("latin-1", "replace")))
            await self._stream(body)
        if self._can_write is not None:
            await self.drain()

    async def _stream(self, pieces: AsyncIterator[bytes]) -> None:
        try:
            async for piece in pieces:
                if piece:
                    self.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    if self._can_write is not None:
                        await self.drain()
        finally:
            closing = getattr(pieces, "aclose", None)
            if closing is not None:
                await closing()
        self.write(b"0\r\n\r\n")

    async def _switch(self, head: bytes, upgrade: Upgrade) -> None:
        self.write(head)
        self._tunnel = Tunnel(self, self._upgraded)
        self._upgraded = b""
        await upgrade.run(self._tunnel)

    # What others ask of a connection.

    def write(self, data: bytes) -> None:
        """Send bytes, or drop them if the client is gone."""
        if not self._closing:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Close the sending half, where the transport can."""
        if not self._closing and self._transport.can_write_eof():
            self._transport.write_eof()

    async def drain(self) -> None:
        """Wait until the client has taken enough; raises if it has gone."""
        if self._can_write is not None:
            await self._can_write
        if self._closing:
            raise ConnectionResetError("the client went away")

    def close(self) -> None:
        """Close once what was written is sent."""
        if not self._closing:
            self._closing = True
            self._transport.close()

    def cancel(self) -> None:
        """End the request in progress."""
        if self._task is not None:
            self._task.cancel()
        else:
            self.close()

    def _refuse(self, status: int) -> None:
        text = f"{status} {_REASONS[status]}".encode()
        self.write(
            b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%b" % (text, text)
        )
        self.close()


def warning(text: str) -> str:
    """The value of a `Warning` header: code 299, no agent, the text quoted."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    return '299 - "' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Tunnel:
    """A connection's raw bytes after an upgrade: the `Stream` that the upgrade gets."""

    def __init__(self, connection: Connection, first: bytes) -> None:
        self._connection = connection
        self._pieces: deque[bytes] = deque([first] if first else [])
        self._size = len(first)
        self._eof = False
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > BODY_HIGH_WATER:
            self._connection.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        """The client will send no more."""
        self._eof = True
        self._wake()

    async def read(self) -> bytes:
        while not self._pieces:
            if self._eof:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._connection.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        self._connection.write(data)
        await self._connection.drain()

    def write_eof(self) -> None:
        self._connection.write_eof()

    def close(self) -> None:
        self._connection.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class HttpServer:
    """The listening sockets and all connections of one server."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[Connection] = set()
        self.stopping = False
        self.loop = asyncio.get_running_loop()
        self._listeners: list[asyncio.Server] = []
        self._sweeper = self.loop.call_later(IDLE_TIMEOUT / 6, self._sweep)

    async def listen(self, host: str, port: int, tls: Any = None) -> int:
        """Listen on an address; returns the port (chosen by the system if 0)."""
        server = await self.loop.create_server(lambda: Connection(self), host, port, ssl=tls, backlog=1024)
        self._listeners.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _sweep(self) -> None:
        """Close connections that have been idle too long."""
        oldest = self.loop.time() - IDLE_TIMEOUT
        for connection in list(self.connections):
            if connection.idle_since is not None and connection.idle_since < oldest:
                connection.close()
        self._sweeper = self.loop.call_later(IDLE_TIMEOUT / 6, self._sweep)

    async def stop(self, grace: float = 5.0) -> None:
        """Accept no more, let requests in progress end within `grace` seconds, then close everything."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        self._sweeper.cancel()
        for connection in list(self.connections):
            if connection.idle_since is not None:
                connection.close()
        deadline = clock.monotonic() + grace
        while self.connections and clock.monotonic() < deadline:
            await clock.sleep(0.02)
        for connection in list(self.connections):
            connection.cancel()
        for _ in range(50):
            if not self.connections:
                break
            await clock.sleep(0.01)
        for connection in list(self.connections):
            connection.close()
