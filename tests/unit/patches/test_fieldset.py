"""Sets of field paths: the nested form behaves as a set of paths."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery.patches import fieldset
from pynetes.machinery.patches.fieldset import Path

elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"s"'])
paths = st.lists(elements, min_size=1, max_size=3).map(tuple)
path_sets = st.frozensets(paths, max_size=8)


def nested(paths: frozenset[Path]) -> fieldset.FieldSet:
    return fieldset.of_paths(*sorted(paths))


def flat(fields: fieldset.FieldSet) -> frozenset[Path]:
    return frozenset(fieldset.paths(fields))


def canonical(fields: fieldset.FieldSet) -> bool:
    """No node says "member" in a roundabout way, and none is there for nothing."""
    return all(list(node) != ["."] and canonical(node) for node in fields.values())


@given(path_sets)
def test_a_set_is_its_paths(paths: frozenset[Path]) -> None:
    assert flat(nested(paths)) == paths
    assert fieldset.checked(nested(paths)) == nested(paths)


@given(path_sets, path_sets)
def test_union_difference_and_intersection(left: frozenset[Path], right: frozenset[Path]) -> None:
    for operation, expected in (
        (fieldset.union, left | right),
        (fieldset.difference, left - right),
        (fieldset.intersection, left & right),
    ):
        result = operation(nested(left), nested(right))
        assert flat(result) == expected
        assert result == nested(expected)
        assert canonical(result)


@given(path_sets, path_sets)
def test_recursive_difference_takes_what_is_below_too(left: frozenset[Path], right: frozenset[Path]) -> None:
    expected = frozenset(path for path in left if not any(path[:i] in right for i in range(1, len(path) + 1)))
    result = fieldset.recursive_difference(nested(left), nested(right))
    assert flat(result) == expected
    assert result == nested(expected)


@given(path_sets, path_sets)
def test_operations_leave_their_arguments_alone(left: frozenset[Path], right: frozenset[Path]) -> None:
    first, second = nested(left), nested(right)
    for operation in (fieldset.union, fieldset.difference, fieldset.intersection, fieldset.recursive_difference):
        operation(first, second)
    assert (first, second) == (nested(left), nested(right))


@given(path_sets, path_sets)
def test_taking_nothing_away_returns_the_same_object(left: frozenset[Path], right: frozenset[Path]) -> None:
    fields = nested(left)
    if not left & right:
        assert fieldset.difference(fields, nested(right)) is fields


def test_paths_are_shown_as_in_messages() -> None:
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name", 'v:"x"', "i:3")
    assert fieldset.show(path) == '.spec[containerPort=80,protocol="TCP"].name[="x"][3]'


def test_members_come_before_what_is_under_them() -> None:
    fields: fieldset.FieldSet = {"f:b": {"f:z": {}}, "f:a": {".": {}, "f:y": {}}, 'k:{"n":1}': {}}
    assert [fieldset.show(path) for path in fieldset.paths(fields)] == [".a", "[n=1]", ".a.y", ".b.z"]


def test_a_clients_set_is_brought_into_the_common_form() -> None:
    sent: fieldset.FieldSet = {"f:a": {".": {}}, 'k:{"protocol": "TCP", "port": 80}': {"f:x": {}}}
    assert fieldset.checked(sent) == {"f:a": {}, 'k:{"port":80,"protocol":"TCP"}': {"f:x": {}}}


@pytest.mark.parametrize("sent", [[], {"a": {}}, {"f": {}}, {"f:a": 1}, {"k:nonsense": {}}, {"i:x": {}}, {"q:x": {}}])
def test_what_is_no_set_is_refused(sent: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        fieldset.checked(sent)
