"""The CEL type that a schema declares, with the most elements its values can have.

What a schema does not type (unknown fields that are kept) cannot be spoken of in rules and has no type here. Where the
schema sets no limit, a request's size does: that is what the estimate of a rule's cost goes by.
"""

from pynetes.machinery.cel import types
from pynetes.machinery.cel.types import Type
from pynetes.machinery.meta import Obj

REQUEST_LIMIT = 3 * 1024 * 1024
"""The most bytes a request may have."""

_BYTES_OF_CHARACTER = 4
_SCALARS = {"boolean": types.BOOL, "integer": types.INT, "number": types.DOUBLE}
_SMALLEST = {"boolean": 4, "integer": 1, "number": 1, "string": 2, "array": 2, "object": 2}
_STRINGS = {
    "date-time": (types.TIMESTAMP, 29, 22),
    "date": (types.TIMESTAMP, 12, 12),
    "duration": (types.DURATION, 128, 4),
    "byte": (types.BYTES, None, 2),
}
_KEY = Type("string", most=0)  # upstream's estimate takes keys for free
_TEXT = Type("string", most=REQUEST_LIMIT - 2)
_METADATA = types.object_of({"name": _TEXT, "generateName": _TEXT})


def declared(schema: Obj, *, is_resource: bool = False) -> Type | None:
    """The type of the values of a schema; None if rules cannot speak of them."""
    if schema.get("x-kubernetes-int-or-string"):
        return Type("dyn", most=REQUEST_LIMIT - 2)
    kind = schema.get("type")
    is_resource = is_resource or bool(schema.get("x-kubernetes-embedded-resource"))
    if kind == "array":
        items = declared(schema["items"]) if isinstance(schema.get("items"), dict) else None
        return None if items is None else types.list_of(items, most_elements(schema))
    if kind == "object":
        return _object(schema, is_resource=is_resource)
    if kind == "string":
        return _string(schema)
    return _SCALARS.get(kind or "")


def most_elements(schema: Obj) -> int | None:
    """The most items or entries of a list or a map, by its schema or else by the size of a request."""
    if schema.get("type") == "array":
        limit, inner, around = schema.get("maxItems"), schema.get("items"), 1
    else:
        limit, inner, around = schema.get("maxProperties"), schema.get("additionalProperties"), 6
    if limit is not None:
        return max(int(limit), 0)
    return (REQUEST_LIMIT - 2) // (smallest(inner) + around) if isinstance(inner, dict) else None


def smallest(schema: Obj) -> int:
    """The fewest bytes that a value of a schema takes in a request."""
    kind = schema.get("type") or ""
    if kind == "string":
        return _STRINGS.get(schema.get("format") or "", (None, None, 2))[2]
    size = _SMALLEST.get(kind, 1)
    for name in schema.get("required") or ():
        inner = (schema.get("properties") or {}).get(name)
        if isinstance(inner, dict) and inner.get("default") is None:
            size += len(name) + 4 + smallest(inner)
    return size


def _object(schema: Obj, *, is_resource: bool) -> Type | None:
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        inner = declared(additional)
        return None if inner is None else types.map_of(inner, _KEY, most_elements(schema))
    fields = {name: declared(inner) for name, inner in (schema.get("properties") or {}).items()}
    if is_resource:
        fields |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA}
    return types.object_of({name: inner for name, inner in fields.items() if inner is not None})


def _string(schema: Obj) -> Type:
    kind, most, _ = _STRINGS.get(schema.get("format") or "", (types.STRING, None, 2))
    if kind not in (types.STRING, types.BYTES):
        return Type(kind.name, most=most)
    if schema.get("maxLength") is not None:
        return Type(
            kind.name, most=max(int(schema["maxLength"]), 0) * (_BYTES_OF_CHARACTER if kind is types.STRING else 1)
        )
    if schema.get("enum"):
        return Type(kind.name, most=max(len(each) if isinstance(each, str) else 0 for each in schema["enum"]))
    return Type(kind.name, most=REQUEST_LIMIT - 2)
