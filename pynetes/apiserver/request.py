"""The values that travel through the request pipeline: who asks, what for, and what is answered.

`Request` is made once by the HTTP server, filled step by step (`info` by the path, `user` by authentication) and never
knows what server is under it. `Response` is what a verb gives back: ready bytes, pieces that are joined on the wire, a
stream of chunks, or an `Upgrade`, which takes over the connection after `101 Switching Protocols`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs

from pynetes.machinery import errors


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who sent a request, as authentication (and impersonation) found."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))
LOOPBACK = UserInfo("system:apiserver", groups=("system:masters", "system:authenticated"))


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a request asks for: upstream's attributes, as authorization and audit see them.

    `verb` is get, list, watch, create, update, patch, delete, deletecollection for resources and the lower-case HTTP
    method for everything else. `tail` is the path behind the subresource (what a proxy forwards), with its slash.
    """

    is_resource: bool
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    tail: str = ""
    field_selector: str = ""  # of a list, watch or deletecollection: authorization of nodes depends on it

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, or `pods` for the core group."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


class Stream(Protocol):
    """One raw byte connection in both directions, as an upgrade hands it over."""

    async def read(self) -> bytes:
        """The next bytes, or b"" when the peer will send no more."""
        ...

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting while the peer is slow."""
        ...

    def write_eof(self) -> None:
        """Say that no more will be sent, where the transport can say so."""
        ...

    def close(self) -> None:
        """Close both directions."""
        ...


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The body of a `101` answer: `run` owns the connection once the head is written; it is closed when `run` ends."""

    run: Callable[[Stream], Awaitable[None]]


Body = bytes | list[bytes] | AsyncIterator[bytes] | Upgrade


async def _no_body() -> AsyncIterator[bytes]:
    return
    yield b""


@dataclass(slots=True)
class Request:
    """One HTTP request. Names in `headers` are in lower case; `raw_headers` has them as sent, repeats included."""

    method: str
    path: str
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    chunks: Callable[[], AsyncIterator[bytes]] = _no_body
    peer_cert: bytes | None = None
    peer_address: str = ""
    user: UserInfo | None = None
    info: RequestInfo | None = None
    warnings: list[str] = field(default_factory=list)
    raw_path: str = ""
    flow_lines: str = ""  # the answer's headers that name the flow schema, ready to be written
    _query: dict[str, list[str]] | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's parameters, each with all of its values."""
        if self._query is None:
            self._query = parse_qs(self.raw_query, keep_blank_values=True) if self.raw_query else {}
        return self._query

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        if not self.raw_query:
            return default
        values = self.query.get(name)
        return values[0] if values else default

    def header_values(self, name: str) -> list[str]:
        """Every value of a header that may be repeated, in the order sent."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.raw_headers if key.lower() == wanted]

    @property
    def is_upgrade(self) -> bool:
        """Whether the client asks to switch protocols (`Connection: Upgrade`)."""
        return "upgrade" in self.headers.get("connection", "").lower() and "upgrade" in self.headers

    async def read_body(self, limit: int) -> bytes:
        """Read what is left of the body into `body`; 413 once it grows over `limit` bytes (0: no limit)."""
        pieces, size = [self.body], len(self.body)
        if limit and size > limit:
            raise errors.request_entity_too_large(f"limit is {limit}")
        async for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if limit and size > limit:
                raise errors.request_entity_too_large(f"limit is {limit}")
        if len(pieces) > 1:
            self.body = b"".join(pieces)
        return self.body


@dataclass(slots=True)
class Response:
    """One HTTP answer. `Content-Type` and the like go into `headers`; the server adds length, date and warnings."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = b""


JSON = "application/json"


def json_response(body: bytes | list[bytes] | AsyncIterator[bytes], status: int = 200) -> Response:
    """An answer of ready-made JSON bytes."""
    return Response(status, {"Content-Type": JSON}, body)


def text_response(text: str, status: int = 200) -> Response:
    """A plain text answer, as health checks and metrics give."""
    return Response(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())
