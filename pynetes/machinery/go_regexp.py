"""Go's regular expressions (RE2), run as Python's.

The differences that matter: `$` is only the very end, `\\z` exists, classes like `\\d` are ASCII, `[[:alpha:]]` and
`\\pL` exist, and what RE2 lacks (lookaround, back references) is an error.
"""

import functools
import re
import sys
import unicodedata
import warnings

_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_PERL_CLASSES = {
    "d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r ", "D": "^0-9", "W": "^0-9A-Za-z_", "S": r"^\t\n\f\r ",
}  # fmt: skip
_TOKEN = re.compile(r"\\Q.*?(?:\\E|$)|\\[pP](?:\{\^?\w+\}|\w)|\\.|\[:\^?\w+:\]|.", re.DOTALL)


@functools.lru_cache(maxsize=4096)
def compile(text: str) -> re.Pattern[str]:
    """The pattern; re.error says what is wrong with it, as Go does."""
    lookaround = re.search(r"\(\?(?:[=!]|<[=!]|#|\()", text)
    if lookaround:
        raise re.error(f"invalid or unsupported Perl syntax: `{lookaround[0]}`")
    made: list[str] = []
    in_class = False
    for token in _TOKEN.findall(text):
        if token.startswith(r"\Q"):
            made.append(re.escape(token[2:].removesuffix(r"\E")))
        elif token[:2] in (r"\p", r"\P"):
            made.append(_category(token, in_class))
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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # what looks like a set operation is none in RE2
            return re.compile("".join(made))
    except re.error as error:
        raise re.error(_in_go(error, text)) from None


def _category(token: str, in_class: bool) -> str:
    """`\\p{Lu}` or `\\PN`: the characters (not) of a general category."""
    name = token[2:].strip("{}")
    negated = (token[1] == "P") != name.startswith("^")
    members = _members(name.removeprefix("^"), negated)
    if not members:
        raise re.error(f"invalid character class range: `{token}`")
    return members if in_class else f"[{members}]"


@functools.lru_cache(maxsize=64)
def _members(category: str, negated: bool) -> str:
    """The characters of a category as ranges of a class."""
    ranges: list[list[int]] = []
    for point in range(sys.maxunicode + 1):
        if unicodedata.category(chr(point)).startswith(category) != negated:
            if ranges and ranges[-1][1] == point - 1:
                ranges[-1][1] = point
            else:
                ranges.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def _in_go(error: re.error, text: str) -> str:
    """Python's complaint in Go's words."""
    said = error.msg
    if said.startswith("missing )"):
        return f"missing closing ): `{text}`"
    if said.startswith("unbalanced parenthesis"):
        return f"unexpected ): `{text}`"
    if said.startswith("unterminated character set"):
        return f"missing closing ]: `{text[text.rfind('[') :]}`"
    if said.startswith("nothing to repeat"):
        found = re.search(r"(?:^|[(|])([*+?])", text)
        return f"missing argument to repetition operator: `{found[1] if found else '*'}`"
    if said.startswith("multiple repeat"):
        found = re.search(r"[*+?]{2,}", text)
        return f"invalid nested repetition operator: `{found[0] if found else '**'}`"
    if said.startswith("bad character range"):
        return f"invalid character class range: `{said.removeprefix('bad character range ')}`"
    if said.startswith("bad escape"):
        return f"invalid escape sequence: `{said.removeprefix('bad escape ')}`"
    if said.startswith("min repeat greater"):
        found = re.search(r"\{\d+,\d+\}", text)
        return f"invalid repeat count: `{found[0] if found else text}`"
    return said


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
