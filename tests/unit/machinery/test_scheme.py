"""Objects, typed at the door."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import resources, scheme
from pynetes.machinery.errors import StatusError

PODS = resources.lookup("pods")
POD = "io.k8s.api.core.v1.Pod"


def pod(**spec: Any) -> bytes:
    return msgspec.json.encode({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})


def decode(raw: bytes, kind: str = "pods", *, strict: bool = False) -> dict[str, Any]:
    return scheme.decode(resources.lookup(kind), raw, strict=strict)


def refusal(raw: bytes, kind: str = "pods", *, strict: bool = False) -> str:
    with pytest.raises(StatusError) as caught:
        decode(raw, kind, strict=strict)
    assert caught.value.code == 400
    assert caught.value.reason == "BadRequest"
    return caught.value.message


def test_every_builtin_kind_has_a_definition_and_decodes() -> None:
    for rt in (*resources.BUILTIN, *resources.OPTIONAL):
        assert scheme.decode(rt, b'{"metadata":{"name":"a","nope":1}}') == {"metadata": {"name": "a"}}, rt
        for sub in rt.subresources:
            if not sub.kind.endswith("Options"):
                assert scheme.definition_of(sub.api_version, sub.kind), sub


def test_unknown_fields_are_dropped() -> None:
    found = decode(pod(containers=[{"name": "c", "colour": "red"}], extra={"a": 1}))
    assert found["spec"] == {"containers": [{"name": "c"}]}


def test_null_is_absent() -> None:
    raw = b'{"metadata":{"creationTimestamp":null,"labels":null},"spec":{"nodeName":null,"volumes":null}}'
    assert decode(raw) == {"metadata": {}, "spec": {}}


def test_a_null_among_values_is_their_zero() -> None:
    raw = b'{"metadata":{"labels":{"a":null}},"spec":{"containers":[null,{"args":["x",null]}]}}'
    found = decode(raw)
    assert found["metadata"]["labels"] == {"a": ""}
    assert found["spec"]["containers"] == [{}, {"args": ["x", ""]}]


def test_empty_optional_texts_lists_and_maps_are_absent_but_empty_objects_are_kept() -> None:
    found = decode(
        b'{"metadata":{"labels":{},"annotations":{"a":""}},'
        b'"spec":{"nodeName":"","tolerations":[],"containers":[],"securityContext":{},'
        b'"volumes":[{"name":"v","emptyDir":{ }}]}}'
    )
    assert found["metadata"] == {"annotations": {"a": ""}}
    assert found["spec"] == {"containers": [], "securityContext": {}, "volumes": [{"name": "v", "emptyDir": {}}]}


def test_an_empty_storage_class_is_kept_because_it_means_none() -> None:
    found = decode(b'{"spec":{"storageClassName":"","volumeName":""}}', "pvc")
    assert found["spec"] == {"storageClassName": ""}


def test_zero_and_false_are_kept() -> None:
    assert decode(b'{"spec":{"replicas":0,"paused":false}}', "deployments")["spec"] == {"replicas": 0, "paused": False}


def test_quantities_are_canonical_and_may_be_numbers() -> None:
    raw = pod(containers=[{"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", "x/y": 2}}}])
    assert decode(raw)["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi", "x/y": "2"}


def test_times_are_in_utc_and_whole_seconds() -> None:
    raw = b'{"metadata":{"creationTimestamp":"2026-01-02T03:04:05.678+02:00"}}'
    assert decode(raw)["metadata"]["creationTimestamp"] == "2026-01-02T01:04:05Z"
    lease = decode(b'{"spec":{"renewTime":"2026-01-02T03:04:05.678Z"}}', "leases")
    assert lease["spec"]["renewTime"] == "2026-01-02T03:04:05.678000Z"


def test_int_or_string_stays_what_it_is() -> None:
    raw = b'{"spec":{"ports":[{"port":80,"targetPort":"http"},{"port":81,"targetPort":8080}]}}'
    assert [port["targetPort"] for port in decode(raw, "services")["spec"]["ports"]] == ["http", 8080]


def test_secrets_data_is_canonical_base64() -> None:
    assert decode(b'{"data":{"a":"aGVs\\nbG8="}}', "secrets")["data"] == {"a": "aGVsbG8="}


def test_a_custom_resource_definitions_schema_is_typed_all_the_way_down() -> None:
    raw = (
        b'{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"odd":1,"default":{"kept":null},'
        b'"items":{"odd":1,"type":"string"},"additionalProperties":{"odd":1,"type":"string"}}}}]}}'
    )
    schema = decode(raw, "crd")["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema == {
        "default": {"kept": None},
        "items": {"type": "string"},
        "additionalProperties": {"type": "string"},
    }


HANDLED = 'Pod in version "v1" cannot be handled as a Pod: '


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            pod(containers="x"),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            pod(containers=[{"env": [{"name": "a", "value": 1}]}]),
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            pod(activeDeadlineSeconds=1.5),
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64",
        ),
        (
            pod(priority=2**31),
            "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            pod(hostNetwork="yes"),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (
            pod(nodeSelector={"a": True}),
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.nodeSelector of type string",
        ),
        (
            pod(securityContext=[]),
            "json: cannot unmarshal array into Go struct field PodSpec.spec.securityContext of type"
            " v1.PodSecurityContext",
        ),
        (
            pod(containers=[{"resources": {"limits": {"cpu": "1x"}}}]),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            pod(containers=[{"livenessProbe": {"httpGet": {"port": True}}}]),
            "json: cannot unmarshal bool into Go value of type int32",
        ),
        (
            b'{"metadata":{"creationTimestamp":"yesterday"}}',
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
        ),
    ],
)
def test_wrong_types_are_refused_in_upstreams_words(raw: bytes, message: str) -> None:
    assert refusal(raw) == HANDLED + message


def test_the_kind_and_version_that_the_body_claims_are_named() -> None:
    raw = b'{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":"3"}}'
    assert refusal(raw, "deployments") == (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct'
        " field DeploymentSpec.spec.replicas of type int32"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"'),
        ("2026-01-02", 'as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        ("2026-01-02 03:04:05Z", 'as "2006-01-02T15:04:05Z07:00": cannot parse " 03:04:05Z" as "T"'),
        ("2026-01-02T03:04:05", 'as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"'),
        ("2026-13-02T03:04:05Z", ": month out of range"),
        ("2026-02-30T03:04:05Z", ": day out of range"),
        ("2026-01-02T03:04:05Zulu", ': extra text: "ulu"'),
    ],
)
def test_bad_times_are_refused_as_go_does(text: str, message: str) -> None:
    raw = msgspec.json.encode({"metadata": {"deletionTimestamp": text}})
    joint = "" if message.startswith(":") else " "
    assert refusal(raw) == f'{HANDLED}parsing time "{text}"{joint}{message}'


def test_bad_base64_is_refused_with_its_offset() -> None:
    assert refusal(b'{"data":{"a":"aGk$"}}', "secrets").endswith("illegal base64 data at input byte 3")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"{", "unexpected end of JSON input ({)"),
        (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e') ({\"a\":tru})"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string ({\"a\":1,})"),
        (b'{"a" 1}', "invalid character '1' after object key ({\"a\" 1})"),
        (b'{"a":1 "b":2}', 'invalid character \'"\' after object key:value pair ({"a":1 "b":2})'),
        (b"nope", "invalid character 'o' in literal null (expecting 'u') (6e6f7065)"),
    ],
)
def test_malformed_json_is_refused_at_its_place(raw: bytes, message: str) -> None:
    prefix = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
    assert refusal(raw) == prefix + message


def test_a_long_body_is_summarized() -> None:
    assert refusal(b'{"a": "' + b"x" * 100).endswith('({"a": "xxxxxxxxxxxxxxxxxxxxxxx ...)')


def test_strict_validation_names_unknown_and_duplicate_fields_in_order() -> None:
    raw = (
        b'{"apiVersion":"v1","kind":"Pod","spec":{"foo":1,"containers":[{"name":"a","bar":{"x":1},"name":"b"}]},'
        b'"metadata":{"labels":{"a":"b","a":"c"}},"metadata":{}}'
    )
    assert refusal(raw, strict=True) == HANDLED + (
        'strict decoding error: unknown field "spec.foo", unknown field "spec.containers[0].bar",'
        ' duplicate field "spec.containers[0].name", duplicate field "metadata.labels.a", duplicate field "metadata"'
    )
    assert decode(raw)["metadata"] == {}


def test_strict_validation_does_not_look_into_free_form_values() -> None:
    raw = b'{"data":{"anything":{"goes":1}},"revision":1}'
    assert scheme.strict_errors("io.k8s.api.apps.v1.ControllerRevision", raw) == []


def test_unknown_fields_of_a_parsed_object() -> None:
    assert scheme.unknown_fields(POD, {"spec": {"containers": [{"nme": "a"}]}, "x": 1}) == [
        "spec.containers[0].nme",
        "x",
    ]


def test_converting_a_parsed_object_leaves_it_as_it_is() -> None:
    before = {"spec": {"containers": [{"name": "a", "odd": 1, "env": []}], "nodeName": None}}
    assert scheme.convert(PODS, before) == {"spec": {"containers": [{"name": "a"}]}}
    assert before["spec"]["containers"] == [{"name": "a", "odd": 1, "env": []}]
    with pytest.raises(StatusError, match="cannot unmarshal string"):
        scheme.convert(PODS, {"spec": {"containers": "x"}})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "image", "env", "spec", "containers", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "status", "x"]), json_values))
def test_whatever_the_body_decoding_gives_a_sound_object_or_a_reason(body: dict[str, Any]) -> None:
    try:
        found = decode(msgspec.json.encode(body))
    except StatusError as error:
        assert error.code == 400
        assert "could not be decoded" not in error.message
    else:
        assert decode(msgspec.json.encode(found)) == found
        assert scheme.unknown_fields(POD, found) == []


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_no_bytes_break_the_decoder(raw: bytes) -> None:
    try:
        decode(raw)
    except StatusError as error:
        assert error.code == 400


def test_fields_know_how_lists_and_maps_merge() -> None:
    spec = scheme.schema("io.k8s.api.core.v1.PodSpec")
    containers = spec.fields["containers"]
    assert (containers.type, containers.ref) == ("array", "io.k8s.api.core.v1.Container")
    assert containers.patch_strategy == ("merge",)
    assert (containers.patch_merge_key, containers.list_type, containers.list_map_keys) == ("name", "map", ("name",))
    assert containers.required
    assert spec.fields["volumes"].patch_strategy == ("merge", "retainKeys")
    ports = containers.schema.fields["ports"] if containers.schema else None
    assert ports and ports.list_map_keys == ("containerPort", "protocol")
    assert ports.schema and ports.schema.fields["protocol"].default == "TCP"
    limits = scheme.schema("io.k8s.api.core.v1.ResourceRequirements").fields["limits"]
    assert limits.type == "map"
    assert limits.item and limits.item.type == "quantity"
    assert scheme.schema("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").map_type == "atomic"


def test_a_structural_schema_becomes_a_schema() -> None:
    shape = scheme.from_openapi(
        {
            "type": "object",
            "required": ["spec"],
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "ports": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["port"],
                            "items": {"type": "object", "properties": {"port": {"type": "integer"}}},
                        },
                        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        "size": {"x-kubernetes-int-or-string": True},
                    },
                }
            },
        }
    )
    spec = shape.fields["spec"]
    assert spec.required
    assert spec.schema
    assert spec.schema.fields["ports"].schema and spec.schema.fields["ports"].schema.fields["port"].type == "integer"
    assert spec.schema.fields["free"].preserve_unknown
    assert spec.schema.fields["size"].type == "int-or-string"
    assert scheme.unknown_fields(shape, {"spec": {"ports": [{"prt": 1}], "free": {"a": 1}}}) == ["spec.ports[0].prt"]


@given(
    st.sampled_from(['"name":"a"', '"name":"a","name":"b"', '"nme":"a"', '"name" : "a"', '"name":null']),
    st.sampled_from(["", "\n", "  "]),
    st.sampled_from(["", ',"resources":{"limits":{"cpu":"1000m"}}', ',"image":"\\u00e9"']),
)
def test_reporting_finds_what_the_walk_finds_whatever_the_bodys_form(name: str, space: str, more: str) -> None:
    raw = f'{space}{{"spec":{{"containers":[{{{name}{more}}}]}}}}{space}'.encode()
    obj, faults = scheme.decode_reporting(PODS, raw)
    assert obj == scheme.decode(PODS, raw)
    assert faults == scheme.strict_errors(POD, raw)
