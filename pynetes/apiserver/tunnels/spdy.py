"""SPDY/3.1, as much as Kubernetes' streaming speaks: streams with headers, data, half-close and reset.

A `Session` runs over any connection with `read` and `write`. Either side may open streams (the client's numbers are
odd); each is a pair of byte directions. There is no flow control by window: the streaming servers this talks to ignore
it, and TCP's own applies, since a session stops reading when a stream's reader is slow. Header blocks are compressed
with the dictionary of the specification.
"""

import asyncio
import struct
import zlib
from collections import deque
from collections.abc import Callable
from typing import Protocol

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _entry(word: str) -> bytes:
    text = word.replace("_", " ").encode()
    return struct.pack("!I", len(text)) + text


DICTIONARY = b"".join(map(_entry, _WORDS.split())) + _TAIL.encode()

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN = 1
_VERSION = 0x8003
_PIECE = 1 << 16
_HIGH_WATER = 1 << 20
CANCEL = 5

Headers = dict[str, str]


class Connection(Protocol):
    """What a session runs over."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class SessionClosed(Exception):
    """The connection under the session is gone, or the peer reset the stream."""


class SpdyStream:
    """One stream: read until b"", write, `finish` the sending half."""

    def __init__(self, session: "Session", number: int, headers: Headers) -> None:
        self.number = number
        self.headers = headers
        self._session = session
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._reset = False
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._finished = False

    async def read(self) -> bytes:
        """What has arrived; b"" when the peer sends no more. Raises SessionClosed if the stream was cut off."""
        while not self._pieces:
            if self._reset:
                raise SessionClosed("the stream was reset")
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._drained.set()
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        for start in range(0, len(data), _PIECE):
            await self._session.send_data(self.number, data[start : start + _PIECE])

    async def finish(self) -> None:
        """Say that no more will be sent, once."""
        if not self._finished:
            self._finished = True
            await self._session.send_data(self.number, b"", _FIN)

    async def reset(self) -> None:
        """Give the stream up in both directions."""
        await self._session.send_control(_RST_STREAM, 0, struct.pack("!II", self.number, CANCEL))
        self.cut()

    async def feed(self, data: bytes, *, end: bool) -> None:
        """Bytes from the peer; waits while too many are unread."""
        if data:
            self._pieces.append(data)
            self._size += len(data)
        self._ended = self._ended or end
        self._changed.set()
        if self._size > _HIGH_WATER and not self._reset:
            self._drained.clear()
            await self._drained.wait()

    def cut(self) -> None:
        """No more will come, and what was expected did not."""
        if not self._ended:
            self._reset = True
        self._changed.set()
        self._drained.set()


class Session:
    """SPDY over one connection. `run` reads until the connection ends; `open` makes a stream."""

    def __init__(
        self, connection: Connection, *, client: bool = True, on_stream: Callable[[SpdyStream], None] | None = None
    ) -> None:
        self._connection = connection
        self._next = 1 if client else 2
        self._on_stream = on_stream
        self._streams: dict[int, SpdyStream] = {}
        self._compressor = zlib.compressobj(zdict=DICTIONARY)
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)
        self._sending = asyncio.Lock()
        self.closed = False

    async def open(self, headers: Headers) -> SpdyStream:
        """Open a stream with these headers."""
        async with self._sending:  # numbers and header compression must go out in the same order
            stream = SpdyStream(self, self._next, headers)
            self._next += 2
            self._streams[stream.number] = stream
            body = struct.pack("!IIH", stream.number, 0, 0) + self._block(headers)
            await self._write_control(_SYN_STREAM, 0, body)
        return stream

    async def reply(self, stream: SpdyStream, headers: Headers | None = None) -> None:
        """Accept a stream that the peer opened."""
        async with self._sending:
            body = struct.pack("!I", stream.number) + self._block(headers or {})
            await self._write_control(_SYN_REPLY, 0, body)

    async def send_data(self, number: int, data: bytes, flags: int = 0) -> None:
        """Send one data frame."""
        async with self._sending:
            await self._write(struct.pack("!II", number, flags << 24 | len(data)) + data)

    async def send_control(self, kind: int, flags: int, body: bytes) -> None:
        """Send one control frame."""
        async with self._sending:
            await self._write_control(kind, flags, body)

    async def run(self) -> None:
        """Read frames until the connection ends; then every stream ends too."""
        buffer = bytearray()
        try:
            while data := await self._connection.read():
                buffer += data
                while len(buffer) >= 8:
                    first, second = struct.unpack_from("!II", buffer)
                    size = second & 0xFFFFFF
                    if len(buffer) < 8 + size:
                        break
                    body = bytes(buffer[8 : 8 + size])
                    del buffer[: 8 + size]
                    await self._frame(first, second >> 24, body)
        finally:
            self.closed = True
            for stream in self._streams.values():
                stream.cut()

    async def _frame(self, first: int, flags: int, body: bytes) -> None:
        if not first & 0x80000000:
            stream = self._streams.get(first)
            if stream is not None:
                await stream.feed(body, end=bool(flags & _FIN))
            return
        kind = first & 0xFFFF
        if kind == _SYN_STREAM:
            await self._opened(struct.unpack_from("!I", body)[0] & 0x7FFFFFFF, self._headers(body[10:]), flags)
        elif kind in (_SYN_REPLY, _HEADERS):
            stream = self._streams.get(struct.unpack_from("!I", body)[0] & 0x7FFFFFFF)
            self._headers(body[4:])  # always: the compression of later blocks builds on this one
            if stream is not None and flags & _FIN:
                await stream.feed(b"", end=True)
        elif kind == _RST_STREAM:
            stream = self._streams.pop(struct.unpack_from("!I", body)[0] & 0x7FFFFFFF, None)
            if stream is not None:
                stream.cut()
        elif kind == _PING:
            number = struct.unpack("!I", body)[0]
            if number % 2 != self._next % 2:  # ours come back to us; the peer's are answered
                await self.send_control(_PING, 0, body)

    async def _opened(self, number: int, headers: Headers, flags: int) -> None:
        stream = SpdyStream(self, number, headers)
        if self._on_stream is None:
            await self.send_control(_RST_STREAM, 0, struct.pack("!II", number, 3))
            return
        self._streams[number] = stream
        if flags & _FIN:
            await stream.feed(b"", end=True)
        await self.reply(stream)
        self._on_stream(stream)

    def _block(self, headers: Headers) -> bytes:
        pairs = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        raw = struct.pack("!I", len(pairs)) + b"".join(
            struct.pack("!I", len(text)) + text for pair in pairs for text in pair
        )
        return self._compressor.compress(raw) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def _headers(self, block: bytes) -> Headers:
        raw = self._decompressor.decompress(block)
        if len(raw) < 4:
            return {}
        count, offset, texts = struct.unpack_from("!I", raw)[0], 4, []
        for _ in range(2 * count):
            size = struct.unpack_from("!I", raw, offset)[0]
            texts.append(raw[offset + 4 : offset + 4 + size].decode("latin-1"))
            offset += 4 + size
        return {key.lower(): value.replace("\0", ",") for key, value in zip(texts[::2], texts[1::2], strict=True)}

    async def _write_control(self, kind: int, flags: int, body: bytes) -> None:
        await self._write(struct.pack("!HHI", _VERSION, kind, flags << 24 | len(body)) + body)

    async def _write(self, data: bytes) -> None:
        if self.closed:
            raise SessionClosed("the connection is closed")
        await self._connection.write(data)
