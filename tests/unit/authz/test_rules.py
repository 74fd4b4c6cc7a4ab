"""What rules cover, and how they read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.apiserver.authz.rules import breakdown, compact, covers, describe

WORDS = st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1, max_size=3, unique=True)
RULES = st.builds(
    lambda verbs, groups, kinds, names: (
        {"verbs": verbs, "apiGroups": groups, "resources": kinds} | ({"resourceNames": names} if names else {})
    ),
    WORDS,
    WORDS,
    WORDS,
    st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True),
)


@given(st.lists(RULES, max_size=4))
def test_rules_cover_themselves(rules: list[dict[str, list[str]]]) -> None:
    assert covers(rules, rules) == []


@given(RULES)
def test_everything_is_covered_by_full_authority_only(rule: dict[str, list[str]]) -> None:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    assert covers([everything], [rule]) == []
    assert covers([], [rule]) == breakdown(rule)


@pytest.mark.parametrize(
    ("held", "asked", "covered"),
    [
        ({"resources": ["*/scale"]}, {"resources": ["deployments/scale"]}, True),
        ({"resources": ["*/scale"]}, {"resources": ["deployments"]}, False),
        ({"resources": ["pods"], "resourceNames": ["a"]}, {"resources": ["pods"], "resourceNames": ["a"]}, True),
        ({"resources": ["pods"], "resourceNames": ["a"]}, {"resources": ["pods"]}, False),
        ({"resources": ["pods"]}, {"resources": ["pods"], "resourceNames": ["a"]}, True),
        ({"nonResourceURLs": ["/a/*"]}, {"nonResourceURLs": ["/a/b"]}, True),
        ({"nonResourceURLs": ["/a/b"]}, {"nonResourceURLs": ["/a/*"]}, False),
    ],
)
def test_names_subresources_and_paths(held: dict[str, list[str]], asked: dict[str, list[str]], covered: bool) -> None:
    for entry in (held, asked):
        entry.setdefault("verbs", ["get"])
        if "resources" in entry:
            entry.setdefault("apiGroups", [""])
    assert (covers([held], [asked]) == []) is covered


def test_rules_read_as_upstreams() -> None:
    grants = breakdown({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]})
    (joined,) = compact(grants)
    assert describe(joined) == '{APIGroups:[""], Resources:["pods"], ResourceNames:["x"], Verbs:["get" "list"]}'
    assert describe({"nonResourceURLs": ["/x"], "verbs": ["get"]}) == '{NonResourceURLs:["/x"], Verbs:["get"]}'
