"""JSON paths: as printer columns use them, and the stricter kind that names one field.

`find` is kubectl's language without its templates: fields, `['quoted']` fields, indices, slices, `*`, `..` and filters
such as `[?(@.type=="Ready")]`. `schema_at` follows a plain path through a schema.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pynetes.machinery.meta import Obj

Step = Callable[[Any], Iterable[Any]]

_TOKEN = re.compile(
    r"""(?P<recursive>\.\.)
    | \.(?P<field>(?:\\.|[^.\[\]\\])+)
    | \[\?\((?P<filter>.*?)\)\]
    | \[(?P<inside>(?:'[^']*'|"[^"]*"|[^\]])*)\]
    | ^(?P<bare>(?:\\.|[^.\[\]\\])+)
    | (?P<dot>\.)$
    """,
    re.VERBOSE,
)
_COMPARISON = re.compile(r"\s*(?P<left>.+?)\s*(?P<operator>==|!=|>=|<=|>|<)\s*(?P<right>.+?)\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}


def find(obj: Any, path: str) -> list[Any]:
    """All values at a path, in order; ValueError if the path is none."""
    found = [obj]
    for step in parse(path):
        found = [inner for each in found for inner in step(each)]
    return found


@functools.lru_cache(maxsize=1024)
def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        match = _TOKEN.match(path, at)
        if match is None:
            raise ValueError(f"unrecognized character in path: {path[at:]}")
        at = match.end()
        if match["recursive"]:
            steps.append(_descend)
        elif match["filter"] is not None:
            steps.append(_filter(match["filter"]))
        elif match["inside"] is not None:
            steps.append(_inside(match["inside"].strip()))
        elif match["dot"] is None:
            name = match["field"] or match["bare"] or ""
            if steps and steps[-1] is _descend and match["bare"] is None and name.startswith("."):
                name = name[1:]
            steps.append(_every if name == "*" else _field(re.sub(r"\\(.)", r"\1", name)))
        if steps and steps[-1] is _descend and at < len(path) and path[at] not in ".[":
            # `..name`: the second dot stands for the field's own.
            end = re.compile(r"(?:\\.|[^.\[\]\\])+").match(path, at)
            assert end is not None
            steps.append(_every if end[0] == "*" else _field(end[0]))
            at = end.end()
    return tuple(steps)


def _field(name: str) -> Step:
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _every(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _descend(value: Any) -> Iterator[Any]:
    yield value
    for inner in _every(value):
        yield from _descend(inner)


def _inside(text: str) -> Step:
    if text == "*":
        return _every
    if text[:1] in "'\"" and text[-1:] == text[:1] and text:
        return _field(text[1:-1])
    if ":" in text:
        bounds = [int(part) if part.strip() else None for part in text.split(":")]
        return lambda value: value[slice(*bounds)] if isinstance(value, list) else []
    index = int(text)
    return lambda value: [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else []


def _filter(text: str) -> Step:
    match = _COMPARISON.fullmatch(text)
    if match is None:
        steps = parse(text.strip().removeprefix("@"))
        return lambda value: [each for each in _every(value) if _run(each, steps)]
    left, right, compare = _operand(match["left"]), _operand(match["right"]), _COMPARE[match["operator"]]

    def keeps(item: Any) -> bool:
        try:
            return any(compare(a, b) for a in left(item) for b in right(item))
        except TypeError:
            return False

    return lambda value: [each for each in _every(value) if keeps(each)]


def _operand(text: str) -> Step:
    if text.startswith("@"):
        steps = parse(text[1:])
        return lambda item: _run(item, steps)
    quoted = text[:1] in "'\""
    literal = text[1:-1] if quoted else json.loads(text)
    return lambda item: [literal]


def _run(value: Any, steps: tuple[Step, ...]) -> list[Any]:
    found = [value]
    for step in steps:
        found = [inner for each in found for inner in step(each)]
    return found


# Paths that name one field of a schema.

_PLAIN = re.compile(r"\.(?P<name>[^.\[\]]+)|\['(?P<quoted>(?:[^'\\]|\\.)*)'\]|\[(?P<other>[^\]]*)\]?|(?P<junk>.)")


def names(path: str) -> list[str] | str:
    """The fields that a plain path goes through; text says what is wrong with it."""
    if not path:
        return "empty path"
    found: list[str] = []
    for match in _PLAIN.finditer(path):
        if match["name"] is not None:
            found.append(match["name"])
        elif match["quoted"] is not None:
            found.append(re.sub(r"\\(.)", r"\1", match["quoted"]))
        elif match["other"] is not None:
            return f"expected single quoted string but got {match['other']}"
        else:
            junk = match["junk"]
            return f"expected [ or . but got: {junk}"
    return found


def schema_at(schema: Obj, path: str) -> Obj | str:
    """The schema of the field at a plain path; text says why there is none."""
    steps = names(path)
    if isinstance(steps, str):
        return steps
    at: Any = schema
    for step in steps:
        properties, additional = at.get("properties") or {}, at.get("additionalProperties")
        inner = properties.get(step, additional)
        if not isinstance(inner, dict):
            return "does not refer to a valid field"
        at = inner
    return at
