"""What schemas say in Go's dialects: regular expressions in RE2's, numbers as `%v` prints them."""

import functools
import re
from typing import Any

_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_PERL_CLASSES = {
    "d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r ", "D": "^0-9", "W": "^0-9A-Za-z_", "S": r"^\t\n\f\r ",
}  # fmt: skip
_TOKEN = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[:\^?\w+:\]|.", re.DOTALL)


@functools.lru_cache(maxsize=4096)
def pattern(text: str) -> re.Pattern[str]:
    """An RE2 expression as Python's; re.error says what is wrong with it.

    The differences that matter: `$` is only the very end, `\\z` exists, classes like `\\d` are ASCII, `[[:alpha:]]`
    exists, and what RE2 lacks (lookaround, back references) is an error.
    """
    lookaround = re.search(r"\(\?(?:[=!]|<[=!]|#|\()", text)
    if lookaround:
        raise re.error(f"invalid or unsupported Perl syntax: `{lookaround[0]}`")
    made: list[str] = []
    in_class = False
    for token in _TOKEN.findall(text):
        if token.startswith(r"\Q"):
            made.append(re.escape(token[2:].removesuffix(r"\E")))
        elif token.startswith("\\") and len(token) == 2:
            made.append(_escape(token[1], in_class))
        elif in_class and token.startswith("[:"):
            made.append(_POSIX_CLASSES.get(token[2:-2].lstrip("^"), ""))
        elif token == "[" and not in_class:
            in_class = True
            made.append(token)
        elif token == "[" and in_class:
            made.append(r"\[")
        elif token == "]" and in_class and made[-1] not in ("[", "[^"):
            in_class = False
            made.append(token)
        elif token == "^" and in_class and made[-1] == "[":
            made[-1] = "[^"
        elif token == "$" and not in_class:
            made.append(r"\Z")
        else:
            made.append(token)
    return re.compile("".join(made))


def _escape(letter: str, in_class: bool) -> str:
    if letter in "123456789":
        raise re.error(f"invalid escape sequence: `\\{letter}`")
    if letter == "z":
        return r"\Z"
    members = _PERL_CLASSES.get(letter)
    if members is None:
        return f"\\{letter}"
    if not in_class:
        return f"[{members}]"
    return members if not members.startswith("^") else f"\\{letter}"


def number(value: Any) -> str:
    """A number as Go's `%v` prints it: integers plain, floats with an exponent from a million on."""
    if isinstance(value, int):
        return str(value)
    if value == 0:
        return "0"
    power = int(f"{value:e}".partition("e")[2])
    shortest = repr(value)
    if -4 <= power < 6:
        return shortest.removesuffix(".0")
    digits = shortest.partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{'-' if value < 0 else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
