"""Giving a value the shape its schema asks for: unknown fields pruned, defaults filled in.

Also what a schema says of lists: that items of a set, or of a map by its keys, do not repeat.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pynetes.apis import metadata
from pynetes.apis.apiextensions import values
from pynetes.machinery import errors, names, scheme
from pynetes.machinery.errors import FieldError, StatusError
from pynetes.machinery.meta import Obj

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
RESOURCE_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def prune(value: Any, schema: Obj, *, is_resource: bool = False) -> list[str]:
    """Drop what the schema does not name, in place; returns the paths of what was dropped."""
    dropped: list[str] = []
    _prune(value, schema, is_resource, "", dropped.append)
    return sorted(dropped)


def _prune(value: Any, schema: Obj | None, is_resource: bool, path: str, drop: Callable[[str], None]) -> None:
    schema = schema or {}
    if isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value):
            if isinstance(items, dict) or not schema.get("x-kubernetes-preserve-unknown-fields"):
                _prune(item, items if isinstance(items, dict) else None, False, f"{path}[{index}]", drop)
        return
    if not isinstance(value, dict):
        return
    is_resource = is_resource or bool(schema.get("x-kubernetes-embedded-resource"))
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    for key in list(value):
        where = values.child(path, key)
        if is_resource and key in RESOURCE_FIELDS:
            continue
        if key in properties:
            _prune(value[key], properties[key], False, where, drop)
        elif isinstance(additional, dict):
            _prune(value[key], additional, False, where, drop)
        elif not additional and not preserve:
            del value[key]
            drop(where)


def default(value: Any, schema: Obj) -> None:
    """Fill in defaults, in place. A null where none may stand counts as absent if there is a default for it."""
    if isinstance(value, dict):
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, inner in properties.items():
            missing = key not in value or (value[key] is None and not inner.get("nullable"))
            if missing and inner.get("default") is not None:
                value[key] = copy.deepcopy(inner["default"])
        for key, item in value.items():
            shape = properties.get(key, additional)
            if isinstance(shape, dict):
                default(item, shape)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            default(item, schema["items"])


def drop_nulls(value: Any, schema: Obj) -> None:
    """Drop nulls where none may stand and no default takes their place, in place."""
    if isinstance(value, dict):
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key in list(value):
            shape = properties.get(key, additional)
            if not isinstance(shape, dict):
                continue
            if value[key] is None and not shape.get("nullable"):
                if values.types_of(shape) and shape.get("default") is None:
                    del value[key]
            else:
                drop_nulls(value[key], shape)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            drop_nulls(item, schema["items"])


def has_defaults(schema: Any) -> bool:
    """Whether any default stands in a schema."""
    if isinstance(schema, list):
        return any(has_defaults(each) for each in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("default") is not None:
        return True
    inner: list[Any] = [
        *(schema.get("properties") or {}).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]
    return any(has_defaults(each) for each in inner)


def repeated(value: Any, schema: Obj, path: str = "") -> list[FieldError]:
    """Items that occur twice in a list that is a set or a map."""
    found: list[FieldError] = []
    if isinstance(value, dict):
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            shape = properties.get(key, additional)
            if isinstance(shape, dict):
                found += repeated(item, shape, values.child(path, key))
    elif isinstance(value, list):
        found += _repeated_items(value, schema, path)
        if isinstance(schema.get("items"), dict):
            for index, item in enumerate(value):
                found += repeated(item, schema["items"], f"{path}[{index}]")
    return found


def _repeated_items(value: list[Any], schema: Obj, path: str) -> list[FieldError]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    seen: set[str] = set()
    found = []
    for index, item in enumerate(value):
        if kind == "set":
            identity, shown = repr(item), item
        elif kind == "map" and isinstance(item, dict):
            identity = values.map_key(item, keys, schema)
            shown = {key: item[key] for key in keys if key in item}
        else:
            continue
        if identity in seen:
            found.append(errors.duplicate(f"{path}[{index}]", shown))
        seen.add(identity)
    return found


def type_metadata(value: Any, schema: Obj, path: str = "") -> None:
    """Give the metadata of embedded resources their shape, in place; ValueError says which have none."""
    if isinstance(value, dict):
        if path and schema.get("x-kubernetes-embedded-resource") and value.get("metadata") is not None:
            try:
                value["metadata"] = scheme.convert(_METADATA, value["metadata"])
            except StatusError as error:
                reason = error.message.partition(": ")[2]
                raise ValueError(str(errors.invalid_value(f"{path}.metadata", value["metadata"], reason))) from None
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            shape = properties.get(key, additional)
            if isinstance(shape, dict):
                type_metadata(item, shape, values.child(path, key))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            type_metadata(item, schema["items"], f"{path}[{index}]")


def _metadata_faults(value: Obj, path: str) -> list[FieldError]:
    """What is wrong with the metadata of an embedded resource; it need not have a name."""
    held = value.get("metadata")
    if not isinstance(held, dict):
        return []
    named = held if held.get("name") else {**held, "name": "unnamed"}
    namespaced = bool(held.get("namespace"))
    wrong = metadata.validate({"metadata": named}, namespaced=namespaced, name_check=names.path_segment)
    return [replace(each, field=values.child(path, each.field)) for each in wrong]


def embedded_faults(value: Any, schema: Obj, path: str = "") -> list[FieldError]:
    """What is wrong with objects inside the object that are resources themselves: they must say what they are."""
    found: list[FieldError] = []
    if isinstance(value, dict):
        if schema.get("x-kubernetes-embedded-resource"):
            for key in ("apiVersion", "kind"):
                if key not in value:
                    found.append(errors.required(values.child(path, key), "must not be empty"))
                elif not isinstance(value[key], str) or not value[key]:
                    found.append(errors.invalid_value(values.child(path, key), value[key], "must not be empty"))
            found += _metadata_faults(value, path)
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            shape = properties.get(key, additional)
            if isinstance(shape, dict):
                found += embedded_faults(item, shape, values.child(path, key))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            found += embedded_faults(item, schema["items"], f"{path}[{index}]")
    return found
