"""Forgetting UDP connections whose service changed under them.

A UDP "connection" lives in the kernel's table as long as packets come, and keeps its translation: a client that
always sends from one port would talk to a deleted endpoint for ever, or to nobody if it began before the service had
endpoints. TCP needs no such help, it fails and reconnects. The kernel's table is read once per change that matters.
"""

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pynetes.network.netlink import Message, NetfilterSocket, NetlinkError, attr, netfilter_header, parse
from pynetes.network.nft import IPV4, UDP, ip

Frontend = tuple[bytes, int]

_SUBSYSTEM = 1 << 8
_GET, _DELETE = 1, 2
_ORIGINAL, _REPLY, _ID = 1, 2, 12
_NESTED = 0x8000


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked UDP flow: where the client sent, who answers, and what identifies it to the kernel."""

    destination: bytes
    port: int
    answered_by: bytes
    identity: bytes


def stale(flows: Iterable[Flow], frontends: Mapping[Frontend, frozenset[bytes]]) -> list[Flow]:
    """The flows to a known frontend that are answered by something that is none of its endpoints now."""
    return [
        flow
        for flow in flows
        if (endpoints := frontends.get((flow.destination, flow.port))) is not None and flow.answered_by not in endpoints
    ]


class Conntrack:
    """The connection table of the network namespace in which this object is made."""

    def __init__(self) -> None:
        self._socket = NetfilterSocket()

    def forget_stale(self, frontends: Mapping[Frontend, frozenset[bytes]]) -> int:
        """Delete the flows that `stale` finds; returns how many."""
        gone = stale(list(self.udp_flows()), frontends)
        for flow in gone:
            try:
                self._socket.request(Message(_SUBSYSTEM | _DELETE, 0, netfilter_header(IPV4) + flow.identity))
            except NetlinkError as error:
                if error.errno != errno.ENOENT:  # it may have timed out meanwhile
                    raise
        return len(gone)

    def udp_flows(self) -> Iterator[Flow]:
        """All UDP flows."""
        for body in self._socket.dump(Message(_SUBSYSTEM | _GET, 0, netfilter_header(IPV4))):
            flow = _flow(body)
            if flow is not None:
                yield flow

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _flow(body: bytes) -> Flow | None:
    attributes = parse(body)
    if _ORIGINAL not in attributes or _REPLY not in attributes:
        return None
    _, protocol, destination, port = _tuple(attributes[_ORIGINAL])
    if protocol != UDP:
        return None
    answered_by, *_ = _tuple(attributes[_REPLY])
    identity = attr(_ORIGINAL | _NESTED, attributes[_ORIGINAL])
    if _ID in attributes:
        identity += attr(_ID, attributes[_ID])
    return Flow(destination, port, answered_by, identity)


def _tuple(data: bytes) -> tuple[bytes, int, bytes, int]:
    """Source address, protocol, destination address and destination port of one direction."""
    parts = parse(data)
    addresses, transport = parse(parts.get(1, b"")), parse(parts.get(2, b""))
    return (
        addresses.get(1, b""),
        transport.get(1, b"\0")[0],
        addresses.get(2, b""),
        int.from_bytes(transport.get(3, b""), "big"),
    )


def frontend(address: str, port: int) -> Frontend:
    """The key of a frontend."""
    return ip(address), port
