"""CEL's grammar: from text to a tree of `Node`s.

A hand-written lexer and a recursive-descent parser over the specification's precedence. Macros (`has`, `all`, `exists`,
`exists_one`, `map`, `filter`, `cel.bind` and the optional ones) stay calls here; `program` gives them their meaning.
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from pynetes.machinery.cel.values import CelError, UInt

RESERVED = frozenset(
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    }
)


@dataclass(frozen=True, slots=True)
class Node:
    """One node; `at` is its place in the text."""

    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    value: Any


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`operand.field`, or `operand.?field`."""

    operand: Node
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`operand[key]`, or `operand[?key]`."""

    operand: Node
    key: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`function(arguments)`, or `target.function(arguments)`; operators are calls of `_+_` and the like."""

    function: str
    arguments: tuple[Node, ...]
    target: Node | None = None


@dataclass(frozen=True, slots=True)
class MakeList(Node):
    """`[a, ?b]`: each item with whether it is optional."""

    items: tuple[tuple[Node, bool], ...]


@dataclass(frozen=True, slots=True)
class MakeMap(Node):
    """`{k: v, ?k: v}`."""

    entries: tuple[tuple[Node, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class MakeStruct(Node):
    """`Type{field: v, ?field: v}`."""

    type: str
    entries: tuple[tuple[str, Node, bool], ...]


class Token(NamedTuple):
    kind: str
    text: str
    at: int
    value: Any = None


_STRING = (
    r"(?P<string>(?P<prefix>[rRbB]{0,2})"
    r'(?P<quoted>"""(?:[^\\]|\\.)*?"""|'
    + r"'''(?:[^\\]|\\.)*?'''"
    + r'|"(?:[^"\\\n]|\\.)*"|'
    + r"'(?:[^'\\\n]|\\.)*'))"
)
_TOKENS = re.compile(
    r"(?P<space>\s+|//[^\n]*)|"
    + _STRING
    + r"|(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<int>0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<escaped>`[A-Za-z0-9_.\-/ ]+`)"
    r"|(?P<punctuation>==|!=|<=|>=|&&|\|\||[-+*/%!<>?:.,()\[\]{}])",
    re.DOTALL,
)
_RAW_STRING = re.compile(
    r"[rR][bB]?(?P<quoted>\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*')"
    r"|[bB][rR](?P<other>\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*')",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))",
    re.DOTALL,
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def syntax_error(text: str, at: int, message: str) -> CelError:
    """A complaint about a place in the text, drawn as upstream draws it; a call's place is its parenthesis."""
    line_start = text.rfind("\n", 0, at) + 1
    line_number = text.count("\n", 0, at) + 1
    column = at - line_start
    line = text[line_start:].split("\n", 1)[0]
    return CelError(f"ERROR: <input>:{line_number}:{column + 1}: {message}\n | {line}\n | {'.' * column}^")


def tokens(text: str) -> list[Token]:
    """The tokens of an expression, ended by one of kind `end`."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        raw = _RAW_STRING.match(text, at)
        match = raw or _TOKENS.match(text, at)
        if match is None:
            raise syntax_error(text, at, f"Syntax error: token recognition error at: '{text[at]}'")
        if raw is not None:
            body = raw.group("quoted") or raw.group("other")
            value: Any = _unquoted(body)
            is_bytes = "b" in raw.group()[:2].lower().rstrip("\"'")
            found.append(Token("literal", raw.group(), at, value.encode() if is_bytes else value))
        elif match.lastgroup != "space" and match.group("space") is None:
            found.append(_token(text, match))
        at = match.end()
    found.append(Token("end", "<EOF>", len(text)))
    return found


def _token(text: str, match: re.Match[str]) -> Token:
    at, word = match.start(), match.group()
    if match.group("string") is not None:
        body = _unquoted(match.group("quoted"))
        if match.group("prefix").lower() == "b":
            return Token("literal", word, at, _bytes(text, at, body))
        return Token("literal", word, at, _text(text, at, body))
    if match.group("float") is not None:
        return Token("literal", word, at, float(word))
    if match.group("int") is not None:
        return Token("literal", word, at, _integer(text, at, word))
    if match.group("escaped") is not None:
        return Token("name", word[1:-1], at)
    if match.group("name") is not None:
        if word in ("true", "false", "null"):
            return Token("literal", word, at, {"true": True, "false": False, "null": None}[word])
        return Token("in" if word == "in" else "name", word, at)
    return Token(word, word, at)


def _unquoted(quoted: str) -> str:
    size = 3 if quoted[:3] in ('"""', "'''") else 1
    return quoted[size:-size]


def _integer(text: str, at: int, word: str) -> int:
    digits = word.rstrip("uU")
    value = int(digits, 16 if digits[:2] in ("0x", "0X") else 10)
    if len(digits) != len(word):
        if value >= 1 << 64:
            raise syntax_error(text, at, "Syntax error: invalid uint literal")
        return UInt(value)
    if value > 1 << 63:  # the smallest int is written as the negation of one more than the largest
        raise syntax_error(text, at, "Syntax error: invalid int literal")
    return value


def _code_point(text: str, at: int, match: re.Match[str]) -> int:
    simple, *numbers, wrong = match.groups()
    if simple is not None:
        return ord(_SIMPLE.get(simple, simple))
    if wrong is not None:
        raise syntax_error(text, at, f"Syntax error: invalid escape \\{wrong}")
    octal = numbers[4]
    return int(octal, 8) if octal is not None else int(next(digits for digits in numbers if digits), 16)


def _text(text: str, at: int, body: str) -> str:
    return _ESCAPE.sub(lambda match: chr(_code_point(text, at, match)), body) if "\\" in body else body


def _bytes(text: str, at: int, body: str) -> bytes:
    pieces, start = [], 0
    for match in _ESCAPE.finditer(body):
        pieces.append(body[start : match.start()].encode())
        point = _code_point(text, at, match)
        unicode = match.group(4) or match.group(5)
        pieces.append(chr(point).encode() if unicode else bytes([point]))
        start = match.end()
    return b"".join([*pieces, body[start:].encode()])


_RELATIONS = {"<": "_<_", "<=": "_<=_", ">": "_>_", ">=": "_>=_", "==": "_==_", "!=": "_!=_", "in": "@in"}
_SUMS = {"+": "_+_", "-": "_-_"}
_PRODUCTS = {"*": "_*_", "/": "_/_", "%": "_%_"}
_DEEPEST = 250
_BEGINNINGS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._place = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._expression()
        if self._token.kind != "end":
            raise self._left_over()
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._place]

    def _take(self, kind: str = "") -> Token:
        token = self._token
        if kind and token.kind != kind:
            raise self._unexpected(kind)
        self._place += 1
        return token

    def _accept(self, kind: str) -> bool:
        if self._token.kind == kind:
            self._place += 1
            return True
        return False

    def _unexpected(self, wanted: str = "") -> CelError:
        token = self._token
        if token.kind == "end" and wanted in (")", "]", "}"):
            return syntax_error(self._text, token.at, f"Syntax error: missing '{wanted}' at '<EOF>'")
        expected = f" expecting {wanted if wanted[:1] in '<{' and len(wanted) > 1 else repr(wanted)}" if wanted else ""
        return syntax_error(self._text, token.at, f"Syntax error: mismatched input '{token.text}'{expected}")

    def _left_over(self) -> CelError:
        token, next_token = self._tokens[self._place : self._place + 2]
        what = "extraneous" if next_token.kind == "end" else "mismatched"
        return syntax_error(self._text, token.at, f"Syntax error: {what} input '{token.text}' expecting <EOF>")

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise syntax_error(self._text, self._token.at, f"expression recursion limit exceeded: {_DEEPEST}")
        node = self._disjunction()
        if self._token.kind == "?":
            at = self._take().at
            yes = self._disjunction()
            self._take(":")
            node = Call(at, "_?_:_", (node, yes, self._expression()))
        self._depth -= 1
        return node

    def _disjunction(self) -> Node:
        node = self._conjunction()
        while self._token.kind == "||":
            at = self._take().at
            node = Call(at, "_||_", (node, self._conjunction()))
        return node

    def _conjunction(self) -> Node:
        node = self._relation()
        while self._token.kind == "&&":
            at = self._take().at
            node = Call(at, "_&&_", (node, self._relation()))
        return node

    def _relation(self) -> Node:
        node = self._sum()
        while self._token.kind in _RELATIONS:
            token = self._take()
            node = Call(token.at, _RELATIONS[token.kind], (node, self._sum()))
        return node

    def _sum(self) -> Node:
        node = self._product()
        while self._token.kind in _SUMS:
            token = self._take()
            node = Call(token.at, _SUMS[token.kind], (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._unary()
        while self._token.kind in _PRODUCTS:
            token = self._take()
            node = Call(token.at, _PRODUCTS[token.kind], (node, self._unary()))
        return node

    def _unary(self) -> Node:
        token = self._token
        if token.kind == "!":
            self._take()
            return Call(token.at, "!_", (self._unary(),))
        if token.kind == "-":
            self._take()
            number = self._token.value
            if self._token.kind == "literal" and type(number) in (int, float):
                literal = self._take()
                return self._members(Literal(literal.at, -number))
            return Call(token.at, "-_", (self._unary(),))
        return self._members(self._primary())

    def _members(self, node: Node) -> Node:
        while True:
            token = self._token
            if token.kind == ".":
                self._take()
                optional = self._accept("?")
                field = self._field()
                if not optional and self._token.kind == "(":
                    node = Call(self._take().at, field, self._arguments(")"), node)
                else:
                    node = Select(token.at, node, field, optional)
            elif token.kind == "[":
                self._take()
                optional = self._accept("?")
                key = self._expression()
                self._take("]")
                node = Index(token.at, node, key, optional)
            elif token.kind == "{" and (type_name := _type_name(node)):
                self._take()
                node = self._struct(token.at, type_name)
            else:
                return node

    def _field(self) -> str:
        token = self._take()
        if token.kind == "name" or token.text in ("in", "true", "false", "null"):
            return token.text
        self._place -= 1
        raise self._unexpected("IDENTIFIER")

    def _primary(self) -> Node:
        token = self._take()
        match token.kind:
            case "literal":
                if type(token.value) is int and token.value == 1 << 63:
                    raise syntax_error(self._text, token.at, "Syntax error: invalid int literal")
                return Literal(token.at, token.value)
            case "name":
                if self._token.kind == "(":
                    return Call(self._take().at, token.text, self._arguments(")"))
                if token.text in RESERVED:
                    raise syntax_error(self._text, token.at, f"reserved identifier: {token.text}")
                return Name(token.at, token.text)
            case ".":
                return Name(token.at, self._take("name").text)
            case "(":
                node = self._expression()
                self._take(")")
                return node
            case "[":
                return self._list(token.at)
            case "{":
                return self._map(token.at)
        self._place -= 1
        raise self._unexpected(_BEGINNINGS)

    def _arguments(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._accept(end):
            found.append(self._expression())
            if not self._accept(","):
                self._take(end)
                break
        return tuple(found)

    def _list(self, at: int) -> Node:
        items: list[tuple[Node, bool]] = []
        while not self._accept("]"):
            if items and self._token.kind == "end":
                raise self._unexpected("]")
            optional = self._accept("?")
            items.append((self._expression(), optional))
            if not self._accept(","):
                self._take("]")
                break
        return MakeList(at, tuple(items))

    def _map(self, at: int) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._accept("}"):
            optional = self._accept("?")
            key = self._expression()
            self._take(":")
            entries.append((key, self._expression(), optional))
            if not self._accept(","):
                self._take("}")
                break
        return MakeMap(at, tuple(entries))

    def _struct(self, at: int, type_name: str) -> Node:
        entries: list[tuple[str, Node, bool]] = []
        while not self._accept("}"):
            optional = self._accept("?")
            field = self._field()
            self._take(":")
            entries.append((field, self._expression(), optional))
            if not self._accept(","):
                self._take("}")
                break
        return MakeStruct(at, type_name, tuple(entries))


def _type_name(node: Node) -> str:
    """`Object.spec` if the node could name a type, else nothing."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.optional:
        outer = _type_name(node.operand)
        return f"{outer}.{node.field}" if outer else ""
    return ""


def parse(text: str) -> Node:
    """The tree of an expression; raises CelError."""
    return _Parser(text).parse()
