"""Ownership that ordinary writes leave behind."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery.patches import fieldset
from pynetes.machinery.patches.apply import update_managed_fields

Obj = dict[str, Any]
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
SERVICE = "io.k8s.api.core.v1.Service"
CONFIG_MAP = "io.k8s.api.core.v1.ConfigMap"
T0, T1, T2 = (f"2026-01-01T00:00:0{i}Z" for i in range(3))


def config_map(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}


def created(obj: Obj, manager: str = "creator", definition: str | None = CONFIG_MAP, now: str = T0) -> Obj:
    new = copy.deepcopy(obj)
    update_managed_fields(None, new, manager, "Update", definition, now, obj["apiVersion"])
    new["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": now}
    return new


def updated(
    old: Obj, new: Obj, manager: str, now: str = T1, subresource: str = "", definition: str | None = CONFIG_MAP
) -> Obj:
    new = copy.deepcopy(new)
    before = copy.deepcopy(old)
    update_managed_fields(old, new, manager, "Update", definition, now, old["apiVersion"], subresource)
    assert old == before
    return new


def owned(obj: Obj) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


def test_a_creator_owns_what_it_set_but_not_what_the_system_keeps() -> None:
    obj = config_map(a="1")
    obj["metadata"] |= {"labels": {"x": "y"}, "generation": 1}
    assert created(obj)["metadata"]["managedFields"] == [
        {
            "manager": "creator",
            "operation": "Update",
            "apiVersion": "v1",
            "time": T0,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
                "f:data": {".": {}, "f:a": {}},
            },
        }
    ]


def test_the_fields_of_a_deployment_are_written_as_upstream_writes_them() -> None:
    container = {"name": "web", "image": "nginx", "ports": [{"containerPort": 80, "protocol": "TCP"}]}
    obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [container], "securityContext": {}},
            },
        },
    }
    assert owned(created(obj, definition=DEPLOYMENT)) == {
        "creator": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"web"}': {
                                ".": {},
                                "f:name": {},
                                "f:image": {},
                                "f:ports": {
                                    ".": {},
                                    'k:{"containerPort":80,"protocol":"TCP"}': {
                                        ".": {},
                                        "f:containerPort": {},
                                        "f:protocol": {},
                                    },
                                },
                            }
                        },
                        "f:securityContext": {},
                    },
                },
            },
        }
    }


def test_who_changes_a_field_takes_it_over() -> None:
    old = created(config_map(a="1", b="1"))
    new = updated(old, config_map(a="2", b="1"), "changer")
    assert owned(new) == {
        "creator": {"f:data": {".": {}, "f:b": {}}},
        "changer": {"f:data": {"f:a": {}}},
    }


def test_who_changes_nothing_owns_nothing_and_leaves_no_time() -> None:
    old = created(config_map(a="1"))
    same = copy.deepcopy(old)
    same["metadata"]["resourceVersion"] = "77"
    assert updated(old, same, "idler")["metadata"]["managedFields"] == old["metadata"]["managedFields"]


def test_a_removed_field_has_no_owner() -> None:
    old = created(config_map(a="1", b="1"))
    assert owned(updated(old, config_map(a="1"), "remover")) == {"creator": {"f:data": {".": {}, "f:a": {}}}}


def test_a_field_set_again_adds_to_the_same_entry_and_renews_its_time() -> None:
    old = created(config_map(a="1"), now=T0)
    new = updated(old, config_map(a="1", b="2"), "creator", now=T1)
    (entry,) = new["metadata"]["managedFields"]
    assert (entry["time"], entry["fieldsV1"]) == (T1, {"f:data": {".": {}, "f:a": {}, "f:b": {}}})


def test_a_subresource_has_an_entry_of_its_own_and_owns_no_spec() -> None:
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1}}
    old = created(obj, definition=DEPLOYMENT)
    change = copy.deepcopy(old)
    change["spec"]["replicas"] = 9
    change["status"] = {"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]}
    new = updated(old, change, "creator", subresource="status", definition=DEPLOYMENT)
    assert [(e["manager"], e.get("subresource")) for e in new["metadata"]["managedFields"]] == [
        ("creator", None),
        ("creator", "status"),
    ]
    assert new["metadata"]["managedFields"][1]["fieldsV1"] == {
        "f:status": {
            "f:replicas": {},
            "f:conditions": {".": {}, 'k:{"type":"Available"}': {".": {}, "f:type": {}, "f:status": {}}},
        }
    }


def test_the_main_resource_owns_no_status() -> None:
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"replicas": 1}}
    assert owned(created(obj, definition=DEPLOYMENT)) == {}


def test_a_list_item_found_by_its_keys_keeps_its_owner_when_the_list_is_reordered() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]},
    }
    old = created(obj, definition=SERVICE)
    change = copy.deepcopy(old)
    change["spec"]["ports"].reverse()
    change["spec"]["ports"][0]["name"] = "dns"
    new = updated(old, change, "namer", definition=SERVICE)
    assert owned(new)["namer"] == {"f:spec": {"f:ports": {'k:{"port":53,"protocol":"UDP"}': {"f:name": {}}}}}
    assert owned(new)["creator"] == owned(old)["creator"]


def test_a_missing_key_has_its_default() -> None:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    assert list(owned(created(obj, definition=SERVICE))["creator"]["f:spec"]["f:ports"]) == [
        ".",
        'k:{"port":80,"protocol":"TCP"}',
    ]


def test_duplicate_items_are_owned_as_one() -> None:
    ports = [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}}
    fields = owned(created(obj, definition=SERVICE))["creator"]
    assert fields == {"f:spec": {"f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {}}}}


def test_without_a_schema_objects_are_owned_key_by_key_and_lists_whole() -> None:
    obj = {
        "apiVersion": "x.io/v1",
        "kind": "Thing",
        "metadata": {"name": "t", "labels": {"a": "b"}},
        "spec": {"list": [{"name": "x"}], "map": {"k": 1}, "empty": {}},
    }
    assert owned(created(obj, definition=None)) == {
        "creator": {
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {".": {}, "f:list": {}, "f:map": {".": {}, "f:k": {}}, "f:empty": {}},
        }
    }


@pytest.mark.parametrize("reset", [[], [{}]])
def test_managed_fields_can_be_reset_and_are_then_no_longer_tracked(reset: list[Obj]) -> None:
    old = created(config_map(a="1"))
    change = config_map(a="1")
    change["metadata"]["managedFields"] = reset
    new = updated(old, change, "resetter")
    assert "managedFields" not in new["metadata"]
    new["metadata"]["uid"] = "u"
    assert "managedFields" not in updated(new, config_map(a="2"), "other")["metadata"]


def test_managed_fields_can_be_rewritten_as_kubectl_does_to_migrate_from_client_side_apply() -> None:
    old = created(config_map(a="1"), manager="kubectl-client-side-apply")
    change = copy.deepcopy(old)
    entry = change["metadata"]["managedFields"][0]
    entry |= {"manager": "kubectl", "operation": "Apply"}
    new = updated(old, change, "kubectl")
    assert new["metadata"]["managedFields"] == [entry]


def test_managed_fields_sent_through_a_subresource_or_malformed_are_ignored() -> None:
    old = created(config_map(a="1"))
    change = copy.deepcopy(old)
    change["metadata"]["managedFields"][0]["manager"] = "thief"
    assert owned(updated(old, change, "x", subresource="status")) == owned(old)
    for broken in ("text", [{"manager": "m"}], [{**change["metadata"]["managedFields"][0], "fieldsV1": {"a": 1}}]):
        change["metadata"]["managedFields"] = broken
        assert owned(updated(old, change, "x")) == owned(old)


def test_an_update_that_says_nothing_about_managed_fields_keeps_them() -> None:
    old = created(config_map(a="1"))
    assert owned(updated(old, config_map(a="1"), "x")) == owned(old)


def test_beyond_ten_updaters_the_oldest_are_merged() -> None:
    obj = created(config_map(**{f"k{i}": "0" for i in range(13)}), now="2026-01-01T00:00:00Z")
    for i in range(13):
        change = copy.deepcopy(obj)
        change["data"][f"k{i}"] = "1"
        obj = updated(obj, change, f"m{i:02}", now=f"2026-01-01T00:01:{i:02}Z")
    managers = [entry["manager"] for entry in obj["metadata"]["managedFields"]]
    assert managers == ["ancient-changes", *(f"m{i:02}" for i in range(4, 13))]
    assert {f"f:k{i}" for i in range(4)} <= set(owned(obj)["ancient-changes"]["f:data"])


def test_entries_are_ordered_by_operation_time_and_name() -> None:
    obj = created(config_map(a="1"), manager="zed", now=T2)
    change = copy.deepcopy(obj)
    change["data"]["b"] = "1"
    obj = updated(obj, change, "abe", now=T1)
    assert [entry["manager"] for entry in obj["metadata"]["managedFields"]] == ["abe", "zed"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xy.", max_size=2), inner, max_size=3),
    max_leaves=8,
)
things = st.fixed_dictionaries({"spec": anything, "other": anything}).map(
    lambda body: {
        "apiVersion": "x.io/v1",
        "kind": "Thing",
        "metadata": {"name": "t", "labels": {"kept": "by creator"}},
        **body,
    }
)


@given(things, things)
def test_any_change_of_an_object_without_schema_keeps_ownership_whole(first: Obj, second: Obj) -> None:
    """Everything that is there has exactly one owner, nothing else has."""
    old = created(first, definition=None)
    new = updated(old, second, "changer", definition=None)
    shown = [path for fields in owned(new).values() for path in fieldset.paths(fields) if path[0] != "f:metadata"]
    assert len(shown) == len(set(shown))
    assert set(shown) == set(places(second))


def places(value: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of everything in an object's body but its metadata."""
    for key, item in value.items():
        if item is None or (not prefix and key in ("apiVersion", "kind", "metadata")):
            continue
        yield (*prefix, f"f:{key}")
        if isinstance(item, dict):
            yield from places(item, (*prefix, f"f:{key}"))
