"""The DNS server: UDP and TCP on the cluster DNS address, answers from the zone, the rest forwarded.

Until the caches are filled, names of the cluster get SERVFAIL: a client then asks again, where NXDOMAIN would be
believed.
"""

import asyncio
import contextlib
import logging

from pynetes.machinery import clock
from pynetes.network.dns import message
from pynetes.network.dns.forward import Forwarder, fit
from pynetes.network.dns.message import (
    ANY,
    BADVERS,
    CLASS_ANY,
    CNAME,
    FORMERR,
    IN,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Answer,
    Query,
)
from pynetes.network.dns.zone import Zone, address_of

log = logging.getLogger(__name__)

_CNAME_DEPTH = 8
_IDLE_SECONDS = 10.0


class DnsServer:
    """Answers queries; `ready` says whether the caches behind the zone are filled."""

    def __init__(self, zone: Zone, forwarder: Forwarder) -> None:
        self._zone = zone
        self._forwarder = forwarder
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: list[asyncio.DatagramTransport] = []
        self._servers: list[asyncio.Server] = []
        self.ready = False

    async def listen(self, address: str, port: int = 53) -> int:
        """Listen on an address; returns the port (of interest if 0 was asked for)."""
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve_tcp, address, port)
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), (address, port))
        self._servers.append(server)
        self._transports.append(transport)
        return port

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()
        for transport in self._transports:
            transport.close()

    def answer_now(self, data: bytes, *, udp: bool) -> "bytes | Query | None":
        """The response if it can be given at once, None if there is none to give, else the query to be awaited."""
        try:
            query = message.parse_query(data)
        except message.Malformed:
            return message.refuse(data, FORMERR)
        if query.opcode:
            return message.refuse(data, NOTIMP)
        answer = self._local(query)
        if answer is not None:
            return self._build(query, answer, udp=udp)
        cached = self._forwarder.cached(query)
        return query if cached is None else fit(cached, query, udp=udp)

    async def answer_later(self, query: Query, *, udp: bool) -> bytes:
        """The response to a query that `answer_now` could not answer."""
        if self._zone.contains(query.name) and query.cls in (IN, CLASS_ANY):
            return self._build(query, await self._follow(query), udp=udp)
        data = await self._forwarder.ask(query)
        if data is None:
            return self._build(query, Answer(SERVFAIL, authoritative=False), udp=udp)
        return fit(data, query, udp=udp)

    def _build(self, query: Query, answer: Answer, *, udp: bool) -> bytes:
        return message.build(query, answer, recursion=self._forwarder.available, udp=udp)

    def _local(self, query: Query) -> Answer | None:
        """The answer that needs nobody else; None if somebody must be asked."""
        if query.edns_version:
            return Answer(BADVERS, authoritative=False)
        if query.cls not in (IN, CLASS_ANY):
            return Answer(REFUSED, authoritative=False)
        if self._zone.contains(query.name):
            if not self.ready:
                return Answer(SERVFAIL, authoritative=False)
            answer = self._zone.lookup(query.name, query.type)
            return None if _needs_following(answer, query.type) else answer
        if address_of(query.name) is not None and self.ready:
            answer_or_none = self._zone.reverse(query.name)
            if answer_or_none is not None:
                if query.type in (message.PTR, ANY):
                    return answer_or_none
                return Answer(authority=[self._zone.authority()])
        return None if self._forwarder.available else Answer(SERVFAIL, authoritative=False)

    async def _follow(self, query: Query) -> Answer:
        """An ExternalName with what it leads to, inside the zone or outside."""
        answer = self._zone.lookup(query.name, query.type)
        code = NOERROR
        for _ in range(_CNAME_DEPTH):
            if not _needs_following(answer, query.type):
                break
            target, _ = message.decode_name(answer.records[-1].data, 0)
            if self._zone.contains(target):
                step = self._zone.lookup(target, query.type)
                code = step.code
                answer.records += step.records
                if not step.records:
                    break
                continue
            question = message.encode_name(target) + query.type.to_bytes(2, "big") + IN.to_bytes(2, "big")
            outside = Query(0, query.flags, target, query.type, IN, question, dnssec_ok=False)
            data = await self._forwarder.ask(outside) if self._forwarder.available else None
            if data is None:
                code = SERVFAIL
                break
            code = data[3] & 0xF
            answer.records += message.addresses(data)
            break
        answer.code = code if code in (NOERROR, NXDOMAIN) else SERVFAIL
        return answer

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await clock.wait_for(reader.readexactly(2), _IDLE_SECONDS)
                data = await clock.wait_for(reader.readexactly(int.from_bytes(head, "big")), _IDLE_SECONDS)
                response = self.answer_now(data, udp=False)
                if isinstance(response, Query):
                    response = await self.answer_later(response, udp=False)
                if response is None:
                    break
                writer.write(len(response).to_bytes(2, "big") + response)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass  # the client has what it wanted, or is gone
        finally:
            writer.close()

    def answer_udp(self, transport: asyncio.DatagramTransport, data: bytes, peer: tuple[str, int]) -> None:
        """Answer one datagram, now or when the answer is there."""
        response = self.answer_now(data, udp=True)
        if isinstance(response, bytes):
            transport.sendto(response, peer)
        elif response is not None:
            task = asyncio.get_running_loop().create_task(self._answer_udp_later(transport, response, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_udp_later(
        self, transport: asyncio.DatagramTransport, query: Query, peer: tuple[str, int]
    ) -> None:
        response = await self.answer_later(query, udp=True)
        with contextlib.suppress(OSError):
            transport.sendto(response, peer)


def _needs_following(answer: Answer, kind: int) -> bool:
    return bool(answer.records) and answer.records[-1].type == CNAME and kind not in (CNAME, ANY)


class _Udp(asyncio.DatagramProtocol):
    """Hands datagrams to the server."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]  # that is what UDP has

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.answer_udp(self._transport, data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("dns: %s", exc)
