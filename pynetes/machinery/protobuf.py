"""Reading objects that clients send as protocol buffers.

Typed Go clients (`kubectl create`, `auth can-i`, …) write built-in kinds in this form. It is an envelope (`k8s` and a
zero byte, then a `runtime.Unknown` that names the kind) around the message of that kind. The numbers of its fields
stand in `protobuf_fields.txt`, a line for each message, `name=number:type`; `*` means repeated, `^` that the fields of
the inner message belong to the outer object, as JSON has them. Types: `s`tring, `b`ytes, `i`nteger, `t`ruth, `d`ouble,
`{` a map from strings to what follows, else the name of a message.

What comes out is what the same client would have sent as JSON, to be typed by `scheme` like any other body. Writing is
not offered: every client that writes protocol buffers reads JSON.
"""

import base64
import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from pynetes.machinery import clock, definitions, wire
from pynetes.machinery.meta import Obj

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
_UNKNOWN = "io.k8s.apimachinery.pkg.runtime.Unknown"
_WRAPPED_LISTS = frozenset({"ExtraValue", "OptionalNames", "Verbs"})

# Go leaves a zero out of JSON unless it stands behind a pointer; these do, so that zero differs from nothing.
_ZERO_MATTERS = frozenset({
    "activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completions", "containerPort", "count",
    "currentReplicas", "defaultMode", "deletionGracePeriodSeconds", "desiredReplicas", "disruptionsAllowed",
    "exitCode", "expirationSeconds", "failedJobsHistoryLimit", "fsGroup", "gracePeriodSeconds",
    "leaseDurationSeconds", "leaseTransitions", "lendablePercent", "maxFailedIndexes", "maxItems", "maxLength",
    "maxProperties", "maxReplicas", "minItems", "minLength", "minProperties", "minReadySeconds", "minReplicas",
    "mode", "nominalConcurrencyShares", "ordinal", "parallelism", "partition", "pathPort", "periodSeconds",
    "podPidsLimit", "port", "priority", "progressDeadlineSeconds", "replicas", "restartCount",
    "revisionHistoryLimit", "runAsGroup", "runAsUser", "stabilizationWindowSeconds", "startingDeadlineSeconds",
    "successfulJobsHistoryLimit", "suspend", "targetCPUUtilizationPercentage", "terminationGracePeriodSeconds",
    "timeoutSeconds", "tolerationSeconds", "ttlSecondsAfterFinished", "value", "weight",
})  # fmt: skip
# … and these do not, although another kind has a pointer of the same name.
_ZERO_IS_NOTHING = {
    ("Probe", "periodSeconds"), ("Probe", "timeoutSeconds"), ("Probe", "successThreshold"),
    ("Probe", "failureThreshold"), ("DeploymentSpec", "minReadySeconds"), ("ReplicaSetSpec", "minReadySeconds"),
    ("DaemonSetSpec", "minReadySeconds"), ("StatefulSetSpec", "minReadySeconds"), ("Event", "count"),
    ("ReplicationControllerSpec", "minReadySeconds"),
}  # fmt: skip
_BOOL_POINTERS = frozenset({
    "allowPrivilegeEscalation", "allowVolumeExpansion", "attachRequired", "automountServiceAccountToken",
    "blockOwnerDeletion", "controller", "enableServiceLinks", "hostUsers", "immutable", "optional",
    "orphanDependents", "podInfoOnMount", "privileged", "publishNotReadyAddresses", "readOnlyRootFilesystem",
    "ready", "requiresRepublish", "runAsNonRoot", "seLinuxMount", "serving", "setHostnameAsFQDN",
    "shareProcessNamespace", "started", "storageCapacity", "suspend", "terminating", "allowed",
})  # fmt: skip


class ProtobufError(ValueError):
    """Bytes that are not what they claim to be."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    repeated: bool
    inline: bool
    map: bool
    type: str


def decode(data: bytes) -> Obj:
    """The object in an enveloped message, with its apiVersion and kind; raises ProtobufError."""
    if not data.startswith(MAGIC):
        raise ProtobufError(f"provided data does not appear to be a protobuf message, expected prefix {list(MAGIC)}")
    envelope = _message(_UNKNOWN, data[len(MAGIC) :])
    meta = envelope.get("typeMeta") or {}
    api_version, kind = meta.get("apiVersion", ""), meta.get("kind", "")
    definition = definitions.of_kind(api_version, kind)
    if definition is None and kind == "DeleteOptions":
        definition = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
    if definition is None or definition not in _table():
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
    raw = envelope.get("raw", "")
    obj = _message(definition, base64.b64decode(raw) if isinstance(raw, str) else raw)
    return {"kind": kind, "apiVersion": api_version, **obj}


@functools.cache
def _table() -> dict[str, str]:
    text = resources.files("pynetes.machinery").joinpath("protobuf_fields.txt").read_text()
    return dict(line.partition(" ")[::2] for line in text.splitlines())


@functools.cache
def _fields(message: str) -> dict[int, _Field]:
    """The fields of a message by number."""
    found = {}
    for entry in _table()[message].split():
        name, _, rest = entry.partition("=")
        number, _, type_ = rest.partition(":")
        kind = type_.removeprefix("{")
        if len(kind) > 1 and "." not in kind and kind not in _LEAVES:
            kind = f"{message.rpartition('.')[0]}.{kind}"
        found[int(number.rstrip("*^"))] = _Field(name, "*" in number, "^" in number, type_.startswith("{"), kind)
    return found


def _message(name: str, data: bytes) -> Obj:
    """The fields of a message as JSON has them."""
    fields = _fields(name)
    short = name.rpartition(".")[2]
    obj: Obj = {}
    for number, value in _entries(data):
        field = fields.get(number)
        if field is None:
            continue
        if field.map:
            key, item = _map_entry(field.type, value)
            obj.setdefault(field.name, {})[key] = item
        elif field.repeated:
            obj.setdefault(field.name, []).extend(_items(field.type, value))
        elif field.inline:
            obj |= _message(field.type, _as_bytes(value))
        else:
            found = _value(field.type, value)
            if not _left_out(short, field.name, field.type, found):
                obj[field.name] = found
    return obj


def _left_out(message: str, name: str, type_: str, value: Any) -> bool:
    """Whether Go would leave this zero out of JSON."""
    if type_ == "i" and value == 0:
        return name not in _ZERO_MATTERS or (message, name) in _ZERO_IS_NOTHING
    if type_ == "t" and value is False:
        return name not in _BOOL_POINTERS
    return value is None


def _items(type_: str, value: Any) -> list[Any]:
    """What one occurrence of a repeated field adds; numbers may come packed."""
    if type_ == "i" and isinstance(value, bytes):
        numbers, at = [], 0
        while at < len(value):
            number, at = _varint(value, at)
            numbers.append(_signed(number))
        return numbers
    return [_value(type_, value)]


def _map_entry(type_: str, value: Any) -> tuple[str, Any]:
    key, item = "", _EMPTY.get(type_, b"")
    for number, found in _entries(_as_bytes(value)):
        if number == 1:
            key = _as_bytes(found).decode()
        elif number == 2:
            item = found
    return key, _value(type_, item)


def _value(type_: str, value: Any) -> Any:
    leaf = _LEAVES.get(type_)
    if leaf is not None:
        return leaf(value)
    message = _message(type_, _as_bytes(value))
    short = type_.rpartition(".")[2]
    if short in _WRAPPED_LISTS:
        return message.get("items", [])
    return _union(message) if short.startswith("JSONSchemaPropsOr") else message


def _union(message: Obj) -> Any:
    """`items`, `additionalProperties` and `dependencies` of a JSON schema: a schema, or what may stand for one."""
    if "schema" in message:
        return message["schema"]
    return message.get("jSONSchemas") or message.get("property") or message.get("allows", False)


# The wire format.


def _entries(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers with their values: integers, or bytes."""
    at, end = 0, len(data)
    try:
        while at < end:
            tag, at = _varint(data, at)
            wire_type = tag & 7
            value: Any
            if wire_type == 0:
                value, at = _varint(data, at)
            elif wire_type == 2:
                size, at = _varint(data, at)
                if at + size > end:
                    raise ProtobufError("unexpected EOF")
                value, at = data[at : at + size], at + size
            elif wire_type == 1:
                value, at = data[at : at + 8], at + 8
            elif wire_type == 5:
                value, at = data[at : at + 4], at + 4
            else:
                raise ProtobufError(f"proto: illegal wireType {wire_type}")
            yield tag >> 3, value
    except IndexError:
        raise ProtobufError("unexpected EOF") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise ProtobufError("proto: integer overflow")


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _as_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError("proto: wrong wireType")
    return value


# Leaves, and the messages that JSON writes as one value.


def _integer(value: Any) -> int:
    if not isinstance(value, int):
        raise ProtobufError("proto: wrong wireType")
    return _signed(value)


def _number(value: float) -> int | float:
    """A floating-point number as JSON has it: whole ones without a fraction."""
    return int(value) if value.is_integer() else value


def _text(value: Any) -> str:
    try:
        return _as_bytes(value).decode()
    except UnicodeDecodeError:
        raise ProtobufError("proto: invalid UTF-8") from None


def _quantity(value: Any) -> str:
    return next((_text(found) for number, found in _entries(_as_bytes(value)) if number == 1), "0")


def _seconds(value: Any) -> tuple[int, int] | None:
    found = {number: _integer(item) for number, item in _entries(_as_bytes(value))}
    return (found.get(1, 0), found.get(2, 0)) if found else None


def _time(value: Any) -> str | None:
    found = _seconds(value)
    return clock.format_time(datetime.fromtimestamp(found[0], UTC)) if found else None


def _micro_time(value: Any) -> str | None:
    found = _seconds(value)
    if found is None:
        return None
    return clock.format_micro_time(datetime.fromtimestamp(found[0], UTC).replace(microsecond=found[1] // 1000))


def _duration(value: Any) -> str:
    found = {number: _integer(item) for number, item in _entries(_as_bytes(value))}
    return clock.format_duration(found.get(1, 0) / 1e9)


def _int_or_string(value: Any) -> int | str:
    found = dict(_entries(_as_bytes(value)))
    return _text(found.get(3, b"")) if found.get(1) else _integer(found.get(2, 0))


def _raw_json(value: Any) -> Any:
    raw = next((_as_bytes(found) for number, found in _entries(_as_bytes(value)) if number == 1), b"")
    if raw.startswith(MAGIC):
        return decode(raw)
    return wire.decode(raw) if raw else None


_LEAVES: dict[str, Any] = {
    "s": _text,
    "b": lambda value: base64.b64encode(_as_bytes(value)).decode(),
    "i": _integer,
    "t": lambda value: bool(_integer(value)),
    "d": lambda value: _number(struct.unpack("<d", _as_bytes(value))[0]),
    "Quantity": _quantity,
    "Time": _time,
    "MicroTime": _micro_time,
    "Duration": _duration,
    "IntOrString": _int_or_string,
    "JSON": _raw_json,
    "RawExtension": _raw_json,
    "FieldsV1": _raw_json,
}
_EMPTY = {"i": 0, "t": 0}
