"""nftables' vocabulary: tables, chains, sets, elements and the expressions that rules are made of, as netlink bytes.

A rule is a tuple of expressions that run left to right over 16 registers of four bytes (`R0`…); a comparison or a
lookup that fails ends the rule. Values longer than four bytes take the following registers, which is how
concatenations such as `ip daddr . meta l4proto . th dport` are built. Everything here is a pure function to bytes;
`table` decides what to send. Numbers are those of linux/netfilter/nf_tables.h.
"""

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from pynetes.network.netlink import APPEND, CREATE, Message, attr, be32, be64, nested, netfilter_header, text

IPV4 = 2  # NFPROTO_IPV4
TCP, UDP, SCTP = 6, 17, 132
PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)

_SUBSYSTEM = 10 << 8
(NEWTABLE, GETTABLE, DELTABLE, NEWCHAIN, GETCHAIN, DELCHAIN, NEWRULE, GETRULE, DELRULE) = range(9)
(NEWSET, GETSET, DELSET, NEWSETELEM, GETSETELEM, DELSETELEM) = range(9, 15)

_VERDICT_REGISTER = 0
_DROP, _ACCEPT, _JUMP, _GOTO, _RETURN = 0, 1, -3, -4, -5

R0, R1, R2, R3, R4, R5, R6, R7 = range(8, 16)
"""Registers of four bytes each."""

# Set flags.
_ANONYMOUS, _CONSTANT, _MAP, _TIMEOUT, _EVAL = 0x1, 0x2, 0x8, 0x10, 0x20

# Data types, for whoever lists the table with nft: type number and length.
_TYPES = {
    "ipv4_addr": (7, 4),
    "inet_proto": (12, 1),
    "inet_service": (13, 2),
    "mark": (19, 4),
    "integer": (4, 4),
}
_VERDICT_TYPE = 0xFFFFFF00


# --- values -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=65536)
def ip(address: str) -> bytes:
    """An IPv4 address as it is on the wire and in a register."""
    return ipaddress.IPv4Address(address).packed


def proto(number: int) -> bytes:
    """A protocol number, padded to a register."""
    return bytes((number, 0, 0, 0))


def port(number: int) -> bytes:
    """A port, padded to a register."""
    return struct.pack("!HH", number, 0)


def host32(number: int) -> bytes:
    """A number in the machine's own byte order, as marks and `numgen` have it."""
    return struct.pack("=I", number)


# --- verdicts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule or a verdict map's element says; `chain` for jump and goto."""

    code: int
    chain: str = ""

    def data(self) -> bytes:
        """The verdict as set data or an immediate's data (the attributes inside NFTA_DATA_VERDICT)."""
        chain = text(2, self.chain) if self.chain else b""
        return nested(2, be32(1, self.code), chain)


ACCEPT, DROP, RETURN = Verdict(_ACCEPT), Verdict(_DROP), Verdict(_RETURN)


def goto(chain: str) -> Verdict:
    """Continue in `chain` and never come back."""
    return Verdict(_GOTO, chain)


def jump(chain: str) -> Verdict:
    """Continue in `chain`; if that decides nothing, go on here."""
    return Verdict(_JUMP, chain)


# --- sets and maps ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetSpec:
    """A named set (no `data`) or map: types of key and data, and for sets that packets write to, timeout and size."""

    key: tuple[str, ...]
    data: tuple[str, ...] = ()
    timeout_ms: int = 0
    size: int = 0

    @property
    def dynamic(self) -> bool:
        """Whether packets add elements, so that its elements are not ours to list."""
        return self.timeout_ms > 0


@dataclass(frozen=True, slots=True)
class Anonymous:
    """A constant set or map that lives inside one rule: look up `source`, and put what is found into `target`.

    For sets `target` is None. `elements` are pairs of key and data bytes (data empty for sets, verdicts for
    verdict maps).
    """

    key: tuple[str, ...]
    data: tuple[str, ...]
    source: int
    target: int | None
    elements: tuple[tuple[bytes, "bytes | Verdict"], ...]


Expression = bytes | Anonymous
Rule = tuple[Expression, ...]


def _concat(types: tuple[str, ...]) -> tuple[int, int]:
    """The type number and length in bytes of a concatenation; parts fill whole registers."""
    if len(types) == 1:
        return _TYPES[types[0]]
    number = 0
    for name in types:
        number = number << 6 | _TYPES[name][0]
    return number, 4 * len(types)


# --- messages -----------------------------------------------------------------------------------------------------


def _message(kind: int, flags: int, *attributes: bytes, label: str = "") -> Message:
    return Message(_SUBSYSTEM | kind, flags, netfilter_header(IPV4) + b"".join(attributes), label)


def new_table(table: str) -> Message:
    """Make a table, if it is not there."""
    return _message(NEWTABLE, CREATE, text(1, table), label=f"add table {table}")


def delete_table(table: str) -> Message:
    """Delete a table with all that is in it."""
    return _message(DELTABLE, 0, text(1, table), label=f"delete table {table}")


def get_tables() -> Message:
    """Ask for all tables of the family."""
    return _message(GETTABLE, 0)


def new_chain(table: str, chain: str, hook: tuple[str, int, int] | None = None) -> Message:
    """Make a chain; `hook` is its type (nat, filter), hook and priority if it is a base chain."""
    base = b""
    if hook is not None:
        kind, number, priority = hook
        base = nested(4, be32(1, number), be32(2, priority)) + be32(5, _ACCEPT) + text(7, kind)
    return _message(NEWCHAIN, CREATE, text(1, table), text(3, chain), base, label=f"add chain {chain}")


def delete_chain(table: str, chain: str) -> Message:
    """Delete a chain that is empty and that nothing refers to."""
    return _message(DELCHAIN, 0, text(1, table), text(3, chain), label=f"delete chain {chain}")


def get_chains(table: str) -> Message:
    """Ask for a table's chains."""
    return _message(GETCHAIN, 0, text(1, table))


def flush_chain(table: str, chain: str | None = None) -> Message:
    """Delete all rules of a chain, or of the whole table."""
    where = text(2, chain) if chain else b""
    return _message(DELRULE, 0, text(1, table), where, label=f"flush chain {chain or table}")


def new_set(table: str, name: str, spec: SetSpec) -> Message:
    """Make a named set or map."""
    flags = (_TIMEOUT | _EVAL) if spec.dynamic else 0
    return _new_set(table, name, spec.key, spec.data, flags, 0, spec.timeout_ms, spec.size)


def is_like(spec: SetSpec, attributes: dict[int, bytes]) -> bool:
    """Whether a set found in the kernel is what the specification says."""
    wanted = {4: _concat(spec.key)[0], 5: _concat(spec.key)[1], 11: spec.timeout_ms}
    if spec.data and spec.data != ("verdict",):
        wanted |= {6: _concat(spec.data)[0], 7: _concat(spec.data)[1]}
    return all(int.from_bytes(attributes.get(kind, b""), "big") == value for kind, value in wanted.items())


def _new_set(
    table: str,
    name: str,
    key: tuple[str, ...],
    data: tuple[str, ...],
    flags: int,
    number: int,
    timeout_ms: int = 0,
    size: int = 0,
) -> Message:
    key_type, key_length = _concat(key)
    # nft lists integers (the keys that numgen makes) in the byte order that the user data names: 1 is the host's.
    order = struct.pack("=BBI", 0, 4, 1) + struct.pack("=BBI", 1, 4, 2) if key == ("integer",) else b""
    parts = [text(1, table), text(2, name), be32(4, key_type), be32(5, key_length), be32(10, number)]
    if data:
        flags |= _MAP
        data_type, data_length = (_VERDICT_TYPE, 16) if data == ("verdict",) else _concat(data)
        parts += [be32(6, data_type), be32(7, data_length)]
    parts.append(be32(3, flags))
    if timeout_ms:
        parts.append(be64(11, timeout_ms))
    if size:
        parts.append(nested(9, be32(1, size)))
    if order:
        parts.append(attr(13, order))
    return _message(NEWSET, CREATE, *parts, label=f"add set {name}")


def delete_set(table: str, name: str) -> Message:
    """Delete a named set or map."""
    return _message(DELSET, 0, text(1, table), text(2, name), label=f"delete set {name}")


def get_sets(table: str) -> Message:
    """Ask for a table's sets."""
    return _message(GETSET, 0, text(1, table))


Element = tuple[bytes, bytes | Verdict]


def add_elements(table: str, name: str, spec: SetSpec, elements: Iterable[Element]) -> list[Message]:
    """Add elements to a named set, in as few messages as their size allows."""
    return _element_messages(NEWSETELEM, CREATE, table, name, spec.key, elements, 0)


def delete_elements(table: str, name: str, spec: SetSpec, keys: Iterable[bytes]) -> list[Message]:
    """Remove elements from a named set."""
    return _element_messages(DELSETELEM, 0, table, name, spec.key, ((key, b"") for key in keys), 0)


_LIST_LIMIT = 60_000  # an attribute's length is a 16-bit number


def _element_messages(
    kind: int, flags: int, table: str, name: str, key: tuple[str, ...], elements: Iterable[Element], number: int
) -> list[Message]:
    label = f"{'add' if kind == NEWSETELEM else 'delete'} element {name}"
    length = _concat(key)[1]
    messages: list[Message] = []
    pending: list[bytes] = []
    size = 0

    def emit() -> None:
        head = text(1, table) + text(2, name) + (be32(4, number) if number else b"")
        messages.append(_message(kind, flags, head, nested(3, *pending), label=label))

    for element_key, data in elements:
        encoded = nested(1, attr(1, element_key[:length]))
        if isinstance(data, Verdict):
            encoded += nested(2, data.data())
        elif data:
            encoded += nested(2, attr(1, data))
        encoded = nested(1, encoded)
        if size + len(encoded) > _LIST_LIMIT:
            emit()
            pending, size = [], 0
        pending.append(encoded)
        size += len(encoded)
    if pending:
        emit()
    return messages


def new_rule(table: str, chain: str, rule: Rule, next_set: int) -> list[Message]:
    """Append a rule; anonymous sets in it are numbered from `next_set`, which must be free within the batch."""
    messages: list[Message] = []
    parts: list[bytes] = []
    for expression in rule:
        if isinstance(expression, bytes):
            parts.append(expression)
            continue
        name = "__map%d" if expression.data else "__set%d"
        flags = _ANONYMOUS | _CONSTANT
        size = len(expression.elements)
        messages.append(_new_set(table, name, expression.key, expression.data, flags, next_set, 0, size))
        messages += _element_messages(NEWSETELEM, CREATE, table, name, expression.key, expression.elements, next_set)
        parts.append(lookup(name, expression.source, expression.target, number=next_set))
        next_set += 1
    body = text(1, table) + text(2, chain) + nested(4, *parts)
    return [*messages, _message(NEWRULE, CREATE | APPEND, body, label=f"add rule {chain}")]


# --- expressions --------------------------------------------------------------------------------------------------


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def verdict(value: Verdict) -> bytes:
    """End the rule with a verdict."""
    return _expression("immediate", be32(1, _VERDICT_REGISTER), nested(2, value.data()))


def load(value: bytes, register: int) -> bytes:
    """Put a constant into registers."""
    return _expression("immediate", be32(1, register), nested(2, attr(1, value)))


def meta(key: int, register: int) -> bytes:
    """Load a piece of metadata."""
    return _expression("meta", be32(2, key), be32(1, register))


META_MARK, META_IIFNAME, META_OIFNAME, META_L4PROTO = 3, 6, 7, 16


def set_mark(register: int) -> bytes:
    """Store a register in the packet's mark."""
    return _expression("meta", be32(2, META_MARK), be32(3, register))


def payload(base: int, offset: int, length: int, register: int) -> bytes:
    """Load bytes of the packet: base 1 is the network header, 2 the transport header."""
    return _expression("payload", be32(1, register), be32(2, base), be32(3, offset), be32(4, length))


def ip_saddr(register: int) -> bytes:
    """Load the source address."""
    return payload(1, 12, 4, register)


def ip_daddr(register: int) -> bytes:
    """Load the destination address."""
    return payload(1, 16, 4, register)


def l4proto(register: int) -> bytes:
    """Load the transport protocol."""
    return meta(META_L4PROTO, register)


def dport(register: int) -> bytes:
    """Load the destination port."""
    return payload(2, 2, 2, register)


EQ, NEQ, LT, LTE, GT, GTE = range(6)


def compare(register: int, operator: int, value: bytes) -> bytes:
    """Go on only if the register compares so with a constant."""
    return _expression("cmp", be32(1, register), be32(2, operator), nested(3, attr(1, value)))


def bitwise(register: int, mask: bytes, xor: bytes) -> bytes:
    """register = (register & mask) ^ xor."""
    where = (be32(1, register), be32(2, register), be32(3, len(mask)))
    return _expression("bitwise", *where, nested(4, attr(1, mask)), nested(5, attr(1, xor)))


def conntrack(key: int, register: int) -> bytes:
    """Load a piece of the connection's state."""
    return _expression("ct", be32(2, key), be32(1, register))


def set_conntrack_mark(register: int) -> bytes:
    """Store a register in the connection's mark."""
    return _expression("ct", be32(2, CT_MARK), be32(4, register))


CT_STATE, CT_STATUS, CT_MARK = 0, 2, 3
CT_ESTABLISHED, CT_RELATED, CT_NEW = 0x2, 0x4, 0x8
CT_STATUS_DNAT = 0x20


def lookup(name: str, source: int, target: int | None = None, *, invert: bool = False, number: int = 0) -> bytes:
    """Look a key up in a set (go on if found, or with `invert` if not) or a map (`target` takes the data)."""
    parts = [text(1, name), be32(2, source)]
    if target is not None:
        parts.append(be32(3, target))
    if number:
        parts.append(be32(4, number))
    if invert:
        parts.append(be32(5, 1))
    return _expression("lookup", *parts)


def vmap(name: str, source: int) -> bytes:
    """Look a key up in a verdict map and obey."""
    return lookup(name, source, _VERDICT_REGISTER)


_DYNSET_UPDATE, _DYNSET_DELETE = 1, 2


def remember(name: str, key: int, data: int, timeout_ms: int) -> bytes:
    """Add an element to a map from the packet's path, or renew its timeout if it is there."""
    return _expression(
        "dynset", text(1, name), be32(3, _DYNSET_UPDATE), be32(4, key), be32(5, data), be64(6, timeout_ms)
    )


def forget(name: str, key: int, data: int) -> bytes:
    """Remove an element from a map from the packet's path, if it is there; the kernel wants a data register named."""
    return _expression("dynset", text(1, name), be32(3, _DYNSET_DELETE), be32(4, key), be32(5, data))


def random(modulus: int, register: int, offset: int = 0) -> bytes:
    """A random number from `offset` to below `offset + modulus`."""
    return _expression("numgen", be32(1, register), be32(2, modulus), be32(3, 1), be32(4, offset))


def dnat(address: int, port_register: int) -> bytes:
    """Send the connection to the address and port in these registers."""
    return _expression("nat", be32(1, 1), be32(2, IPV4), be32(3, address), be32(5, port_register))


MASQUERADE = _expression("masq", be32(1, 0x10))
"""Take the outgoing interface's address as the source; source ports fully at random, to avoid insertion races."""

REJECT = _expression("reject", be32(1, 0), attr(2, b"\x03"))
"""ICMP port unreachable."""


def address_type_is_local(source: bool) -> bytes:
    """Go on if the packet's source (or destination) is an address of this node."""
    return _expression("fib", be32(1, R0), be32(2, 3), be32(3, 1 if source else 2)) + compare(R0, EQ, host32(2))
