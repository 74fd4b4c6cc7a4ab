"""JSON patch as upstream's library applies it."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery.errors import StatusError
from pynetes.machinery.patches import json_patch

Op = dict[str, Any]


@pytest.mark.parametrize(
    ("doc", "operations", "expected"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        (
            {"foo": ["bar", "baz"]},
            [{"op": "add", "path": "/foo/1", "value": "qux"}],
            {"foo": ["bar", "qux", "baz"]},
        ),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"a": {}}}], {"foo": "bar", "child": {"a": {}}}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
        ({"a/b": {"~": 1}}, [{"op": "replace", "path": "/a~1b/~0", "value": 2}], {"a/b": {"~": 2}}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": {}}, [{"op": "replace", "path": "/a/new", "value": 1}], {"a": {"new": 1}}),
        ({"a": [1, 2, 3]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1, 2]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-1", "value": 2}], {"a": [1, 2]}),
        ({"a": 1}, [{"op": "add", "path": "/b"}], {"a": 1, "b": None}),
        ({"a": 1}, [{"op": "test", "path": "/gone", "value": None}], {"a": 1}),
        ({"a": {"b": [1, "x"]}}, [{"op": "test", "path": "/a", "value": {"b": [1, "x"]}}], {"a": {"b": [1, "x"]}}),
    ],
)
def test_operations_that_apply(doc: Op, operations: list[Op], expected: Op) -> None:
    before = copy.deepcopy((doc, operations))
    assert json_patch.apply(doc, operations) == expected
    assert (doc, operations) == before


@pytest.mark.parametrize(
    ("operations", "text"),
    [
        ([{"op": "test", "path": "/a", "value": 2}], "testing value /a failed: test failed"),
        ([{"op": "test", "path": "/a", "value": 1.0}], "testing value /a failed: test failed"),
        ([{"op": "test", "path": "/a", "value": True}], "testing value /a failed: test failed"),
        (
            [{"op": "remove", "path": "/x"}],
            "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
        ),
        (
            [{"op": "remove", "path": "/x/y"}],
            'remove operation does not apply: doc is missing path: "/x/y": missing value',
        ),
        (
            [{"op": "add", "path": "/x/y", "value": 1}],
            'add operation does not apply: doc is missing path: "/x/y": missing value',
        ),
        (
            [{"op": "add", "path": "/l/9", "value": 1}],
            "error in add for path: '/l/9': Unable to access invalid index: 9: invalid index referenced",
        ),
        (
            [{"op": "replace", "path": "/l/5", "value": 1}],
            "replace operation does not apply: doc is missing key: /l/5: missing value",
        ),
        (
            [{"op": "replace", "path": "/x/y", "value": 1}],
            "replace operation does not apply: doc is missing path: /x/y: missing value",
        ),
        (
            [{"op": "move", "from": "/x/y", "path": "/z"}],
            "move operation does not apply: doc is missing from path: /x/y: missing value",
        ),
        (
            [{"op": "add", "path": "/l/one", "value": 1}],
            "error in add for path: '/l/one': value was not a proper array index: 'one': "
            'strconv.Atoi: parsing "one": invalid syntax',
        ),
        ([{"op": "add"}], "add operation failed to decode path: missing value"),
        ([{"op": "sing", "path": "/a"}], "Unexpected kind: sing"),
        ([{"path": "/a"}], "Unexpected kind: unknown"),
    ],
)
def test_operations_that_do_not_apply(operations: list[Op], text: str) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch.apply({"a": 1, "l": [1, 2]}, operations)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert str(caught.value) == "the server rejected our request due to an error in our request"
    assert str(caught.value.__cause__) == text


def test_a_patch_applies_as_a_whole_or_not_at_all() -> None:
    doc = {"a": {"b": 1}}
    with pytest.raises(StatusError):
        json_patch.apply(doc, [{"op": "replace", "path": "/a/b", "value": 2}, {"op": "remove", "path": "/c"}])
    assert doc == {"a": {"b": 1}}


def test_copies_cannot_fill_the_memory() -> None:
    doc = {"a": "x" * 1000}
    doubling = [{"op": "add", "path": "/l", "value": []}]
    doubling += [{"op": "copy", "from": "/a", "path": "/l/-"}] * 4000
    with pytest.raises(StatusError) as caught:
        json_patch.apply(doc, doubling)
    assert "exceeding the limit 3145728" in str(caught.value.__cause__)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(max_size=2), json_values, max_size=4)


@given(documents, st.text(max_size=2), json_values)
def test_add_then_test_then_remove_gives_the_document_back(doc: Op, key: str, value: Any) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    operations = [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}]
    assert json_patch.apply(doc, operations) == {**doc, key: value}
    without = {name: item for name, item in doc.items() if name != key}
    assert json_patch.apply(doc, [*operations, {"op": "remove", "path": path}]) == without


ops = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]) | json_values,
        "path": st.sampled_from(["", "/", "/a", "/a/0", "/a/-", "/a/b/c", "a"]) | st.text(max_size=3),
        "from": st.sampled_from(["", "/a", "/a/0"]) | json_values,
        "value": json_values,
    },
)


@given(st.dictionaries(st.sampled_from(["a", "b", ""]), json_values), st.lists(ops | json_values, max_size=5))
def test_any_patch_applies_or_is_refused(doc: Op, operations: list[Any]) -> None:
    before = copy.deepcopy(doc)
    try:
        assert isinstance(json_patch.apply(doc, operations), dict)
    except StatusError as error:
        assert error.code == 422
    assert doc == before
