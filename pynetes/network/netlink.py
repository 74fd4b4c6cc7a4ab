"""Netlink as far as netfilter needs it: attributes, messages, one socket.

A netlink message is a header, a small fixed part and a list of attributes (length, type, value, padded to four
bytes), which may nest. Encoding them here instead of calling `nft` or libnftables keeps an update's cost independent
of what is already in the kernel (both read all chains back before every change) and the agent's memory small.

A socket belongs to the network namespace that its thread was in when it was opened, for good.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NETLINK_NETFILTER = 12

REQUEST, MULTI, ACK, DUMP = 0x1, 0x2, 0x4, 0x300
EXCL, CREATE, APPEND = 0x200, 0x400, 0x800

_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_SOL_NETLINK, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _NETLINK_EXT_ACK = 270, 32, 33, 11

_header = struct.Struct("=IHHII")
_attribute = struct.Struct("=HH")


class NetlinkError(OSError):
    """The kernel refused a message; `text` is what it says about it, `message` the message that it refused."""

    def __init__(self, code: int, text: str, message: "Message | None") -> None:
        self.text = text
        self.message = message
        about = f" ({message.label})" if message is not None and message.label else ""
        super().__init__(code, f"{os.strerror(code)}{': ' + text if text else ''}{about}")


@dataclass(frozen=True, slots=True)
class Message:
    """One netlink message: its type, flags, the fixed part with the attributes, and what it is for (in errors)."""

    kind: int
    flags: int
    payload: bytes
    label: str = ""


def attr(kind: int, value: bytes) -> bytes:
    """One attribute."""
    size = len(value) + 4
    return _attribute.pack(size, kind) + value + b"\0" * (-size % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attr(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A string attribute, ended by a zero byte as the kernel wants it."""
    return attr(kind, value.encode() + b"\0")


def be32(kind: int, value: int) -> bytes:
    """A 32-bit attribute in network byte order, signed or not."""
    return attr(kind, (value & 0xFFFFFFFF).to_bytes(4, "big"))


def be64(kind: int, value: int) -> bytes:
    """A 64-bit attribute in network byte order."""
    return attr(kind, value.to_bytes(8, "big"))


def parse(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by type; of repeated ones the last."""
    return dict(iterate(data))


def iterate(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in `data` in their order."""
    offset = 0
    while offset + 4 <= len(data):
        size, kind = _attribute.unpack_from(data, offset)
        if size < 4:
            return
        yield kind & _TYPE_MASK, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def netfilter_header(family: int, resource: int = 0) -> bytes:
    """`struct nfgenmsg`: the fixed part of every netfilter message."""
    return struct.pack("!BBH", family, 0, resource)


class NetfilterSocket:
    """A netfilter netlink socket; calls block for as long as the kernel works on them."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
        self._sequence = 0
        self._send_buffer = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def transact(self, messages: list[Message]) -> None:
        """Send `messages` as one netfilter batch: all of them take effect at once, or NetlinkError and none does."""
        if not messages:
            return
        subsystem = messages[0].kind >> 8
        begin = Message(0x10, REQUEST, netfilter_header(0, subsystem))
        end = Message(0x11, REQUEST, netfilter_header(0, subsystem))
        last = messages[-1]
        confirmed = Message(last.kind, last.flags | ACK, last.payload, last.label)
        first = self._sequence + 1
        self._send([begin, *messages[:-1], confirmed, end])
        acknowledged = first + len(messages)
        failure: NetlinkError | None = None
        while True:
            for sequence, code, note in self._errors(self._receive()):
                if sequence < first:  # left over from a batch that failed as a whole
                    continue
                if code and failure is None:
                    at = sequence - first - 1
                    failure = NetlinkError(code, note, messages[at] if 0 <= at < len(messages) else None)
                if sequence in (first, acknowledged):
                    if failure is not None:
                        raise failure
                    return

    def request(self, message: Message) -> None:
        """Send one message that changes something and wait for the kernel's word; NetlinkError if it refuses."""
        self._send([Message(message.kind, message.flags | ACK, message.payload, message.label)])
        for _, code, note in self._errors(self._receive()):
            if code:
                raise NetlinkError(code, note, message)

    def dump(self, message: Message) -> Iterator[bytes]:
        """Ask for everything that `message` describes; yields each answer's payload after the fixed part."""
        self._send([Message(message.kind, message.flags | DUMP, message.payload, message.label)])
        while True:
            for kind, flags, _, body in _split(self._receive()):
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code:
                        raise NetlinkError(code, "", message)
                    return
                if kind == _DONE:
                    return
                yield body[4:]
                if not flags & MULTI:
                    return

    def _send(self, messages: Iterable[Message]) -> None:
        parts = []
        for message in messages:
            self._sequence += 1
            parts.append(
                _header.pack(16 + len(message.payload), message.kind, message.flags | REQUEST, self._sequence, 0)
            )
            parts.append(message.payload)
        data = b"".join(parts)
        if len(data) > self._send_buffer:
            self._send_buffer = max(2 * len(data), 256 << 10)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, self._send_buffer)
        self._socket.sendto(data, (0, 0))

    def _receive(self) -> bytes:
        while True:
            try:
                return self._socket.recv(1 << 18)
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.EINTR):
                    raise

    @staticmethod
    def _errors(data: bytes) -> Iterator[tuple[int, int, str]]:
        """Sequence, errno (0 = acknowledged) and the kernel's note of every verdict in `data`."""
        for kind, flags, sequence, body in _split(data):
            if kind != _ERROR:
                continue
            code = -struct.unpack_from("=i", body)[0]
            note = ""
            if flags & 0x200:  # NLM_F_ACK_TLVS: attributes follow the (capped or whole) original message
                original = struct.unpack_from("=I", body, 4)[0] if not flags & 0x100 else 16
                note = parse(body[4 + original :]).get(1, b"").rstrip(b"\0").decode(errors="replace")
            yield sequence, code, note


def _split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence and body of each message in a datagram."""
    offset = 0
    while offset + 16 <= len(data):
        size, kind, flags, sequence, _ = _header.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + 16 : offset + size]
        offset += (size + 3) & ~3
