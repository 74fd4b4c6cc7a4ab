"""Whether the schema of a custom resource is structural.

A structural schema says the type of every field at one place, outside of any `allOf`, `anyOf`, `oneOf` or `not`; those
may only narrow values. Only then can the server prune, default and publish without guessing (KEP-1123). The findings
come with upstream's paths and words.
"""

from typing import Any

from pynetes.apis.checks import Errors
from pynetes.machinery.meta import Obj

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LOGIC = ("allOf", "anyOf", "oneOf")
_FORBIDDEN_INSIDE = (
    ("type", "must be empty to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("nullable", "must be false to be structural"),
)
_NEVER = ("definitions", "dependencies", "id", "patternProperties", "$ref", "deprecated", "discriminator", "readOnly",
          "writeOnly", "xml")  # fmt: skip
LIST_TYPES = ("atomic", "map", "set")


def schema(errors: Errors, value: Obj, path: str) -> None:
    """The schema of a whole custom resource."""
    _node(errors, value, path, root=True)
    if not value.get("type"):
        errors.required(f"{path}.type", "must not be empty at the root")
    elif value["type"] != "object":
        errors.invalid(f"{path}.type", value["type"], "must be object at the root")
    _metadata(errors, value, path)


def _metadata(errors: Errors, value: Obj, path: str) -> None:
    metadata = (value.get("properties") or {}).get("metadata")
    if metadata is None:
        return
    where = f"{path}.properties[metadata]"
    if metadata.get("type") not in (None, "object"):
        errors.invalid(f"{where}.type", metadata["type"], "must be object")
    for name in metadata.get("properties") or {}:
        if name not in ("name", "generateName"):
            errors.forbidden(
                where,
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            )
            break


def _node(errors: Errors, value: Obj, path: str, *, root: bool = False) -> None:
    for field in _NEVER:
        if value.get(field):
            errors.forbidden(f"{path}.{field}", f"{field} is not supported")
    if value.get("uniqueItems"):
        errors.forbidden(
            f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    kind = value.get("type") or ""
    loose = value.get("x-kubernetes-int-or-string") or value.get("x-kubernetes-preserve-unknown-fields")
    if kind and kind not in TYPES:
        errors.unsupported(f"{path}.type", kind, TYPES)
    if not kind and not loose and not root:
        errors.required(f"{path}.type", "must not be empty for specified object fields")
    if value.get("x-kubernetes-int-or-string") and kind:
        errors.forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")
    if value.get("x-kubernetes-embedded-resource") and kind not in ("object", ""):
        errors.invalid(f"{path}.type", kind, "must be object if x-kubernetes-embedded-resource is true")
    properties, additional, items = value.get("properties"), value.get("additionalProperties"), value.get("items")
    if properties and additional not in (None, False):
        errors.forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if additional is False:
        errors.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    for name, each in (properties or {}).items():
        _node(errors, each, f"{path}.properties[{name}]")
    if isinstance(additional, dict):
        _node(errors, additional, f"{path}.additionalProperties")
    if isinstance(items, list):
        errors.forbidden(f"{path}.items", "items must be a schema object and not an array")
    elif items is not None:
        _node(errors, items, f"{path}.items")
    elif kind == "array":
        errors.required(f"{path}.items", "must be specified")
    for word in _LOGIC:
        for index, each in enumerate(value.get(word) or []):
            _inside(errors, each, value, f"{path}.{word}[{index}]")
    if value.get("not") is not None:
        _inside(errors, value["not"], value, f"{path}.not")
    _lists_and_maps(errors, value, path)
    _rules(errors, value.get("x-kubernetes-validations") or [], path)


def _inside(errors: Errors, value: Obj, outer: Obj, path: str) -> None:
    """A schema under a logical operator: it may narrow what is outside, not add to it."""
    if outer.get("x-kubernetes-int-or-string") and _is_int_or_string(value):
        return
    for field, detail in _FORBIDDEN_INSIDE:
        if value.get(field) not in (None, "", False):
            errors.forbidden(f"{path}.{field}", detail)
    if value.get("additionalProperties") is not None:
        errors.forbidden(f"{path}.additionalProperties", "must be undefined to be structural")
    known = outer.get("properties") or {}
    for name, each in (value.get("properties") or {}).items():
        where = f"{path}.properties[{name}]"
        if name not in known:
            errors.required(_outside(where), f"because it is defined in {where}")
        else:
            _inside(errors, each, known[name], where)
    items = value.get("items")
    if isinstance(items, dict):
        if not isinstance(outer.get("items"), dict):
            errors.required(_outside(f"{path}.items"), f"because it is defined in {path}.items")
        else:
            _inside(errors, items, outer["items"], f"{path}.items")
    for word in _LOGIC:
        for index, each in enumerate(value.get(word) or []):
            _inside(errors, each, outer, f"{path}.{word}[{index}]")
    if value.get("not") is not None:
        _inside(errors, value["not"], outer, f"{path}.not")


def _is_int_or_string(value: Obj) -> bool:
    return value.get("type") in ("integer", "string") or "anyOf" in value


def _outside(path: str) -> str:
    """The same place without the logical operators on the way."""
    steps = path.split(".")
    return ".".join(step for step in steps if step.partition("[")[0] not in (*_LOGIC, "not"))


def _lists_and_maps(errors: Errors, value: Obj, path: str) -> None:
    kind, list_type = value.get("type"), value.get("x-kubernetes-list-type")
    keys = value.get("x-kubernetes-list-map-keys") or []
    if list_type is not None:
        if kind != "array":
            errors.invalid(f"{path}.type", kind or "", "must be array if x-kubernetes-list-type is specified")
        if list_type not in LIST_TYPES:
            errors.unsupported(f"{path}.x-kubernetes-list-type", list_type, LIST_TYPES)
    if keys and list_type != "map":
        errors.invalid(
            f"{path}.x-kubernetes-list-type", list_type or "", "must be map if x-kubernetes-list-map-keys is non-empty"
        )
    if list_type == "map":
        items = value.get("items") or {}
        if not keys:
            errors.required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
        if isinstance(items, dict) and items.get("type") != "object":
            errors.invalid(
                f"{path}.items.type",
                items.get("type") or "",
                "must be object if parent array's x-kubernetes-list-type is map",
            )
        fields = items.get("properties") or {} if isinstance(items, dict) else {}
        for key in keys:
            if key not in fields:
                errors.invalid(
                    f"{path}.x-kubernetes-list-map-keys", key, "entries must all be names of item properties"
                )
            elif key not in (items.get("required") or []) and "default" not in fields[key]:
                errors.required(
                    f"{path}.items.properties[{key}].default",
                    "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required "
                    "property",
                )
    map_type = value.get("x-kubernetes-map-type")
    if map_type is not None:
        if kind != "object":
            errors.invalid(f"{path}.type", kind or "", "must be object if x-kubernetes-map-type is specified")
        if map_type not in ("granular", "atomic"):
            errors.unsupported(f"{path}.x-kubernetes-map-type", map_type, ("granular", "atomic"))


def _rules(errors: Errors, rules: list[Any], path: str) -> None:
    for index, rule in enumerate(rules):
        where = f"{path}.x-kubernetes-validations[{index}]"
        text = (rule.get("rule") or "").strip()
        if not text:
            errors.required(f"{where}.rule", "rule is not specified")
        message = rule.get("message")
        if message and not message.strip():
            errors.invalid(f"{where}.message", message, "message must be non-empty if specified")
        elif message and "\n" in message.strip():
            errors.invalid(f"{where}.message", message, "message must not contain line breaks")
        elif text and "\n" in text and not message:
            errors.required(f"{where}.message", "message must be specified if rule contains line breaks")
