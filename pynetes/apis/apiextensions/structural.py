"""Whether the schema of a custom resource is structural.

A structural schema says the type of every field at one place, outside of any `allOf`, `anyOf`, `oneOf` or `not`; those
may only narrow values. Only then can the server prune, default and publish without guessing (KEP-1123). The findings
come with upstream's paths and words, in upstream's order: sorted by text.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pynetes.apis.checks import Errors
from pynetes.machinery import go_regexp
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

Level = Literal["root", "item", "field"]

_NO_TYPE: dict[Level, str] = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_LISTED_JUNCTORS = ("anyOf", "allOf", "oneOf")

# What may not stand in a schema that only narrows another.
_NOT_NESTED = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("externalDocs", "must be undefined to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)
_ALWAYS_THERE = ("additionalProperties", "default", "x-kubernetes-list-type", "x-kubernetes-map-type")
"""Of those, what is forbidden even when it is empty."""

_METADATA = "must not specify anything other than name and generateName, but metadata is implicitly specified"
_METADATA_ALLOWED = frozenset({"type", "properties", "default"})


def findings(schema: Obj, path: str) -> list[FieldError]:
    """What is not structural about the schema of a whole resource."""
    errors = Errors()
    _invariants(errors, schema, "root", path)
    _complete(errors, schema, schema, path, path)
    return sorted(errors, key=str)


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema.get("properties") or {}


def _single(value: Any) -> Obj | None:
    """The one schema at `items` or `additionalProperties`; None for lists and booleans."""
    return value if isinstance(value, dict) else None


# Every node has a type, and is used as what it is.


def _invariants(errors: Errors, schema: Obj, level: Level, path: str) -> None:
    kind, items = schema.get("type") or "", _single(schema.get("items"))
    if kind == "array" and schema.get("items") is None:
        errors.required(f"{path}.items", "must be specified")
    if items is not None:
        _invariants(errors, items, "item", f"{path}.items")
    for name, inner in _properties(schema).items():
        _invariants(errors, inner, "field", f"{path}.properties[{name}]")
    additional = schema.get("additionalProperties")
    if additional is not None:
        if level == "root":
            errors.forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(additional, dict):
            _invariants(errors, additional, "field", f"{path}.additionalProperties")
    _extensions(errors, schema, path)
    first_all_of = (schema.get("allOf") or [{}])[0]
    _narrowing(
        errors,
        schema,
        path,
        skip_any_of=schema.get("anyOf") == INT_OR_STRING,
        skip_first_all_of=first_all_of.get("anyOf") == INT_OR_STRING,
    )
    _types(errors, schema, kind, level, path)
    _identity(errors, schema, level, path)


def _extensions(errors: Errors, schema: Obj, path: str) -> None:
    if schema.get("x-kubernetes-int-or-string"):
        for word in ("preserve-unknown-fields", "embedded-resource"):
            field = f"x-kubernetes-{word}"
            if schema.get(field):
                errors.invalid(f"{path}.{field}", True, "must be false if x-kubernetes-int-or-string is true")


def _types(errors: Errors, schema: Obj, kind: str, level: Level, path: str) -> None:
    embedded, where = schema.get("x-kubernetes-embedded-resource"), f"{path}.type"
    preserves = schema.get("x-kubernetes-preserve-unknown-fields")
    if embedded and kind != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        if kind:
            errors.invalid(where, kind, detail)
        else:
            errors.required(where, detail)
    elif not kind and not schema.get("x-kubernetes-int-or-string") and not preserves:
        errors.required(where, _NO_TYPE[level])
    if embedded and schema.get("additionalProperties") is not None:
        detail = "must not be used if x-kubernetes-embedded-resource is set"
        errors.forbidden(f"{path}.additionalProperties", detail)
    if level == "root" and kind and kind != "object":
        errors.invalid(where, kind, "must be object at the root")
    if embedded and not preserves and not _properties(schema):
        errors.required(
            f"{path}.properties",
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        )


def _identity(errors: Errors, schema: Obj, level: Level, path: str) -> None:
    """apiVersion, kind and metadata of a resource, the whole or an embedded one, are what they always are."""
    properties = _properties(schema)
    is_resource = level == "root" or bool(schema.get("x-kubernetes-embedded-resource"))
    for field in ("kind", "apiVersion"):
        if is_resource and field in properties and properties[field].get("type") != "string":
            kind = properties[field].get("type") or ""
            errors.invalid(f"{path}.properties[{field}].type", kind, "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    where = f"{path}.properties[metadata]"
    if is_resource and metadata.get("type") != "object":
        errors.invalid(f"{where}.type", metadata.get("type") or "", "must be object")
    if level == "root":
        more = {field for field, value in metadata.items() if value} - _METADATA_ALLOWED
        if more or not set(_properties(metadata)) <= {"name", "generateName"}:
            errors.forbidden(where, _METADATA)


# Below a junctor, a schema only narrows.


def _narrowing(
    errors: Errors, schema: Obj, path: str, *, skip_any_of: bool = False, skip_first_all_of: bool = False
) -> None:
    for junctor in _LISTED_JUNCTORS:
        if junctor == "anyOf" and skip_any_of:
            continue
        for index, inner in enumerate(schema.get(junctor) or []):
            skip = junctor == "allOf" and index == 0 and skip_first_all_of
            _nested(errors, inner, f"{path}.{junctor}[{index}]", skip_any_of=skip)
    if schema.get("not") is not None:
        _nested(errors, schema["not"], f"{path}.not")
    pattern = schema.get("pattern")
    if pattern:
        try:
            go_regexp.compile(pattern)
        except re.error as error:
            detail = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            errors.invalid(f"{path}.pattern", pattern, detail)


def _nested(errors: Errors, schema: Obj, path: str, *, skip_any_of: bool = False) -> None:
    _narrowing(errors, schema, path, skip_any_of=skip_any_of)
    items = _single(schema.get("items"))
    if items is not None:
        _nested(errors, items, f"{path}.items")
    for name, inner in _properties(schema).items():
        _nested(errors, inner, f"{path}.properties[{name}]")
    for field, detail in _NOT_NESTED:
        value = schema.get(field)
        if value if field not in _ALWAYS_THERE else value is not None:
            errors.forbidden(f"{path}.{field}", detail)
    if "metadata" in _properties(schema):
        errors.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


# What a narrowing schema names must be there to be narrowed.


def _complete(errors: Errors, narrowing: Obj, outside: Obj, at: str, path: str) -> None:
    """`narrowing` stands at `path`, `outside` is the schema proper of the same place, at `at`."""
    if narrowing.get("not") is not None:
        _complete_nested(errors, narrowing["not"], outside, at, f"{path}.not")
    for junctor in _LISTED_JUNCTORS:
        for index, inner in enumerate(narrowing.get(junctor) or []):
            _complete_nested(errors, inner, outside, at, f"{path}.{junctor}[{index}]")


def _complete_nested(errors: Errors, narrowing: Obj, outside: Obj | None, at: str, path: str) -> None:
    if outside is None:
        errors.required(at, f"because it is defined in {path}")
        return
    _complete(errors, narrowing, outside, at, path)
    items = _single(narrowing.get("items"))
    if items is not None:
        _complete_nested(errors, items, _single(outside.get("items")), f"{at}.items", f"{path}.items")
    for name, inner in _properties(narrowing).items():
        step = f"properties[{name}]"
        _complete_nested(errors, inner, _properties(outside).get(name), f"{at}.{step}", f"{path}.{step}")
