"""Two SPDY sessions over a pipe: what one sends, the other gets, however it is cut into pieces."""

import asyncio
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynetes.apiserver.tunnels.spdy import DICTIONARY, Session, SessionClosed, SpdyStream


class Pipe:
    """One end of an in-memory connection that delivers in pieces of `size` bytes."""

    def __init__(self, size: int = 1 << 16) -> None:
        self.size = size
        self.other: Pipe
        self._bytes = bytearray()
        self._changed = asyncio.Event()
        self.closed = False

    @classmethod
    def pair(cls, size: int = 1 << 16) -> "tuple[Pipe, Pipe]":
        one, two = cls(size), cls(size)
        one.other, two.other = two, one
        return one, two

    async def read(self) -> bytes:
        while not self._bytes and not self.closed:
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._bytes[: self.size])
        del self._bytes[: self.size]
        return data

    async def write(self, data: bytes) -> None:
        self.other._bytes += data
        self.other._changed.set()

    def close(self) -> None:
        for end in (self, self.other):
            end.closed = True
            end._changed.set()


async def everything(stream: SpdyStream) -> bytes:
    pieces = []
    while data := await stream.read():
        pieces.append(data)
    return b"".join(pieces)


def test_the_dictionary_is_the_specifications() -> None:
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.dictionaries(st.text("abcXY-", min_size=1), st.text(max_size=20), max_size=4), st.binary()),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 40),
)
def test_streams_carry_headers_and_bytes_both_ways(content: list[tuple[dict[str, str], bytes]], size: int) -> None:
    async def talk() -> None:
        here, there = Pipe.pair(size)
        accepted: list[SpdyStream] = []
        client = Session(here)
        server = Session(there, client=False, on_stream=accepted.append)
        tasks = [asyncio.create_task(session.run()) for session in (client, server)]
        opened = []
        for headers, data in content:
            stream = await client.open(headers)
            await stream.write(data)
            await stream.finish()
            opened.append(stream)
        while len(accepted) < len(content):
            await asyncio.sleep(0)
        for stream, mine, (headers, data) in zip(accepted, opened, content, strict=True):
            assert stream.number == mine.number
            sent = {key.lower(): value.encode().decode("latin-1").replace("\0", ",") for key, value in headers.items()}
            assert stream.headers == sent or len(sent) < len(headers)
            assert await everything(stream) == data
            await stream.write(data[::-1])
            await stream.finish()
            assert await everything(mine) == data[::-1]
        here.close()
        await asyncio.gather(*tasks)

    asyncio.run(talk())


async def test_a_lost_connection_cuts_streams_off_but_not_what_had_ended() -> None:
    here, there = Pipe.pair()
    accepted: list[SpdyStream] = []
    client, server = Session(here), Session(there, client=False, on_stream=accepted.append)
    tasks = [asyncio.create_task(session.run()) for session in (client, server)]
    done, cut = await client.open({"n": "1"}), await client.open({"n": "2"})
    await done.write(b"whole")
    await done.finish()
    await cut.write(b"half")
    while len(accepted) < 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    here.close()
    await asyncio.gather(*tasks)
    assert await everything(accepted[0]) == b"whole"
    assert await accepted[1].read() == b"half"
    with pytest.raises(SessionClosed):
        await accepted[1].read()
    with pytest.raises(SessionClosed):
        await cut.write(b"more")


async def test_a_reset_stream_ends_alone() -> None:
    here, there = Pipe.pair()
    accepted: list[SpdyStream] = []
    client, server = Session(here), Session(there, client=False, on_stream=accepted.append)
    tasks = [asyncio.create_task(session.run()) for session in (client, server)]
    one, two = await client.open({}), await client.open({})
    await one.reset()
    await two.write(b"x")
    await two.finish()
    while len(accepted) < 2:
        await asyncio.sleep(0)
    with pytest.raises(SessionClosed):
        await accepted[0].read()
    assert await everything(accepted[1]) == b"x"
    here.close()
    await asyncio.gather(*tasks)


async def test_a_slow_reader_stops_the_session_from_reading_on() -> None:
    here, there = Pipe.pair()
    accepted: list[SpdyStream] = []
    client, server = Session(here), Session(there, client=False, on_stream=accepted.append)
    tasks = [asyncio.create_task(session.run()) for session in (client, server)]
    stream = await client.open({})
    await stream.write(b"x" * 5_000_000)
    await stream.finish()
    await asyncio.sleep(0.05)
    assert len(await accepted[0].read()) < 2_000_000
    assert len(await everything(accepted[0])) > 3_000_000
    here.close()
    await asyncio.gather(*tasks)
