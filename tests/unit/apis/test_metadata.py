"""Metadata: the same rules for every kind."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.apis import metadata
from pynetes.apis.registry import strategy_for
from pynetes.machinery import names, resources

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}


def problems(**fields: Any) -> list[str]:
    obj = {"metadata": {"name": "x", "namespace": "default", **fields}}
    return [str(e) for e in metadata.validate(obj, namespaced=True, name_check=names.dns1123_subdomain)]


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({}, []),
        ({"name": "", "generateName": "a-"}, ["metadata.name: Required value: name or generateName is required"]),
        ({"namespace": ""}, ["metadata.namespace: Required value"]),
        ({"labels": {"a/b/c": "x"}}, None),
        ({"labels": {"a": "b c"}}, None),
        ({"annotations": {"A.b/C": "any thing"}}, []),
        (
            {"annotations": {"a": "x" * (256 << 10)}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        ({"finalizers": ["example.com/a"]}, []),
        (
            {"finalizers": ["a"]},
            [
                'metadata.finalizers[0]: Invalid value: "a": name is neither a standard finalizer name nor is it fully '
                "qualified"
            ],
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
                "foregroundDeletion cannot be both set"
            ],
        ),
        ({"ownerReferences": [OWNER]}, []),
        (
            {"ownerReferences": [{**OWNER, "uid": ""}]},
            ['metadata.ownerReferences[0].uid: Invalid value: "": must not be empty'],
        ),
    ],
)
def test_new_objects(fields, errors):
    found = problems(**fields)
    assert found == errors if errors is not None else len(found) == 1


def test_two_controllers_are_one_too_many():
    (error,) = problems(ownerReferences=[OWNER, {**OWNER, "name": "s"}])
    assert error.endswith('Only one reference can have Controller set to true. Found "true" in references for r and s')


def test_cluster_scoped_objects_have_no_namespace():
    obj = {"metadata": {"name": "x", "namespace": "ns"}}
    found = metadata.validate(obj, namespaced=False, name_check=names.dns1123_subdomain)
    assert [str(e) for e in found] == ["metadata.namespace: Forbidden: not allowed on this type"]


@pytest.mark.parametrize("field", metadata.IMMUTABLE_FIELDS)
def test_identity_never_changes(field):
    old = {"metadata": {"name": "x", "resourceVersion": "1", field: "before"}}
    new = {"metadata": {**old["metadata"], field: "after"}}
    assert f'metadata.{field}: Invalid value: "after": field is immutable' in [
        str(e) for e in metadata.validate_update(new, old)
    ]


def test_no_finalizer_is_added_once_deletion_has_begun():
    old = {
        "metadata": {
            "name": "x",
            "resourceVersion": "1",
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["a.b/c"],
        }
    }
    new = {"metadata": {**old["metadata"], "finalizers": ["a.b/c", "d.e/f"]}}
    assert [str(e) for e in metadata.validate_update(new, old)] == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new "
        'finalizers []string{"d.e/f"}'
    ]


def test_an_update_inherits_what_it_leaves_out():
    old = {"metadata": {"uid": "u", "creationTimestamp": "t", "generation": 4}}
    new: dict[str, Any] = {"metadata": {"generation": 99}}
    metadata.inherit(new, old)
    assert new["metadata"] == {"uid": "u", "creationTimestamp": "t", "generation": 4}


@pytest.mark.parametrize(
    ("resource", "name", "fine"),
    [
        ("namespaces", "a.b", False),
        ("namespaces", "1a", True),
        ("services", "1a", True),
        ("services", "a.b", False),
        ("services", "a1", True),
        ("roles", "system:Any Thing", True),
        ("roles", "a/b", False),
        ("ipaddresses", "10.0.0.1", True),
        ("ipaddresses", "010.0.0.1", False),
        ("configmaps", "a.b", True),
        ("configmaps", "A", False),
    ],
)
def test_names_by_kind(resource, name, fine):
    assert (strategy_for(resources.lookup(resource)).name_check(name) == []) is fine


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_any_labels_get_an_answer(labels):
    assert isinstance(problems(labels=labels), list)


@pytest.mark.parametrize("rt", resources.BUILTIN, ids=lambda rt: f"{rt.group_resource}/{rt.version}")
def test_every_kind_survives_an_empty_object(rt):
    """Whatever a client leaves out, the answer is a list of findings."""
    kind = strategy_for(rt)
    obj: dict[str, Any] = {"metadata": {"name": "x", **({"namespace": "default"} if rt.namespaced else {})}}
    kind.default(obj)
    obj["metadata"]["uid"] = "u"
    kind.prepare_create(obj)
    kind.validate(obj)
    kind.warnings(obj)
    obj["metadata"]["resourceVersion"] = "1"
    new = {**obj, "metadata": dict(obj["metadata"])}
    kind.prepare_update(new, obj)
    assert kind.validate_update(new, obj) == [] or kind.validate(obj) != []
    kind.prepare_status_update(new, obj)
    kind.validate_status_update(new, obj)
    again = {**obj}
    kind.default(again)
    assert again == obj
