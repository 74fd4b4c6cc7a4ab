"""Why a body was refused, in upstream's words.

The fast decoder only says that something does not fit. These functions look at the body again and find what Go's
decoder would have said: the place of a syntax error (`json_syntax`), the first value of a wrong type with the Go names
of struct and type, the first quantity or time that does not parse. And for strict validation, which the fast decoder
does not do at all: fields that are unknown or given twice.
"""

import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from pynetes.machinery import clock, json_syntax, quantity
from pynetes.machinery.meta import Obj
from pynetes.machinery.schema import Field, Schema, schema

# Strings with a Go type of their own, by struct and field, for the fields that people get wrong.
_GO_STRINGS = {
    ("ContainerPort", "protocol"): "v1.Protocol",
    ("ServicePort", "protocol"): "v1.Protocol",
    ("Container", "imagePullPolicy"): "v1.PullPolicy",
    ("Container", "terminationMessagePolicy"): "v1.TerminationMessagePolicy",
    ("PodSpec", "restartPolicy"): "v1.RestartPolicy",
    ("PodSpec", "dnsPolicy"): "v1.DNSPolicy",
    ("PodStatus", "phase"): "v1.PodPhase",
    ("ServiceSpec", "type"): "v1.ServiceType",
    ("ServiceSpec", "sessionAffinity"): "v1.ServiceAffinity",
    ("Secret", "type"): "v1.SecretType",
    ("DeploymentStrategy", "type"): "v1.DeploymentStrategyType",
    ("Toleration", "operator"): "v1.TolerationOperator",
    ("Toleration", "effect"): "v1.TaintEffect",
    ("ObjectMeta", "uid"): "types.UID",
    ("OwnerReference", "uid"): "types.UID",
}
_GO_LEAVES = {
    "string": "string",
    "boolean": "bool",
    "number": "float64",
    "quantity": "resource.Quantity",
    "int-or-string": "intstr.IntOrString",
    "time": "v1.Time",
    "any": "runtime.RawExtension",
}


def explain(name: str, raw: bytes) -> str:
    """The reason for which `raw` is not an object of the definition."""
    syntax = json_syntax.error(raw)
    if syntax is not None:
        return f"couldn't get version/kind; json parse error: {syntax}"
    obj = json.loads(raw)
    if not isinstance(obj, dict):
        kind = _kind_of(obj)
        return (
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {kind} into Go value of type"
            ' struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        )
    try:
        mismatches = list(_object_mismatches(obj, schema(name), []))
    except ValueError as error:  # a value with a parser of its own ends Go's decoding at once
        return str(error)
    return mismatches[0] if mismatches else "json: the object could not be decoded"


def _object_mismatches(obj: Obj, shape: Schema, path: list[str]) -> Iterator[str]:
    for key, value in obj.items():
        field = shape.fields.get(key)
        if field is not None and value is not None:
            yield from _mismatches(value, field, shape, key, [*path, key])


def _mismatches(value: Any, field: Field, owner: Schema, key: str, path: list[str]) -> Iterator[str]:
    """The type errors in one value, in the order of the document; ValueError where a parser of its own refuses."""
    found = _kind_of(value)
    match field.type:
        case "object" if isinstance(value, dict):
            if field.schema:
                yield from _object_mismatches(value, field.schema, path)
            return
        case "array" if isinstance(value, list):
            for inner in value:
                if inner is not None and field.item:
                    yield from _mismatches(inner, field.item, owner, key, path)
            return
        case "map" if isinstance(value, dict):
            for inner in value.values():
                if inner is not None and field.item:
                    yield from _mismatches(inner, field.item, owner, key, path)
            return
        case "string" if isinstance(value, str):
            if field.format == "byte":
                _check_base64(value)
            return
        case "boolean" if isinstance(value, bool):
            return
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return
        case "integer" if found == "number":
            bits = 31 if field.format == "int32" else 63
            if isinstance(value, int) and -(2**bits) <= value < 2**bits:
                return
            found = f"number {value}"
        case "quantity":
            quantity.parse(value if isinstance(value, str | int | float) and not isinstance(value, bool) else "x")
            return
        case "time":
            _check_time(value, found, field.format)
            return
        case "int-or-string":
            if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
                return
            shown = f"number {value}" if found == "number" else found
            raise ValueError(f"json: cannot unmarshal {shown} into Go value of type int32")
        case "any":
            return
    kind = _go_type(field, owner, key)
    yield f"json: cannot unmarshal {found} into Go struct field {owner.go_name}.{'.'.join(path)} of type {kind}"


def _kind_of(value: Any) -> str:
    """What Go calls the kind of a JSON value."""
    if isinstance(value, bool):
        return "bool"
    for kind, shown in ((dict, "object"), (list, "array"), (str, "string"), (int, "number"), (float, "number")):
        if isinstance(value, kind):
            return shown
    return "null"


def _go_type(field: Field, owner: Schema, key: str) -> str:
    """The Go type of a field, as far as the definitions tell."""
    match field.type:
        case "object":
            return f"{_package(field.ref)}.{field.schema.go_name}" if field.schema else "map[string]interface {}"
        case "array":
            return f"[]{_go_type(field.item, owner, '')}" if field.item else "[]interface {}"
        case "map":
            return f"map[string]{_go_type(field.item, owner, '')}" if field.item else "map[string]interface {}"
        case "integer":
            return field.format or "int64"
        case "string" if field.format == "byte":
            return "[]uint8"
        case "string":
            return _GO_STRINGS.get((owner.go_name, key), "string")
    return _GO_LEAVES[field.type]


def _package(ref: str | None) -> str:
    """`v1` of `io.k8s.api.core.v1.PodSpec`."""
    return ref.split(".")[-2] if ref else ""


# The parts of Go's layout for RFC 3339, with what each takes; the fraction has six digits in a MicroTime.
_LAYOUT = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", r"\d\d"),
    ("-", "-"),
    ("02", r"\d\d"),
    ("T", "T"),
    ("15", r"\d\d"),
    (":", ":"),
    ("04", r"\d\d"),
    (":", ":"),
    ("05", r"\d\d(?:\.\d+)?"),
    ("Z07:00", r"Z|[+-]\d\d:\d\d"),
)
_RANGES = ((2, "month", 1, 12), (4, "day", 1, 31), (6, "hour", 0, 23), (8, "minute", 0, 59), (10, "second", 0, 59))


def _check_time(value: Any, found: str, form: str) -> None:
    """Raise as Go's `time.Parse` does."""
    if not isinstance(value, str):
        raise ValueError(f"json: cannot unmarshal {found} into Go value of type string")
    try:
        clock.parse_time(value)
    except ValueError:
        raise ValueError(_time_error(value, ".000000" if form == "micro-time" else "")) from None


def _time_error(text: str, fraction: str) -> str:
    layout = "".join(part for part, _ in _LAYOUT).replace("05Z", f"05{fraction}Z")
    prefix, rest, taken = f'parsing time "{text}"', text, []
    for part, pattern in _LAYOUT:
        match = re.match(pattern, rest, re.ASCII)
        if match is None:
            return f'{prefix} as "{layout}": cannot parse "{rest}" as "{part}"'
        taken.append(match[0])
        rest = rest[match.end() :]
    if rest:
        return f'{prefix}: extra text: "{rest}"'
    for index, unit, low, high in _RANGES:
        if not low <= int(taken[index].partition(".")[0]) <= high:
            return f"{prefix}: {unit} out of range"
    return f"{prefix}: day out of range"


_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _check_base64(value: str) -> None:
    """Raise as Go does, with the offset of the first byte that does not belong."""
    plain = value.replace("\n", "").replace("\r", "")
    try:
        binascii.a2b_base64(plain.encode(), strict_mode=True)
    except (binascii.Error, ValueError):
        data = plain.encode()
        body = data.rstrip(b"=")
        bad = next((index for index, byte in enumerate(body) if byte not in _BASE64), None)
        offset = bad if bad is not None else min(len(body), len(data))
        raise ValueError(f"illegal base64 data at input byte {offset}") from None


def claimed_kind(raw: bytes) -> tuple[str, str] | None:
    """The apiVersion and kind that a body claims; None if it cannot be read or claims no kind."""
    try:
        obj = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(obj, dict):
        return None
    api_version, kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    return (api_version, kind) if isinstance(api_version, str) and isinstance(kind, str) else None


def summarize(raw: bytes, limit: int = 30) -> str:
    """The beginning of a body, for a message: as text if it begins like JSON, in hexadecimal otherwise."""
    if not raw:
        return "<empty>"
    text = (lambda part: part.decode(errors="replace")) if raw[:1] == b"{" else bytes.hex
    return f"{text(raw[:limit])} ..." if len(raw) > limit else text(raw)


class _Pairs(list[tuple[str, Any]]):
    """An object as its fields in order, repeated ones included."""


def strict_errors(definition: str | Schema, raw: bytes) -> list[str]:
    """`unknown field "spec.foo"` and `duplicate field "spec.replicas"` for all there are, in the document's order."""
    shape = schema(definition) if isinstance(definition, str) else definition
    body = json.loads(raw, object_pairs_hook=_Pairs)
    return list(dict.fromkeys(_strict_object(body, shape, ""))) if isinstance(body, _Pairs) else []


def _strict_object(pairs: _Pairs, shape: Schema | None, path: str) -> Iterator[str]:
    """The faults of an object; without a schema only duplicates are faults."""
    seen: set[str] = set()
    for key, value in pairs:
        place = f"{path}.{key}" if path else key
        field = shape.fields.get(key) if shape else None
        if shape is not None and field is None and not shape.preserve_unknown:
            yield f'unknown field "{place}"'  # and given twice or not, that is all there is to say
            continue
        if key in seen:
            yield f'duplicate field "{place}"'
        seen.add(key)
        if isinstance(value, _Pairs | list):
            yield from _strict_value(value, field, place)


def _strict_value(value: Any, field: Field | None, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        kind = field.type if field else "any"
        if kind == "map":
            yield from _strict_map(value, field.item if field else None, path)
        elif field is not None and field.union:
            yield from _strict_object(value, schema(_props_of(field.union)), path)
        else:
            yield from _strict_object(value, field.schema if field and kind == "object" else None, path)
    elif isinstance(value, list):
        item = field.item if field else None
        for index, inner in enumerate(value):
            if isinstance(inner, _Pairs | list):
                yield from _strict_value(inner, item, f"{path}[{index}]")


def _props_of(union: str) -> str:
    return f"{union.rpartition('.')[0]}.JSONSchemaProps"


def _strict_map(pairs: _Pairs, item: Field | None, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for key, value in pairs:
        place = f"{path}.{key}"
        if key in seen:
            yield f'duplicate field "{place}"'
        seen.add(key)
        if isinstance(value, _Pairs | list):
            yield from _strict_value(value, item, place)


def duplicates(raw: bytes) -> list[str]:
    """`duplicate field "spec.replicas"` for every field of an object that is given twice, known or not."""
    body = json.loads(raw, object_pairs_hook=_Pairs)
    return list(dict.fromkeys(_strict_object(body, None, ""))) if isinstance(body, _Pairs) else []


_OPERATION = frozenset({"op", "path", "from", "value"})


def operation_faults(raw: bytes) -> list[str]:
    """What strict validation says of the operations of a JSON patch: `json patch unknown field "[0].foo"`."""
    faults: list[str] = []
    for index, pairs in enumerate(json.loads(raw, object_pairs_hook=_Pairs)):
        if isinstance(pairs, _Pairs):
            faults += [f'unknown field "[{index}].{key}"' for key, _ in pairs if key not in _OPERATION]
            known = _Pairs((key, value) for key, value in pairs if key in _OPERATION)
            faults += _strict_object(known, None, f"[{index}]")
    return [f"json patch {fault}" for fault in dict.fromkeys(faults)]


def unknown_fields(definition: str | Schema, obj: Obj) -> list[str]:
    """The paths of fields in a parsed object that its definition does not have, sorted as Go writes an object."""
    faults = strict_errors(definition, msgspec.json.encode(obj, order="sorted"))
    return [fault.split('"')[1] for fault in faults if fault.startswith("unknown field")]
