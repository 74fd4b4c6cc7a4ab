"""What patches, apply and validation need to know of a type: `Schema` and `Field`.

A `Schema` is the set of fields of one object type, a `Field` what may stand in one of them. Both are made from OpenAPI
schemas: those of the built-in definitions by name, lazily (`scheme.schema`), or those of a custom resource, whole
(`from_openapi`). Types are named by what they mean on the wire, so a quantity is not just a string.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pynetes.machinery import definitions

FieldType = Literal[
    "object",
    "array",
    "map",
    "string",
    "integer",
    "number",
    "boolean",
    "int-or-string",
    "quantity",
    "time",
    "any",
]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"

# Definitions that are not objects with fields: what they are on the wire, and the format that tells them apart.
LEAVES: dict[str, tuple[FieldType, str]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ("quantity", ""),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ("int-or-string", "int-or-string"),
    f"{_META}.Time": ("time", "date-time"),
    f"{_META}.MicroTime": ("time", "micro-time"),
    f"{_META}.FieldsV1": ("any", ""),
    f"{_META}.Patch": ("any", ""),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": ("any", ""),
    f"{_EXTENSIONS}.JSON": ("any", ""),
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": ("any", ""),
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": ("any", ""),
    f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray": ("any", ""),
}

UNIONS = frozenset(name for name in LEAVES if "PropsOr" in name)


@dataclass(frozen=True, slots=True)
class Field:
    """What may stand in one place: a field of an object, an item of a list, a value of a map."""

    type: FieldType
    ref: str | None = None  # the definition of the object, or of the list's items or the map's values
    inline: "Schema | None" = None  # the same for schemas without a name: those of custom resources
    item: "Field | None" = None  # of a list's items or a map's values
    format: str = ""
    union: str | None = None  # the definition of an object-or-something-else in a CustomResourceDefinition's schema
    patch_strategy: tuple[str, ...] = ()
    patch_merge_key: str | None = None
    list_type: Literal["atomic", "set", "map"] | None = None
    list_map_keys: tuple[str, ...] = ()
    map_type: Literal["atomic", "granular"] | None = None
    required: bool = False
    nullable: bool = False
    default: Any = None
    preserve_unknown: bool = False
    embedded: bool = False  # an embedded object with apiVersion, kind and metadata of its own

    @property
    def schema(self) -> "Schema | None":
        """The fields of the object that stands here, or of the objects in the list or map; None if they are none."""
        return schema(self.ref) if self.ref else self.inline


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of one object type."""

    name: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    map_type: Literal["atomic", "granular"] | None = None
    preserve_unknown: bool = False
    unions: tuple[Mapping[str, Any], ...] = ()

    @property
    def go_name(self) -> str:
        """`PodSpec`: how upstream's messages name the type."""
        return self.name.rpartition(".")[2]


@cache
def schema(name: str) -> Schema:
    """The fields of a built-in definition; KeyError if there is none."""
    return _object(name, definitions.get(name))


def from_openapi(openapi: Mapping[str, Any], name: str = "") -> Schema:
    """The fields of a structural schema (a CustomResourceDefinition's `openAPIV3Schema`)."""
    return _object(name, openapi)


def _object(name: str, openapi: Mapping[str, Any]) -> Schema:
    required = frozenset(openapi.get("required") or ())
    fields = {key: _field(value, key in required) for key, value in (openapi.get("properties") or {}).items()}
    return Schema(
        name=name,
        fields=fields,
        map_type=openapi.get("x-kubernetes-map-type"),
        preserve_unknown=bool(openapi.get("x-kubernetes-preserve-unknown-fields")),
        unions=tuple(openapi.get("x-kubernetes-unions") or ()),
    )


def _field(openapi: Mapping[str, Any], required: bool = False) -> Field:
    """One place's schema; a reference to a leaf becomes that leaf, any other keeps its name."""
    name = definitions.referenced(openapi["$ref"]) if "$ref" in openapi else None
    kind, form = LEAVES.get(name or "", (None, ""))
    if name is not None and kind is None:
        kind = "object"
    item: Field | None = None
    ref = name if kind == "object" else None
    inline: Schema | None = None
    if kind is None:
        kind, form = _inline_type(openapi), openapi.get("format") or ""
        if kind in ("array", "map"):
            inner = openapi.get("items" if kind == "array" else "additionalProperties")
            item = _field(inner if isinstance(inner, Mapping) else {})
            ref, inline = (item.ref, item.inline) if item.type == "object" else (None, None)
        elif kind == "object":
            inline = _object("", openapi)
    return Field(
        type=kind,
        ref=ref,
        inline=inline,
        item=item,
        format=form,
        union=name if name in UNIONS else None,
        patch_strategy=tuple(openapi.get("x-kubernetes-patch-strategy", "").split(",")) if _merges(openapi) else (),
        patch_merge_key=openapi.get("x-kubernetes-patch-merge-key"),
        list_type=openapi.get("x-kubernetes-list-type"),
        list_map_keys=tuple(openapi.get("x-kubernetes-list-map-keys") or ()),
        map_type=openapi.get("x-kubernetes-map-type"),
        required=required,
        nullable=bool(openapi.get("nullable")),
        default=openapi.get("default"),
        preserve_unknown=bool(openapi.get("x-kubernetes-preserve-unknown-fields")),
        embedded=bool(openapi.get("x-kubernetes-embedded-resource")),
    )


def _merges(openapi: Mapping[str, Any]) -> bool:
    return bool(openapi.get("x-kubernetes-patch-strategy"))


def _inline_type(openapi: Mapping[str, Any]) -> FieldType:
    if openapi.get("x-kubernetes-int-or-string"):
        return "int-or-string"
    kind = openapi.get("type")
    if kind == "object":
        if openapi.get("properties"):
            return "object"
        return "map" if openapi.get("additionalProperties") else "any"
    if kind in ("array", "string", "integer", "number", "boolean"):
        return kind
    return "any"
