"""What a schema may contain at all, structural or not: OpenAPI v3's words, list and map types, defaults, CEL rules.

`findings` is all that is wrong with the schema of one version; what `structural` finds comes first, and only a
structural schema has its defaults tried.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pynetes.apis.apiextensions import expressions, json_path, shape, structural, values
from pynetes.apis.apiextensions.budget import Budget, most_values
from pynetes.apis.apiextensions.declared import declared
from pynetes.apis.checks import Errors
from pynetes.machinery.cel.types import Type
from pynetes.machinery.meta import Obj

TYPES = ("array", "boolean", "integer", "number", "object", "string")
LIST_TYPES = ("atomic", "set", "map")
MAP_TYPES = ("atomic", "granular")
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_NEWLINE = re.compile("[\n\r]")

_NOT_SUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")

# Go's names of the fields that may stand at the root of a resource with a status subresource, as the message has them.
_AT_ROOT = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum", "MaxLength",
    "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items", "Properties",
    "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations",
)  # fmt: skip
_IF_STATUS = "at the root of the schema if the status subresource is enabled"
_ROOT_FIELDS = {name[0].lower() + name[1:] for name in _AT_ROOT if not name.startswith("X")} | {
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}


def findings(errors: Errors, schema: Obj, path: str, *, has_status: bool) -> None:
    """Report all that is wrong with the schema at `path`."""
    if has_status:
        _root_with_status(errors, schema, path)
    if schema.get("nullable"):
        errors.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    unstructured = structural.findings(schema, path)
    errors.extend(unstructured)
    if not unstructured:
        _defaults(errors, schema, path, is_root=True)
    budget = Budget()
    _node(errors, schema, path, _Place(budget), is_root=True)
    budget.check(errors, path)


def _root_with_status(errors: Errors, schema: Obj, path: str) -> None:
    for field, value in schema.items():
        if value in (None, "", [], {}, False):
            continue
        if field == "type":
            if value != "object":
                errors.invalid(f"{path}.type", value, f'only "object" is allowed as the type {_IF_STATUS}')
                return
        elif field not in _ROOT_FIELDS:
            errors.invalid(path, schema, f"only [{' '.join(_AT_ROOT)}] fields are allowed {_IF_STATUS}")
            return


# Defaults must fit the schema they stand in.


def _defaults(errors: Errors, schema: Obj, path: str, *, is_root: bool = False, in_metadata: bool = False) -> None:
    default = schema.get("default")
    if default is not None:
        where, pruned = f"{path}.default", copy.deepcopy(default)
        shape.prune(pruned, schema, is_resource=bool(schema.get("x-kubernetes-embedded-resource")))
        if pruned != default:
            detail = "must result in valid metadata" if in_metadata else "must not have unknown fields"
            errors.invalid(where, default, detail)
        else:
            errors.extend(values.findings(default, schema, where))
            errors.extend(shape.repeated(default, schema, where))
            errors.extend(shape.embedded_faults(default, schema, where))
    for name, inner in (schema.get("properties") or {}).items():
        is_resource = is_root or bool(schema.get("x-kubernetes-embedded-resource"))
        inside = in_metadata or (is_resource and name in shape.RESOURCE_FIELDS)
        _defaults(errors, inner, f"{path}.properties[{name}]", in_metadata=inside)
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), dict):
            _defaults(errors, schema[field], f"{path}.{field}", in_metadata=in_metadata)


# Node by node.


@dataclass(frozen=True)
class _Place:
    """What is known of where a schema stands."""

    budget: Budget
    values: int | None = 1
    """How many values there can be here; None if only a request's size limits them."""
    no_defaults: str | None = None
    in_metadata: bool = False
    uncorrelatable: str = ""
    """The outermost schema above of whose values an old and a new one cannot be told to be the same thing."""

    def within(self, path: str, *, correlatable: bool) -> "_Place":
        """The place of what is inside the schema at `path`."""
        return self if correlatable or self.uncorrelatable else replace(self, uncorrelatable=path)

    def times(self, most: int | None) -> "_Place":
        """The place of the elements, of which there are so many for each value here."""
        return replace(self, values=None if self.values is None or most is None else self.values * max(most, 0))


def _node(errors: Errors, schema: Any, path: str, place: _Place, *, is_root: bool = False) -> None:
    if not isinstance(schema, dict):
        return
    _words(errors, schema, path, place)
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.forbidden(f"{path}.uniqueItems", detail)
    additional, properties = schema.get("additionalProperties"), schema.get("properties") or {}
    if additional is not None:
        if properties and additional is not True:
            detail = "additionalProperties and properties are mutual exclusive"
            errors.forbidden(f"{path}.additionalProperties", detail)
        below = place
        if place.in_metadata:
            below = replace(place, no_defaults="inside additionalProperties applying to object metadata")
        _node(errors, additional, f"{path}.additionalProperties", below.times(schema.get("maxProperties")))
    for name, inner in properties.items():
        below = place.within(path, correlatable=schema.get("x-kubernetes-map-type") != "atomic")
        if (is_root or schema.get("x-kubernetes-embedded-resource")) and name in shape.RESOURCE_FIELDS:
            below = replace(below, in_metadata=True)
            if is_root:
                below = replace(below, no_defaults=f"in top-level {name}")
        _node(errors, inner, f"{path}.properties[{name}]", below)
    _node(errors, schema.get("not"), f"{path}.not", place)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for index, inner in enumerate(schema.get(junctor) or []):
            _node(errors, inner, f"{path}.{junctor}[{index}]", place)
    items = schema.get("items")
    inside = place.within(path, correlatable=schema.get("x-kubernetes-list-type") == "map")
    _node(errors, items, f"{path}.items", inside.times(schema.get("maxItems")))
    for index, inner in enumerate(items if isinstance(items, list) else []):
        _node(errors, inner, f"{path}.items[{index}]", place)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        errors.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    _map_type(errors, schema, path)
    _list_type(errors, schema, path)
    _list_map(errors, schema, path)
    _list_items(errors, schema, path)
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or []):
        where = f"{path}.x-kubernetes-validations[{index}]"
        costs = _rule(errors, rule, schema, where, declared(schema, is_resource=is_root))
        number = most_values(schema) if place.values is None else place.values
        place.budget.spend(errors, where, {field: cost * number for field, cost in costs.items()})
        if place.uncorrelatable and expressions.is_about_change(rule):
            detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelatable}"
            errors.invalid(f"{where}.rule", rule["rule"], detail)


def _words(errors: Errors, schema: Obj, path: str, place: _Place) -> None:
    kind = schema.get("type") or ""
    if kind and kind not in TYPES:
        errors.unsupported(f"{path}.type", kind, TYPES)
    if schema.get("default") is not None and place.no_defaults is not None:
        errors.forbidden(f"{path}.default", f"must not be set {place.no_defaults}")
    for word in _NOT_SUPPORTED:
        if schema.get(word) not in (None, "", {}):
            errors.forbidden(f"{path}.{word}", f"{word} is not supported")
    if kind == "null":
        errors.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        errors.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.in_metadata and schema.get("x-kubernetes-embedded-resource"):
        errors.forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")


def _wants_type(errors: Errors, schema: Obj, path: str, wanted: str, because: str) -> bool:
    kind = schema.get("type") or ""
    if kind == wanted:
        return True
    detail = f"must be {wanted} if {because} is specified"
    if kind:
        errors.invalid(f"{path}.type", kind, detail)
    else:
        errors.required(f"{path}.type", detail)
    return False


def _map_type(errors: Errors, schema: Obj, path: str) -> None:
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        _wants_type(errors, schema, path, "object", "x-kubernetes-map-type")
        errors.one_of(f"{path}.x-kubernetes-map-type", map_type, MAP_TYPES)


def _list_type(errors: Errors, schema: Obj, path: str) -> None:
    list_type, items = schema.get("x-kubernetes-list-type"), schema.get("items")
    if list_type is not None and _wants_type(errors, schema, path, "array", "x-kubernetes-list-type"):
        detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
        inner: Mapping[str, Any] = items if list_type == "set" and isinstance(items, dict) else {}
        inner_list, inner_map = inner.get("x-kubernetes-list-type"), inner.get("x-kubernetes-map-type")
        if inner.get("type") == "array" and inner_list not in (None, "atomic"):
            errors.invalid(f"{path}.items.x-kubernetes-list-type", inner_list, detail)
        if inner.get("type") == "object" and inner_map != "atomic":
            errors.invalid(f"{path}.items.x-kubernetes-map-type", inner_list, detail)
    if list_type is not None:
        errors.one_of(f"{path}.x-kubernetes-list-type", list_type, LIST_TYPES)
    if schema.get("x-kubernetes-list-map-keys") and list_type != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        if list_type is None:
            errors.required(f"{path}.x-kubernetes-list-type", detail)
        else:
            errors.invalid(f"{path}.x-kubernetes-list-type", list_type, detail)


def _list_map(errors: Errors, schema: Obj, path: str) -> None:
    if schema.get("x-kubernetes-list-type") != "map":
        return
    keys, items = schema.get("x-kubernetes-list-map-keys") or [], schema.get("items")
    where = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        errors.required(where, "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        errors.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if not isinstance(items, dict):
        errors.invalid(f"{path}.items", items, "must only have a single schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        errors.invalid(f"{path}.items.type", items.get("type") or "", detail)
        return
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            errors.invalid(where, keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.invalid(f"{path}.items.properties[{key}].type", items["type"], detail)
        if key in keys[:index]:
            errors.invalid(where, keys, "must not contain duplicate entries")


def _list_items(errors: Errors, schema: Obj, path: str) -> None:
    """Items that are told apart must be there, and so must what they are told apart by."""
    list_type, items = schema.get("x-kubernetes-list-type"), schema.get("items")
    if list_type not in ("set", "map") or not isinstance(items, dict):
        return
    if items.get("nullable"):
        errors.forbidden(f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}")
    if list_type != "map":
        return
    properties = items.get("properties") or {}
    for key in schema.get("x-kubernetes-list-map-keys") or []:
        if key not in properties:
            continue
        where, this = f"{path}.items.properties[{key}]", "this property is in x-kubernetes-list-map-keys, so it"
        if key not in (items.get("required") or ()) and properties[key].get("default") is None:
            errors.required(f"{where}.default", f"{this} must have a default or be a required property")
        if properties[key].get("nullable"):
            errors.forbidden(f"{where}.nullable", f"{this} cannot be nullable")


def _rule(errors: Errors, rule: Obj, schema: Obj, path: str, kind: Type | None) -> dict[str, int]:
    """Check one rule; returns what its expressions may cost for one value."""
    costs: dict[str, int] = {}
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        errors.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        errors.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif _NEWLINE.search(message.strip()):
        errors.invalid(f"{path}.message", message, "message must not contain line breaks")
    elif _NEWLINE.search(text) and not message.strip():
        errors.required(f"{path}.message", "message must be specified if rule contains line breaks")
    errors.extend(expressions.compile_errors(rule, path, kind, costs))
    computed, field_path = rule.get("messageExpression") or "", rule.get("fieldPath") or ""
    if computed and not computed.strip():
        errors.required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None:
        errors.one_of(f"{path}.reason", rule["reason"], REASONS)
    if not field_path:
        return costs
    if not field_path.strip():
        errors.invalid(f"{path}.fieldPath", field_path, "fieldPath must be non-empty if specified")
    if _NEWLINE.search(field_path):
        errors.invalid(f"{path}.fieldPath", field_path, "fieldPath must not contain line breaks")
    if isinstance(json_path.schema_at(schema, field_path), str):
        errors.invalid(f"{path}.fieldPath", field_path, "fieldPath must be a valid path")
    return costs
