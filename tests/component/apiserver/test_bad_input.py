"""Whatever is sent to any resource, the answer is a Status that blames the sender: never a 500, never silence."""

import json
from typing import Any

import pytest

from pynetes.machinery import resources
from pynetes.machinery.resources import ResourceType
from tests.component.apiserver.conftest import Answer, Http, configmap

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATABLE = [rt for rt in resources.BUILTIN if "create" in rt.verbs]
UPDATABLE = [rt for rt in CREATABLE if "patch" in rt.verbs]
NAMED = {"metadata": {"name": "x"}}

# Bodies that are no object at all, or one with its parts of the wrong type.
BODIES: dict[str, Any] = {
    "nothing": b"",
    "blank": b"   ",
    "not JSON": b"{",
    "not UTF-8": b'{"kind": "\xff\xfe"}',
    "trailing text": b'{"metadata": {}} more',
    "null": None,
    "a number": 7,
    "a list": [NAMED],
    "a string": "x",
    "nothing in it": {},
    "metadata is text": {"metadata": "x"},
    "a name that is a number": {"metadata": {"name": 7}},
    "labels that are a list": {"metadata": {"name": "x", "labels": ["a"]}},
    "spec is a list": {**NAMED, "spec": []},
    "spec is text": {**NAMED, "spec": "x"},
    "spec is empty": {**NAMED, "spec": {}},
    "spec is null": {**NAMED, "spec": None},
    "status is a number": {**NAMED, "status": 1},
    "a time that is none": {"metadata": {"name": "x", "creationTimestamp": "yesterday"}},
    "owner references without a kind": {"metadata": {"name": "x", "ownerReferences": [{}]}},
    "another kind": {"apiVersion": "none/v9", "kind": "None", **NAMED},
    "deeply nested": b'{"metadata":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
    "a huge number": b'{"metadata": {"name": "x", "generation": 1e999}}',
}


def path_of(rt: ResourceType, namespace: str) -> str:
    return rt.path(namespace=namespace if rt.namespaced else None)


def is_answer(answer: Answer) -> bool:
    """An answer that is no failure of the server; a refusal is a whole Status."""
    if answer.status < 300:
        return True
    status = answer.json
    well_formed = status["kind"] == "Status" and status["code"] == answer.status and status["message"]
    return bool(400 <= answer.status < 500 and well_formed and status["reason"])


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize("what", BODIES)
async def test_any_body_gets_an_answer_from_every_resource(http: Http, namespace: str, what: str) -> None:
    for rt in CREATABLE:
        answer = await http("POST", f"{path_of(rt, namespace)}?dryRun=All", encoded(BODIES[what]))
        assert is_answer(answer), (rt.group_resource, answer.status, answer.body)


@pytest.mark.parametrize("what", ["nothing", "not JSON", "null", "a number", "metadata is text", "spec is a list"])
@pytest.mark.parametrize("kind", ["json", "merge", "strategic", "apply"])
async def test_any_patch_gets_an_answer_from_every_resource(http: Http, namespace: str, kind: str, what: str) -> None:
    for rt in UPDATABLE:
        path = f"{path_of(rt, namespace)}/x?dryRun=All" + ("&fieldManager=m" if kind == "apply" else "")
        answer = await http.patch(path, encoded(BODIES[what]), kind)
        assert is_answer(answer), (rt.group_resource, answer.status, answer.body)


@pytest.mark.parametrize(
    "operations",
    [
        {}, [{}], [7], [{"op": "none", "path": "/data"}], [{"op": "add"}], [{"op": "add", "path": "data", "value": 1}],
        [{"op": "remove", "path": "/data/none"}],
        [{"op": "replace", "path": "", "value": 7}], [{"op": "replace", "path": "/metadata", "value": None}],
        [{"op": "remove", "path": "/metadata/resourceVersion"}, {"op": "add", "path": "/data", "value": [1]}],
        [{"op": "add", "path": "/metadata/finalizers/7", "value": "a/b"}],
    ],
)  # fmt: skip
async def test_senseless_operations_change_nothing(http: Http, configmaps: str, operations: Any) -> None:
    made = await http("POST", configmaps, configmap("c"))
    answer = await http.patch(f"{configmaps}/c", operations, "json")
    assert is_answer(answer) and answer.status >= 400, answer.body
    assert (await http("GET", f"{configmaps}/c")).json == made.json


@pytest.mark.parametrize(
    "query",
    [
        "limit=x", "labelSelector=a%20b%20c", "labelSelector=a%20in%20(", "fieldSelector=x",
        "fieldSelector=none%3Dx", "resourceVersion=x", "continue=x", "timeoutSeconds=x&watch=1",
        "watch=1&resourceVersion=x", "resourceVersionMatch=Nearly&resourceVersion=1", "limit=99999999999999999999",
    ],
)  # fmt: skip
async def test_senseless_list_options_are_refused_by_every_resource(http: Http, namespace: str, query: str) -> None:
    for rt in (rt for rt in resources.BUILTIN if {"list", "watch"} <= set(rt.verbs)):
        answer = await http("GET", f"{path_of(rt, namespace)}?{query}")
        assert 400 <= answer.status < 500 and is_answer(answer), (rt.group_resource, answer.status, answer.body)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/namespaces/a/pods/b/c/d/e", 404),
        ("/api/v1/pods/..%2f..%2fsecrets", 404), ("/api/v9", 404), ("/apis/none.io/v1/things", 404),
        ("/api/v1/namespaces/default/pods/%00", 404), ("/api/v1/namespaces/default/pods/p/log?container=%FF", 404),
    ],
)  # fmt: skip
async def test_paths_of_no_sense_are_not_found(http: Http, path: str, status: int) -> None:
    assert (await http("GET", path)).status == status


@pytest.mark.parametrize(
    "name", ["", "Upper", "under_score", "-dash", "dash-", "a..b", "a/b", "é", "x" * 254, ".", ".."]
)
async def test_a_name_that_is_none_is_refused_by_every_resource_with_dns_names(
    http: Http, namespace: str, name: str
) -> None:
    for kind in ("configmaps", "secrets", "serviceaccounts", "endpoints"):
        answer = await http("POST", f"/api/v1/namespaces/{namespace}/{kind}", {"metadata": {"name": name}})
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert answer.json["details"]["causes"][0]["field"] == "metadata.name"
