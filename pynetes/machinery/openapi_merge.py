"""OpenAPI v2 documents of other servers, made part of this one's.

Of a foreign document only what its group version needs is taken: the paths below it, and the definitions that they
lead to. Definitions of the same name and content are one. Where the content differs (every server brings the
`ObjectMeta` of its own release), the foreign one gets another name, and what refers to it follows, as upstream does.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

_PREFIX = "#/definitions/"


def restricted(document: Mapping[str, Any], prefix: str) -> Json:
    """The part of a document that is about paths below `prefix` (such as `/apis/example.com/v1`)."""
    paths = {
        path: item
        for path, item in (document.get("paths") or {}).items()
        if path.rstrip("/") == prefix or path.startswith(f"{prefix}/")
    }
    known: Mapping[str, Any] = document.get("definitions") or {}
    group, _, version = prefix.removeprefix("/apis/").partition("/")
    kinds = {name for name, definition in known.items() if _is_of(definition, group, version)}
    wanted: dict[str, Any] = {}
    pending = [*references(paths), *kinds]
    while pending:
        name = pending.pop()
        if name in known and name not in wanted:
            wanted[name] = known[name]
            pending.extend(references(known[name]))
    return {"paths": paths, "definitions": wanted}


def merged(document: Json, others: Iterable[Mapping[str, Any]]) -> Json:
    """The document with restricted ones added; a path that it has stays its own."""
    paths, definitions = dict(document["paths"]), dict(document["definitions"])
    for other in others:
        names = _new_names(definitions, other["definitions"])
        for name, definition in other["definitions"].items():
            definitions.setdefault(names.get(name, name), _renamed(definition, names))
        for path, item in other["paths"].items():
            paths.setdefault(path, _renamed(item, names))
    return document | {"paths": dict(sorted(paths.items())), "definitions": dict(sorted(definitions.items()))}


def references(value: Any) -> set[str]:
    """The names of all definitions that some JSON refers to."""
    found: set[str] = set()
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, dict):
            ref = inner.get("$ref")
            if isinstance(ref, str):
                found.add(ref.removeprefix(_PREFIX))
            pending.extend(inner.values())
        elif isinstance(inner, list):
            pending.extend(inner)
    return found


def _is_of(definition: Any, group: str, version: str) -> bool:
    kinds = definition.get("x-kubernetes-group-version-kind") or () if isinstance(definition, dict) else ()
    return [(kind.get("group"), kind.get("version")) for kind in kinds] == [(group, version)]


def _new_names(known: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, str]:
    """Other names for added definitions that differ from the known ones of their name, in themselves or below."""
    differing = {name for name in added if name in known and known[name] != added[name]}
    # A definition that is the same word by word means another thing when what it refers to got another name.
    while followers := {
        name for name in added if name in known and name not in differing and references(added[name]) & differing
    }:
        differing |= followers
    names: dict[str, str] = {}
    for name in sorted(differing):
        number = 2
        while f"{name}_v{number}" in known or f"{name}_v{number}" in added:
            number += 1
        names[name] = f"{name}_v{number}"
    return names


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The same JSON, with its references following their definitions' names."""
    if isinstance(value, dict):
        made = {key: _renamed(inner, names) for key, inner in value.items()}
        ref = value.get("$ref")
        if isinstance(ref, str) and (name := ref.removeprefix(_PREFIX)) in names:
            made["$ref"] = f"{_PREFIX}{names[name]}"
        return made
    return [_renamed(inner, names) for inner in value] if isinstance(value, list) else value
