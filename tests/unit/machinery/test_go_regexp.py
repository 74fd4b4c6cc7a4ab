"""Go's regular expressions: what they match, and what is said of those that are none."""

import re

import pytest

from pynetes.machinery import go_regexp


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^\pL+$", "été", True),
        (r"^\pL+$", "a1", False),
        (r"^\p{Lu}\p{Ll}+$", "Été", True),
        (r"^[\p{Nd}-]+$", "1-2", True),
        (r"^\PL$", "1", True),
        (r"^\P{L}$", "l", False),
        (r"^[[:upper:]]\z", "A", True),
    ],
)
def test_classes_of_characters(pattern: str, text: str, matches: bool) -> None:
    assert bool(go_regexp.compile(pattern).search(text)) is matches


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "missing closing ): `(`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        (r"\p{Nope}", r"invalid character class range: `\p{Nope}`"),
    ],
)
def test_what_is_no_expression(pattern: str, said: str) -> None:
    with pytest.raises(re.error) as error:
        go_regexp.compile(pattern)
    assert str(error.value) == said
