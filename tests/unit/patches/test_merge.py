"""JSON merge patch."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery.patches import merge

Obj = dict[str, Any]


@pytest.mark.parametrize(
    ("doc", "patch", "expected"),
    [  # RFC 7386, appendix A, where both sides are objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": {"x": 1}}, {"a": "scalar"}, {"a": "scalar"}),
        ({"a": "scalar"}, {"a": {"x": None, "y": 1}}, {"a": {"y": 1}}),
    ],
)
def test_merge(doc: Obj, patch: Obj, expected: Obj) -> None:
    assert merge.apply(doc, patch) == expected


leaves = st.integers(0, 5) | st.text(max_size=2) | st.lists(st.integers(0, 5), max_size=2)
plain = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=5),
    max_size=3,
)


def difference(old: Any, new: Any) -> Obj:
    """The merge patch from `old` to `new`."""
    patch: Obj = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch[key] = difference(old[key], value)
        elif key not in old or old[key] != value or type(old[key]) is not type(value):
            patch[key] = value
    return patch


@given(plain, plain)
def test_the_patch_between_two_documents_leads_from_one_to_the_other(old: Obj, new: Obj) -> None:
    assert merge.apply(old, difference(old, new)) == new


@given(plain, plain)
def test_merging_twice_changes_nothing_more(doc: Obj, patch: Obj) -> None:
    once = merge.apply(doc, patch)
    assert merge.apply(once, patch) == once
