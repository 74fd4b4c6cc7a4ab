"""CEL's values in Python: what each is, when two are equal, how they order, convert and print.

int, double, string, bytes, bool, null, list and map are Python's own; an unsigned number is a `UInt`. A timestamp is a
`datetime`, a duration a `timedelta`. `Optional` is the optional type; a map made by naming a type is a `Struct`. Other
values (quantities, addresses, the authorizer) answer method calls themselves through `call`.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pynetes.machinery import clock

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1


class CelError(Exception):
    """The expression cannot be compiled or evaluated; the text says why."""


class UInt(int):
    """An unsigned 64-bit number."""


class Struct(dict[str, Any]):
    """A map that was made by naming a type."""

    def __init__(self, type_name: str, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.type_name = type_name


class Optional:
    """A value that may not be there."""

    __slots__ = ("is_set", "value")

    def __init__(self, value: Any = None, *, is_set: bool = True) -> None:
        self.value = value
        self.is_set = is_set

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optional) or self.is_set != other.is_set:
            return False
        return not self.is_set or equal(self.value, other.value)

    __hash__ = None  # type: ignore[assignment]  # values inside may be maps

    def call(self, function: str, arguments: list[Any]) -> Any:
        """The optional type's methods."""
        match function, arguments:
            case "hasValue", []:
                return self.is_set
            case "value", []:
                if not self.is_set:
                    raise CelError("optional.none() dereference")
                return self.value
            case "orValue", [other]:
                return self.value if self.is_set else other
            case "or", [other]:
                return self if self.is_set else other
        raise no_overload(function)


NONE = Optional(is_set=False)


class TypeValue:
    """What `type(x)` gives."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def no_overload(function: str) -> CelError:
    """The complaint about a function called with values it does not take."""
    return CelError(f"no such overload: {function}")


def type_name(value: Any) -> str:
    """The name of a value's type."""
    if value is None:
        return "null_type"
    kind = type(value)
    if kind in _TYPES:
        return _TYPES[kind]
    if isinstance(value, Struct):
        return value.type_name
    return getattr(value, "type_name", kind.__name__)


_TYPES: dict[type, str] = {
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    datetime: "google.protobuf.Timestamp",
    timedelta: "google.protobuf.Duration",
    Optional: "optional_type",
    TypeValue: "type",
}


def is_number(value: Any) -> bool:
    """Whether a value is int, uint or double."""
    return type(value) in (int, UInt, float)


def equal(left: Any, right: Any) -> bool:
    """CEL's equality: numbers by value whatever their type, everything else only with its own kind."""
    if is_number(left) and is_number(right):
        return bool(left == right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if type(left) is not type(right):
        return False
    return bool(left == right)


def less(left: Any, right: Any) -> bool:
    """Whether `left` comes before `right`; values of different kinds do not order."""
    comparable = (is_number(left) and is_number(right)) or (
        type(left) is type(right) and isinstance(left, bool | str | bytes | datetime | timedelta)
    )
    if not comparable:
        raise no_overload("_<_")
    return bool(left < right)


def checked_int(value: int) -> int:
    """An int that fits 64 bits."""
    if not INT_MIN <= value <= INT_MAX:
        raise CelError("integer overflow")
    return value


def checked_uint(value: int) -> UInt:
    """A uint that fits 64 bits."""
    if not 0 <= value <= UINT_MAX:
        raise CelError("unsigned integer overflow")
    return UInt(value)


def to_int(value: Any) -> int:
    """`int(x)`."""
    if isinstance(value, bool):
        raise no_overload("int")
    if isinstance(value, int):
        return checked_int(int(value))
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            raise CelError("integer overflow")
        return checked_int(int(value))
    if isinstance(value, str):
        try:
            return checked_int(int(value, 10))
        except ValueError:
            raise CelError(f"type conversion error from 'string' to 'int': {value!r}") from None
    if isinstance(value, datetime):
        return int(value.timestamp())
    raise no_overload("int")


def to_uint(value: Any) -> UInt:
    """`uint(x)`."""
    if isinstance(value, bool):
        raise no_overload("uint")
    if isinstance(value, int | float):
        return checked_uint(int(value))
    if isinstance(value, str) and value.isdigit():
        return checked_uint(int(value))
    raise no_overload("uint")


def to_double(value: Any) -> float:
    """`double(x)`."""
    if is_number(value) or isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise CelError("type conversion error from 'string' to 'double'") from None
    raise no_overload("double")


def to_bool(value: Any) -> bool:
    """`bool(x)`."""
    if isinstance(value, bool):
        return value
    known = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise no_overload("bool")


def to_string(value: Any) -> str:
    """`string(x)`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return show_double(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, datetime):
        return show_timestamp(value)
    if isinstance(value, timedelta):
        return f"{show_double(value.total_seconds())}s"
    shown = getattr(value, "call", None)
    if shown is not None and not isinstance(value, Optional):
        return str(value)
    raise no_overload("string")


def show_double(value: float) -> str:
    """A double as Go's `%g` of full precision prints it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e21 else repr(value)


def show_timestamp(value: datetime) -> str:
    """RFC 3339 with as much fraction as there is."""
    text = clock.format_micro_time(value)
    whole, _, fraction = text.rstrip("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


def to_timestamp(value: Any) -> datetime:
    """`timestamp(x)`."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            return clock.parse_time(value)
        except ValueError as error:
            raise CelError(str(error)) from None
    raise no_overload("timestamp")


def to_duration(value: Any) -> timedelta:
    """`duration(x)`."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        try:
            return timedelta(seconds=clock.parse_duration(value))
        except (ValueError, OverflowError) as error:
            raise CelError(str(error)) from None
    raise no_overload("duration")


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "int": to_int,
    "uint": to_uint,
    "double": to_double,
    "bool": to_bool,
    "string": to_string,
    "timestamp": to_timestamp,
    "duration": to_duration,
}
