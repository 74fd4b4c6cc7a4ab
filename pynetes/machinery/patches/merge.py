"""JSON merge patch (RFC 7386): what the patch names replaces, null deletes, objects merge, lists are replaced whole."""

from typing import Any

from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import copied


def apply(doc: Obj, patch: Obj) -> Obj:
    """`doc` merged with `patch`."""
    return _merge(copied(doc), copied(patch))


def _merge(doc: Obj, patch: Obj) -> Obj:
    for key, value in patch.items():
        if value is None:
            doc.pop(key, None)
        elif isinstance(doc.get(key), dict):
            doc[key] = _merge(doc[key], value) if isinstance(value, dict) else value
        else:
            doc[key] = _without_nulls(value)
    return doc


def _without_nulls(value: Any) -> Any:
    """A new value: its nulls would delete what is not there. Upstream's library also drops them from lists."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value if inner is not None]
    return value
