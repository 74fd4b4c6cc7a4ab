"""Custom resources from their definition to their end, over HTTP."""

import asyncio
from typing import Any

import pytest

from tests.component.apiserver.conftest import Answer, Http
from tests.component.crd.kinds import DEFINITIONS, Kind, Obj, version

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The definition.


async def test_a_definition_is_established_with_its_names(http: Http) -> None:
    kind = await Kind(http).establish()
    status = (await http("GET", f"{DEFINITIONS}/{kind.name}")).json["status"]
    assert [(each["type"], each["status"], each["reason"]) for each in status["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    assert status["acceptedNames"]["listKind"] == "CronTabList"
    assert status["storedVersions"] == ["v1"]


async def test_the_kind_is_discovered_and_published(http: Http) -> None:
    kind = await Kind(http).establish()
    found = (await http("GET", f"/apis/{kind.group}/v1")).json["resources"]
    assert [each["name"] for each in found] == ["crontabs"]
    assert (found[0]["shortNames"], found[0]["categories"]) == (["ct"], ["all"])
    document = (await http("GET", f"/openapi/v3/apis/{kind.group}/v1")).json
    schemas = document["components"]["schemas"]
    (name,) = [each for each in schemas if each.endswith(".CronTab")]
    assert schemas[name]["properties"]["spec"]["properties"]["size"]["maximum"] == 10
    conventions = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
    assert schemas[name]["properties"]["kind"]["description"].endswith(f"More info: {conventions}#types-kinds")
    items = schemas[f"{name}List"]["properties"]["items"]
    assert items["description"] == f"List of crontabs. More info: {conventions}"


async def test_a_name_that_is_taken_is_refused(http: Http) -> None:
    kind = await Kind(http).establish()
    rival = Kind(http)
    rival.group = kind.group
    rival.name = f"others.{kind.group}"
    rival.definition["metadata"]["name"] = rival.name
    rival.definition["spec"] |= {"group": kind.group, "names": {"plural": "others", "kind": "CronTab"}}
    assert (await http("POST", DEFINITIONS, rival.definition)).status == 201
    found = await rival.until(lambda found: Kind.condition(found, "NamesAccepted") == "False")
    accepted, established = found["status"]["conditions"]
    assert (accepted["reason"], accepted["message"]) == ("ListKindConflict", '"CronTabList" is already in use')
    assert (established["status"], established["reason"]) == ("False", "NotAccepted")
    assert (await http("GET", f"/apis/{kind.group}/v1/namespaces/default/others")).status == 404
    assert (await http("DELETE", f"{DEFINITIONS}/{kind.name}")).status == 200
    await rival.until(lambda found: Kind.condition(found, "Established") == "True")


async def test_rules_are_checked_against_the_schema_they_stand_in(http: Http) -> None:
    def ruled(*rules: Obj) -> Obj:
        spec = {"type": "object", "properties": {"x": {"type": "integer"}}, "x-kubernetes-validations": list(rules)}
        return {"type": "object", "properties": {"spec": spec}}

    rules = (
        {"rule": "self.y == 1"},
        {"rule": "self.x"},
        {"rule": "self.x > 0", "messageExpression": "self.x"},
        {"rule": "oldSelf.orValue(self).x == self.x", "optionalOldSelf": True},
    )
    answer = await http("POST", DEFINITIONS, Kind(http, version(schema=ruled(*rules))).definition)
    path = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations"
    assert {each["field"]: each["message"] for each in answer.json["details"]["causes"]} == {
        f"{path}[0].rule": 'Invalid value: "self.y == 1": compilation failed: '
        "ERROR: <input>:1:5: undefined field 'y'\n | self.y == 1\n | ....^",
        f"{path}[1].rule": 'Invalid value: "self.x": cel expression must evaluate to a bool',
        f"{path}[2].messageExpression": 'Invalid value: "self.x": messageExpression must evaluate to a string',
    }


# Objects.


async def test_embedded_objects_have_metadata_like_any_other(http: Http) -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    spec: Obj = {"type": "object", "properties": {"template": embedded}}
    kind = await Kind(http, version(schema={"type": "object", "properties": {"spec": spec}})).establish()

    async def create(metadata: Obj, query: str = "") -> Answer:
        template = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "more": 1}
        whole = kind.object() | {"spec": {"template": template}}
        return await http("POST", kind.path() + query, whole)

    strict = await create({"name": "x", "nothing": 1}, "?fieldValidation=Strict")
    assert strict.message.endswith('strict decoding error: unknown field "spec.template.metadata.nothing"')
    wrong = await create({"labels": {"a b": "c"}})
    assert wrong.json["details"]["causes"][0]["field"] == "spec.template.metadata.labels"
    mistyped = await create({"labels": 5})
    assert (mistyped.status, "spec.template.metadata: Invalid value" in mistyped.message) == (400, True)
    made = (await create({"name": "x", "nothing": 1})).json["spec"]["template"]
    assert (made["metadata"], made["more"]) == ({"name": "x"}, 1)
    body = {"metadata": {"nothing": 1}, "spec": {"template": {"metadata": {"nothing": 1}}}}
    media = {"content-type": "application/merge-patch+json"}
    strict = await http("PATCH", kind.path("a") + "?fieldValidation=Strict", body, headers=media)
    faults = [f'unknown field "{path}"' for path in ("metadata.nothing", "spec.template.metadata.nothing")]
    assert (strict.status, strict.message.endswith(f"strict decoding error: {', '.join(faults)}")) == (422, True)
    assert '"nothing\\":1' in strict.message
    warned = await http("PATCH", kind.path("a") + "?fieldValidation=Warn", body, headers=media)
    assert warned.status == 200
    assert [text.split('"', 1)[1][:-1].replace('\\"', '"') for text in warned.warnings] == faults


async def test_an_object_says_what_it_is(http: Http) -> None:
    kind = await Kind(http).establish()
    whole = kind.object()

    async def said(**other: Any) -> tuple[int, str]:
        body = {field: value for field, value in {**whole, **other}.items() if value is not None}
        answer = await http("POST", kind.path(), body)
        return answer.status, answer.json["message"]

    wrong = f'Foo.{kind.group} "a" is invalid: kind: Invalid value: "Foo": must be CronTab'
    assert await said(kind="Foo") == (422, wrong)
    assert await said(kind=None) == (400, "Object 'Kind' is missing in 'unstructured object has no kind'")
    for other in ("", f"{kind.group}/v9"):
        message = f"the API version in the data ({other}) does not match the expected API version ({kind.group}/v1)"
        assert await said(apiVersion=other) == (400, message)
    answer = await http("POST", kind.path(), b"{nope")
    assert answer.json["message"] == (
        "the object provided is unrecognized (must be of type CronTab): couldn't get version/kind; json parse error: "
        "invalid character 'n' looking for beginning of object key string ({nope)"
    )
    await kind.create()
    media = "application/merge-patch+json"
    answer = await http("PATCH", kind.path("a"), {"kind": "Foo"}, content_type=media)
    assert (answer.status, answer.json["message"]) == (422, wrong)


async def test_an_object_is_defaulted_and_pruned(http: Http) -> None:
    kind = await Kind(http).establish()
    answer = await kind.create(extra=1, any={"kept": {"deep": 1}}, note=None, color=None)
    assert answer.status == 201
    assert answer.json["spec"] == {"size": 3, "any": {"kept": {"deep": 1}}, "note": None, "color": "red"}
    assert answer.json["metadata"]["generation"] == 1
    assert answer.warnings == ['299 - "unknown field \\"spec.extra\\""']
    assert (await http("GET", kind.path("a"))).json == answer.json


async def test_strict_validation_refuses_unknown_and_repeated_fields(http: Http) -> None:
    kind = await Kind(http).establish()
    answer = await kind.create(query="?fieldValidation=Strict", extra=1)
    assert answer.status == 400
    assert answer.message == (
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.extra"'
    )
    head = f'"apiVersion":"{kind.group}/v1","kind":"CronTab","metadata":{{"name":"a"}}'
    raw = ("{" + head + ',"spec":{"size":1,"size":2}}').encode()
    answer = await http("POST", kind.path() + "?fieldValidation=Strict", raw)
    assert 'duplicate field "spec.size"' in answer.message


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"size": None}, "spec.size: Required value"),
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": 11}, "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"),
        ({"size": "3"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({"label": "A"}, "spec.label: Invalid value: \"A\": spec.label in body should match '^[a-z]+$'"),
        ({"label": "abcdef"}, "spec.label: Too long: may not be more than 5 bytes"),
        (
            {"port": True},
            'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
        ),
        ({"keys": ["a", "a"]}, 'spec.keys[1]: Duplicate value: "a"'),
    ],
)
async def test_values_must_fit_the_schema(http: Http, spec: Obj, fault: str) -> None:
    kind = await Kind(http).establish()
    answer = await kind.create(**spec)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.message == f'CronTab.{kind.group} "a" is invalid: {fault}'


async def test_a_definition_may_become_stricter_than_its_objects(http: Http) -> None:
    kind = await Kind(http).establish()
    await kind.create(size=9)
    await kind.change(lambda spec: _schema(spec)["size"].update(maximum=5))
    assert (await http.patch(kind.path("a"), {"metadata": {"labels": {"a": "b"}}})).status == 200
    assert (await http.patch(kind.path("a"), {"spec": {"size": 8}})).status == 422


def _schema(spec: Obj) -> Obj:
    found: Obj = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return found


async def test_defaults_reach_objects_that_are_stored_already(http: Http) -> None:
    kind = await Kind(http).establish()
    await kind.create()
    await kind.change(lambda spec: _schema(spec).update(speed={"type": "integer", "default": 7}))
    assert (await http("GET", kind.path("a"))).json["spec"]["speed"] == 7
    (item,) = (await http("GET", kind.path())).json["items"]
    assert item["spec"]["speed"] == 7


async def test_an_update_needs_the_revision_it_changes(http: Http) -> None:
    kind = await Kind(http).establish()
    await kind.create()
    answer = await http("PUT", kind.path("a"), kind.object(size=4))
    assert answer.status == 422 and "metadata.resourceVersion" in answer.message


async def test_patches(http: Http) -> None:
    kind = await Kind(http).establish()
    await kind.create()
    assert (await http.patch(kind.path("a"), {"spec": {"size": 4}})).json["metadata"]["generation"] == 2
    operations = [{"op": "replace", "path": "/spec/size", "value": 5}]
    assert (await http.patch(kind.path("a"), operations, "json")).json["spec"]["size"] == 5
    answer = await http.patch(kind.path("a"), {"spec": {"size": 5}}, "strategic")
    assert answer.status == 415
    assert (await http.patch(kind.path("a"), {"spec": {"size": 99}})).status == 422


async def test_server_side_apply_knows_lists_and_owners(http: Http) -> None:
    kind = await Kind(http).establish()

    async def apply(manager: str, **spec: Any) -> Answer:
        return await http.patch(f"{kind.path('a')}?fieldManager={manager}", kind.object(**spec), "apply")

    assert (await apply("one", keys=["a"])).status == 201
    applied = await apply("two", keys=["b"])
    assert (applied.status, applied.json["spec"]["keys"]) == (200, ["a", "b"])
    conflict = await apply("two", size=9)
    assert conflict.status == 409 and ".spec.size" in conflict.message


async def test_status_has_a_door_of_its_own(http: Http) -> None:
    kind = await Kind(http, version(subresources={"status": {}})).establish()
    made = (await http("POST", kind.path(), kind.object() | {"status": {"phase": "x"}})).json
    assert "status" not in made
    sent = made | {"spec": {"size": 9}, "status": {"phase": "Ready"}}
    found = (await http("PUT", f"{kind.path('a')}/status", sent)).json
    assert (found["status"], found["spec"]["size"]) == ({"phase": "Ready"}, 3)
    assert found["metadata"]["generation"] == 1
    found["status"] = {"phase": "Lost"}
    assert (await http("PUT", kind.path("a"), found)).json["status"] == {"phase": "Ready"}


async def test_without_the_subresource_status_is_a_field_and_has_no_door(http: Http) -> None:
    kind = await Kind(http).establish()
    made = (await http("POST", kind.path(), kind.object() | {"status": {"phase": "x"}})).json
    assert made["status"] == {"phase": "x"}
    assert "f:status" in made["metadata"]["managedFields"][0]["fieldsV1"]
    assert (await http("GET", f"{kind.path('a')}/status")).status == 404


async def test_scale(http: Http) -> None:
    scale = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    kind = await Kind(http, version(subresources={"scale": scale})).establish()
    await http("POST", kind.path(), kind.object() | {"status": {"replicas": 2, "selector": "a=b"}})
    found = (await http("GET", f"{kind.path('a')}/scale")).json
    assert (found["kind"], found["spec"]) == ("Scale", {"replicas": 3})
    assert found["status"] == {"replicas": 2, "selector": "a=b"}
    answer = await http.patch(f"{kind.path('a')}/scale", {"spec": {"replicas": 5}})
    assert answer.status == 200
    assert (await http("GET", kind.path("a"))).json["spec"]["size"] == 5
    assert (await http.patch(f"{kind.path('a')}/scale", {"spec": {"replicas": 50}})).status == 422


async def test_columns_are_the_definitions(http: Http) -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "How big."},
        {"name": "Key", "type": "string", "jsonPath": ".spec.keys[0]"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 1},
    ]
    kind = await Kind(http, version(additionalPrinterColumns=columns)).establish()
    await kind.create(keys=["k"])
    table = (await http("GET", kind.path(), accept="application/json;as=Table;g=meta.k8s.io;v=v1")).json
    assert [(each["name"], each["type"], each["priority"]) for each in table["columnDefinitions"]] == [
        ("Name", "string", 0),
        ("Size", "integer", 0),
        ("Key", "string", 0),
        ("Age", "date", 1),
    ]
    assert table["columnDefinitions"][1]["description"] == "How big."
    assert table["rows"][0]["cells"][:3] == ["a", 3, "k"]


async def test_fields_may_be_made_selectable(http: Http) -> None:
    kind = await Kind(http, version(selectableFields=[{"jsonPath": ".spec.color"}])).establish()
    await kind.create("a")
    await kind.create("b", color="blue")
    found = (await http("GET", f"{kind.path()}?fieldSelector=spec.color%3Dblue")).json["items"]
    assert [each["metadata"]["name"] for each in found] == ["b"]
    answer = await http("GET", f"{kind.path()}?fieldSelector=spec.size%3D3")
    assert (answer.status, answer.message) == (400, "field label not supported: spec.size")


async def test_a_field_made_selectable_later_selects_what_was_there_before(http: Http) -> None:
    kind = await Kind(http).establish()
    await kind.create("a", color="blue")
    await kind.create("b")
    await kind.change(lambda spec: spec["versions"][0].update(selectableFields=[{"jsonPath": ".spec.color"}]))
    blue = f"{kind.path()}?fieldSelector=spec.color%3Dblue"
    found = await http("GET", blue)
    assert [each["metadata"]["name"] for each in found.json["items"]] == ["a"]
    revision = found.json["metadata"]["resourceVersion"]
    await http.patch(kind.path("a"), {"spec": {"color": "red"}})
    lines = await http.watch(f"{blue}&watch=1&resourceVersion={revision}", 1)
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in lines] == [("DELETED", "a")]


# Versions.


async def test_versions_are_the_same_objects_under_another_name(http: Http) -> None:
    kind = await Kind(http, version("v1"), version("v2", storage=False)).establish()
    await kind.create("a")
    assert (await http("GET", kind.path("a", "v2"))).json["apiVersion"] == f"{kind.group}/v2"
    sent = kind.object("b", "v2")
    assert (await http("POST", kind.path(version="v2"), sent)).json["apiVersion"] == f"{kind.group}/v2"
    found = (await http("GET", kind.path())).json
    assert {each["apiVersion"] for each in found["items"]} == {f"{kind.group}/v1"}
    lines = await http.watch(f"{kind.path(version='v2')}?watch=1", 2)
    assert {each["object"]["apiVersion"] for each in lines} == {f"{kind.group}/v2"}


async def test_a_version_that_is_not_served_is_not_there(http: Http) -> None:
    kind = await Kind(http, version("v1"), version("v2", storage=False)).establish()
    await kind.change(lambda spec: spec["versions"][1].update(served=False))
    assert (await http("GET", kind.path(version="v2"))).status == 404
    assert (await http("GET", f"/apis/{kind.group}/v2")).status == 404
    assert (await http("GET", kind.path())).status == 200


async def test_a_deprecated_version_warns(http: Http) -> None:
    kind = await Kind(http, version(deprecated=True)).establish()
    assert (await http("GET", kind.path())).warnings == [f'299 - "{kind.group}/v1 CronTab is deprecated"']


# The end.


async def test_objects_go_with_their_definition(http: Http) -> None:
    kind = await Kind(http).establish()
    await kind.create()
    await http("DELETE", f"{DEFINITIONS}/{kind.name}")
    for _ in range(200):
        if (await http("GET", f"{DEFINITIONS}/{kind.name}")).status == 404:
            break
        await asyncio.sleep(0.01)
    assert (await http("GET", kind.path("a"))).status == 404
    assert (await http("GET", f"/apis/{kind.group}/v1")).status == 404
    await kind.establish()
    assert (await http("GET", kind.path())).json["items"] == []


async def test_a_definition_waits_for_objects_that_are_held(http: Http) -> None:
    kind = await Kind(http).establish()
    held = kind.object()
    held["metadata"]["finalizers"] = ["example.com/held"]
    await http("POST", kind.path(), held)
    answer = await http("DELETE", f"{DEFINITIONS}/{kind.name}")
    assert answer.json["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    found = await kind.until(lambda found: Kind.condition(found, "Terminating") == "True")
    assert "deletionTimestamp" in found["metadata"]
    await asyncio.sleep(0.05)
    refused = await kind.create("b")
    assert refused.status == 405
    assert refused.message == "create not allowed while custom resource definition is terminating"
    assert "deletionTimestamp" in (await http("GET", kind.path("a"))).json["metadata"]
    await http.patch(kind.path("a"), {"metadata": {"finalizers": None}})
    for _ in range(200):
        if (await http("GET", f"{DEFINITIONS}/{kind.name}")).status == 404:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the definition is still there")
