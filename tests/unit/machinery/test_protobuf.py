"""Objects sent as protocol buffers."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import definitions, protobuf, resources, scheme


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def test_metadata_labels_and_data() -> None:
    metadata = field(1, "a") + field(3, "ns") + field(11, field(1, "k") + field(2, "v"))
    obj = protobuf.decode(envelope("v1", "ConfigMap", field(1, metadata) + field(2, field(1, "x") + field(2, "y"))))
    assert obj["kind"] == "ConfigMap" and obj["data"] == {"x": "y"}
    assert obj["metadata"]["labels"] == {"k": "v"}


def test_inline_structs_are_part_of_their_parent() -> None:
    volume = field(1, "v") + field(
        2, field(19, field(1, field(1, "cm")))
    )  # volumeSource.configMap.localObjectReference
    obj = protobuf.decode(envelope("v1", "Pod", field(2, field(1, volume))))
    assert obj["spec"]["volumes"] == [{"name": "v", "configMap": {"name": "cm"}}]


def test_values_that_json_writes_in_one_piece() -> None:
    limits = field(1, field(1, "cpu") + field(2, field(1, "100m")))
    port = field(2, field(1, 1) + field(2, 0) + field(3, "http"))
    probe = field(1, field(2, field(1, "/x") + port)) + field(2, 0)
    container = field(1, "c") + field(8, limits) + field(10, probe)
    metadata = field(1, "p") + field(8, field(1, 1_000_000_000))
    obj = protobuf.decode(envelope("v1", "Pod", field(1, metadata) + field(2, field(2, container))))
    assert obj["metadata"]["creationTimestamp"] == "2001-09-09T01:46:40Z"
    (made,) = obj["spec"]["containers"]
    assert made["resources"] == {"limits": {"cpu": "100m"}}
    assert made["livenessProbe"] == {"httpGet": {"path": "/x", "port": "http"}}


def test_zero_replicas_are_zero() -> None:
    obj = protobuf.decode(envelope("apps/v1", "Deployment", field(2, field(1, 0) + field(5, 0) + field(6, 0))))
    assert obj["spec"] == {"replicas": 0, "revisionHistoryLimit": 0}


def test_negative_numbers_and_bytes() -> None:
    obj = protobuf.decode(envelope("scheduling.k8s.io/v1", "PriorityClass", field(2, -5)))
    assert obj["value"] == -5
    obj = protobuf.decode(envelope("v1", "Secret", field(2, field(1, "k") + field(2, b"\xff\x00"))))
    assert obj["data"] == {"k": "/wA="}


def test_lists_of_lists_and_raw_json() -> None:
    extra = field(1, "scopes") + field(2, field(1, "a") + field(1, "b"))
    obj = protobuf.decode(envelope("authorization.k8s.io/v1", "SubjectAccessReview", field(2, field(5, extra))))
    assert obj["spec"]["extra"] == {"scopes": ["a", "b"]}
    obj = protobuf.decode(envelope("apps/v1", "ControllerRevision", field(2, field(1, b'{"a":1}')) + field(3, 1)))
    assert obj["data"] == {"a": 1}


def test_schemas_of_custom_resources() -> None:
    name = field(5, "string") + field(13, 0)
    tags = field(5, "array") + field(24, field(1, field(5, "string")))
    properties = field(29, field(1, "name") + field(2, name)) + field(29, field(1, "tags") + field(2, tags))
    schema = field(5, "object") + properties + field(30, field(1, 1))
    version = field(1, "v1") + field(2, 1) + field(4, field(1, schema))
    envelope_ = envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", field(2, field(7, version)))
    (made,) = protobuf.decode(envelope_)["spec"]["versions"]
    assert made["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 0},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": True,
    }


def test_fields_of_a_newer_client_are_skipped() -> None:
    assert "data" not in protobuf.decode(envelope("v1", "ConfigMap", field(999, "x") + field(998, 1)))


@pytest.mark.parametrize("data", [b"", b"{}", b"k8s\0\xff", b"k8s\0" + field(1, field(1, "v9") + field(2, "No"))])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(protobuf.ProtobufError):
        protobuf.decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        protobuf.decode(envelope("v1", "Pod", raw))


def _is_special(message: str) -> bool:
    short = message.rpartition(".")[2]
    return short in protobuf._WRAPPED_LISTS or short.startswith("JSONSchemaProps")


def _example(message: str, depth: int) -> tuple[bytes, Any]:
    """A message with every field set, and what JSON has for it."""
    raw, expected = b"", {}
    for number, each in protobuf._fields(message).items():
        leaf: dict[str, tuple[bytes | int, Any]] = {"s": ("x", "x"), "i": (7, 7), "t": (1, True), "b": (b"b", "Yg==")}  # type: ignore[dict-item]  # a text is bytes to `field`
        if each.type in leaf:
            value, shown = leaf[each.type]
        elif each.type == "Quantity":
            value, shown = field(1, "1"), "1"
        elif each.type == "IntOrString":
            value, shown = field(2, 3), 3
        elif each.type in protobuf._LEAVES or depth == 0 or _is_special(each.type):
            continue
        else:
            value, shown = _example(each.type, depth - 1)
        if each.map:
            raw += field(number, field(1, "k") + field(2, value))
            expected[each.name] = {"k": shown}
        elif each.inline:
            raw += field(number, value)
            expected |= shown
        else:
            raw += field(number, value)
            expected[each.name] = [shown] if each.repeated else shown
    return raw, expected


@pytest.mark.parametrize(
    "rt",
    [rt for rt in resources.BUILTIN if (scheme.definition_of(rt.api_version, rt.kind) or "") in protobuf._table()],
    ids=lambda rt: f"{rt.api_version}/{rt.kind}",
)
def test_every_field_is_known_to_the_published_schema(rt: resources.ResourceType) -> None:
    definition = scheme.definition_of(rt.api_version, rt.kind)
    assert definition is not None
    raw, expected = _example(definition, 6)
    obj = protobuf.decode(envelope(rt.api_version, rt.kind, raw))
    assert {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} == expected
    gone = {"clusterName", "selfLink"}  # of older clients
    unknown = [path for path in scheme.unknown_fields(definition, obj) if path.rpartition(".")[2] not in gone]
    assert unknown == []


def test_almost_every_built_in_kind_can_be_read() -> None:
    lacking = {
        rt.kind for rt in resources.BUILTIN if definitions.of_kind(rt.api_version, rt.kind) not in protobuf._table()
    }
    assert not lacking & {"Pod", "Deployment", "Role", "Job", "Ingress", "Lease", "Eviction", "TokenReview"}
