"""Label selectors and field selectors.

A label selector is a tuple of requirements, all of which must hold; it comes from a query's text (`app=web,tier in
(a,b),!old`) or from a `LabelSelector` object. A field selector knows only `=`, `==` and `!=` and is a tuple of terms.
Both are values: hashable, comparable, printed in canonical form. Errors are ValueErrors with upstream's messages.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pynetes.machinery import errors, names

_UNARY = ("exists", "!")
_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_NODE_OPERATORS = _OBJECT_OPERATORS | {"Gt": "gt", "Lt": "lt"}
_BINARY_SHOWN = "in, notin, =, ==, !=, gt, lt"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; `operator` is one of `= == != in notin exists ! gt lt`, `values` are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition."""
        found = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return found is not None and found in self.values
            case "!=" | "notin":
                return found is None or found not in self.values
            case "exists":
                return found is not None
            case "!":
                return found is None
        if found is None or (number := _integer(found)) is None:
            return False
        bound = int(self.values[0])
        return number > bound if self.operator == "gt" else number < bound

    def __str__(self) -> str:
        values = ",".join(self.values)
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({values})"
            case "gt":
                return f"{self.key}>{values}"
            case "lt":
                return f"{self.key}<{values}"
        return f"{self.key}{self.operator}{values}"


def _integer(text: str) -> int | None:
    """A whole number of 64 bits as Go parses it, or None."""
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """A checked requirement."""
    wanted = tuple(sorted(set(values)))
    faults = [errors.invalid_value("key", key, "; ".join(bad))] if (bad := names.qualified_name(key)) else []
    if operator in ("in", "notin") and not wanted:
        faults.append(errors.invalid_value("values", [], "for 'in', 'notin' operators, values set can't be empty"))
    elif operator in ("=", "==", "!=") and len(wanted) != 1:
        faults.append(
            errors.invalid_value("values", list(wanted), "exact-match compatibility requires one single value")
        )
    elif operator in _UNARY and wanted:
        faults.append(
            errors.invalid_value("values", list(wanted), "values set must be empty for exists and does not exist")
        )
    elif operator in ("gt", "lt"):
        if len(wanted) != 1:
            detail = "for 'Gt', 'Lt' operators, exactly one value is required"
            faults.append(errors.invalid_value("values", list(wanted), detail))
        faults += [
            errors.invalid_value(f"values[{index}]", text, "for 'Gt', 'Lt' operators, the value must be an integer")
            for index, text in enumerate(wanted)
            if _integer(text) is None
        ]
    faults += [
        errors.invalid_value(f"values[{index}][{key}]", text, "; ".join(bad))
        for index, text in enumerate(wanted)
        if (bad := names.label_value(text))
    ]
    if faults:
        raise ValueError(errors.aggregate(faults))
    return Requirement(key, operator, wanted)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of the requirements; none at all means everything, unless `nothing` is set."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether the labels meet all requirements."""
        if self.nothing:
            return False
        found = labels or {}
        return all(condition.matches(found) for condition in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether everything matches."""
        return not self.requirements and not self.nothing

    def exact(self, key: str) -> str | None:
        """The one value that `key` must have, if the selector demands one: what an index can be asked for."""
        for condition in self.requirements:
            if condition.key == key and condition.operator in ("=", "==", "in") and len(condition.values) == 1:
                return condition.values[0]
        return None

    def __str__(self) -> str:
        return "<null>" if self.nothing else ",".join(map(str, self.requirements))


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)

_TOKEN = re.compile(r"[ \t\r\n]*(?:(?P<symbol>==|!=|[=!(),<>])|(?P<word>[^=!(),<> \t\r\n]+)|(?P<end>$))")


class _Tokens:
    """The text as tokens, one to look at and the rest to come; the end is an empty text."""

    def __init__(self, text: str) -> None:
        self._rest: Iterator[re.Match[str]] = _TOKEN.finditer(text)
        self._advance()

    def _advance(self) -> None:
        match = next(self._rest, None)
        self.text = match[0].strip(" \t\r\n") if match else ""
        self.is_word = match is not None and match["word"] is not None

    def take(self) -> str:
        """The token looked at; the next one comes into view."""
        text = self.text
        self._advance()
        return text


@lru_cache(maxsize=1024)
def parse_label_selector(text: str) -> LabelSelector:
    """The selector in a query's `labelSelector`."""
    tokens = _Tokens(text)
    found: list[Requirement] = []
    while tokens.text:
        if not tokens.is_word and tokens.text != "!":
            raise ValueError(f"found '{tokens.text}', expected: !, identifier, or 'end of string'")
        try:
            found.append(_parse_requirement(tokens))
        except ValueError as error:
            raise ValueError(f"unable to parse requirement: {error}") from None
        separator = tokens.take()
        if separator == ",":
            if not tokens.is_word and tokens.text != "!":
                raise ValueError(f"found '{tokens.text}', expected: identifier after ','")
        elif separator:
            raise ValueError(f"found '{separator}', expected: ',' or 'end of string'")
    return LabelSelector(tuple(sorted(found, key=lambda condition: condition.key)))


def _parse_requirement(tokens: _Tokens) -> Requirement:
    negated = tokens.text == "!"
    if negated:
        tokens.take()
    if not tokens.is_word:
        raise ValueError(f"found '{tokens.text}', expected: identifier")
    key = tokens.take()
    if bad := names.qualified_name(key):
        raise ValueError(f"<nil>: Invalid value: {errors.quote(key)}: {'; '.join(bad)}")
    if tokens.text in ("", ","):
        return Requirement(key, "!" if negated else "exists")
    if negated:
        return requirement(key, "!")
    operator = tokens.take()
    if operator in ("in", "notin"):
        return requirement(key, operator, _parse_values(tokens))
    symbol = {">": "gt", "<": "lt"}.get(operator, operator)
    if symbol not in ("=", "==", "!=", "gt", "lt"):
        raise ValueError(f"found '{operator}', expected: {_BINARY_SHOWN}")
    if tokens.text in ("", ","):
        return requirement(key, symbol, [""])
    if not tokens.is_word:
        raise ValueError(f"found '{tokens.text}', expected: identifier")
    return requirement(key, symbol, [tokens.take()])


def _parse_values(tokens: _Tokens) -> list[str]:
    """`(a,b)`; an empty place between commas or brackets is an empty value."""
    if tokens.text != "(":
        raise ValueError(f"found '{tokens.text}' expected: '('")
    tokens.take()
    if not tokens.is_word and tokens.text not in (",", ")"):
        raise ValueError(f"found '{tokens.text}', expected: ',', ')' or identifier")
    values: list[str] = []
    while True:
        values.append(tokens.take() if tokens.is_word else "")
        if tokens.text == ")":
            tokens.take()
            return values
        if tokens.text != ",":
            raise ValueError(f"found '{tokens.text}', expected: ',' or ')'")
        tokens.take()
        if not tokens.is_word and tokens.text not in (",", ")"):
            raise ValueError(f"found '{tokens.text}', expected: ',', or identifier")


def from_labels(labels: Mapping[str, str] | None) -> LabelSelector:
    """A selector that wants exactly these labels: a Service's or a ReplicationController's; none match everything."""
    return LabelSelector(tuple(Requirement(key, "=", (text,)) for key, text in sorted((labels or {}).items())))


def from_label_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A `metav1.LabelSelector`: absent matches nothing, empty matches everything."""
    if selector is None:
        return NOTHING
    found = [Requirement(key, "=", (text,)) for key, text in (selector.get("matchLabels") or {}).items()]
    found += _expressions(selector.get("matchExpressions") or [], _OBJECT_OPERATORS, "label selector operator")
    return LabelSelector(tuple(sorted(found, key=lambda condition: condition.key)))


def from_node_selector_requirements(expressions: Iterable[Mapping[str, Any]]) -> LabelSelector:
    """The `matchExpressions` of a node selector term, which also know `Gt` and `Lt`."""
    return LabelSelector(tuple(_expressions(expressions, _NODE_OPERATORS, "node selector operator")))


def _expressions(
    expressions: Iterable[Mapping[str, Any]], operators: Mapping[str, str], what: str
) -> list[Requirement]:
    found = []
    for expression in expressions:
        operator = expression.get("operator", "")
        if operator not in operators:
            raise ValueError(f'"{operator}" is not a valid {what}')
        found.append(requirement(expression.get("key", ""), operators[operator], expression.get("values") or ()))
    return found


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on one field; `operator` is `=` or `!=`."""

    field: str
    operator: str
    value: str

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields meet the condition; a field that is not there is empty."""
        return (fields.get(self.field, "") == self.value) == (self.operator == "=")

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{_escape(self.value)}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All of the terms."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields meet all terms."""
        return all(term.matches(fields) for term in self.terms)

    @property
    def empty(self) -> bool:
        """Whether everything matches."""
        return not self.terms

    def exact(self, field: str) -> str | None:
        """The one value that `field` must have, if the selector demands one."""
        return next((term.value for term in self.terms if term.field == field and term.operator == "="), None)

    def transform(self, rename: Callable[[str, str], tuple[str, str]]) -> "FieldSelector":
        """The selector with each field and value passed through `rename`, which raises for fields it does not know."""
        return FieldSelector(
            tuple(FieldTerm(*_spread(rename(term.field, term.value), term.operator)) for term in self.terms)
        )

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


def _spread(renamed: tuple[str, str], operator: str) -> tuple[str, str, str]:
    return renamed[0], operator, renamed[1]


def _escape(text: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", text)


def _unescape(text: str) -> str:
    """Undo backslashes before `\\`, `,` and `=`; anything else escaped, or left bare, is an error."""
    plain = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ("\\", ",", "="):
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{escaped}")
            plain.append(escaped)
        elif character in ",=":
            raise ValueError(
                f"invalid field selector: unescaped character in value: {'comma' if character == ',' else 'equals'}"
            )
        else:
            plain.append(character)
    return "".join(plain)


_TERM = re.compile(r"(?:[^\\,]|\\.?)*", re.DOTALL)
_FIELD_OPERATOR = re.compile(r"!=|==|=")


@lru_cache(maxsize=1024)
def parse_field_selector(text: str) -> FieldSelector:
    """The selector in a query's `fieldSelector`."""
    terms = []
    for part in _split_terms(text):
        if not part:
            continue
        operator = _FIELD_OPERATOR.search(part)
        if operator is None:
            raise ValueError(f"invalid selector: {errors.quote(text)}; can't understand {errors.quote(part)}")
        value = _unescape(part[operator.end() :])
        terms.append(FieldTerm(part[: operator.start()], "!=" if operator[0] == "!=" else "=", value))
    return FieldSelector(tuple(sorted(terms, key=lambda term: term.field)))


def _split_terms(text: str) -> Iterator[str]:
    """The text cut at its commas, those after a backslash excepted."""
    position = 0
    while position <= len(text):
        match = _TERM.match(text, position)
        assert match is not None
        yield match[0]
        position = match.end() + 1
