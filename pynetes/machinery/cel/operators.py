"""CEL's operators, and how fields and items are reached: plain functions over values."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pynetes.machinery.cel import syntax
from pynetes.machinery.cel.values import (
    NONE,
    CelError,
    Optional,
    UInt,
    checked_int,
    checked_uint,
    equal,
    is_number,
    less,
    no_overload,
)

_KEYWORDS = syntax.RESERVED | {"in", "true", "false", "null"}
_ESCAPES = (("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"), ("__underscores__", "__"))


def truth(value: Any, function: str) -> bool:
    if not isinstance(value, bool):
        raise no_overload(function)
    return value


# Fields and items.


def unescape(field: str) -> str:
    """A field's real name: `__dot__` and the like stand for what an identifier cannot hold."""
    if not field.startswith("__") and "__" not in field:
        return field
    if (
        field.startswith("__")
        and field.endswith("__")
        and field[2:-2] in syntax.RESERVED | {"in", "true", "false", "null"}
    ):
        return field[2:-2]
    for escaped, meant in _ESCAPES:
        field = field.replace(escaped, meant)
    return field


def has_field(value: Any, field: str) -> bool:
    if isinstance(value, dict):
        return field in value
    member = getattr(value, "field", None)
    if member is not None:
        return bool(value.has(field))
    raise no_overload("has")


def field_of(value: Any, field: str) -> Any:
    """`value.field`."""
    if isinstance(value, dict):
        if field in value:
            return value[field]
        raise CelError(f"no such key: {field}")
    if isinstance(value, Optional):
        return optional_field(value, field)
    member = getattr(value, "field", None)
    if member is not None:
        return member(field)
    raise CelError(f"no such overload: select {field}") if value is not None else CelError(f"no such key: {field}")


def optional_field(value: Any, field: str) -> Optional:
    if isinstance(value, Optional):
        return optional_field(value.value, field) if value.is_set else NONE
    if isinstance(value, dict):
        return Optional(value[field]) if field in value else NONE
    if value is None:
        return NONE
    raise no_overload("optional select")


def item_of(value: Any, key: Any) -> Any:
    """`value[key]`."""
    if isinstance(value, list):
        if not is_number(key) or key != int(key):
            raise no_overload("_[_]")
        if not 0 <= key < len(value):
            raise CelError(f"index out of bounds: {int(key)}")
        return value[int(key)]
    if isinstance(value, dict):
        if isinstance(key, str | int | float) and key in value:
            return value[key]
        raise CelError(f"no such key: {key}")
    if isinstance(value, Optional):
        return optional_item(value, key)
    raise no_overload("_[_]")


def optional_item(value: Any, key: Any) -> Optional:
    if isinstance(value, Optional):
        return optional_item(value.value, key) if value.is_set else NONE
    if isinstance(value, dict):
        return Optional(value[key]) if key in value else NONE
    if isinstance(value, list):
        return Optional(value[int(key)]) if is_number(key) and 0 <= key < len(value) else NONE
    raise no_overload("_[?_]")


# Operators.


def _not(value: Any) -> bool:
    return not truth(value, "!_")


def _negate(value: Any) -> Any:
    if type(value) is int:
        return checked_int(-value)
    if isinstance(value, float | timedelta):
        return -value
    raise no_overload("-_")


def _add(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return checked_int(left + right)
        if kind is UInt:
            return checked_uint(int(left) + int(right))
        if kind in (float, str, bytes, list, timedelta):
            return left + right
    if isinstance(left, datetime) and isinstance(right, timedelta):
        return left + right
    if isinstance(left, timedelta) and isinstance(right, datetime):
        return right + left
    raise no_overload("_+_")


def _subtract(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return checked_int(left - right)
        if kind is UInt:
            return checked_uint(int(left) - int(right))
        if kind in (float, datetime, timedelta):
            return left - right
    if isinstance(left, datetime) and isinstance(right, timedelta):
        return left - right
    raise no_overload("_-_")


def _multiply(left: Any, right: Any) -> Any:
    if type(left) is type(right):
        if type(left) is int:
            return checked_int(left * right)
        if isinstance(left, UInt):
            return checked_uint(int(left) * int(right))
        if isinstance(left, float):
            return left * right
    raise no_overload("_*_")


def _divide(left: Any, right: Any) -> Any:
    if type(left) is type(right):
        if isinstance(left, float):
            if right == 0:
                return float("nan") if left == 0 or left != left else float("inf") * left
            return left / right
        if type(left) in (int, UInt):
            if right == 0:
                raise CelError("division by zero")
            quotient = abs(left) // abs(right)
            signed = quotient if (left < 0) == (right < 0) else -quotient
            return checked_int(signed) if type(left) is int else UInt(signed)
    raise no_overload("_/_")


def _modulo(left: Any, right: Any) -> Any:
    if type(left) is type(right) and type(left) in (int, UInt):
        if right == 0:
            raise CelError("modulus by zero")
        rest = abs(left) % abs(right)
        return type(left)(-rest if left < 0 else rest)
    raise no_overload("_%_")


def _in(left: Any, right: Any) -> bool:
    if isinstance(right, list):
        return any(equal(left, item) for item in right)
    if isinstance(right, dict):
        return isinstance(left, str | int | float) and left in right
    raise no_overload("@in")


OPERATORS: dict[str, Callable[..., Any]] = {
    "!_": _not,
    "-_": _negate,
    "_+_": _add,
    "_-_": _subtract,
    "_*_": _multiply,
    "_/_": _divide,
    "_%_": _modulo,
    "@in": _in,
    "_==_": equal,
    "_!=_": lambda left, right: not equal(left, right),
    "_<_": less,
    "_>_": lambda left, right: less(right, left),
    "_<=_": lambda left, right: not less(right, left),
    "_>=_": lambda left, right: not less(left, right),
}
