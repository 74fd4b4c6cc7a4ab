"""CEL's functions: its own and those of the extensions that Kubernetes turns on.

`FUNCTIONS` are called by name (`size(x)`, `quantity('1Gi')`, `sets.contains(a, b)`), `METHODS` on a value
(`x.startsWith('a')`). Values with methods of their own stand in `kinds`. Calling a function with values it does not
take is `no such overload`.
"""

import functools
import itertools
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from pynetes.machinery import go_regexp
from pynetes.machinery.cel import kinds
from pynetes.machinery.cel.values import (
    CONVERSIONS,
    NONE,
    CelError,
    Optional,
    TypeValue,
    equal,
    is_number,
    less,
    no_overload,
    to_string,
    type_name,
)

_LARGEST = 1_000_000


def _strings(*values: Any) -> None:
    if not all(isinstance(value, str) for value in values):
        raise TypeError


def _of_strings(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of str, for strings only."""

    def checked(*values: Any) -> Any:
        _strings(*values)
        return method(*values)

    return checked


def _size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise TypeError


@functools.lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    try:
        return go_regexp.compile(text)
    except re.error as error:
        raise CelError(f"error parsing regexp: {error}") from None


def _matches(text: Any, pattern: Any) -> bool:
    _strings(text, pattern)
    return _pattern(pattern).search(text) is not None


def _find(text: str, pattern: str) -> str:
    _strings(text, pattern)
    found = _pattern(pattern).search(text)
    return found.group() if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    _strings(text, pattern)
    found = [match.group() for match in _pattern(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    _strings(value)
    return bytes(value.encode())


# Strings.


def _char_at(text: str, index: int) -> str:
    _strings(text)
    if not 0 <= index <= len(text):
        raise CelError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, list):
        return next((place for place, item in enumerate(value) if equal(item, wanted)), -1)
    _strings(value, wanted)
    if not 0 <= start <= len(value):
        raise CelError(f"index out of range: {start}")
    return int(value.find(wanted, start))


def _last_index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, list):
        return next((place for place in reversed(range(len(value))) if equal(value[place], wanted)), -1)
    _strings(value, wanted)
    if start is None:
        return int(value.rfind(wanted))
    if not 0 <= start < max(len(value), 1):
        raise CelError(f"index out of range: {start}")
    return int(value.rfind(wanted, 0, start + len(wanted)))


def _join(items: list[Any], separator: str = "") -> str:
    _strings(separator, *items)
    return separator.join(items)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    _strings(text, old, new)
    return text.replace(old, new, limit)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    _strings(text, separator)
    if limit == 0:
        return []
    if limit == 1:
        return [text]
    if separator == "":
        letters = list(text)
        return letters if limit < 0 or limit >= len(letters) else [*letters[: limit - 1], "".join(letters[limit - 1 :])]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    _strings(text)
    stop = len(text) if end is None else end
    if not 0 <= start <= len(text) or not 0 <= stop <= len(text):
        raise CelError(f"index out of range: {start if not 0 <= start <= len(text) else stop}")
    if start > stop:
        raise CelError(f"invalid substring range. start: {start}, end: {stop}")
    return text[start:stop]


def _ascii(change: Callable[[str], str]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        _strings(text)
        return "".join(change(letter) if letter.isascii() else letter for letter in text)

    return changed


_VERB = re.compile(r"%(?:\.(\d+))?([a-zA-Z%])")


def _format(text: str, arguments: list[Any]) -> str:
    """`'%s and %d'.format([...])` of the strings extension."""
    _strings(text)
    left = list(arguments)

    def shown(found: re.Match[str]) -> str:
        precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not left:
            raise CelError("index out of range: not enough arguments to format")
        return _formatted(left.pop(0), verb, int(precision) if precision is not None else 6)

    return _VERB.sub(shown, text)


def _formatted(value: Any, verb: str, precision: int) -> str:
    number = is_number(value)
    match verb:
        case "s":
            return _plain(value)
        case "d" if number and not isinstance(value, float):
            return str(int(value))
        case "f" if number:
            return f"{float(value):.{precision}f}"
        case "e" if number:
            return f"{float(value):.{precision}e}"
        case "b" if isinstance(value, int):
            return f"{int(value):b}"
        case "o" if number and not isinstance(value, float):
            return f"{int(value):o}"
        case "x" | "X":
            raw = value.encode() if isinstance(value, str) else value
            text = raw.hex() if isinstance(raw, bytes) else f"{int(value):x}"
            return text.upper() if verb == "X" else text
    raise CelError(f"error during formatting: unsupported verb %{verb} for {type_name(value)}")


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{_plain(key)}: {_plain(item)}" for key, item in value.items())) + "}"
    if isinstance(value, TypeValue):
        return value.name
    return to_string(value)


def _quote(text: str) -> str:
    _strings(text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


# Lists and sets.


def _is_sorted(items: list[Any]) -> bool:
    return all(not less(right, left) for left, right in itertools.pairwise(items))


def _sum(items: list[Any]) -> Any:
    if not isinstance(items, list):
        raise TypeError
    total: Any = None
    for item in items:
        total = item if total is None else total + item
    return 0 if total is None else total


def _extreme(items: list[Any], function: str, *, smallest: bool) -> Any:
    if not isinstance(items, list):
        raise TypeError
    if not items:
        raise CelError(f"{function} called on empty list")
    best = items[0]
    for item in items[1:]:
        if less(item, best) if smallest else less(best, item):
            best = item
    return best


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    found: list[Any] = []
    for item in items:
        found += _flatten(item, depth - 1) if isinstance(item, list) and depth > 0 else [item]
    return found


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not any(equal(item, known) for known in found):
            found.append(item)
    return found


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(items):
        raise CelError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items, key=functools.cmp_to_key(lambda a, b: -1 if less(a, b) else 1 if less(b, a) else 0))


def _contained(left: list[Any], right: list[Any]) -> bool:
    return all(any(equal(item, other) for other in left) for item in right)


def _intersect(left: list[Any], right: list[Any]) -> bool:
    return any(equal(item, other) for item in left for other in right)


def _range(count: int) -> list[int]:
    if count > _LARGEST:
        raise CelError("operation cancelled: actual cost limit exceeded")
    return list(range(count))


# Time.


def _zone(name: str) -> Any:
    if not name:
        return UTC
    offset = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if offset:
        sign, hours, minutes = offset.groups()
        delta = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-delta if sign == "-" else delta)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        raise CelError(f"unknown time zone {name}") from None


def _time_part(part: Callable[[datetime], int], of_duration: Callable[[timedelta], int] | None = None) -> Any:
    def get(value: Any, zone: str = "") -> int:
        if isinstance(value, datetime):
            return part(value.astimezone(_zone(zone)))
        if isinstance(value, timedelta) and of_duration is not None:
            return of_duration(value)
        raise TypeError

    return get


def _whole(seconds: float) -> Callable[[timedelta], int]:
    return lambda value: int(value.total_seconds() / seconds)


# Tables.


def _of_non_zero(value: Any) -> Optional:
    zero = value is None or (isinstance(value, bool | int | float | str | bytes | list | dict) and not value)
    return NONE if zero else Optional(value)


def _type(value: Any) -> TypeValue:
    return TypeValue(type_name(value))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **CONVERSIONS,
    "bytes": _bytes,
    "dyn": lambda value: value,
    "type": _type,
    "size": _size,
    "matches": _matches,
    "sets.contains": _contained,
    "sets.equivalent": lambda left, right: _contained(left, right) and _contained(right, left),
    "sets.intersects": _intersect,
    "lists.range": _range,
    "optional.of": Optional,
    "optional.none": lambda: NONE,
    "optional.ofNonZeroValue": _of_non_zero,
    "jsonpatch.escapeKey": lambda key: key.replace("~", "~0").replace("/", "~1"),
    "strings.quote": _quote,
    "math.greatest": lambda *values: _extreme(_flatten(list(values)), "math.greatest", smallest=False),
    "math.least": lambda *values: _extreme(_flatten(list(values)), "math.least", smallest=True),
    "math.ceil": lambda value: float(math.ceil(value)),
    "math.floor": lambda value: float(math.floor(value)),
    "math.abs": abs,
    **kinds.FUNCTIONS,
}


def _contains(value: Any, part: Any) -> bool:
    _strings(value, part)
    return part in value


METHODS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "matches": _matches,
    "contains": _contains,
    "startsWith": _of_strings(str.startswith),
    "endsWith": _of_strings(str.endswith),
    "find": _find,
    "findAll": _find_all,
    "charAt": _char_at,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "join": _join,
    "lowerAscii": _ascii(str.lower),
    "upperAscii": _ascii(str.upper),
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": _of_strings(str.strip),
    "reverse": lambda value: value[::-1] if isinstance(value, str | list) else _size(None),
    "format": _format,
    "isSorted": _is_sorted,
    "sum": _sum,
    "min": lambda items: _extreme(items, "min", smallest=True),
    "max": lambda items: _extreme(items, "max", smallest=False),
    "flatten": _flatten,
    "distinct": _distinct,
    "slice": _slice,
    "sort": _sorted,
    "first": lambda items: Optional(items[0]) if items else NONE,
    "last": lambda items: Optional(items[-1]) if items else NONE,
    "getFullYear": _time_part(lambda moment: moment.year),
    "getMonth": _time_part(lambda moment: moment.month - 1),
    "getDate": _time_part(lambda moment: moment.day),
    "getDayOfMonth": _time_part(lambda moment: moment.day - 1),
    "getDayOfWeek": _time_part(lambda moment: moment.isoweekday() % 7),
    "getDayOfYear": _time_part(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _time_part(lambda moment: moment.hour, _whole(3600)),
    "getMinutes": _time_part(lambda moment: moment.minute, _whole(60)),
    "getSeconds": _time_part(lambda moment: moment.second, _whole(1)),
    "getMilliseconds": _time_part(lambda moment: moment.microsecond // 1000, lambda value: value.microseconds // 1000),
}

# Methods of values that answer themselves; a call of any other name is refused when it is compiled.
OBJECT_METHODS = frozenset(
    {"hasValue", "value", "orValue", "or"}
    | kinds.METHOD_NAMES
    | {
        "path",
        "group",
        "serviceAccount",
        "resource",
        "subresource",
        "namespace",
        "name",
        "check",
        "allowed",
        "reason",
        "errored",
        "error",
        "fieldSelector",
        "labelSelector",
    }
)

__all__ = ["FUNCTIONS", "METHODS", "OBJECT_METHODS", "no_overload"]
