"""The structure of builtin and custom kinds, for `typed`, made once from their schemas.

Lists and maps are atomic or not as the schema says (`x-kubernetes-list-type`, `x-kubernetes-map-type`); builtin lists
without a list type but with patch strategy `merge` are keyed by their merge key. Where a schema leaves a place open,
its structure is deduced from the value.
"""

from functools import cache

from pynetes.machinery.patches.typed import DEDUCED, Items, Leaf, Member, Object, Sequence, Type
from pynetes.machinery.schema import Field, Schema, schema

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

# Fields of builtin types that are structs in Go, not pointers (besides those that are required).
_VALUE_STRUCTS = frozenset(
    {
        *("metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "resources"),
        *("loadBalancer", "state", "lastState", "nodeInfo", "daemonEndpoints", "kubeletEndpoint", "config"),
        *("metric", "current", "target", "names", "acceptedNames", "clientConfig", "roleRef", "backend"),
        *("involvedObject", "source", "regarding"),
    }
)


@cache
def of_definition(name: str) -> Object:
    """The type of a builtin definition."""
    compiled = Object()
    _building[name] = compiled
    try:
        compiled.fields.update(_members(schema(name), builtin=True))
    finally:
        del _building[name]
    return compiled


_building: dict[str, Object] = {}  # definitions that contain themselves find the type that is being made here


def of_schema(custom: Schema) -> Object:
    """The type of a custom resource; its metadata is what every object's is."""
    compiled = _object(custom, builtin=False)
    compiled.fields.update({key: Member(f"f:{key}", Leaf("string"), False) for key in ("apiVersion", "kind")})
    compiled.fields["metadata"] = Member("f:metadata", of_definition(_META), False)
    return compiled


def _object(known: Schema, builtin: bool) -> Object:
    return Object(_members(known, builtin), DEDUCED if known.preserve_unknown else None)


def _members(known: Schema, builtin: bool) -> dict[str, Member]:
    return {
        key: Member(f"f:{key}", _type_of(field, builtin), builtin and (field.required or key in _VALUE_STRUCTS))
        for key, field in known.fields.items()
    }


def _type_of(field: Field, builtin: bool) -> Type:
    if field.type == "any" or (field.preserve_unknown and field.schema is None):
        return DEDUCED
    if field.type == "object":
        inner = _struct(field, builtin)
        atomic = "atomic" in (field.map_type, field.schema.map_type if field.schema else None)
        return Leaf("map", inner) if atomic else inner
    if field.type == "map":
        map_of = Object(element=_type_of(field.item, builtin) if field.item else DEDUCED)
        return Leaf("map", map_of) if field.map_type == "atomic" else map_of
    if field.type == "array":
        return _list(field, builtin)
    return Leaf(field.type)


def _struct(field: Field, builtin: bool) -> Object:
    if field.ref is not None:
        return _building.get(field.ref) or of_definition(field.ref)
    return _object(field.inline or Schema(""), builtin)


def _list(field: Field, builtin: bool) -> Type:
    item = _type_of(field.item, builtin) if field.item else DEDUCED
    kind, keys = field.list_type, field.list_map_keys
    if kind is None and "merge" in field.patch_strategy:
        kind, keys = ("map", (field.patch_merge_key,)) if field.patch_merge_key else ("set", ())
    if kind == "map":
        known = field.schema.fields if field.schema else {}
        defaults = {key: known[key].default for key in keys if key in known and known[key].default is not None}
        return Items(item, keys, defaults)
    return Items(item) if kind == "set" else Leaf("list", Sequence(item))
