"""Names outside the cluster: asked of upstream servers, remembered for a while.

Answers are kept as they came and only their identity and TTLs are rewritten, so nothing of them is lost; no answer is
kept longer than 30 seconds. Of many that ask the same at once, one asks upstream. A server that does not answer is
tried last until it does again.
"""

import asyncio
import random
import struct
from collections import OrderedDict
from dataclasses import dataclass

from pynetes.machinery import clock
from pynetes.network.dns import message
from pynetes.network.dns.message import CD, NOERROR, NXDOMAIN, RD, TC, Query

_TIMEOUT = 2.0
_ROUNDS = 2
_KEEP_AT_MOST = 30
_CACHE_SIZE = 10_000
_UDP_SIZE = 1232

Server = tuple[str, int]
Key = tuple[str, int, int, bool, bool]


def parse_server(text: str) -> Server:
    """`address` or `address:port` (IPv6 with a port in brackets)."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return address, int(port.removeprefix(":") or 53)
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, int(port)
    return text, 53


def resolv_conf_servers(text: str) -> list[Server]:
    """The name servers of a resolv.conf."""
    words = (line.split() for line in text.splitlines())
    return [(entry[1].partition("%")[0], 53) for entry in words if len(entry) > 1 and entry[0] == "nameserver"]


@dataclass(slots=True)
class _Kept:
    """A cached answer: where its TTLs are, when it came, until when it is good."""

    data: bytes
    places: list[int]
    at: float
    until: float


class Forwarder:
    """Asks `servers`, with a cache before them."""

    def __init__(self, servers: list[Server]) -> None:
        self._servers = [*servers]
        self._cache: OrderedDict[Key, _Kept] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[bytes | None]] = {}

    @property
    def available(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._servers)

    @staticmethod
    def _key(query: Query) -> Key:
        return query.name, query.type, query.cls, query.dnssec_ok, bool(query.flags & CD)

    def cached(self, query: Query) -> bytes | None:
        """The response from the cache, with identity 0 and the TTLs as they are now."""
        kept = self._cache.get(self._key(query))
        if kept is None:
            return None
        now = clock.monotonic()
        if now >= kept.until:
            del self._cache[self._key(query)]
            return None
        age = int(now - kept.at)
        if not age:
            return kept.data
        data = bytearray(kept.data)
        for place in kept.places:
            ttl = int.from_bytes(data[place : place + 4], "big")
            data[place : place + 4] = max(0, ttl - age).to_bytes(4, "big")
        return bytes(data)

    async def ask(self, query: Query) -> bytes | None:
        """The response from the cache or upstream, with identity 0; None if nobody answered."""
        found = self.cached(query)
        if found is not None:
            return found
        key = self._key(query)
        task = self._asking.get(key)
        if task is None:
            task = asyncio.ensure_future(self._ask_upstream(query))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _ask_upstream(self, query: Query) -> bytes | None:
        for _ in range(_ROUNDS):
            for server in [*self._servers]:
                try:
                    data = await clock.wait_for(self._exchange(server, query), _TIMEOUT)
                except (TimeoutError, OSError, asyncio.IncompleteReadError):
                    if self._servers[0] == server:
                        self._servers.append(self._servers.pop(0))
                    continue
                data = b"\0\0" + data[2:]
                self._keep(query, data)
                return data
        return None

    def _keep(self, query: Query, data: bytes) -> None:
        flags = int.from_bytes(data[2:4], "big")
        if (flags & 0xF) not in (NOERROR, NXDOMAIN) or flags & TC:
            return
        try:
            places, ttl = message.ttl_fields(data)
        except (message.Malformed, struct.error):
            return
        if not ttl:
            return
        now = clock.monotonic()
        self._cache[self._key(query)] = _Kept(data, places, now, now + min(ttl, _KEEP_AT_MOST))
        while len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)

    async def _exchange(self, server: Server, query: Query) -> bytes:
        """Ask one server over UDP, and over TCP if the answer does not fit."""
        identity = random.randrange(65536)
        flags = RD | (query.flags & CD)
        opt = b"\0" + struct.pack("!HHIH", message.OPT, _UDP_SIZE, 0x8000 if query.dnssec_ok else 0, 0)
        wire = struct.pack("!6H", identity, flags, 1, 0, 0, 1) + query.question + opt
        data = await _over_udp(server, wire)
        if int.from_bytes(data[2:4], "big") & TC:
            data = await _over_tcp(server, wire)
        return data


class _OneAnswer(asyncio.DatagramProtocol):
    """Waits for the datagram that answers `wire` and ignores all others."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        question = self._wire[12:-11]
        right = data[:2] == self._wire[:2] and len(data) >= 12 and data[2] & 0x80
        if right and data[12 : 12 + len(question)].lower() == question.lower() and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _over_udp(server: Server, wire: bytes) -> bytes:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _OneAnswer(wire), remote_addr=server
    )
    try:
        transport.sendto(wire)
        return await protocol.answer
    finally:
        transport.close()


async def _over_tcp(server: Server, wire: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(wire).to_bytes(2, "big") + wire)
        length = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(length)
        if len(data) < 12 or data[:2] != wire[:2]:
            raise ConnectionError("not an answer to what was asked")
        return data
    finally:
        writer.close()


def fit(data: bytes, query: Query, *, udp: bool) -> bytes:
    """A forwarded response for this client: its identity, its question's spelling, its RD, no larger than it takes."""
    flags = (int.from_bytes(data[2:4], "big") & ~(RD | message.AA)) | (query.flags & RD) | message.RA
    out = query.id.to_bytes(2, "big") + flags.to_bytes(2, "big") + data[4:12]
    out += query.question + data[12 + len(query.question) :]
    if udp and len(out) > min(query.size, message.UDP_LIMIT):
        return out[:2] + (flags | TC).to_bytes(2, "big") + b"\0\1\0\0\0\0\0\0" + query.question
    return out
