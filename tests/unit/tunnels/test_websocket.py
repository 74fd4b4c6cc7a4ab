"""The server's end of a WebSocket, frame by frame."""

import asyncio
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynetes.apiserver.request import Request
from pynetes.apiserver.tunnels.websocket import BINARY, TEXT, ProtocolError, WebSocket, accept, frame, unmask


class Fed:
    """A stream that gives what it was fed, piece by piece, and remembers what was written."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.written = b""

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


def client_frame(opcode: int, data: bytes, mask: bytes = b"\x11\x22\x33\x44", *, final: bool = True) -> bytes:
    size = len(data)
    first = (0x80 if final else 0) | opcode
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def received(*frames: bytes, size: int = 7) -> tuple[list[tuple[int, bytes]], bytes]:
    data = b"".join(frames)
    fed = Fed([data[start : start + size] for start in range(0, len(data), size)])

    async def read() -> list[tuple[int, bytes]]:
        socket = WebSocket(fed)
        found = []
        while (message := await socket.receive()) is not None:
            found.append((message.opcode, message.data))
        return found

    return asyncio.run(read()), fed.written


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_is_its_own_inverse(data: bytes, mask: bytes) -> None:
    assert unmask(data, mask) == bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    assert unmask(unmask(data, mask), mask) == data


@settings(deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=4), st.integers(1, 50))
def test_messages_arrive_whole_however_they_are_cut(messages: list[bytes], size: int) -> None:
    found, written = received(*(client_frame(BINARY, message) for message in messages), size=size)
    assert found == [(BINARY, message) for message in messages]
    assert written == b""


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
def test_every_length_has_its_form(size: int) -> None:
    found, _ = received(client_frame(BINARY, b"x" * size), size=1 << 16)
    assert found == [(BINARY, b"x" * size)]
    made = frame(BINARY, b"x" * size)
    assert made[-size:] == b"x" * size
    assert len(made) - size == (2 if size < 126 else 4 if size < 1 << 16 else 10)


def test_fragments_are_joined_and_pings_answered_in_between() -> None:
    found, written = received(
        client_frame(TEXT, b"one ", final=False), client_frame(9, b"are you there"), client_frame(0, b"two")
    )
    assert found == [(TEXT, b"one two")]
    assert written == frame(10, b"are you there")


def test_a_goodbye_is_returned() -> None:
    found, written = received(client_frame(8, struct.pack("!H", 1000)), client_frame(BINARY, b"too late"))
    assert found == []
    assert written == frame(8, struct.pack("!H", 1000))


def test_reserved_bits_are_refused() -> None:
    with pytest.raises(ProtocolError):
        received(b"\xc2\x80\0\0\0\0")


def test_the_handshake_is_the_standards_example() -> None:
    request = Request(
        "GET", "/", headers={"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13"}
    )
    headers = accept(request, "v5.channel.k8s.io")
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert headers["Sec-WebSocket-Protocol"] == "v5.channel.k8s.io"
