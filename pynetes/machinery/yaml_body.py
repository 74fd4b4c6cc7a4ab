"""YAML as the API server reads it: what a document would be in JSON.

Upstream's reader follows YAML 1.1 with habits of its own, and so does this one: `yes`, `on` and `y` are booleans, `1e3`
is a number, `0o17` and `017` are octal, dates and `12:30` are texts, every key is a text. A key given twice is the last
one given, and is reported, because strict validation wants to know.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TRUE = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_FALSE = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_NULL = ("", "~", "null", "Null", "NULL")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = (".nan", ".NaN", ".NAN")
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class YamlError(ValueError):
    """A document that is not YAML, with upstream's words for it."""


class _Loader(Loader):
    """Builds plain JSON values and remembers the keys that were given twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute, emptied on purpose

    def __init__(self, stream: bytes | str) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def json_plain(self, node: Any) -> Any:
        return resolve(self.construct_scalar(node))

    def json_mapping(self, node: Any) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            value = self.construct_object(value_node, deep=True)
            if key == "<<" and key_node.tag == _PLAIN:
                for source in value if isinstance(value, list) else [value]:
                    merged = (source if isinstance(source, dict) else {}) | merged
                continue
            name = key_text(key)
            if name in own:
                self.duplicates.append(f'line {key_node.start_mark.line + 1}: key "{name}" already set in map')
            own[name] = value
        return merged | own


# Every plain scalar gets this tag, and so comes to `resolve`; quoted ones and those with a tag of their own do not.
_PLAIN = "!plain"
_Loader.add_implicit_resolver(_PLAIN, re.compile(".*", re.DOTALL), None)
_Loader.add_constructor(_PLAIN, _Loader.json_plain)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.json_mapping)
for _tag in ("timestamp", "binary"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_scalar)


def resolve(text: str) -> Any:
    """The value of a plain scalar."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        number = float(text)
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    if text in _NAN:
        return math.nan
    if match := _INFINITE.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdecimal():
        digits = f"0o{digits[1:]}"
    return -int(digits, 0) if text.startswith("-") else int(digits, 0)


def key_text(key: Any) -> str:
    """A mapping's key as JSON has it."""
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    return key if isinstance(key, str) else str(key)


def parse(raw: bytes | str) -> tuple[Any, list[str]]:
    """The first document, and what was given twice in it (`line 3: key "a" already set in map`).

    Raises YamlError.
    """
    _check_depth(raw)
    loader = _Loader(raw)
    try:
        value = loader.get_data() if loader.check_data() else None
        if _size(value, {}) > _MOST_NODES + len(raw):
            raise YamlError("error converting YAML to JSON: yaml: document contains excessive aliasing")
    except yaml.YAMLError as error:
        raise YamlError(_message(error)) from None
    except RecursionError:
        raise YamlError("error converting YAML to JSON: yaml: exceeded max depth") from None
    finally:
        loader.dispose()
    return value, loader.duplicates


# libyaml's binding recurses in C and would take the process down with it, so depth is bounded before it begins.
_DEEPEST = 250
_OPENERS = ("[", "{", "- ", "? ", "-\t", "?\t", "-\n", "?\n", "-\r", "?\r")


def _check_depth(raw: bytes | str) -> None:
    """Raise if the document nests too deep; only documents that could are looked at, as events, without recursion.

    Nesting by indentation alone needs a body that grows with the square of its depth; it is not dangerous.
    """
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    if sum(text.count(opener) for opener in _OPENERS) < _DEEPEST:
        return
    depth = 0
    try:
        for event in yaml.parse(raw, Loader=Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DEEPEST:
                    raise YamlError("error converting YAML to JSON: yaml: exceeded max depth")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError as error:
        raise YamlError(_message(error)) from None


# A document of aliases to aliases is small but means something huge: what it may mean is bounded by its length.
_MOST_NODES = 400_000


def _size(value: Any, known: dict[int, int]) -> int:
    """How many nodes a value has when every alias is written out."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in inner)
    return known[id(value)]


def documents(raw: bytes | str) -> Iterator[Any]:
    """All documents of a stream, empty ones left out."""
    _check_depth(raw)
    loader = _Loader(raw)
    try:
        while loader.check_data():
            document = loader.get_data()
            if document is not None:
                yield document
    except yaml.YAMLError as error:
        raise YamlError(_message(error)) from None
    except RecursionError:
        raise YamlError("error converting YAML to JSON: yaml: exceeded max depth") from None
    finally:
        loader.dispose()


def _message(error: yaml.YAMLError) -> str:
    """`error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context`."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return f"error converting YAML to JSON: yaml: {where}{problem}"
