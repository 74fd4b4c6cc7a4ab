"""The server's end of a WebSocket (RFC 6455) over a raw stream: frames in, frames out.

`accept` makes the headers of the `101` answer, `WebSocket` then speaks over the stream. Fragments are joined, pings
answered, masks removed; extensions are not offered.
"""

import asyncio
import base64
import contextlib
import hashlib
import struct
from typing import NamedTuple

from pynetes.apiserver.request import Request, Stream
from pynetes.machinery import errors

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_LARGEST = 32 * 1024 * 1024


class Message(NamedTuple):
    """A whole message."""

    opcode: int
    data: bytes


class ProtocolError(Exception):
    """The peer does not keep to the protocol."""


def is_requested(request: Request) -> bool:
    """Whether the client wants a WebSocket."""
    return request.is_upgrade and request.headers["upgrade"].lower() == "websocket"


def subprotocols(request: Request) -> list[str]:
    """What the client offers to speak, best first."""
    offered = ",".join(request.header_values("sec-websocket-protocol"))
    return [entry.strip() for entry in offered.split(",") if entry.strip()]


def accept(request: Request, protocol: str) -> dict[str, str]:
    """The headers of the answer that opens the WebSocket."""
    key = request.headers.get("sec-websocket-key", "")
    if not key or request.headers.get("sec-websocket-version") != "13":
        raise errors.bad_request("the request is not a WebSocket handshake of version 13")
    digest = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": digest}
    return headers | {"Sec-WebSocket-Protocol": protocol} if protocol else headers


def unmask(data: bytes, mask: bytes) -> bytes:
    """The data with the client's mask taken off, as one big number at a time."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def frame(opcode: int, data: bytes) -> bytes:
    """One whole, unmasked frame."""
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + data


class WebSocket:
    """Messages over a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._closed = False

    async def receive(self) -> Message | None:
        """The next data message; None when the client closed, or went away."""
        opcode, pieces, size = 0, [], 0
        while True:
            received = await self._frame()
            if received is None:
                return None
            final, code, data = received
            if code == CLOSE:
                await self.close(struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1000)
                return None
            if code == PING:
                await self._stream.write(frame(PONG, data))
                continue
            if code == PONG:
                continue
            if code != CONTINUATION:
                opcode = code
            pieces.append(data)
            size += len(data)
            if size > _LARGEST:
                raise ProtocolError("message too large")
            if final:
                return Message(opcode, pieces[0] if len(pieces) == 1 else b"".join(pieces))

    async def send(self, data: bytes, opcode: int = BINARY) -> None:
        """Send one message."""
        if not self._closed:
            await self._stream.write(frame(opcode, data))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, once."""
        if not self._closed:
            self._closed = True
            await self._stream.write(frame(CLOSE, struct.pack("!H", code) + reason.encode()[:120]))

    async def farewell(self, patience: float = 1.0) -> None:
        """Wait for the client's own goodbye, or for it to hang up: closing earlier may cut off what was sent."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(patience):
                while (data := await self._stream.read()) and data[0] != 0x80 | CLOSE:
                    continue

    async def _frame(self) -> tuple[bool, int, bytes] | None:
        head = await self._take(2)
        if head is None:
            return None
        final, opcode, masked, size = bool(head[0] & 0x80), head[0] & 0x0F, bool(head[1] & 0x80), head[1] & 0x7F
        if head[0] & 0x70:
            raise ProtocolError("reserved bits are set")
        if size >= 126:
            extended = await self._take(2 if size == 126 else 8)
            if extended is None:
                return None
            size = int.from_bytes(extended, "big")
        if size > _LARGEST:
            raise ProtocolError("frame too large")
        mask = await self._take(4) if masked else b""
        data = await self._take(size)
        if mask is None or data is None:
            return None
        return final, opcode, unmask(data, mask) if masked and data else data

    async def _take(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            more = await self._stream.read()
            if not more:
                return None
            self._buffer += more
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data
