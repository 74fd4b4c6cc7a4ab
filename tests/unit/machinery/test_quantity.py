"""Quantities: parsing, canonical text, rounding, arithmetic."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import quantity

BINARY = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
DECIMAL = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"]

texts = st.builds(
    lambda sign, whole, fraction, suffix: f"{sign}{whole}{fraction}{suffix}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**6).map(str),
    st.sampled_from(["", ".", ".5", ".001", ".123456789123"]),
    st.sampled_from([*BINARY, *DECIMAL, "e3", "E-3", "e+2"]),
)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("100Ki", "100Ki"),
        ("1023", "1023"),
        ("0.5Ki", "512"),
        ("12e6", "12e6"),
        ("1e2", "100"),
        ("1E", "1E"),
        ("1000k", "1M"),
        ("0", "0"),
        ("0Gi", "0"),
        ("-0", "0"),
        (".5", "500m"),
        ("5.", "5"),
        ("0.1n", "1n"),
        ("0.0001Ki", "102400u"),
        ("-5m", "-5m"),
        ("-0.0000000001", "-1n"),
        (" 1 ", "1"),
        (1, "1"),
        (1.5, "1500m"),
        ("1e400", "9223372036854775807"),
    ],
)
def test_canonical_text(given_text: str, expected: str) -> None:
    if expected.startswith("9223"):
        assert quantity.parse(given_text).value == int(expected)
    else:
        assert quantity.canonical(given_text) == expected


@pytest.mark.parametrize("text", ["", "x", "1x1", "1 Gi", "--1", "1.2.3", "1_0", "0x1", "Gi", True])
def test_text_that_is_no_quantity_is_refused_with_the_expression(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        quantity.parse(text)


@pytest.mark.parametrize("text", ["1KI", "1mi", "1e", "1K", "1Kim", "1e1e1"])
def test_an_unknown_suffix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"suffix|regular expression"):
        quantity.parse(text)


def test_a_boolean_is_not_taken_for_a_number_parsed_before() -> None:
    assert quantity.canonical(1) == "1"
    with pytest.raises(ValueError):
        quantity.canonical(True)


@given(texts)
def test_canonical_text_means_the_same_and_is_stable(text: str) -> None:
    first = quantity.parse(text)
    canonical = str(first)
    if first.form == "binary" and first.nanos % quantity.NANO:  # no binary suffix is below one: rounded up
        first = quantity.Quantity(first.value * quantity.NANO)
    assert quantity.parse(canonical) == first
    assert str(quantity.parse(canonical)) == canonical


@given(texts)
def test_value_is_the_exact_amount_rounded_away_from_zero(text: str) -> None:
    parsed = quantity.parse(text)
    exact = Fraction(parsed.nanos, quantity.NANO)
    assert abs(exact) <= abs(parsed.value) < abs(exact) + 1
    assert abs(exact * 1000) <= abs(parsed.milli) < abs(exact * 1000) + 1


@given(st.integers(-(10**9), 10**9), st.sampled_from(BINARY[:3]))
def test_binary_suffixes_are_powers_of_1024(number: int, suffix: str) -> None:
    assert quantity.value(f"{number}{suffix}") == number * 1024 ** (BINARY.index(suffix) + 1)


@given(texts, texts)
def test_sums_and_order_are_those_of_the_amounts(left: str, right: str) -> None:
    a, b = quantity.parse(left), quantity.parse(right)
    assert (a + b).nanos == a.nanos + b.nanos
    assert (a + b) - b == a
    assert (a < b) == (a.nanos < b.nanos)
    assert quantity.compare(left, right) == (a > b) - (a < b)


def test_a_sum_is_written_as_its_left_side_unless_that_is_zero() -> None:
    assert quantity.add("1Gi", "1Gi") == "2Gi"
    assert quantity.add("0", "1Gi") == "1Gi"
    assert quantity.add("1", "1Gi") == "1073741825"
    assert str(-quantity.parse("1Gi")) == "-1Gi"
    assert str(quantity.parse("2Mi") * 3) == "6Mi"


def test_equal_amounts_in_other_forms_are_equal_and_hash_alike() -> None:
    assert quantity.parse("1Ki") == quantity.parse("1024")
    assert len({quantity.parse("1Ki"), quantity.parse("1024")}) == 1
    assert quantity.parse("1") != "1"
