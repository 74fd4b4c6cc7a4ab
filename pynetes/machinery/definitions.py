"""The API definitions, read when asked for.

`definitions.json` (see `build_definitions`) is kept as bytes with an index into it: a definition is parsed when it is
first used, so a process pays in memory and start-up time only for the kinds it meets. The prose is read only for the
documents that `kubectl explain` shows, and not kept. Who derives further definitions from these (old API versions)
may `add` them.
"""

from collections.abc import Mapping
from functools import cache
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import msgspec

_GENERATED = Path(__file__).resolve().parent.parent / "_generated"

REF_PREFIX = "#/definitions/"


class _Document(msgspec.Struct):
    """The shape of `definitions.json`."""

    kinds: dict[str, str]
    definitions: dict[str, msgspec.Raw]


class Source(Protocol):
    """Definitions beyond the published ones, which these never replace."""

    kinds: dict[str, str]

    def has(self, name: str) -> bool: ...

    def get(self, name: str) -> dict[str, Any]: ...

    def descriptions(self, current: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]: ...


_sources: list[Source] = []


def add(source: Source) -> None:
    """Look definitions that are not published up in `source` from now on."""
    _sources.append(source)


@cache
def _document() -> _Document:
    return msgspec.json.decode(_read("definitions.json"), type=_Document)


def _read(file: str) -> bytes:
    """A generated file's bytes; made on the spot if the package was not built (a bare checkout)."""
    path = _GENERATED / file
    if not path.exists():
        _maker().generate(_GENERATED)
    return path.read_bytes()


def _maker() -> ModuleType:
    from pynetes.machinery import build_definitions

    return build_definitions


def available() -> bool:
    """Whether definitions are there or can be made."""
    return (_GENERATED / "definitions.json").exists() or util.find_spec("kubernetes_validate") is not None


def names() -> list[str]:
    """The names of all published definitions, `io.k8s.api.core.v1.Pod` and so on."""
    return list(_document().definitions)


def has(name: str) -> bool:
    """Whether there is a definition of that name."""
    return name in _document().definitions or any(source.has(name) for source in _sources)


def get(name: str) -> dict[str, Any]:
    """A definition in OpenAPI v2's form, freshly parsed (keep what you need of it); KeyError if there is none."""
    published = _document().definitions.get(name)
    if published is not None:
        return msgspec.json.decode(published)
    for source in _sources:
        if source.has(name):
            return source.get(name)
    raise KeyError(name)


def of_kind(api_version: str, kind: str) -> str | None:
    """The name of the definition of a kind, or None for kinds that are not built in."""
    key = f"{api_version}/{kind}"
    found = _document().kinds.get(key)
    return found or next((source.kinds[key] for source in _sources if key in source.kinds), None)


def descriptions() -> dict[str, dict[str, str]]:
    """The prose: for each definition its own (under the empty name) and that of each field. Read anew each time."""
    prose: dict[str, dict[str, str]] = msgspec.json.decode(_read("descriptions.json"))
    for source in _sources:
        prose = source.descriptions(prose) | prose
    return prose


def referenced(ref: str) -> str:
    """The definition's name in a `$ref`."""
    return ref.removeprefix(REF_PREFIX)
