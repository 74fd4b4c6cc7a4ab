"""What another server publishes, beside what this one does."""

import copy
from typing import Any

import pytest

from pynetes.machinery import openapi
from pynetes.machinery.openapi_merge import merged, references, restricted

Json = dict[str, Any]


def ref(name: str) -> Json:
    return {"$ref": f"#/definitions/{name}"}


def operation(name: str) -> Json:
    return {"get": {"responses": {"200": {"description": "OK", "schema": ref(name)}}}}


OURS: Json = {
    "paths": {"/apis/": operation("Groups"), "/apis/apps/v1/deployments": operation("Deployment")},
    "definitions": {
        "Groups": {"type": "object"},
        "Deployment": {"properties": {"metadata": ref("Meta")}},
        "Meta": {"properties": {"name": {"type": "string"}, "time": ref("Time")}},
        "Time": {"type": "string"},
    },
}
THEIRS: Json = {
    "paths": {
        "/apis/": operation("Groups"),
        "/apis/a.example.com/v1/": operation("Groups"),
        "/apis/a.example.com/v1/things": operation("Thing"),
        "/apis/a.example.com/v1beta1/things": operation("OldThing"),
    },
    "definitions": {
        "Groups": {"type": "object"},
        "Thing": {"properties": {"metadata": ref("Meta"), "self": ref("Thing")}},
        "OldThing": {"type": "object"},
        "Meta": {"properties": {"name": {"type": "string"}, "time": ref("Time")}},
        "Time": {"type": "integer"},
        "Options": {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "a.example.com", "version": "v1", "kind": "Options"}],
        },
    },
}
PREFIX = "/apis/a.example.com/v1"


def test_only_what_the_group_version_needs_is_taken() -> None:
    part = restricted(THEIRS, PREFIX)
    assert set(part["paths"]) == {"/apis/a.example.com/v1/", "/apis/a.example.com/v1/things"}
    assert set(part["definitions"]) == {"Groups", "Thing", "Meta", "Time", "Options"}


def test_definitions_that_differ_get_another_name_and_so_do_those_that_mean_them() -> None:
    ours, part = copy.deepcopy(OURS), restricted(THEIRS, PREFIX)
    made = merged(ours, [part])
    assert made["definitions"]["Time"] == {"type": "string"}
    assert made["definitions"]["Time_v2"] == {"type": "integer"}
    # The texts of both Metas are alike, yet they mean other times.
    assert made["definitions"]["Meta"]["properties"]["time"] == ref("Time")
    assert made["definitions"]["Meta_v2"]["properties"]["time"] == ref("Time_v2")
    assert made["definitions"]["Thing"] == {"properties": {"metadata": ref("Meta_v2"), "self": ref("Thing")}}
    assert "Groups_v2" not in made["definitions"]
    assert ours == OURS and part == restricted(THEIRS, PREFIX)  # nothing was changed in place


def test_nothing_refers_to_what_is_not_there() -> None:
    made = merged(OURS, [restricted(THEIRS, PREFIX), restricted(THEIRS, f"{PREFIX}beta1")])
    assert references(made["paths"]) | references(made["definitions"]) <= set(made["definitions"])
    assert list(made["paths"]) == sorted(made["paths"])


def test_a_third_release_gets_a_third_name() -> None:
    other = copy.deepcopy(THEIRS)
    other["definitions"]["Time"] = {"type": "number"}
    other["paths"] = {"/apis/b.example.com/v1/times": operation("Time")}
    made = merged(OURS, [restricted(THEIRS, PREFIX), restricted(other, "/apis/b.example.com/v1")])
    assert [made["definitions"][name]["type"] for name in ("Time", "Time_v2", "Time_v3")] == [
        "string", "integer", "number",
    ]  # fmt: skip
    assert references(made["paths"]["/apis/b.example.com/v1/times"]) == {"Time_v3"}


def test_a_server_without_v3_is_published_there_too() -> None:
    path = PREFIX.strip("/")
    made = openapi.OpenApi((), others={path: restricted(THEIRS, PREFIX)})
    assert path in made.v3_paths()
    document = made.v3(path)
    assert document is not None and b'"#/components/schemas/Meta"' in document.body
    changed = openapi.OpenApi((), others={path: {"paths": {}, "definitions": {}}})
    assert changed.v3_hash(path) != made.v3_hash(path)
    assert changed.v2_json().etag != made.v2_json().etag


@pytest.mark.parametrize(
    "part",
    [
        {"paths": {"/a": {"get": {}}}, "definitions": {}},
        {"paths": {"/a": 1}, "definitions": {}},
        {"paths": {}, "definitions": {"A": "no"}},
    ],
)
def test_nonsense_is_found_before_it_is_published(part: Json) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        openapi.check(part)
