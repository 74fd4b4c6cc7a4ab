"""What is wrong with a JSON text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import json_syntax


@given(st.text(st.sampled_from('{}[]",:truefalsn0123456789.-+eE \\u"'), max_size=24))
def test_the_scanner_agrees_with_pythons_parser_on_what_is_sound(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        assert json_syntax.error(text.encode())
    else:
        assert json_syntax.error(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unexpected end of JSON input"),
        ("[1 2]", "invalid character '2' after array element"),
        ('{"a":1}x', "invalid character 'x' after top-level value"),
        ('"a\nb"', "invalid character '\\n' in string literal"),
        (r'"\x"', "invalid character 'x' in string escape code"),
        (r'"\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("01", "invalid character '1' after top-level value"),
        ("{'a'}", "invalid character '\\'' looking for beginning of object key string"),
        ("fals3", "invalid character '3' in literal false (expecting 'e')"),
        ("}", "invalid character '}' looking for beginning of value"),
    ],
)
def test_errors_are_gos(text: str, message: str) -> None:
    assert json_syntax.error(text.encode()) == message
