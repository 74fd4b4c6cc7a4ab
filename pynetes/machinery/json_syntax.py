"""What is wrong with a JSON text, as Go's scanner says it.

A recursive-descent check that only runs on texts which a fast parser has refused: it returns the first error in the
words of `encoding/json`, or None if the text is sound.
"""

import json

_SPACE = " \t\r\n"
_END = "unexpected end of JSON input"


class _Broken(Exception):
    """The first error."""


def error(raw: bytes) -> str | None:
    """The first syntax error of a JSON text; None if there is none."""
    try:
        json.loads(raw)
        return None
    except (ValueError, RecursionError):
        pass
    scanner = _Scanner(raw.decode(errors="replace"))
    try:
        scanner.value("looking for beginning of value")
        scanner.skip()
        if scanner.position < len(scanner.text):
            scanner.fail("after top-level value")
    except _Broken as broken:
        return str(broken)
    except RecursionError:
        return "exceeded max depth"
    return None


class _Scanner:
    """A position in a text that moves on while the grammar holds."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def skip(self) -> str:
        """The next character that is no space, without taking it; empty at the end."""
        while self.position < len(self.text) and self.text[self.position] in _SPACE:
            self.position += 1
        return self.peek()

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def fail(self, context: str) -> None:
        """Raise for the character at hand, or for the end of the text."""
        character = self.peek()
        if not character:
            raise _Broken(_END)
        shown = {"'": "'\\''", '"': "'\"'"}.get(character) or f"'{json.dumps(character)[1:-1]}'"
        raise _Broken(f"invalid character {shown} {context}")

    def value(self, context: str) -> None:
        character = self.skip()
        if character == "{":
            self.object()
        elif character == "[":
            self.array()
        elif character == '"':
            self.string()
        elif character and (character == "-" or character in "0123456789"):
            self.number()
        elif character and character in "tfn":
            self.literal({"t": "true", "f": "false", "n": "null"}[character])
        else:
            self.fail(context)

    def object(self) -> None:
        self.position += 1
        if self.skip() == "}":
            self.position += 1
            return
        while True:
            if self.skip() != '"':
                self.fail("looking for beginning of object key string")
            self.string()
            if self.skip() != ":":
                self.fail("after object key")
            self.position += 1
            self.value("looking for beginning of value")
            if self.skip() == "}":
                self.position += 1
                return
            if self.peek() != ",":
                self.fail("after object key:value pair")
            self.position += 1

    def array(self) -> None:
        self.position += 1
        if self.skip() == "]":
            self.position += 1
            return
        while True:
            self.value("looking for beginning of value")
            if self.skip() == "]":
                self.position += 1
                return
            if self.peek() != ",":
                self.fail("after array element")
            self.position += 1

    def string(self) -> None:
        self.position += 1
        while (character := self.peek()) != '"':
            if not character or character < " ":
                self.fail("in string literal")
            self.position += 1
            if character == "\\":
                self.escape()
        self.position += 1

    def escape(self) -> None:
        kind = self.peek()
        if not kind or kind not in '"\\/bfnrtu':
            self.fail("in string escape code")
        self.position += 1
        if kind == "u":
            for _ in range(4):
                if not self.peek() or self.peek() not in "0123456789abcdefABCDEF":
                    self.fail("in \\u hexadecimal character escape")
                self.position += 1

    def number(self) -> None:
        if self.peek() == "-":
            self.position += 1
            if not self.peek().isdecimal():
                self.fail("in numeric literal")
        if self.peek() == "0":
            self.position += 1
        else:
            self.digits()
        if self.peek() == ".":
            self.position += 1
            if not self.peek().isdecimal():
                self.fail("after decimal point in numeric literal")
            self.digits()
        if self.peek() in ("e", "E"):
            self.position += 1
            if self.peek() in ("+", "-"):
                self.position += 1
            if not self.peek().isdecimal():
                self.fail("in exponent of numeric literal")
            self.digits()

    def digits(self) -> None:
        while self.peek().isdecimal():
            self.position += 1

    def literal(self, word: str) -> None:
        for index, character in enumerate(word):
            if self.peek() != character:
                expecting = word[index]
                self.fail(f"in literal {word} (expecting '{expecting}')")
            self.position += 1
