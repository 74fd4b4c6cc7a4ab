"""Updating over HTTP: versions, what may not change, patches of every type, server-side apply."""

import pytest

from tests.component.apiserver.conftest import Http, configmap, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
    assert answer.message == "the namespace of the provided object does not match the namespace sent on the request"
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


async def scale_of(http: Http, namespace: str) -> str:
    """The path of a Deployment whose replicas `owner` applied."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    assert (await http.patch(f"{path}?fieldManager=owner", made, "apply")).status == 201
    return path


def scale(replicas: int) -> dict:
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas},
    }


async def managers_of_replicas(http: Http, path: str) -> set[tuple[str, str, str, str]]:
    entries = (await http("GET", path)).json["metadata"]["managedFields"]
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", ""), entry["apiVersion"])
        for entry in entries
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }


async def test_applying_a_scale_conflicts_with_who_owns_the_replicas(http: Http, namespace: str) -> None:
    path = await scale_of(http, namespace)
    answer = await http.patch(f"{path}/scale?fieldManager=sc", scale(7), "apply")
    assert answer.status == 409
    assert answer.message == 'Apply failed with 1 conflict: conflict with "owner": .spec.replicas'
    forced = await http.patch(f"{path}/scale?fieldManager=sc&force=true", scale(7), "apply")
    assert forced.status == 200 and forced.json["spec"]["replicas"] == 7
    assert await managers_of_replicas(http, path) == {("sc", "Apply", "scale", "apps/v1")}


async def test_applying_a_scale_that_agrees_shares_the_replicas(http: Http, namespace: str) -> None:
    path = await scale_of(http, namespace)
    assert (await http.patch(f"{path}/scale?fieldManager=sc", scale(3), "apply")).status == 200
    owners = {("owner", "Apply", "", "apps/v1"), ("sc", "Apply", "scale", "apps/v1")}
    assert await managers_of_replicas(http, path) == owners
    answer = await http.patch(f"{path}/scale?fieldManager=sc", scale(4), "apply")
    assert answer.message == 'Apply failed with 1 conflict: conflict with "owner": .spec.replicas'


async def test_a_scale_as_a_table_says_what_is_wanted_and_what_is_there(http: Http, namespace: str) -> None:
    path = await scale_of(http, namespace)
    table = (await http("GET", f"{path}/scale", accept="application/json;as=Table;v=v1;g=meta.k8s.io")).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["web", 3, 0]


async def test_an_apply_that_creates_must_name_the_object(http: Http, configmaps: str) -> None:
    answer = await http.patch(f"{configmaps}/x?fieldManager=m", {"apiVersion": "v1", "kind": "ConfigMap"}, "apply")
    assert answer.status == 400
    assert answer.message == "the name of the object (x based on URL) was undeterminable: name must be provided"


async def test_a_strict_apply_refuses_what_is_given_twice(http: Http, configmaps: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: '1'\n  a: '2'\n"
    strict = await http.patch(f"{configmaps}/x?fieldManager=m&fieldValidation=Strict", body, "apply")
    assert strict.status == 400
    assert strict.message == (
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 7: key "a" already set in map'
    )
    warned = await http.patch(f"{configmaps}/x?fieldManager=m", body, "apply")
    assert warned.status == 201 and warned.json["data"] == {"a": "2"}
    assert warned.warnings == ['299 - "line 7: key \\"a\\" already set in map"']


async def test_who_names_a_uid_does_not_make_the_object_anew(http: Http, configmaps: str, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "abc"}}
    answer = await http.patch(f"{configmaps}/x?fieldManager=m", body, "apply")
    assert answer.status == 409
    assert answer.message.endswith(
        "uid mismatch: the provided object specified uid abc, and no existing object was found"
    )
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/x"
    answer = await http("PUT", lease, {"metadata": {"name": "x", "uid": "abc"}, "spec": {}})
    assert answer.status == 409
    assert answer.message.endswith("UID in precondition: abc, UID in object meta: ")


async def test_the_one_address_of_a_pod_or_node_is_the_first_of_the_list(http: Http, pods: str) -> None:
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}}
    assert (await http("POST", pods, body)).status == 201
    await http.patch(f"{pods}/p/status", {"status": {"podIP": "1.2.3.4", "podIPs": [{"ip": "1.2.3.4"}]}})
    status = (await http.patch(f"{pods}/p/status", {"status": {"podIP": "1.2.3.5"}})).json["status"]
    assert status["podIPs"] == [{"ip": "1.2.3.5"}]
    node = {"metadata": {"name": "n1"}, "spec": {"podCIDRs": ["10.1.0.0/24", "fd00::/64"]}}
    assert (await http("POST", "/api/v1/nodes?dryRun=All", node)).json["spec"]["podCIDR"] == "10.1.0.0/24"
    node["spec"] = {"podCIDR": "x"}
    answer = await http("POST", "/api/v1/nodes?dryRun=All", node)
    assert 'spec.podCIDRs[0]: Invalid value: "x"' in answer.message


async def test_a_time_zone_may_not_be_empty(http: Http, namespace: str) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    spec = {"schedule": "* * * * *", "timeZone": "", "jobTemplate": {"spec": {"template": template}}}
    answer = await http(
        "POST", f"/apis/batch/v1/namespaces/{namespace}/cronjobs", {"metadata": {"name": "c"}, "spec": spec}
    )
    assert answer.status == 422
    assert answer.message.endswith('spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string')


UNTIDY = b"""{"spec": {"unknown1": "v", "unknownDupe": "v", "unknownDupe": "w", "paused": true, "paused": false,
 "template": {"spec": {"containers": [
   {"name": "c", "image": "i", "unknownNested": "v", "imagePullPolicy": "Always", "imagePullPolicy": "Never"}]}}}}"""
FAULTS = [
    'duplicate field "spec.unknownDupe"',
    'duplicate field "spec.paused"',
    'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
    'unknown field "spec.template.spec.containers[0].unknownNested"',
    'unknown field "spec.unknown1"',
    'unknown field "spec.unknownDupe"',
]


@pytest.mark.parametrize("kind", ["merge", "strategic"])
async def test_a_strict_patch_refuses_what_is_given_twice(http: Http, namespace: str, kind: str) -> None:
    path = await scale_of(http, namespace)
    strict = await http.patch(f"{path}?fieldValidation=Strict", UNTIDY, kind)
    assert strict.status == 422
    assert strict.message.endswith(f"strict decoding error: {', '.join(FAULTS)}")
    warned = await http.patch(path, UNTIDY, kind)
    assert warned.status == 200
    assert [text.split('"', 1)[1][:-1].replace('\\"', '"') for text in warned.warnings] == FAULTS


async def test_a_strict_json_patch_refuses_untidy_operations(http: Http, namespace: str) -> None:
    path = await scale_of(http, namespace)
    body = b"""[{"op": "add", "path": "/spec/unknown1", "value": "v", "foo": "bar"},
                {"op": "add", "path": "/spec/unknown2", "path": "/spec/unknown3", "value": "v"}]"""
    answer = await http.patch(f"{path}?fieldValidation=Strict", body, "json")
    assert answer.message.endswith(
        'strict decoding error: json patch unknown field "[0].foo", json patch duplicate field "[1].path", '
        'unknown field "spec.unknown1", unknown field "spec.unknown3"'
    )


async def test_what_is_unknown_and_given_twice_is_unknown(http: Http, configmaps: str) -> None:
    body = b'{"metadata": {"name": "x"}, "foo": 1, "foo": 2}'
    answer = await http("POST", f"{configmaps}?fieldValidation=Strict", body)
    assert answer.message.endswith('strict decoding error: unknown field "foo"')


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b"- a",
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into ",
        ),
        (b"", "incorrect version specified in apply patch. Specified patch version: , expected: v1"),
    ],
)
async def test_what_is_applied_must_be_an_object(http: Http, configmaps: str, body: bytes, said: str) -> None:
    answer = await http.patch(f"{configmaps}/x?fieldManager=m", body, "apply")
    assert answer.status == 400 and answer.message.startswith(said)
