"""The published schemas."""

import gzip
import json
from typing import Any

import pytest

from pynetes.machinery import definitions, openapi, openapi_custom
from pynetes.machinery.openapi import CustomType, OpenApi
from pynetes.machinery.resources import BUILTIN, ResourceType

CRON_TABS = ResourceType("stable.example.com", "v1", "crontabs", "CronTab", "crontab", True, ("ct",))
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "cron": {"type": "string"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {}},
                "maybe": {"type": "integer", "nullable": True},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            },
        }
    },
}


@pytest.fixture(scope="module")
def published() -> OpenApi:
    return OpenApi(BUILTIN, [CustomType(CRON_TABS, SCHEMA)])


@pytest.fixture(scope="module")
def v2(published: OpenApi) -> dict[str, Any]:
    return json.loads(published.v2_json().body)


def v3(published: OpenApi, path: str) -> dict[str, Any]:
    document = published.v3(path)
    assert document is not None
    return json.loads(gzip.decompress(document.gzipped))


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        operation for item in document["paths"].values() for method, operation in item.items() if method != "parameters"
    ]


def test_every_reference_in_v2_leads_somewhere(v2: dict[str, Any]) -> None:
    assert {ref.removeprefix("#/definitions/") for ref in references(v2)} <= set(v2["definitions"])


def test_every_v3_document_in_the_index_is_whole(published: OpenApi) -> None:
    index = json.loads(published.v3_index().body)["paths"]
    assert "apis/apps/v1" in index and "api/v1" in index and "apis/stable.example.com/v1" in index
    for path, entry in index.items():
        document = v3(published, path)
        assert entry["serverRelativeURL"] == f"/openapi/v3/{path}?hash={published.v3_hash(path)}"
        assert document["paths"] or path == "version"
        schemas = document["components"]["schemas"]
        assert {ref.removeprefix("#/components/schemas/") for ref in references(document)} <= set(schemas), path
    assert published.v3("apis/nope/v1") is None


def test_operation_ids_are_unique(v2: dict[str, Any]) -> None:
    found = [operation["operationId"] for operation in operations(v2)]
    assert len(found) == len(set(found))
    for wanted in (
        "listCoreV1NamespacedPod",
        "listCoreV1PodForAllNamespaces",
        "createAppsV1NamespacedDeployment",
        "patchAppsV1NamespacedDeploymentScale",
        "deleteCoreV1CollectionNamespacedPod",
        "readCoreV1NamespacedPodLog",
        "connectCoreV1PostNamespacedPodExec",
        "connectCoreV1GetNodeProxyWithPath",
        "createCoreV1NamespacedPodEviction",
        "listRbacAuthorizationV1ClusterRole",
        "listStableExampleComV1NamespacedCronTab",
    ):
        assert wanted in found


def test_patches_offer_what_kubectl_looks_for(v2: dict[str, Any]) -> None:
    patch = v2["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}
    names = {parameter["name"] for parameter in patch["parameters"]}
    assert {"dryRun", "fieldValidation", "fieldManager", "force", "body"} <= names
    assert "application/apply-patch+yaml" in patch["consumes"]


def test_v3_turns_bodies_and_references_into_its_form(published: OpenApi) -> None:
    document = v3(published, "apis/apps/v1")
    create = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"]
    ref = {"$ref": "#/components/schemas/io.k8s.api.apps.v1.Deployment"}
    assert create["requestBody"] == {"content": {"*/*": {"schema": ref}}, "required": True}
    assert create["responses"]["201"]["content"]["application/json"] == {"schema": ref}
    spec = document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]
    assert spec["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}]
    assert spec["description"]
    quantity = document["components"]["schemas"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["oneOf"] == [{"type": "string"}, {"type": "number"}]
    kinds = document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"]
    assert kinds == [{"group": "apps", "kind": "Deployment", "version": "v1"}]


def test_custom_resources_are_loosened_in_v2_and_whole_in_v3(published: OpenApi, v2: dict[str, Any]) -> None:
    loose = v2["definitions"]["com.example.stable.v1.CronTab"]
    fields = loose["properties"]["spec"]["properties"]
    assert fields["cron"] == {"type": "string"}
    assert fields["free"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert fields["maybe"] == {}
    assert fields["port"] == {"x-kubernetes-int-or-string": True}
    assert loose["properties"]["metadata"]["$ref"].endswith("ObjectMeta")
    assert "com.example.stable.v1.CronTabList" in v2["definitions"]
    whole = v3(published, "apis/stable.example.com/v1")["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert whole["properties"]["spec"]["properties"]["maybe"] == {"type": "integer", "nullable": True}
    assert whole["properties"]["spec"]["properties"]["port"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]


def test_descriptions_are_there_to_be_explained(v2: dict[str, Any]) -> None:
    containers = v2["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["description"].startswith("List of containers belonging to the pod.")


def test_etags_change_with_the_content_only() -> None:
    one, same = OpenApi(BUILTIN), OpenApi(BUILTIN)
    other = OpenApi(BUILTIN, [CustomType(CRON_TABS, SCHEMA)])
    changed = OpenApi(BUILTIN, [CustomType(CRON_TABS, {"type": "object"})])
    assert one.v2_json().etag == same.v2_json().etag != other.v2_json().etag
    assert one.v3_hash("apis/apps/v1") == other.v3_hash("apis/apps/v1")
    path = "apis/stable.example.com/v1"
    assert other.v3_hash(path) != changed.v3_hash(path)
    assert one.v2_json().etag != one.v2_protobuf().etag


# --- protobuf, read back with a reader of the wire format


def read(data: bytes) -> dict[int, list[Any]]:
    """The fields of a message: numbers and bytes by field number."""
    fields: dict[int, list[Any]] = {}
    position = 0

    def varint() -> int:
        nonlocal position
        number = shift = 0
        while True:
            byte = data[position]
            position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while position < len(data):
        tag = varint()
        value: Any
        if tag & 7 == 0:
            value = varint()
        else:
            size = 8 if tag & 7 == 1 else varint()
            value = data[position : position + size]
            position += size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def named(entries: list[bytes]) -> dict[str, bytes]:
    parts = [read(entry) for entry in entries]
    return {part[1][0].decode(): part[2][0] if 2 in part else b"" for part in parts}


def test_the_protobuf_form_says_the_same_as_json(published: OpenApi, v2: dict[str, Any]) -> None:
    document = read(published.v2_protobuf().body)
    assert document[1] == [b"2.0"]
    paths = named(read(document[8][0])[2])
    schemas = named(read(document[9][0])[1])
    assert set(paths) == set(v2["paths"])
    assert set(schemas) == set(v2["definitions"])
    pod = read(schemas["io.k8s.api.core.v1.Pod"])
    assert pod[4][0].decode() == v2["definitions"]["io.k8s.api.core.v1.Pod"]["description"]
    assert read(pod[22][0])[1] == [b"object"]
    extensions = {name: read(value)[2][0] for name, value in named(pod[31]).items()}
    assert json.loads(extensions["x-kubernetes-group-version-kind"]) == [{"group": "", "kind": "Pod", "version": "v1"}]
    fields = named(read(pod[25][0])[1])
    assert read(fields["spec"])[1] == [b"#/definitions/io.k8s.api.core.v1.PodSpec"]
    patch = read(read(paths["/api/v1/namespaces/{namespace}/pods/{name}"])[8][0])
    queries = [read(read(read(item)[1][0])[2][0]) for item in patch[8] if 2 in read(read(item)[1][0])]
    assert b"dryRun" in {read(query[3][0])[4][0] for query in queries}


def test_the_prose_is_not_kept_in_memory(published: OpenApi) -> None:
    assert "description" not in definitions.get("io.k8s.api.core.v1.Pod")
    assert openapi.V2_PROTOBUF == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def test_a_custom_kind_that_may_hold_anything_is_an_object_to_clients_of_old() -> None:
    rt = ResourceType("example.com", "v1", "things", "Thing", "thing", True)
    made = openapi_custom.v2_definitions(rt, {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    thing = made["com.example.v1.Thing"]
    assert {key: value for key, value in thing.items() if key != "x-kubernetes-group-version-kind"} == {
        "type": "object"
    }


def test_objects_inside_of_custom_objects_say_what_they_are() -> None:
    rt = ResourceType("example.com", "v1", "things", "Thing", "thing", True)
    inner = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}}
    free = inner | {"x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"one": inner, "more": {"type": "array", "items": inner}, "free": free}}
    for made in (openapi_custom.v2_definitions(rt, schema), openapi_custom.v3_schemas(rt, schema)):
        properties = made["com.example.v1.Thing"]["properties"]
        for embedded in (properties["one"], properties["more"]["items"]):
            assert set(embedded["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
            assert embedded["properties"]["metadata"]["$ref"].endswith("ObjectMeta")
            assert embedded["required"] == ["kind", "apiVersion"]
    assert set(properties["free"]["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert "properties" not in openapi_custom.v2_definitions(rt, schema)["com.example.v1.Thing"]["properties"]["free"]
