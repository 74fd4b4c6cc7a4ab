"""A small HTTP/1.1 client that costs little, so that what is measured is the server.

Each connection is one asyncio protocol that keeps one request in flight; a run of `count` requests over several
connections returns every latency. It knows just what an API server answers: a length or chunks.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools

from pynetes.client import kubeconfig
from pynetes.machinery import clock


@dataclass
class Target:
    """An API server and how to be admitted to it."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    headers: str

    @classmethod
    def from_kubeconfig(cls, path: str) -> "Target":
        """The current context of a kubeconfig."""
        server = kubeconfig.load(path)
        url = urlsplit(server.server)
        token = server.bearer()
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        tls = server.ssl_context()
        port = url.port or (443 if tls else 80)
        return cls(url.hostname or "", port, tls, f"Host: {url.netloc}\r\n{bearer}")

    def request(self, method: str, path: str, body: bytes = b"", accept: str = "application/json") -> bytes:
        """The bytes of a request."""
        head = f"{method} {path} HTTP/1.1\r\n{self.headers}Accept: {accept}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body


class Connection(asyncio.Protocol):
    """One connection; `ask` sends a request and returns the status and the length of the answer's body."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, int]] | None = None
        self._length = 0
        self._on_data: Callable[[bytes], None] | None = None
        self.body = bytearray()
        self.keep_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if self._on_data is not None:
            self._on_data(data)
        else:
            self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._length = 0
        self.body.clear()

    def on_body(self, data: bytes) -> None:
        self._length += len(data)
        if self.keep_body:
            self.body += data

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, self._length))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server closed the connection"))

    async def ask(self, request: bytes) -> tuple[int, int]:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def stream(self, request: bytes, on_data: Callable[[bytes], None]) -> None:
        """Send a request whose answer never ends; every piece of it goes to `on_data`."""
        self._on_data = on_data
        self.transport.write(request)


async def connect(target: Target) -> Connection:
    """A new connection."""
    _, protocol = await asyncio.get_running_loop().create_connection(
        Connection, target.host, target.port, ssl=target.tls
    )
    return protocol


@dataclass
class Run:
    """What a run of requests took."""

    seconds: float
    latencies: list[float]
    bytes: int

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that `share` of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


async def load(target: Target, count: int, connections: int, make: Callable[[int], bytes], expect: int) -> Run:
    """Send `count` requests over `connections`; every answer must have the status `expect`."""
    numbers = iter(range(count))
    latencies: list[float] = []
    size = 0
    clients = [await connect(target) for _ in range(connections)]

    async def worker(client: Connection) -> None:
        nonlocal size
        for number in numbers:
            began = clock.monotonic()
            status, length = await client.ask(make(number))
            latencies.append(clock.monotonic() - began)
            size += length
            if status != expect:
                raise RuntimeError(f"request {number} was answered with {status} instead of {expect}")

    began = clock.monotonic()
    try:
        await asyncio.gather(*(worker(client) for client in clients))
    finally:
        for client in clients:
            client.transport.close()
    return Run(clock.monotonic() - began, latencies, size)
