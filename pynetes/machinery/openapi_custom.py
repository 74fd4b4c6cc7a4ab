"""Custom resources in the published schemas.

A structural schema says more than OpenAPI v2 can: v2 gets the part that clients of old understand, loosened wherever
the whole would be misunderstood (upstream does the same, so that kubectl's own validation never refuses what the
server takes). v3 gets it as it is. Both get the kind's list, and apiVersion, kind and metadata where they are missing.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pynetes.machinery import definitions
from pynetes.machinery.resources import ResourceType

Json = dict[str, Any]

_META = f"{definitions.REF_PREFIX}io.k8s.apimachinery.pkg.apis.meta.v1"
_V2_DROPPED = {"allOf", "anyOf", "oneOf", "not", "nullable", "x-kubernetes-validations", "example", "externalDocs"}


def name_of(rt: ResourceType) -> str:
    """`com.example.stable.v1.CronTab`: the definition's name of a custom kind."""
    return ".".join([*reversed(rt.group.split(".")), rt.version, rt.kind])


def v2_definitions(rt: ResourceType, schema: Mapping[str, Any] | None) -> dict[str, Json]:
    """The kind and its list, for OpenAPI v2; a kind that may hold anything is an object and no more."""
    open_to_all = not schema or schema.get("x-kubernetes-preserve-unknown-fields")
    return _definitions(rt, None if open_to_all else _with_embedded(_v2(schema or {}), loosened=True))


def v3_schemas(rt: ResourceType, schema: Mapping[str, Any] | None) -> dict[str, Json]:
    """The kind and its list, for OpenAPI v3; references are still v2's, as everything is until the last step."""
    return _definitions(rt, _with_embedded(schema) if schema else None)


def _definitions(rt: ResourceType, schema: Json | None) -> dict[str, Json]:
    name = name_of(rt)
    gvk = {"group": rt.group, "version": rt.version}
    made: Json = dict(schema) if schema is not None else {"type": "object"}
    if schema is not None:
        made["properties"] = dict(made.get("properties") or {}) | _object_fields()
    made["x-kubernetes-group-version-kind"] = [gvk | {"kind": rt.kind}]
    return {
        name: made,
        f"{name}List": {
            "description": f"{rt.list_kind} is a list of {rt.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": _object_fields()["apiVersion"],
                "items": {
                    "description": f"List of {rt.plural}.{_list_words()['items']}",
                    "type": "array",
                    "items": {"$ref": f"{definitions.REF_PREFIX}{name}"},
                },
                "kind": _object_fields()["kind"],
                "metadata": {"description": _list_words()["metadata"], "$ref": f"{_META}.ListMeta"},
            },
            "x-kubernetes-group-version-kind": [gvk | {"kind": rt.list_kind}],
        },
    }


@cache
def _object_fields() -> dict[str, Json]:
    """What every object has, in the words of the built-in kinds."""
    said = definitions.descriptions()["io.k8s.api.core.v1.ConfigMap"]
    return {
        "apiVersion": {"description": said["apiVersion"], "type": "string"},
        "kind": {"description": said["kind"], "type": "string"},
        "metadata": {"description": said["metadata"], "$ref": f"{_META}.ObjectMeta"},
    }


@cache
def _list_words() -> Mapping[str, str]:
    """What is said of the fields of a list; that of its items follows the plural."""
    said = definitions.descriptions()["io.k8s.api.core.v1.PodList"]
    return {"metadata": said["metadata"], "items": said["items"].partition(".")[2]}


def _with_embedded(schema: Mapping[str, Any], *, loosened: bool = False) -> Json:
    """A schema in which objects inside of others have apiVersion, kind and metadata too, and must say the first two.

    A loosened one leaves those that may hold anything: clients of old would take what is named for all there is.
    """
    made = dict(schema)
    if "properties" in made:
        inner = made["properties"].items()
        made["properties"] = {name: _with_embedded(each, loosened=loosened) for name, each in inner}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), Mapping):
            made[key] = _with_embedded(made[key], loosened=loosened)
    open_to_all = loosened and made.get("x-kubernetes-preserve-unknown-fields")
    if made.get("x-kubernetes-embedded-resource") and not open_to_all:
        made["properties"] = dict(made.get("properties") or {}) | _embedded_fields()
        named = made.get("required") or []
        made["required"] = [*named, *(field for field in ("kind", "apiVersion") if field not in named)]
    return made


def _embedded_fields() -> dict[str, Json]:
    guide = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
    version = "apiVersion defines the versioned schema of this representation of an object. More info: "
    kind = "kind is a string value representing the type of this object. In CamelCase. More info: "
    return _object_fields() | {
        "apiVersion": {"description": f"{version}{guide}#resources", "type": "string"},
        "kind": {"description": f"{kind}{guide}#types-kinds", "type": "string"},
    }


def _v2(schema: Mapping[str, Any]) -> Json:
    """A schema loosened to what OpenAPI v2 clients understand."""
    made = {key: value for key, value in schema.items() if key not in _V2_DROPPED}
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("nullable"):
        for key in ("type", "items", "properties", "additionalProperties", "required"):
            made.pop(key, None)
        return made
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    if "properties" in made:
        made["properties"] = {name: _v2(inner) for name, inner in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), Mapping):
            made[key] = _v2(made[key])
    return made
