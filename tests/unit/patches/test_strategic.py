"""Strategic merge patch on the real types."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynetes.machinery.errors import StatusError
from pynetes.machinery.patches import strategic

DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
POD = "io.k8s.api.core.v1.Pod"
SERVICE = "io.k8s.api.core.v1.Service"
META_ONLY = "io.k8s.api.core.v1.ConfigMap"

Obj = dict[str, Any]


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {"spec": {"containers": list(containers), **spec}}


def names(obj: Obj, field: str = "containers", key: str = "name") -> list[Any]:
    return [item[key] for item in obj["spec"][field]]


def apply(doc: Obj, patch: Obj, definition: str = POD) -> Obj:
    before = copy.deepcopy((doc, patch))
    result = strategic.apply(doc, patch, definition)
    assert (doc, patch) == before
    return result


def test_lists_of_objects_merge_by_their_key() -> None:
    doc = pod({"name": "a", "image": "a:1", "tty": True}, {"name": "b", "image": "b:1"})
    patched = apply(doc, pod({"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}))
    assert patched["spec"]["containers"] == [
        {"name": "a", "image": "a:1", "tty": True},
        {"name": "b", "image": "b:2"},
        {"name": "c", "image": "c:1"},
    ]


def test_merged_items_merge_in_depth() -> None:
    doc = pod({"name": "a", "env": [{"name": "X", "value": "1"}], "ports": [{"containerPort": 80, "name": "http"}]})
    patch = pod({"name": "a", "env": [{"name": "Y", "value": "2"}], "ports": [{"containerPort": 80, "name": "web"}]})
    (container,) = apply(doc, patch)["spec"]["containers"]
    assert container["env"] == [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]
    assert container["ports"] == [{"containerPort": 80, "name": "web"}]


def test_atomic_lists_are_replaced() -> None:
    doc = pod({"name": "a", "command": ["x", "y"]}, tolerations=[{"key": "old"}])
    patched = apply(doc, pod({"name": "a", "command": ["z"]}, tolerations=[{"key": "new"}]))
    assert patched["spec"]["containers"][0]["command"] == ["z"]
    assert patched["spec"]["tolerations"] == [{"key": "new"}]


def test_null_deletes_and_new_values_lose_their_nulls() -> None:
    doc = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    patch = {"metadata": {"labels": {"a": None}, "annotations": {"x": None, "y": "1"}}}
    assert apply(doc, patch) == {"metadata": {"labels": {"b": "2"}, "annotations": {"y": "1"}}}


def test_an_item_is_deleted_by_a_directive() -> None:
    doc = pod({"name": "a"}, {"name": "b"}, {"name": "c"})
    assert names(apply(doc, pod({"name": "b", "$patch": "delete"}))) == ["a", "c"]


def test_deleting_an_item_that_is_not_there_is_nothing() -> None:
    assert names(apply(pod({"name": "a"}), pod({"name": "b", "$patch": "delete"}))) == ["a"]
    assert apply({"spec": {}}, pod({"name": "b", "$patch": "delete"}, {"name": "c"})) == pod({"name": "c"})


def test_a_list_is_replaced_by_a_directive() -> None:
    doc = pod({"name": "a"}, {"name": "b"})
    assert apply(doc, pod({"name": "c", "image": "i"}, {"$patch": "replace"})) == pod({"name": "c", "image": "i"})


def test_an_object_is_replaced_or_emptied_by_a_directive() -> None:
    doc = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    patched = apply(doc, {"metadata": {"labels": {"$patch": "replace", "c": "3"}}})
    assert patched["metadata"]["labels"] == {"c": "3"}
    assert apply(doc, {"metadata": {"labels": {"$patch": "delete"}}})["metadata"]["labels"] == {}


def test_scalars_merge_as_a_set_and_are_deleted_by_a_parallel_list() -> None:
    doc = {"metadata": {"finalizers": ["a", "b", "c"]}}
    merged = apply(doc, {"metadata": {"finalizers": ["c", "d"]}}, META_ONLY)
    assert sorted(merged["metadata"]["finalizers"]) == ["a", "b", "c", "d"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b", "z"]}}
    assert apply(doc, patch, META_ONLY)["metadata"]["finalizers"] == ["a", "c"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d"]}}
    assert sorted(apply(doc, patch, META_ONLY)["metadata"]["finalizers"]) == ["a", "c", "d"]


def test_the_order_of_items_is_set_and_the_servers_own_stay_where_they_were() -> None:
    doc = pod({"name": "a"}, {"name": "sidecar"}, {"name": "b"})
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}
    patch = {"spec": {**order, "containers": [{"name": "c", "image": "c:1"}]}}
    patched = apply(doc, patch)
    assert [name for name in names(patched) if name != "sidecar"] == ["b", "c", "a"]
    assert sorted(names(patched)) == ["a", "b", "c", "sidecar"]
    assert all(not key.startswith("$") for key in patched["spec"])


def test_order_alone_reorders() -> None:
    doc = pod({"name": "a"}, {"name": "b"}, {"name": "c"})
    patch = {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}}
    assert names(apply(doc, patch)) == ["c", "b", "a"]


def test_what_kubectl_apply_sends_for_a_removed_env_and_a_new_image() -> None:
    container = {"name": "app", "image": "app:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    doc = {"spec": {"replicas": 1, "template": pod(container)}}
    patch = {
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "app"}],
                    "containers": [
                        {
                            "$setElementOrder/env": [{"name": "A"}],
                            "env": [{"$patch": "delete", "name": "B"}],
                            "image": "app:2",
                            "name": "app",
                        }
                    ],
                }
            }
        }
    }
    patched = apply(doc, patch, DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    assert patched == [{"name": "app", "image": "app:2", "env": [{"name": "A", "value": "1"}]}]


def test_retained_keys_clear_the_others() -> None:
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert apply(doc, patch, DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}


def test_service_ports_merge_by_port() -> None:
    doc = {"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 443}]}}
    patched = apply(doc, {"spec": {"ports": [{"port": 80, "targetPort": 9090}]}}, SERVICE)
    assert patched["spec"]["ports"] == [{"port": 80, "targetPort": 9090}, {"port": 443}]


def test_a_list_may_replace_a_scalar_and_an_object_what_was_none() -> None:
    assert apply({"spec": None}, pod({"name": "a"})) == pod({"name": "a"})


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        (pod({"image": "x"}), 500, "map: map[image:x] does not contain declared merge key: name"),
        (pod({"name": "a", "$patch": "fry"}), 500, "unknown patch type: fry in map: map[$patch:fry name:a]"),
        ({"spec": {"$retainKeys": "x"}}, 400, "invalid patch format of retainKeys"),
        ({"spec": {"$retainKeys": ["containers"], "nodeName": "x"}}, 400, "invalid patch format of retainKeys"),
        (
            {"spec": {"$setElementOrder/tolerations": [{"key": "x"}], "tolerations": [{"key": "x"}]}},
            500,
            "cannot merge lists without merge key for type map[string]interface {}",
        ),
        ({"spec": {"$deleteFromPrimitiveList": ["x"]}}, 400, "invalid patch format of primitive list"),
        ({"spec": {"$setElementOrder": []}}, 400, "invalid patch format of setElementOrder list"),
        (
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                    "containers": [{"name": "a"}, {"name": "b"}],
                }
            },
            500,
            "The order in patch list:\n[map[name:a] map[name:b]]\n doesn't match $setElementOrder list:\n"
            "[map[name:b] map[name:a]]\n",
        ),
    ],
)
def test_patches_that_make_no_sense(patch: Obj, code: int, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        strategic.apply(pod({"name": "a"}, {"name": "b"}), patch, POD)
    assert (caught.value.code, caught.value.message) == (code, message)


scalars = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["x", "delete", "replace", "merge"])
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "spec",
                        "metadata",
                        "containers",
                        "name",
                        "env",
                        "finalizers",
                        "labels",
                        "tolerations",
                        "volumes",
                    ),
                    *("$patch", "$retainKeys", "$setElementOrder/containers", "$setElementOrder/tolerations"),
                    *("$deleteFromPrimitiveList/finalizers", "$setElementOrder/finalizers"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(["spec", "metadata", "$patch"]), anything, max_size=2)
full = {
    "metadata": {"finalizers": ["x", "y"], "labels": {"x": "y"}},
    "spec": {"containers": [{"name": "x", "env": [{"name": "x"}]}, {"name": 1}], "tolerations": [{"key": "x"}]},
}


@settings(max_examples=300)
@given(objects | st.just(full), objects)
def test_any_patch_applies_or_is_refused(doc: Obj, patch: Obj) -> None:
    doc = {key: value for key, value in doc.items() if key != "$patch"}
    try:
        assert isinstance(apply(doc, patch), dict)
    except StatusError as error:
        assert error.code in (400, 422, 500)
