"""Reading over HTTP: one object, the forms an answer takes, lists, selectors, chunks, revisions."""

import json

import pytest

from tests.component.apiserver.conftest import Http, configmap, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")

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


async def test_a_negative_limit_is_none(http: Http, configmaps: str) -> None:
    for name in ("a", "b"):
        await http("POST", configmaps, configmap(name))
    listed = (await http("GET", f"{configmaps}?limit=-1")).json
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]
    assert "continue" not in listed["metadata"]


async def test_a_continue_token_that_is_no_token_is_told_as_go_would(http: Http, configmaps: str) -> None:
    answer = await http("GET", f"{configmaps}?limit=1&continue=abc")
    assert answer.message.startswith("continue key is not valid: invalid character 'i' looking for beginning of value")
