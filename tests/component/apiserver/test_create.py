"""Creating over HTTP: names, system fields, bodies of every kind, field validation, dry run."""

import pytest

from tests.component.apiserver.conftest import Http, configmap, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Create.


async def test_create_answers_201_with_system_fields(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, configmap("a"))
    assert answer.status == 201
    metadata = answer.json["metadata"]
    assert metadata["uid"] and metadata["creationTimestamp"] and metadata["resourceVersion"].isdigit()
    assert answer.json["kind"] == "ConfigMap" and answer.json["apiVersion"] == "v1"
    assert metadata["managedFields"][0]["operation"] == "Update"
    assert metadata["managedFields"][0]["fieldsV1"] == {"f:data": {".": {}, "f:a": {}}}


async def test_a_client_cannot_choose_uid_or_creation_time(http: Http, configmaps: str) -> None:
    sent = configmap(
        "a", uid="mine", creationTimestamp="2001-01-01T00:00:00Z", deletionTimestamp="2001-01-01T00:00:00Z"
    )
    metadata = (await http("POST", configmaps, sent)).json["metadata"]
    assert metadata["uid"] != "mine" and not metadata["creationTimestamp"].startswith("2001")
    assert "deletionTimestamp" not in metadata


async def test_the_same_name_again_is_409(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    answer = await http("POST", configmaps, configmap("a"))
    assert (answer.status, answer.reason) == (409, "AlreadyExists")
    assert answer.message == 'configmaps "a" already exists'
    assert answer.json["details"] == {"name": "a", "kind": "configmaps"}


async def test_generate_name_makes_a_name(http: Http, configmaps: str) -> None:
    names = {
        (await http("POST", configmaps, configmap(generateName="gen-"))).json["metadata"]["name"] for _ in range(20)
    }
    assert len(names) == 20
    assert all(name.startswith("gen-") and len(name) == len("gen-") + 5 for name in names)


async def test_a_name_is_required(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, configmap())
    assert answer.status == 422
    assert answer.message == (
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    )


async def test_an_invalid_name_is_422_with_causes(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, configmap("Bad_Name"))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.message.startswith(
        'ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lower'
    )
    assert answer.json["details"]["causes"][0]["field"] == "metadata.name"
    assert answer.json["details"]["causes"][0]["reason"] == "FieldValueInvalid"


async def test_a_namespace_that_is_missing_is_404(http: Http) -> None:
    answer = await http("POST", "/api/v1/namespaces/nowhere/configmaps", configmap("a"))
    assert (answer.status, answer.message) == (404, 'namespaces "nowhere" not found')


async def test_the_namespace_in_the_body_must_agree(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, configmap("a", namespace="other"))
    assert answer.status == 400
    assert answer.message == "the namespace of the provided object does not match the namespace sent on the request"


async def test_another_kind_in_the_body_is_refused(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, pod())
    assert answer.status == 400
    assert answer.message == (
        'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): '
        "unknown conversion"
    )


async def test_an_unknown_kind_in_the_body_is_refused(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, {"apiVersion": "v1", "kind": "Nothing", "metadata": {"name": "a"}})
    assert answer.status == 400
    assert answer.message.startswith('Nothing in version "v1" cannot be handled as a ConfigMap: no kind "Nothing" is')


async def test_another_api_version_in_the_body_is_refused(http: Http, namespace: str) -> None:
    body = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}}
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    answer = await http("POST", path, body)
    assert answer.status == 400
    assert answer.message == (
        "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)"
    )


async def test_malformed_json_is_400(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, b'{"kind": ')
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert answer.message.startswith("the object provided is unrecognized (must be of type ConfigMap)")


async def test_a_wrong_type_names_the_field(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, configmap("a", data={"a": 1}))
    assert answer.status == 400
    assert answer.message.startswith('ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarsh')


async def test_an_unsupported_content_type_is_415(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, b"<xml/>", content_type="application/xml")
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")
    assert answer.message.startswith("the body of the request was in an unknown format - accepted media types include:")


async def test_a_body_over_the_limit_is_413(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, configmap("a", data={"a": "x" * (3 * 1024 * 1024)}))
    assert (answer.status, answer.reason) == (413, "RequestEntityTooLarge")


async def test_yaml_is_read_and_written(http: Http, configmaps: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: doc}\ndata:\n  when: 2001-01-01\n"
    answer = await http("POST", configmaps, body, content_type="application/yaml", accept="application/yaml")
    assert answer.status == 201 and answer.headers["Content-Type"] == "application/yaml"
    assert b"kind: ConfigMap\n" in answer.body
    assert (await http("GET", configmaps + "/doc")).json["data"] == {"when": "2001-01-01"}


async def test_creating_with_a_resource_version_is_refused(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, configmap("a", resourceVersion="5"))
    assert answer.status == 500 and "reason" not in answer.json
    assert answer.message == "resourceVersion should not be set on objects to be created"


# Field validation and dry run.


async def test_unknown_fields_warn_by_default(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, configmap("a") | {"bogus": 1})
    assert answer.status == 201
    assert answer.warnings == ['299 - "unknown field \\"bogus\\""']
    assert "bogus" not in answer.json


async def test_unknown_fields_are_refused_when_strict(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps + "?fieldValidation=Strict", configmap("a") | {"bogus": 1})
    assert answer.status == 400
    assert answer.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "bogus"'
    )


async def test_unknown_fields_may_be_ignored(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps + "?fieldValidation=Ignore", configmap("a") | {"bogus": 1})
    assert (answer.status, answer.warnings) == (201, [])


async def test_a_duplicate_field_warns(http: Http, configmaps: str) -> None:
    body = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"d"},"data":{"a":"1"},"data":{"a":"2"}}'
    answer = await http("POST", configmaps, body)
    assert (answer.status, answer.warnings) == (201, ['299 - "duplicate field \\"data\\""'])


async def test_field_validation_has_three_values(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps + "?fieldValidation=Maybe", configmap("a"))
    assert answer.status == 422
    assert 'fieldValidation: Unsupported value: "Maybe"' in answer.message


async def test_a_dry_run_changes_nothing(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps + "?dryRun=All", configmap("a"))
    assert answer.status == 201 and answer.json["metadata"]["uid"]
    assert (await http("GET", configmaps + "/a")).status == 404
    await http("POST", configmaps, configmap("a"))
    await http.patch(configmaps + "/a?dryRun=All", {"data": {"a": "2"}})
    await http("DELETE", configmaps + "/a?dryRun=All")
    assert (await http("GET", configmaps + "/a")).json["data"] == {"a": "1"}


async def test_dry_run_knows_only_all(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps + "?dryRun=Some", configmap("a"))
    assert answer.status == 422 and 'dryRun: Unsupported value: "Some"' in answer.message


async def test_a_cluster_wide_object_has_no_namespace_whatever_it_says(http: Http) -> None:
    body = {"metadata": {"name": "everywhere", "namespace": "somewhere"}}
    made = await http("POST", "/api/v1/namespaces?dryRun=All", body)
    assert made.status == 201 and "namespace" not in made.json["metadata"]


async def test_a_version_that_does_not_have_the_kind_is_unknown(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}})
    assert answer.status == 400
    assert answer.message.startswith(
        'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2"'
    )


async def test_null_is_an_empty_object(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, b"null")
    assert answer.status == 422
    assert answer.message.endswith("metadata.name: Required value: name or generateName is required")


async def test_yaml_that_cannot_be_read_is_shown(http: Http, configmaps: str) -> None:
    answer = await http("POST", configmaps, b"a: b: c", content_type="application/yaml")
    assert answer.status == 400
    assert answer.message == (
        "the object provided is unrecognized (must be of type ConfigMap): "
        "yaml: line 1: mapping values are not allowed in this context (613a20623a2063)"
    )


async def test_what_yaml_gives_twice_is_refused_or_told(http: Http, configmaps: str) -> None:
    body = b"metadata:\n  name: x\n  name: z\ndata:\n  a: '1'\n  a: '2'\nfoo: 1\n"
    strict = await http("POST", f"{configmaps}?fieldValidation=Strict", body, content_type="application/yaml")
    assert strict.status == 400
    assert strict.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:\n'
        '  line 3: key "name" already set in map\n  line 6: key "a" already set in map, unknown field "foo"'
    )
    warned = await http("POST", configmaps, body, content_type="application/yaml")
    assert warned.status == 201 and warned.json["data"] == {"a": "2"}
    assert warned.warnings == [
        '299 - "line 3: key \\"name\\" already set in map"',
        '299 - "line 6: key \\"a\\" already set in map"',
        '299 - "unknown field \\"foo\\""',
    ]
