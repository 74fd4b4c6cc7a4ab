"""Create, get, list, update, patch and delete over HTTP, with the texts upstream uses."""

import json

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


# Update.


async def test_an_update_with_a_stale_version_is_409(http: Http, configmaps: str) -> None:
    first = (await http("POST", configmaps, configmap("a"))).json
    await http("PUT", configmaps + "/a", first | {"data": {"a": "2"}})
    answer = await http("PUT", configmaps + "/a", first | {"data": {"a": "3"}})
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )


async def test_an_update_without_a_version_wins(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    answer = await http("PUT", configmaps + "/a", configmap("a", {"a": "9"}))
    assert (answer.status, answer.json["data"]) == (200, {"a": "9"})


async def test_an_update_that_changes_nothing_keeps_the_version(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json
    answer = await http("PUT", configmaps + "/a", created)
    assert answer.json["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_another_uid_is_a_conflict(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json
    answer = await http("PUT", configmaps + "/a", configmap("a", uid="other"))
    assert answer.status == 409
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, '
        f"Key: /registry/configmaps/{created['metadata']['namespace']}/a, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: other, UID in object meta: {created['metadata']['uid']}"
    )


async def test_name_and_namespace_must_be_those_of_the_path(http: Http, configmaps: str, namespace: str) -> None:
    await http("POST", configmaps, configmap("a"))
    answer = await http("PUT", configmaps + "/a", configmap("b"))
    assert answer.status == 400
    assert answer.message == "the name of the object (b) does not match the name on the URL (a)"
    answer = await http("PUT", configmaps + "/a", configmap("a", namespace="x"))
    assert (
        answer.message == f"the namespace of the object (x) does not match the namespace on the request ({namespace})"
    )
    answer = await http("PUT", configmaps + "/a", configmap())
    assert answer.message == "the name of the object (a based on URL) was undeterminable: name must be provided"


async def test_updating_what_is_not_there(http: Http, configmaps: str, namespace: str) -> None:
    answer = await http("PUT", configmaps + "/a", configmap("a"))
    assert (answer.status, answer.message) == (404, 'configmaps "a" not found')
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/l"
    answer = await http("PUT", path, lease)
    assert answer.status == 201, "a lease may be created by an update"


async def test_metadata_that_belongs_to_the_system_is_kept(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json["metadata"]
    changed = configmap("a", {"a": "2"}, creationTimestamp="2001-01-01T00:00:00Z", generation=77)
    answer = (await http("PUT", configmaps + "/a", changed)).json["metadata"]
    assert answer["creationTimestamp"] == created["creationTimestamp"]
    assert "generation" not in answer


async def test_generation_counts_changes_of_the_spec_only(http: Http, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template},
        "status": {"replicas": 7},
    }
    created = (await http("POST", path, deployment)).json
    assert created["metadata"]["generation"] == 1 and not created["status"].get("replicas")
    labelled = (await http.patch(path + "/d", {"metadata": {"labels": {"x": "y"}}})).json
    assert labelled["metadata"]["generation"] == 1
    scaled = (await http.patch(path + "/d", {"spec": {"replicas": 2}, "status": {"replicas": 5}})).json
    assert scaled["metadata"]["generation"] == 2 and not scaled["status"].get("replicas")
    status = await http.patch(path + "/d/status", {"spec": {"replicas": 9}, "status": {"replicas": 2}})
    assert status.status == 200
    assert (status.json["spec"]["replicas"], status.json["status"]["replicas"]) == (2, 2)
    assert status.json["metadata"]["generation"] == 2


# Patch.


async def test_a_json_patch(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    operations = [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "add", "path": "/data/b", "value": "2"}]
    answer = await http.patch(configmaps + "/a", operations, "json")
    assert (answer.status, answer.json["data"]) == (200, {"a": "1", "b": "2"})


async def test_a_json_patch_whose_test_fails_is_422(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    answer = await http.patch(configmaps + "/a", [{"op": "test", "path": "/data/a", "value": "9"}], "json")
    assert (answer.status, answer.reason) == (422, "Invalid")


async def test_a_merge_patch_removes_with_null(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a", {"a": "1", "b": "2"}))
    answer = await http.patch(configmaps + "/a", {"data": {"b": None}})
    assert answer.json["data"] == {"a": "1"}


async def test_a_strategic_patch_merges_lists_by_key(http: Http, pods: str) -> None:
    await http("POST", pods, pod())
    patch = {"spec": {"containers": [{"name": "c", "image": "other"}]}}
    answer = await http.patch(pods + "/p", patch, "strategic")
    assert answer.status == 200
    assert answer.json["spec"]["containers"][0]["image"] == "other"
    assert answer.json["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"


async def test_a_patch_may_name_the_version_it_is_for(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json
    version = {"metadata": {"resourceVersion": created["metadata"]["resourceVersion"]}}
    assert (await http.patch(configmaps + "/a", version | {"data": {"a": "2"}})).status == 200
    answer = await http.patch(configmaps + "/a", version | {"data": {"a": "3"}})
    assert (answer.status, answer.reason) == (409, "Conflict")


async def test_patching_what_is_not_there_is_404(http: Http, configmaps: str) -> None:
    assert (await http.patch(configmaps + "/a", {})).status == 404


async def test_a_patch_of_an_unknown_type_is_415(http: Http, configmaps: str) -> None:
    answer = await http("PATCH", configmaps + "/a", b"{}", content_type="application/json")
    assert answer.status == 415
    assert "application/merge-patch+json, application/strategic-merge-patch+json" in answer.message


async def test_a_strict_patch_refuses_unknown_fields(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    answer = await http.patch(configmaps + "/a?fieldValidation=Strict", {"bogus": 1})
    assert answer.status == 422
    assert 'strict decoding error: unknown field "bogus"' in answer.message


# Server-side apply.


async def test_apply_creates_and_updates(http: Http, configmaps: str) -> None:
    path = configmaps + "/a?fieldManager=me"
    created = await http.patch(path, configmap("a", {"a": "1", "b": "2"}), "apply")
    assert created.status == 201, created.body
    assert created.json["metadata"]["managedFields"][0]["manager"] == "me"
    assert created.json["metadata"]["managedFields"][0]["operation"] == "Apply"
    changed = await http.patch(path, configmap("a", {"a": "1"}), "apply")
    assert (changed.status, changed.json["data"]) == (200, {"a": "1"}), "what is no longer applied is removed"


async def test_apply_twice_changes_nothing(http: Http, configmaps: str) -> None:
    path = configmaps + "/a?fieldManager=me"
    first = await http.patch(path, configmap("a"), "apply")
    again = await http.patch(path, configmap("a"), "apply")
    assert again.json["metadata"]["resourceVersion"] == first.json["metadata"]["resourceVersion"]


async def test_apply_conflicts_name_the_other_manager(http: Http, configmaps: str) -> None:
    await http("POST", configmaps + "?fieldManager=other", configmap("a"))
    answer = await http.patch(configmaps + "/a?fieldManager=me", configmap("a", {"a": "2"}), "apply")
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert answer.message == 'Apply failed with 1 conflict: conflict with "other" using v1: .data.a'
    assert answer.json["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    forced = await http.patch(configmaps + "/a?fieldManager=me&force=true", configmap("a", {"a": "2"}), "apply")
    assert (forced.status, forced.json["data"]) == (200, {"a": "2"})


async def test_apply_needs_a_field_manager(http: Http, configmaps: str) -> None:
    answer = await http.patch(configmaps + "/a", configmap("a"), "apply")
    assert answer.status == 422
    assert answer.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )


async def test_force_is_for_apply_only(http: Http, configmaps: str) -> None:
    answer = await http.patch(configmaps + "/a?force=true", {})
    assert answer.status == 422
    assert "force: Forbidden: may not be specified for non-apply patch" in answer.message


# Get.


async def test_what_is_not_there_is_404(http: Http, configmaps: str) -> None:
    answer = await http("GET", configmaps + "/a")
    assert answer.status == 404
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "a" not found',
        "reason": "NotFound",
        "details": {"name": "a", "kind": "configmaps"},
        "code": 404,
    }


async def test_unknown_resources_and_paths(http: Http) -> None:
    answer = await http("GET", "/api/v1/nothings")
    assert (answer.status, answer.message) == (404, "the server could not find the requested resource")
    assert (await http("GET", "/apis/none.example.com/v1/things")).status == 404
    assert (await http("GET", "/nothing/at/all")).status == 404


async def test_verbs_a_resource_does_not_have_are_405(http: Http) -> None:
    answer = await http("POST", "/api/v1/pods", pod())
    assert (answer.status, answer.reason) == (405, "MethodNotAllowed")
    assert answer.message == "the server does not allow this method on the requested resource"
    assert (await http("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews")).status == 405


async def test_collections_are_created_in_and_objects_changed(http: Http, configmaps: str) -> None:
    assert (await http("POST", configmaps + "/a", configmap("a"))).status == 405
    assert (await http("PUT", configmaps, configmap("a"))).status == 405
    assert (await http.patch(configmaps, {})).status == 405


async def test_a_get_may_name_a_revision_that_is_not_in_the_future(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json
    version = int(created["metadata"]["resourceVersion"])
    assert (await http("GET", f"{configmaps}/a?resourceVersion={version}")).status == 200
    answer = await http("GET", f"{configmaps}/a?resourceVersion={version + 10_000}")
    assert (answer.status, answer.reason) == (504, "Timeout")
    assert answer.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_accept_decides_the_form(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    answer = await http("GET", configmaps + "/a", accept="text/html")
    assert (answer.status, answer.reason) == (406, "NotAcceptable")
    assert answer.message.startswith("only the following media types are accepted: application/json, application/yaml")
    for accept in ("application/vnd.kubernetes.protobuf,application/json", "*/*", "application/*", ""):
        assert (await http("GET", configmaps + "/a", accept=accept)).headers["Content-Type"] == "application/json"


async def test_partial_metadata(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
    one = (await http("GET", configmaps + "/a", accept=accept)).json
    assert (one["kind"], one["apiVersion"], one["metadata"]["name"]) == ("PartialObjectMetadata", "meta.k8s.io/v1", "a")
    assert "data" not in one
    wrong = await http("GET", configmaps, accept=accept)
    assert (wrong.status, wrong.message) == (
        406,
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
    )
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
    many = (await http("GET", configmaps, accept=accept)).json
    assert many["kind"] == "PartialObjectMetadataList" and many["items"][0]["kind"] == "PartialObjectMetadata"


async def test_a_review_has_no_table(http: Http) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    answer = await http("POST", path, body, accept=table)
    assert (answer.status, answer.reason) == (406, "NotAcceptable")
    assert (await http("POST", path, body, accept=f"{table},application/json")).json["status"]["allowed"]


async def test_tables(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    for version in ("v1", "v1beta1"):
        accept = f"application/json;as=Table;v={version};g=meta.k8s.io,application/json"
        table = (await http("GET", configmaps, accept=accept)).json
        assert (table["kind"], table["apiVersion"]) == ("Table", f"meta.k8s.io/{version}")
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert table["rows"][0]["cells"][:2] == ["a", 1]
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    path = configmaps + "?includeObject=None"
    assert (await http("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")).json["rows"][0][
        "object"
    ] is None
    path = configmaps + "/a?includeObject=Object"
    row = (await http("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")).json["rows"][0]
    assert row["object"]["data"] == {"a": "1"}


# Delete.


async def test_delete_answers_with_a_status(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json
    answer = await http("DELETE", configmaps + "/a")
    assert answer.status == 200
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "kind": "configmaps", "uid": created["metadata"]["uid"]}
    assert (await http("DELETE", configmaps + "/a")).status == 404


async def test_delete_preconditions(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json["metadata"]
    answer = await http("DELETE", configmaps + "/a", {"preconditions": {"uid": "other"}})
    assert answer.status == 409
    assert answer.message == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match the UID '
        f"in record ({created['uid']}). The object might have been deleted and then recreated"
    )
    answer = await http("DELETE", configmaps + "/a", {"preconditions": {"resourceVersion": "1"}})
    assert answer.status == 409
    good = {"uid": created["uid"], "resourceVersion": created["resourceVersion"]}
    assert (await http("DELETE", configmaps + "/a", {"preconditions": good})).status == 200


async def test_finalizers_hold_an_object(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a", finalizers=["example.com/hold"]))
    answer = await http("DELETE", configmaps + "/a")
    assert answer.status == 200
    metadata = answer.json["metadata"]
    assert metadata["deletionTimestamp"] and metadata["deletionGracePeriodSeconds"] == 0
    added = await http.patch(configmaps + "/a", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})
    assert added.status == 422
    assert "no new finalizers can be added if the object is being deleted" in added.message
    assert (await http("GET", configmaps + "/a")).status == 200
    assert (await http.patch(configmaps + "/a", {"metadata": {"finalizers": None}})).status == 200
    assert (await http("GET", configmaps + "/a")).status == 404


@pytest.mark.parametrize(
    ("options", "finalizers", "status"),
    [
        ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"], 202),
        ({"propagationPolicy": "Orphan"}, ["orphan"], 200),
        ({"orphanDependents": True}, ["orphan"], 200),
    ],
)
async def test_propagation_policies_become_finalizers(
    http: Http, configmaps: str, options: dict[str, object], finalizers: list[str], status: int
) -> None:
    await http("POST", configmaps, configmap("a"))
    answer = await http("DELETE", configmaps + "/a", options)
    assert (answer.status, answer.json["metadata"]["finalizers"]) == (status, finalizers)
    background = await http("DELETE", configmaps + "/a", {"propagationPolicy": "Background"})
    assert background.status == 200
    assert (await http("GET", configmaps + "/a")).status == 404


async def test_policies_that_contradict_are_refused(http: Http, configmaps: str) -> None:
    answer = await http("DELETE", configmaps + "/a", {"propagationPolicy": "Foreground", "orphanDependents": True})
    assert answer.status == 422
    assert "orphanDependents and deletionPropagation cannot be both set" in answer.message
    answer = await http("DELETE", configmaps + "/a?propagationPolicy=Sideways")
    assert 'propagationPolicy: Unsupported value: "Sideways"' in answer.message


async def test_a_running_pod_is_deleted_gracefully(http: Http, pods: str) -> None:
    await http("POST", pods, pod(nodeName="n"))
    answer = await http("DELETE", pods + "/p")
    assert answer.status == 200
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 30
    longer = await http("DELETE", pods + "/p", {"gracePeriodSeconds": 60})
    assert longer.json["metadata"]["deletionGracePeriodSeconds"] == 30, "a second delete may only shorten it"
    shorter = await http("DELETE", pods + "/p?gracePeriodSeconds=5")
    assert shorter.json["metadata"]["deletionGracePeriodSeconds"] == 5
    assert (await http("GET", pods + "/p")).status == 200
    assert (await http("DELETE", pods + "/p", {"gracePeriodSeconds": 0})).status == 200
    assert (await http("GET", pods + "/p")).status == 404


async def test_a_pod_without_a_node_goes_at_once(http: Http, pods: str) -> None:
    await http("POST", pods, pod())
    answer = await http("DELETE", pods + "/p")
    assert answer.json["kind"] == "Pod"
    assert (await http("GET", pods + "/p")).status == 404


async def test_delete_collection_takes_a_selector(http: Http, configmaps: str) -> None:
    for name in ("a", "b", "c"):
        await http("POST", configmaps, configmap(name, labels={"keep": str(name == "b").lower()}))
    answer = await http("DELETE", configmaps + "?labelSelector=keep=false")
    assert answer.status == 200 and answer.json["kind"] == "ConfigMapList"
    left = [item["metadata"]["name"] for item in (await http("GET", configmaps)).json["items"]]
    assert left == ["b"]


# Lists.


async def test_lists_select_by_label_and_field(http: Http, configmaps: str) -> None:
    for name in ("a", "b", "c"):
        await http("POST", configmaps, configmap(name, labels={"n": name, "even": str(name == "b").lower()}))

    async def names(query: str) -> list[str]:
        answer = await http("GET", f"{configmaps}?{query}")
        assert answer.status == 200, answer.body
        return [item["metadata"]["name"] for item in answer.json["items"]]

    assert await names("labelSelector=n%20in%20(a,c)") == ["a", "c"]
    assert await names("labelSelector=even!=true") == ["a", "c"]
    assert await names("labelSelector=!nothing,n") == ["a", "b", "c"]
    assert await names("fieldSelector=metadata.name=b") == ["b"]
    assert await names("fieldSelector=metadata.name!=b") == ["a", "c"]
    assert await names("fieldSelector=metadata.name=b&labelSelector=even=false") == []


async def test_fields_that_cannot_be_selected_are_400(http: Http, pods: str, configmaps: str) -> None:
    answer = await http("GET", pods + "?fieldSelector=spec.bogus=x")
    assert (answer.status, answer.message) == (400, "field label not supported: spec.bogus")
    answer = await http("GET", configmaps + "?fieldSelector=data.a=x")
    assert (answer.status, answer.message) == (
        400,
        '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
    )
    assert (await http("GET", pods + "?labelSelector=a%20b")).status == 400


async def test_pods_are_selected_by_node_and_phase(http: Http, pods: str) -> None:
    await http("POST", pods, pod("a", nodeName="n1"))
    await http("POST", pods, pod("b"))
    found = (await http("GET", pods + "?fieldSelector=spec.nodeName=n1,status.phase=Pending")).json["items"]
    assert [item["metadata"]["name"] for item in found] == ["a"]


async def test_a_list_comes_in_chunks(http: Http, configmaps: str) -> None:
    for index in range(5):
        await http("POST", configmaps, configmap(f"c{index}"))
    first = (await http("GET", configmaps + "?limit=2")).json
    assert first["metadata"]["remainingItemCount"] == 3
    await http("DELETE", configmaps + "/c3")
    await http("POST", configmaps, configmap("c9"))
    second = (await http("GET", f"{configmaps}?limit=2&continue={first['metadata']['continue']}")).json
    third = (await http("GET", f"{configmaps}?limit=2&continue={second['metadata']['continue']}")).json
    names = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert names == ["c0", "c1", "c2", "c3", "c4"], "all pages show the state at the first one"
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in third["metadata"]


async def test_chunks_under_a_selector_do_not_say_how_many_remain(http: Http, configmaps: str) -> None:
    for index in range(4):
        await http("POST", configmaps, configmap(f"c{index}", labels={"odd": str(index % 2)}))
    first = (await http("GET", configmaps + "?limit=1&labelSelector=odd=1")).json
    assert "remainingItemCount" not in first["metadata"] and first["metadata"]["continue"]
    token = first["metadata"]["continue"]
    second = (await http("GET", f"{configmaps}?limit=1&labelSelector=odd=1&continue={token}")).json
    assert [item["metadata"]["name"] for item in second["items"]] == ["c3"]
    assert "continue" not in second["metadata"]


async def test_a_token_after_compaction_is_410_and_can_be_resumed(http: Http, configmaps: str) -> None:
    for index in range(4):
        await http("POST", configmaps, configmap(f"c{index}"))
    first = (await http("GET", configmaps + "?limit=2")).json
    for index in range(3):
        await http.patch(f"{configmaps}/c{index}", {"data": {"a": str(index + 10)}})
    store = http.server.server.store
    await store.compact(store.revision)
    answer = await http("GET", f"{configmaps}?limit=2&continue={first['metadata']['continue']}")
    assert (answer.status, answer.reason) == (410, "Expired")
    assert answer.message.startswith("The provided continue parameter is too old to display a consistent list result.")
    resumed = await http("GET", f"{configmaps}?limit=5&continue={answer.json['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in resumed.json["items"]] == ["c2", "c3"]
    assert (await http("GET", f"{configmaps}?resourceVersion=1&resourceVersionMatch=Exact")).status == 410


async def test_a_token_of_no_sense_is_400(http: Http, configmaps: str) -> None:
    answer = await http("GET", configmaps + "?limit=2&continue=bogus")
    assert answer.status == 400 and answer.message.startswith("continue key is not valid")


async def test_lists_at_a_revision(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    then = (await http("GET", configmaps)).json["metadata"]["resourceVersion"]
    await http("POST", configmaps, configmap("b"))
    exact = (await http("GET", f"{configmaps}?resourceVersion={then}&resourceVersionMatch=Exact")).json
    assert [item["metadata"]["name"] for item in exact["items"]] == ["a"]
    newer = (await http("GET", f"{configmaps}?resourceVersion={then}&resourceVersionMatch=NotOlderThan")).json
    assert len(newer["items"]) == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("resourceVersionMatch=Bogus&resourceVersion=1", 'resourceVersionMatch: Unsupported value: "Bogus"'),
        ("resourceVersionMatch=Exact&resourceVersion=0", 'is forbidden for resourceVersion "0"'),
        ("sendInitialEvents=true", "sendInitialEvents is forbidden for list"),
        ("resourceVersion=abc", "resourceVersion"),
    ],
)
async def test_list_options_that_contradict_are_refused(http: Http, configmaps: str, query: str, message: str) -> None:
    answer = await http("GET", f"{configmaps}?{query}")
    assert answer.status == 422 and message in answer.message, answer.body


async def test_lists_over_all_namespaces(http: Http, configmaps: str, namespace: str) -> None:
    await http("POST", configmaps, configmap("a"))
    items = (await http("GET", "/api/v1/configmaps")).json["items"]
    assert {item["metadata"]["namespace"] for item in items} >= {namespace, "kube-system"}
    found = (await http("GET", f"/api/v1/configmaps?fieldSelector=metadata.namespace={namespace}")).json["items"]
    assert [item["metadata"]["name"] for item in found] == ["a"]


async def test_both_event_apis_show_one_event(http: Http, namespace: str) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p"},
        "reason": "Because",
        "message": "text",
        "type": "Normal",
    }
    created = await http("POST", f"/api/v1/namespaces/{namespace}/events", event)
    assert created.status == 201, created.body
    other = (await http("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/e")).json
    assert (other["apiVersion"], other["note"], other["regarding"]["name"]) == ("events.k8s.io/v1", "text", "p")
    found = (await http("GET", f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name=p")).json
    assert len(found["items"]) == 1


async def test_protobuf_bodies_are_read(http: Http, configmaps: str) -> None:
    raw = b"\x0a\x11\x0a\x01a\x12\x00\x1a\x00\x22\x00*\x002\x008\x00B\x00\x12\x06\x0a\x01x\x12\x01y"
    envelope = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12" + bytes([len(raw)]) + raw + b'\x1a\x00"\x00'
    answer = await http("POST", configmaps, envelope, content_type="application/vnd.kubernetes.protobuf")
    assert (answer.status, json.loads(answer.body)["data"]) == (201, {"x": "y"})
