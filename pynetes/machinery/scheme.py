"""Objects, typed at the door.

`decode` turns a request's bytes into a plain dict that is what upstream would have understood: types checked, unknown
fields dropped, `null` and empty optional fields absent, quantities and times in canonical form. The types are
`TypedDict`s made from the definitions when a kind is first met, and msgspec does the work; only bodies with something
to tidy (`null`, `""`, `[]`, `{}`) are walked in Python, and only bodies that fail are looked at again (`decode_errors`)
to say what is wrong in upstream's words.
"""

import base64
import binascii
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypedDict

import msgspec

from pynetes.machinery import clock, decode_errors, definitions, errors, quantity
from pynetes.machinery.definitions import descriptions as descriptions
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType
from pynetes.machinery.schema import Field, Schema, from_openapi, schema

__all__ = [
    "Field",
    "Schema",
    "convert",
    "decode",
    "decode_reporting",
    "definition_of",
    "descriptions",
    "from_openapi",
    "schema",
    "strict_errors",
    "unknown_fields",
]

strict_errors = decode_errors.strict_errors
unknown_fields = decode_errors.unknown_fields


def definition_of(api_version: str, kind: str) -> str | None:
    """The definition's name for a kind: `io.k8s.api.apps.v1.Deployment`; None if it is not built in."""
    return definitions.of_kind(api_version, kind)


def decode(target: ResourceType | str, raw: bytes, *, strict: bool = False) -> Obj:
    """The object in a JSON body, as the kind of a resource or as a definition.

    Raises StatusError 400. With `strict`, unknown and duplicate fields are errors too.
    """
    if not strict:
        return _tidy_if_needed(_typed(target, raw), target, raw)
    obj, faults = decode_reporting(target, raw)
    if faults:
        raise errors.bad_request(_refusal(target, raw, f"strict decoding error: {', '.join(faults)}"))
    return obj


def decode_reporting(target: ResourceType | str, raw: bytes) -> tuple[Obj, list[str]]:
    """The object, and what strict validation would say of its body (see `strict_errors`)."""
    obj = _typed(target, raw)
    faults = [] if _says_the_same(obj, raw) else strict_errors(_definition_name(target), raw)
    return _tidy_if_needed(obj, target, raw), faults


def _typed(target: ResourceType | str, raw: bytes) -> Obj:
    name = _definition_name(target)
    try:
        return _decoder(name).decode(b"{}" if raw.strip() == b"null" else raw)  # to Go, null is an empty struct
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.bad_request(_refusal(target, raw, decode_errors.explain(name, raw))) from None


def _tidy_if_needed(obj: Obj, target: ResourceType | str, raw: bytes) -> Obj:
    return _tidy(obj, schema(_definition_name(target))) if any(sign in raw for sign in _SIGNS) else obj


def _says_the_same(obj: Obj, raw: bytes) -> bool:
    """Whether a body surely has no unknown and no duplicate fields: the common case, found without a walk.

    Unknown fields are missing from the typed object; duplicates make the body longer than it need be. So do spaces,
    and quantities may differ in form: those bodies are walked, that is all.
    """
    plain = msgspec.json.decode(raw)
    return plain == obj and len(msgspec.json.encode(plain)) == len(raw.strip())


def convert(target: ResourceType | str, obj: Obj) -> Obj:
    """The same for an object that is already parsed, such as the result of a patch; `obj` is left as it is."""
    name = _definition_name(target)
    try:
        typed = msgspec.convert(obj, _typed_dict(name), dec_hook=_leaf)
    except msgspec.ValidationError:
        raw = msgspec.json.encode(obj)
        raise errors.bad_request(_refusal(target, raw, decode_errors.explain(name, raw))) from None
    return _tidy(typed, schema(name))


def _definition_name(target: ResourceType | str) -> str:
    if isinstance(target, str):
        return target
    name = definitions.of_kind(target.api_version, target.kind)
    if name is None:
        raise KeyError(f"no definition of {target.api_version} {target.kind}")
    return name


def _refusal(target: ResourceType | str, raw: bytes, reason: str) -> str:
    """The sentence around a reason: it names the kind that the body claims, if that much can be read."""
    name = _definition_name(target)
    kind = target.kind if isinstance(target, ResourceType) else name.rpartition(".")[2]
    claimed = decode_errors.claimed_kind(raw)
    if claimed is None:
        summary = decode_errors.summarize(raw)
        return f"the object provided is unrecognized (must be of type {kind}): {reason} ({summary})"
    version = claimed[0].rpartition("/")[2] or name.split(".")[-2]
    return f'{claimed[1] or kind} in version "{version}" cannot be handled as a {kind}: {reason}'


# --- types ------------------------------------------------------------------------------------------------------


class _AnyStr(type):
    """The class of types whose instances are plain strings: msgspec calls the hook for them and keeps its result."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, str)


class _Quantity(metaclass=_AnyStr):
    """A quantity: a text or a number in, canonical text out."""


class _Time(metaclass=_AnyStr):
    """A `metav1.Time`."""


class _MicroTime(metaclass=_AnyStr):
    """A `metav1.MicroTime`."""


class _Bytes(metaclass=_AnyStr):
    """Base64 in text."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return value


_LEAF_MAKERS: dict[type, Callable[[Any], str]] = {
    _Quantity: quantity.canonical,
    _Time: lambda value: clock.format_time(clock.parse_time(_text(value))),
    _MicroTime: lambda value: clock.format_micro_time(clock.parse_time(_text(value))),
    _Bytes: lambda value: canonical_base64(_text(value)),
}


def _leaf(kind: type, value: Any) -> str:
    """msgspec's hook for the types above; what it raises becomes a validation error."""
    try:
        return _LEAF_MAKERS[kind](value)
    except (binascii.Error, TypeError) as error:  # TypeError: a list or an object where a text belongs
        raise ValueError(str(error)) from None


def canonical_base64(text: str) -> str:
    """Standard base64 with its padding; line breaks are dropped, as Go does."""
    plain = text.replace("\n", "").replace("\r", "")
    return base64.b64encode(base64.b64decode(plain, validate=True)).decode()


_INT32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_LEAF_TYPES: dict[tuple[str, str], Any] = {
    ("quantity", ""): _Quantity,
    ("time", "date-time"): _Time,
    ("time", "micro-time"): _MicroTime,
    ("int-or-string", "int-or-string"): _INT32 | str,
    ("string", "byte"): _Bytes,
    ("integer", "int32"): _INT32,
}
_PLAIN_TYPES: dict[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": _INT64,
    "number": int | float,
    "any": Any,
    "int-or-string": int | str,
}

_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"

# The untyped corners of a CustomResourceDefinition's schema, whose inner schemas are typed all the same.
_UNIONS: dict[str, Callable[[Any], Any]] = {
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": lambda props: props | bool,
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": lambda props: props | _list[props],
    f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray": lambda props: props | list[str],
}

_typed_dicts: dict[str, Any] = {}

# The makers of types, as values that a type checker does not try to follow at run time.
_new_typed_dict: Any = TypedDict
_list: Any = list
_dict: Any = dict


@cache
def _decoder(name: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_typed_dict(name), dec_hook=_leaf)


def _typed_dict(name: str) -> Any:
    """The TypedDict of a definition, every field optional and nullable.

    It is registered before its fields are known, because a few definitions contain themselves.
    """
    made = _typed_dicts.get(name)
    if made is None:
        made = _typed_dicts[name] = _new_typed_dict(name, {}, total=False)
        made.__annotations__.update({key: _type_of(field) | None for key, field in schema(name).fields.items()})
    return made


def _type_of(field: Field) -> Any:
    """The Python type of what may stand in a field."""
    match field.type:
        case "object":
            return _typed_dict(field.ref) if field.ref else _dict[str, Any]
        case "array":
            return _list[_type_of(field.item) | None if field.item else Any]
        case "map":
            return _dict[str, _type_of(field.item) | None if field.item else Any]
    if field.union:
        return _UNIONS[field.union](_typed_dict(f"{_EXTENSIONS}.JSONSchemaProps"))
    return _LEAF_TYPES.get((field.type, field.format)) or _PLAIN_TYPES[field.type]


# --- tidying ----------------------------------------------------------------------------------------------------

# What shows that there may be something to tidy. White space after a bracket may hide an empty one; text in strings
# may look the same; both only cost a walk that changes nothing.
_SIGNS = (b"null", b'""', b"[]", b"{}", b"[ ", b"{ ", b"[\n", b"{\n", b"[\r", b"{\r", b"[\t", b"{\t")


# Optional texts that mean something when they are empty: upstream has pointers there, and keeps them.
_KEPT_EMPTY = {
    "io.k8s.api.core.v1.PersistentVolumeClaimSpec": {"storageClassName", "volumeAttributesClassName"},
    "io.k8s.api.core.v1.PodSpec": {"runtimeClassName"},
    "io.k8s.api.core.v1.ServiceSpec": {"loadBalancerClass"},
    "io.k8s.api.batch.v1.CronJobSpec": {"timeZone"},
    "io.k8s.api.batch.v1.JobSpec": {"managedBy"},
    "io.k8s.api.core.v1.PodResourceClaim": {"resourceClaimName", "resourceClaimTemplateName"},
    "io.k8s.api.discovery.v1.EndpointPort": {"name", "protocol", "appProtocol"},
    "io.k8s.api.discovery.v1.Endpoint": {"hostname", "nodeName", "zone"},
    "io.k8s.api.networking.v1.IngressSpec": {"ingressClassName"},
    "io.k8s.api.coordination.v1.LeaseSpec": {"holderIdentity"},
    "io.k8s.api.policy.v1.PodDisruptionBudgetSpec": {"unhealthyPodEvictionPolicy"},
}
_NONE_KEPT: set[str] = set()

# What Go puts where a list or a map of values (not of pointers) holds a null.
_ZERO: dict[str, Any] = {"string": "", "quantity": "0", "integer": 0, "boolean": False, "number": 0}


def _tidy(obj: Obj, shape: Schema) -> Obj:
    """Remove from a typed object what upstream would not have: nulls, and empty texts, lists and maps if optional."""
    kept = _KEPT_EMPTY.get(shape.name, _NONE_KEPT)
    dropped: list[str] = []
    for key, value in obj.items():
        if value is None:
            dropped.append(key)
            continue
        field = shape.fields[key]
        if not value and not field.required:
            if (field.type == "string" and key not in kept) or field.type in ("array", "map"):
                dropped.append(key)
            continue
        if type(value) is dict:
            if field.type == "object" and field.ref:
                _tidy(value, schema(field.ref))
            elif field.type == "map" and field.item:
                for name, inner in value.items():
                    value[name] = _tidy_item(inner, field.item)
        elif type(value) is list and field.item:
            value[:] = [_tidy_item(inner, field.item) for inner in value]
    for key in dropped:
        del obj[key]
    return obj


def _tidy_item(value: Any, item: Field) -> Any:
    """The same for what is in a list or a map, where nothing can be left out."""
    if value is None:
        return _ZERO.get(item.type, {} if item.type == "object" else None)
    if item.type == "object" and item.ref:
        return _tidy(value, schema(item.ref))
    return value
