"""DNS messages on the wire: reading questions, writing answers, and as much of others' answers as a cache needs.

Names inside are lower-case text without the final dot; the question's own spelling is kept and sent back as it came.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
IN, CLASS_ANY = 1, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_OPCODE = 0x7800
UDP_DEFAULT, UDP_LIMIT = 512, 1232

_header = struct.Struct("!6H")
_fixed = struct.Struct("!HHIH")
_TO_QUESTION = b"\xc0\x0c"


class Malformed(ValueError):
    """Not a DNS message that can be answered."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question with what matters of its header; `size` is how large a UDP answer may be."""

    id: int
    flags: int
    name: str
    type: int
    cls: int
    question: bytes  # as it came: name, type, class
    size: int = UDP_DEFAULT
    edns: bool = False
    edns_version: int = 0
    dnssec_ok: bool = False

    @property
    def opcode(self) -> int:
        """0 for ordinary queries."""
        return (self.flags & _OPCODE) >> 11


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record of class IN."""

    name: str
    type: int
    ttl: int
    data: bytes


@dataclass(slots=True)
class Answer:
    """What to say to a query."""

    code: int = NOERROR
    records: list[Record] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)
    authoritative: bool = True


def encode_name(name: str) -> bytes:
    """A name, uncompressed; raises Malformed if a label or the whole is too long."""
    if not name:
        return b"\0"
    parts = []
    for label in name.split("."):
        encoded = label.encode()
        if not 0 < len(encoded) < 64:
            raise Malformed(f"bad label in {name!r}")
        parts.append(bytes((len(encoded),)) + encoded)
    wire = b"".join(parts) + b"\0"
    if len(wire) > 255:
        raise Malformed(f"name too long: {name!r}")
    return wire


def decode_name(data: bytes, offset: int) -> tuple[str, int]:
    """The name at `offset` in lower case, and the offset after it; follows compression, refuses loops."""
    labels: list[str] = []
    end = -1
    budget = 255
    try:
        while length := data[offset]:
            if length & 0xC0 == 0xC0:
                target = (length & 0x3F) << 8 | data[offset + 1]
                if target >= offset:
                    raise Malformed("a compression pointer must point back")
                end = offset + 2 if end < 0 else end
                offset = target
                continue
            if length & 0xC0 or (budget := budget - length - 1) < 1:
                raise Malformed("bad label")
            label = data[offset + 1 : offset + 1 + length]
            if len(label) < length:
                raise Malformed("name cut off")
            labels.append(label.decode("latin-1").lower())
            offset += length + 1
    except IndexError as error:
        raise Malformed("name cut off") from error
    return ".".join(labels), (offset + 1 if end < 0 else end)


def parse_query(data: bytes) -> Query:
    """The question in `data`; raises Malformed unless there is exactly one and no answer."""
    if len(data) < 12:
        raise Malformed("shorter than a header")
    identity, flags, questions, _, _, additional = _header.unpack_from(data)
    if flags & QR or questions != 1:
        raise Malformed("not a query with one question")
    name, offset = decode_name(data, 12)
    if len(data) < offset + 4:
        raise Malformed("question cut off")
    kind, cls = struct.unpack_from("!HH", data, offset)
    question = data[12 : offset + 4]
    size, edns, version, dnssec = UDP_DEFAULT, False, 0, False
    if additional:
        for _, type_, size_, ttl, _ in _records(data, offset + 4):
            if type_ == OPT:
                edns, size = True, max(UDP_DEFAULT, size_)
                version, dnssec = (ttl >> 16) & 0xFF, bool(ttl & 0x8000)
    return Query(identity, flags, name, kind, cls, question, size, edns, version, dnssec)


def _records(data: bytes, offset: int) -> Iterable[tuple[int, int, int, int, int]]:
    """Offset of the TTL, type, class, TTL and offset of the data of each record from `offset` on."""
    while offset < len(data):
        _, offset = decode_name(data, offset)
        if offset + 10 > len(data):
            raise Malformed("record cut off")
        kind, cls, ttl, length = _fixed.unpack_from(data, offset)
        yield offset + 4, kind, cls, ttl, offset + 10
        offset += 10 + length
        if offset > len(data):
            raise Malformed("record cut off")


def ttl_fields(data: bytes) -> tuple[list[int], int | None]:
    """Where in a response the TTLs are, and how long it may be kept (None if it has no record to say so).

    For an answer without records that is the SOA's TTL or minimum, whichever is less (RFC 2308).
    """
    _, _, questions, answers, _, _ = _header.unpack_from(data)
    offset = 12
    for _ in range(questions):
        _, offset = decode_name(data, offset)
        offset += 4
    places: list[int] = []
    keep: int | None = None
    for index, (place, kind, _, ttl, body) in enumerate(_records(data, offset)):
        if kind == OPT:
            continue
        places.append(place)
        if kind == SOA and not answers:
            _, after = decode_name(data, body)
            _, after = decode_name(data, after)
            ttl = min(ttl, int.from_bytes(data[after + 16 : after + 20], "big"))
        if index < answers or kind == SOA:
            keep = ttl if keep is None else min(keep, ttl)
    return places, keep


def addresses(data: bytes) -> list[Record]:
    """The answer section of a response, as records whose data holds no compression (others are left out)."""
    _, _, questions, answers, _, _ = _header.unpack_from(data)
    offset = 12
    for _ in range(questions):
        _, offset = decode_name(data, offset)
        offset += 4
    found = []
    for _ in range(answers):
        name, offset = decode_name(data, offset)
        kind, _, ttl, length = _fixed.unpack_from(data, offset)
        offset += 10
        if kind in (A, AAAA):
            found.append(Record(name, kind, ttl, data[offset : offset + length]))
        elif kind == CNAME:
            found.append(Record(name, kind, ttl, encode_name(decode_name(data, offset)[0])))
        offset += length
    return found


def build(query: Query, answer: Answer, *, recursion: bool, udp: bool) -> bytes:
    """The response; over UDP it is cut to what the client takes, with TC set if an answer had to go."""
    flags = QR | (query.flags & (RD | CD | _OPCODE)) | (RA if recursion else 0)
    flags |= (AA if answer.authoritative else 0) | (answer.code & 0xF)
    limit = min(query.size, UDP_LIMIT) if udp else 65535
    opt = b""
    if query.edns:
        extended = (answer.code >> 4) << 24 | (0x8000 if query.dnssec_ok else 0)
        opt = b"\0" + _fixed.pack(OPT, UDP_LIMIT, extended, 0)
    room = limit - 12 - len(query.question) - len(opt)
    body: list[bytes] = []
    counts = [0, 0, 0]
    for section, records in enumerate((answer.records, answer.authority, answer.additional)):
        for record in records:
            name = _TO_QUESTION if record.name == query.name else encode_name(record.name)
            wire = name + _fixed.pack(record.type, IN, record.ttl, len(record.data)) + record.data
            room -= len(wire)
            if room < 0:
                break
            body.append(wire)
            counts[section] += 1
        if room < 0:
            flags |= TC if section < 2 else 0  # what is only additional may be left out in silence
            break
    head = _header.pack(query.id, flags, 1, counts[0], counts[1], counts[2] + bool(opt))
    return b"".join((head, query.question, *body, opt))


def refuse(data: bytes, code: int) -> bytes | None:
    """An answer to something that is not a proper query: its header and the code; None if it has not even that."""
    if len(data) < 12:
        return None
    identity, flags, *_ = _header.unpack_from(data)
    if flags & QR:
        return None
    return _header.pack(identity, QR | (flags & (RD | _OPCODE)) | code, 0, 0, 0, 0)


def address_record(name: str, address: str, ttl: int) -> Record:
    """An A or AAAA record."""
    if ":" in address:
        return Record(name, AAAA, ttl, IPv6Address(address).packed)
    return Record(name, A, ttl, IPv4Address(address).packed)


def srv_record(name: str, target: str, port: int, weight: int, ttl: int) -> Record:
    """An SRV record of priority 0."""
    return Record(name, SRV, ttl, struct.pack("!HHH", 0, weight, port) + encode_name(target))


def soa_record(name: str, primary: str, mailbox: str, serial: int, ttl: int) -> Record:
    """The start of authority, whose minimum is the TTL of "no such name"."""
    numbers = struct.pack("!5I", serial & 0xFFFFFFFF, 7200, 1800, 86400, ttl)
    return Record(name, SOA, ttl, encode_name(primary) + encode_name(mailbox) + numbers)


def text_record(name: str, value: str, ttl: int) -> Record:
    """A TXT record of one string."""
    encoded = value.encode()
    return Record(name, TXT, ttl, bytes((len(encoded),)) + encoded)
