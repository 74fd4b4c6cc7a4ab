"""Server-side apply."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynetes.machinery.errors import StatusError
from pynetes.machinery.patches import fieldset
from pynetes.machinery.patches.apply import LAST_APPLIED, Definition, server_side_apply, update_managed_fields
from pynetes.machinery.schema import from_openapi

Obj = dict[str, Any]
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
T0, T1, T2 = (f"2026-01-01T00:00:0{i}Z" for i in range(3))


def deployment(metadata: Obj | None = None, **spec: Any) -> Obj:
    name = {"name": "web", "namespace": "default"}
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**name, **(metadata or {})}}
    return {**obj, "spec": spec} if spec else obj


def containers(*items: Obj) -> Obj:
    return deployment(template={"spec": {"containers": list(items)}})


def apply(
    live: Obj | None,
    config: Obj,
    manager: str = "a",
    *,
    force: bool = False,
    now: str = T0,
    definition: Definition = DEPLOYMENT,
    subresource: str = "",
) -> Obj:
    before = copy.deepcopy((live, config))
    result = server_side_apply(live, config, manager, force, definition, now, subresource)
    assert (live, config) == before
    result["metadata"].setdefault("uid", "u")
    return result


def updated(old: Obj, change: Obj, manager: str, now: str = T1, subresource: str = "") -> Obj:
    new = copy.deepcopy(change)
    update_managed_fields(old, new, manager, "Update", DEPLOYMENT, now, "apps/v1", subresource)
    return new


def owned(obj: Obj, manager: str) -> list[str]:
    entries = [e for e in obj["metadata"].get("managedFields", []) if e["manager"] == manager]
    return [fieldset.show(path) for e in entries for path in fieldset.paths(e["fieldsV1"])]


def refused(live: Obj | None, config: Obj, manager: str = "b", **options: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        apply(live, config, manager, **options)
    return caught.value


def test_applying_creates_and_owns_what_was_said() -> None:
    obj = apply(None, deployment({"labels": {"x": "y"}}, replicas=3))
    assert obj["spec"] == {"replicas": 3}
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "a",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": T0,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}, "f:spec": {"f:replicas": {}}},
        }
    ]


def test_applying_the_same_again_changes_nothing() -> None:
    config = containers({"name": "x", "image": "i", "ports": [{"containerPort": 80}]})
    obj = apply(None, config)
    assert apply(obj, config, now=T2) == obj


def test_what_is_no_longer_applied_is_removed() -> None:
    obj = apply(None, deployment({"labels": {"x": "1", "y": "2"}}, replicas=3, paused=True))
    obj = apply(obj, deployment({"labels": {"x": "1"}}, replicas=3), now=T1)
    assert obj["spec"] == {"replicas": 3}
    assert obj["metadata"]["labels"] == {"x": "1"}
    assert owned(obj, "a") == [".metadata.labels.x", ".spec.replicas"]
    assert obj["metadata"]["managedFields"][0]["time"] == T1


def test_a_list_item_no_longer_applied_is_removed_and_others_stay() -> None:
    obj = apply(None, containers({"name": "x", "image": "i"}, {"name": "y", "image": "j"}))
    obj = apply(obj, containers({"name": "z", "image": "k"}), "b")
    obj = apply(obj, containers({"name": "y", "image": "j"}))
    assert [c["name"] for c in obj["spec"]["template"]["spec"]["containers"]] == ["y", "z"]


def test_a_field_applied_by_two_stays_until_both_let_go() -> None:
    obj = apply(None, deployment(replicas=3))
    obj = apply(obj, deployment(replicas=3, paused=True), "b")
    obj = apply(obj, deployment())
    assert obj["spec"] == {"replicas": 3, "paused": True}
    assert owned(obj, "a") == []
    obj = apply(obj, deployment(paused=True), "b")
    assert obj["spec"] == {"paused": True}


def test_a_field_that_somebody_updated_is_not_removed() -> None:
    obj = apply(None, deployment(replicas=3))
    change = copy.deepcopy(obj)
    change["spec"]["replicas"] = 5
    obj = updated(obj, change, "scaler", subresource="scale")
    obj = apply(obj, deployment(paused=True))
    assert obj["spec"] == {"replicas": 5, "paused": True}


def test_what_nobody_applied_is_left_alone() -> None:
    obj = apply(None, deployment(replicas=3))
    obj["spec"]["revisionHistoryLimit"] = 10  # a default
    obj = apply(obj, deployment(paused=True))
    assert obj["spec"] == {"paused": True, "revisionHistoryLimit": 10}


def test_another_appliers_field_is_a_conflict() -> None:
    obj = apply(None, deployment(replicas=3))
    error = refused(obj, deployment(replicas=4))
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == 'Apply failed with 1 conflict: conflict with "a": .spec.replicas'
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".spec.replicas"}
    assert error.details == {"causes": [cause]}


def test_an_updaters_field_is_a_conflict_that_names_its_version() -> None:
    obj = apply(None, deployment(paused=True))
    change = copy.deepcopy(obj)
    change["spec"]["replicas"] = 5
    obj = updated(obj, change, "kubectl-scale", subresource="scale")
    assert refused(obj, deployment(replicas=1)).message == (
        'Apply failed with 1 conflict: conflict with "kubectl-scale" with subresource "scale" using apps/v1: '
        ".spec.replicas"
    )


def test_several_conflicts_are_listed_by_manager() -> None:
    obj = apply(None, containers({"name": "x", "image": "i"}))
    obj = apply(obj, deployment(replicas=1, paused=True), "c")
    config = deployment(replicas=2, paused=False, template={"spec": {"containers": [{"name": "x", "image": "j"}]}})
    error = refused(obj, config)
    assert error.message == (
        'Apply failed with 3 conflicts: conflicts with "a":\n'
        '- .spec.template.spec.containers[name="x"].image\n'
        'conflicts with "c":\n- .spec.paused\n- .spec.replicas'
    )
    assert len(error.causes) == 3


def test_force_takes_the_fields_over() -> None:
    obj = apply(None, deployment(replicas=3, paused=True))
    obj = apply(obj, deployment(replicas=4), "b", force=True)
    assert obj["spec"] == {"replicas": 4, "paused": True}
    assert (owned(obj, "a"), owned(obj, "b")) == ([".spec.paused"], [".spec.replicas"])


def test_agreeing_on_a_value_shares_it() -> None:
    obj = apply(None, deployment(replicas=3))
    obj = apply(obj, deployment(replicas=3), "b", now=T1)
    assert owned(obj, "a") == owned(obj, "b") == [".spec.replicas"]


def test_an_atomic_map_is_one_field() -> None:
    obj = apply(None, deployment(selector={"matchLabels": {"x": "1"}}))
    assert owned(obj, "a") == [".spec.selector"]
    assert refused(obj, deployment(selector={"matchLabels": {"y": "1"}})).causes[0]["field"] == ".spec.selector"


def test_members_of_a_set_are_owned_one_by_one() -> None:
    obj = apply(None, deployment({"finalizers": ["x/a", "x/b"]}))
    obj = apply(obj, deployment({"finalizers": ["x/c"]}), "b")
    assert owned(obj, "b") == ['.metadata.finalizers[="x/c"]']
    obj = apply(obj, deployment({"finalizers": ["x/b"]}))
    assert obj["metadata"]["finalizers"] == ["x/b", "x/c"]


def test_the_applied_order_of_items_wins_over_the_live_one() -> None:
    obj = apply(None, containers(*({"name": n, "image": n} for n in "abc")))
    obj = apply(obj, containers({"name": "d", "image": "d"}), "b")
    obj = apply(obj, containers(*({"name": n, "image": n} for n in "cba")))
    names = [c["name"] for c in obj["spec"]["template"]["spec"]["containers"]]
    assert [name for name in names if name != "d"] == ["c", "b", "a"]
    assert sorted(names) == ["a", "b", "c", "d"]


def test_a_port_without_protocol_is_the_tcp_port() -> None:
    obj = apply(None, containers({"name": "x", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "old"}]}))
    obj = apply(obj, containers({"name": "x", "ports": [{"containerPort": 80, "name": "new"}]}), "b", force=True)
    (container,) = obj["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP", "name": "new"}]


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (deployment(foo=1), ".spec.foo: field not declared in schema"),
        (deployment(replicas="3"), ".spec.replicas: expected numeric (int or float), got string"),
        (deployment(paused="no"), ".spec.paused: expected boolean, got &{no}"),
        (deployment(template=[1]), ".spec.template: expected map, got &{[1]}"),
        (
            containers({"name": "x", "args": "y"}),
            '.spec.template.spec.containers[name="x"].args: expected list, got &{y}',
        ),
        (
            containers({"name": "x"}, {"name": "x"}),
            '.spec.template.spec.containers: duplicate entries for key [name="x"]',
        ),
        (
            containers({"image": "x"}),
            ".spec.template.spec.containers: element 0: associative list with keys has an element that omits key field "
            '"name" (and doesn\'t have default value)',
        ),
    ],
)
def test_what_does_not_fit_the_type_is_refused(config: Obj, fault: str) -> None:
    error = refused(None, config)
    prefix = "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
    assert (error.code, error.message) == (500, prefix + fault)


def test_several_faults_are_listed() -> None:
    assert refused(None, deployment(foo=1, bar=2)).message.endswith(
        "errors:\n  .spec.foo: field not declared in schema\n  .spec.bar: field not declared in schema"
    )


def test_managed_fields_cannot_be_applied() -> None:
    error = refused(None, deployment({"managedFields": []}))
    assert (error.code, error.message) == (400, "metadata.managedFields must be nil")


def test_status_applied_through_the_main_resource_is_not_owned() -> None:
    obj = apply(None, {**deployment(replicas=1), "status": {"replicas": 7}})
    assert owned(obj, "a") == [".spec.replicas"]


def test_status_is_applied_through_its_subresource() -> None:
    obj = apply(None, deployment(replicas=1))
    config = {**deployment(), "status": {"readyReplicas": 1}}
    obj = apply(obj, config, "a", subresource="status")
    assert obj["status"] == {"readyReplicas": 1}
    assert [e.get("subresource") for e in obj["metadata"]["managedFields"]] == [None, "status"]


def test_an_object_without_managers_gets_one_for_what_it_had_before() -> None:
    live = deployment({"uid": "u"}, replicas=1)
    error = refused(live, deployment(replicas=2))
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1: .spec.replicas'
    )
    obj = apply(live, deployment(replicas=1, paused=True), "b", now=T1)
    assert owned(obj, "before-first-apply") == [".spec.replicas"]
    assert owned(obj, "b") == [".spec.paused", ".spec.replicas"]


def test_kubectl_takes_over_from_its_own_client_side_apply_without_conflict() -> None:
    applied = deployment(replicas=3)
    live = deployment({"annotations": {LAST_APPLIED: json.dumps(applied)}}, replicas=3)
    update_managed_fields(None, live, "kubectl-client-side-apply", "Update", DEPLOYMENT, T0, "apps/v1")
    live["metadata"]["uid"] = "u"
    config = deployment(replicas=5)
    assert refused(live, config, "other").code == 409
    obj = apply(live, config, "kubectl", now=T1)
    assert obj["spec"]["replicas"] == 5
    assert ".spec.replicas" in owned(obj, "kubectl")
    assert ".spec.replicas" not in owned(obj, "kubectl-client-side-apply")
    assert json.loads(obj["metadata"]["annotations"][LAST_APPLIED]) == config


def test_kubectl_does_not_take_over_what_changed_since_its_client_side_apply() -> None:
    live = deployment({"annotations": {LAST_APPLIED: json.dumps(deployment(replicas=3))}}, replicas=3)
    update_managed_fields(None, live, "kubectl-client-side-apply", "Update", DEPLOYMENT, T0, "apps/v1")
    live["metadata"]["uid"] = "u"
    change = copy.deepcopy(live)
    change["spec"]["replicas"] = 9
    live = updated(live, change, "hpa", subresource="scale")
    assert [cause["field"] for cause in refused(live, deployment(replicas=5), "kubectl").causes] == [".spec.replicas"]


CRON_TAB = from_openapi(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "plain": {"type": "array", "items": {"type": "string"}},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "jobs": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name", "kind"],
                        "items": {
                            "type": "object",
                            "properties": {
                                "name": {"type": "string"},
                                "kind": {"type": "string", "default": "cron"},
                                "at": {"type": "integer"},
                            },
                        },
                    },
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "whole": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "properties": {"a": {"type": "string"}},
                    },
                },
            }
        },
    },
    "CronTab",
)


def cron_tab(**spec: Any) -> Obj:
    return {"apiVersion": "x.io/v1", "kind": "CronTab", "metadata": {"name": "c"}, "spec": spec}


def test_a_custom_resource_is_applied_by_its_schema() -> None:
    first = cron_tab(plain=["x"], tags=["t"], jobs=[{"name": "j", "at": 1}], free={"k": {"l": [1]}}, whole={"a": "1"})
    obj = apply(None, first, definition=CRON_TAB)
    assert owned(obj, "a") == [
        ".spec.plain",
        ".spec.whole",
        ".spec.free.k",
        ".spec.free.k.l",
        '.spec.jobs[kind="cron",name="j"]',
        '.spec.jobs[kind="cron",name="j"].at',
        '.spec.jobs[kind="cron",name="j"].name',
        '.spec.tags[="t"]',
    ]
    second = cron_tab(tags=["u"], jobs=[{"name": "j", "kind": "once", "at": 2}])
    obj = apply(obj, second, "b", definition=CRON_TAB)
    assert obj["spec"]["tags"] == ["t", "u"]
    assert [job["at"] for job in obj["spec"]["jobs"]] == [1, 2]


def test_ownership_inside_of_what_became_atomic_is_ownership_of_the_whole() -> None:
    granular = from_openapi(
        {"properties": {"spec": {"type": "object", "properties": {"whole": {"type": "object", "properties": {
            "a": {"type": "string"}, "b": {"type": "string"}}}}}}}
    )  # fmt: skip
    obj = apply(None, cron_tab(whole={"a": "1"}), definition=granular)
    assert owned(obj, "a") == [".spec.whole.a"]
    error = refused(obj, cron_tab(whole={"a": "2"}), definition=CRON_TAB)
    assert [cause["field"] for cause in error.causes] == [".spec.whole"]


names = st.sampled_from(["x", "y", "z"])
texts = st.sampled_from(["1", "2"])
env = st.dictionaries(names, texts, min_size=1, max_size=2).map(
    lambda d: [{"name": k, "value": v} for k, v in d.items()]
)
container = st.fixed_dictionaries(
    {}, optional={"image": texts, "args": st.lists(texts, min_size=1, max_size=2), "env": env}
)
intents = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 2),
        "paused": st.booleans(),
        "labels": st.dictionaries(names, texts, min_size=1, max_size=2),
        "finalizers": st.lists(names, min_size=1, max_size=2, unique=True).map(sorted),
        "containers": st.dictionaries(names, container, min_size=1, max_size=2),
    },
)


def config_of(intent: Obj) -> Obj:
    metadata: Obj = {key: intent[key] for key in ("labels", "finalizers") if key in intent}
    obj = deployment(metadata, **{key: intent[key] for key in ("replicas", "paused") if key in intent})
    if "containers" in intent:
        items = [{"name": name, **fields} for name, fields in sorted(intent["containers"].items())]
        obj.setdefault("spec", {})["template"] = {"spec": {"containers": items}}
    return obj


def without_emptiness(value: Any) -> Any:
    """A value without empty objects and lists: whether they stay when their last item goes is not of interest."""
    if isinstance(value, dict):
        kept = {key: without_emptiness(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [])}
    return [without_emptiness(item) for item in value] if isinstance(value, list) else value


def plain(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ("managedFields", "uid")}
    return without_emptiness({**obj, "metadata": metadata})


@settings(deadline=None)
@given(intents, intents)
def test_the_only_applier_gets_exactly_what_it_last_said(first: Obj, second: Obj) -> None:
    obj = apply(apply(None, config_of(first)), config_of(second))
    assert plain(obj) == plain(config_of(second))
    assert apply(obj, config_of(second), now=T2) == obj


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), intents), min_size=1, max_size=6))
def test_nobody_owns_what_is_not_there_and_the_last_applier_owns_what_it_said(steps: list[tuple[str, Obj]]) -> None:
    obj: Obj | None = None
    for manager, intent in steps:
        obj = apply(obj, config_of(intent), manager, force=True)
        for path in (path for owner in "abc" for path in owned(obj, owner)):
            assert there(obj, path), (path, obj)
        merged = apply(obj, config_of(intent), manager)
        assert merged == obj


def there(obj: Any, path: str) -> bool:
    """Whether a shown path leads to something."""
    elements = path.replace("[", "\0[").replace(".", "\0.").split("\0")[1:]
    for element in elements:
        if element.startswith("."):
            if element[1:] not in obj:
                return False
            obj = obj[element[1:]]
        elif element.startswith("[="):
            return json.loads(element[2:-1]) in obj
        else:
            key, _, value = element[1:-1].partition("=")
            obj = next((item for item in obj if item[key] == json.loads(value)), None)
            if obj is None:
                return False
    return True


@settings(deadline=None)
@given(intents, intents)
def test_appliers_who_do_not_disagree_do_not_disturb_each_other(first: Obj, second: Obj) -> None:
    obj = apply(None, config_of(first))
    try:
        both = apply(obj, config_of(second), "b")
    except StatusError as error:
        assert error.code == 409
        return
    assert apply(both, config_of(first)) == both
    alone = apply(both, deployment())
    assert plain(apply(alone, config_of(second), "b")) == plain(alone)
    assert owned(alone, "a") == []
    assert plain(apply(alone, deployment(), "b")) == plain(deployment())


anything = st.recursive(
    st.booleans() | st.integers(0, 2) | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3),
    max_leaves=8,
)
things = st.dictionaries(st.sampled_from(["spec", "other"]), anything).map(
    lambda body: {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}, **body}
)


@given(things, things)
def test_without_a_schema_the_only_applier_gets_what_it_last_said(first: Obj, second: Obj) -> None:
    obj = apply(apply(None, first, definition=None), second, definition=None)
    assert {key: value for key, value in obj.items() if key != "metadata"} == {
        key: value for key, value in second.items() if key != "metadata"
    }
    assert apply(obj, second, definition=None, now=T2) == obj


@given(things, things, things)
def test_without_a_schema_the_last_to_force_gets_its_way(first: Obj, second: Obj, third: Obj) -> None:
    obj = apply(apply(None, first, definition=None), second, "b", definition=None, force=True)
    obj = apply(obj, third, "c", definition=None, force=True)
    assert apply(obj, third, "c", definition=None) == obj
    for path in (path for owner in "abc" for path in owned(obj, owner)):
        assert there(obj, path), (path, obj)
