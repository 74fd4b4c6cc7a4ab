"""`$(VAR)` expansion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.kubelet.expansion import expand, expand_strictly

VARIABLES = {"A": "a", "B": "b b", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "a"),
        ("x$(A)$(B)y", "xab by"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$(NOPE)", "$(NOPE)"),
        ("$(EMPTY)", ""),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references_are_replaced_and_everything_else_stays(text: str, expected: str) -> None:
    assert expand(text, VARIABLES) == expected


def test_a_path_must_not_keep_an_unknown_reference() -> None:
    assert expand_strictly("$(A)/x", VARIABLES) == "a/x"
    with pytest.raises(KeyError):
        expand_strictly("$(NOPE)", VARIABLES)


@given(st.text().filter(lambda text: "$" not in text))
def test_text_without_a_dollar_is_left_alone(text: str) -> None:
    assert expand(text, VARIABLES) == text


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.text()), st.text())
def test_a_value_is_never_expanded_again(variables: dict[str, str], value: str) -> None:
    variables["V"] = value
    assert expand("$(V)", variables) == value
