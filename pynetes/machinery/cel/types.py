"""CEL's static types: what the checker knows of a value before there is one.

`DYN` goes with everything, as CEL's own `dyn` does. An object type knows its fields by the names that expressions use;
the size limits that a schema gives are kept for the estimate of costs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pynetes.machinery.cel import syntax


@dataclass(frozen=True)
class Type:
    """A type: `int`, `list(string)`, `A` in a signature, an object with its fields."""

    name: str
    parameters: tuple["Type", ...] = ()
    fields: Mapping[str, "Type"] | None = field(default=None, compare=False, hash=False)
    most: int | None = field(default=None, compare=False, hash=False)
    """The most elements (or characters) that a value may have, where something limits them."""

    def __str__(self) -> str:
        if self.name == "null_type":
            return "null"
        inner = ", ".join(map(str, self.parameters))
        return f"{self.name}({inner})" if inner else self.name

    @property
    def is_parameter(self) -> bool:
        """Whether this stands for any type, the same in a whole signature."""
        return len(self.name) == 1


DYN = Type("dyn")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES, NULL = Type("string"), Type("bytes"), Type("null_type")
TIMESTAMP, DURATION = Type("timestamp"), Type("duration")

_PROTO = {"google.protobuf.Timestamp": TIMESTAMP, "google.protobuf.Duration": DURATION}
_ESCAPED = syntax.RESERVED | {"true", "false", "null", "in"}
_IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def list_of(item: Type, most: int | None = None) -> Type:
    """`list(item)`."""
    return Type("list", (item,), most=most)


def map_of(value: Type, key: Type = STRING, most: int | None = None) -> Type:
    """`map(key, value)`."""
    return Type("map", (key, value), most=most)


def optional_of(value: Type) -> Type:
    """`optional_type(value)`."""
    return Type("optional_type", (value,))


def object_of(fields: Mapping[str, Type], name: str = "object") -> Type:
    """An object; `fields` by their real names, of which those that cannot be written are left out."""
    written = ((escape(real), inner) for real, inner in fields.items())
    return Type(name, (), {key: inner for key, inner in written if key is not None})


def named(name: str) -> Type:
    """The type that an expression means by a name."""
    return _PROTO.get(name, Type(name))


def escape(name: str) -> str | None:
    """A field's name as expressions write it; None if they cannot."""
    if name in _ESCAPED:
        return f"__{name}__"
    for meant, written in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(meant, written)
    return name if _IDENTIFIER.fullmatch(name) else None


def compatible(wanted: Type, found: Type) -> bool:
    """Whether a value of one type may stand where the other is wanted."""
    if wanted is found or "dyn" in (wanted.name, found.name):
        return True
    if "null_type" in (wanted.name, found.name):
        return True  # nullable fields keep their type
    if wanted.name != found.name:
        return False
    return wanted.name == "type" or all(map(compatible, wanted.parameters, found.parameters))


def parse(text: str) -> Type:
    """A type as it prints: `map(string, list(A))`."""
    found, rest = _parse(text.replace(" ", ""))
    assert not rest, text
    return found


def _parse(text: str) -> tuple[Type, str]:
    end = re.match(r"[A-Za-z_.\d]+", text)
    assert end is not None, text
    name, rest = end[0], text[end.end() :]
    if not rest.startswith("("):
        return (NULL if name == "null" else Type(name)), rest
    parameters = []
    while not rest.startswith(")"):
        inner, rest = _parse(rest[1:])
        parameters.append(inner)
    return Type(name, tuple(parameters)), rest[1:]
