"""Whether a value fits its schema.

The findings are upstream's to the letter: type, path and text. Values are the plain ones that JSON decodes to. With an
old value given, what did not change is not looked at again, so that a schema may be tightened without locking out the
objects that are there (KEP-4008).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pynetes.apis.apiextensions import formats, go_forms
from pynetes.machinery import errors, go_regexp, wire
from pynetes.machinery.errors import FieldError, quote
from pynetes.machinery.meta import Obj

ABSENT = object()
"""The old value where there is none."""

# Findings that are about alternatives name no field.
_NOWHERE = "<nil>"


def findings(value: Any, schema: Obj, path: str = "", old: Any = ABSENT) -> list[FieldError]:
    """All that is wrong with a value; `path` is where it stands."""
    result = _Result()
    _value(result, value, schema, path, old)
    return result.errors


@dataclass
class _Result:
    """Findings, and the number of checks made: the more checks an alternative passes, the closer it was."""

    errors: list[FieldError] = field(default_factory=list)
    checks: int = 0

    def merge(self, other: "_Result") -> None:
        self.errors += [each for each in other.errors if each not in self.errors]
        self.checks += other.checks

    def invalid(self, path: str, value: Any, text: str) -> None:
        self.errors.append(errors.invalid_value(path, value, f"{path} in body {text}"))


def types_of(schema: Obj) -> tuple[str, ...]:
    """The JSON types that a schema takes; none named means any."""
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    kind = schema.get("type")
    return (kind,) if kind else ()


def json_type(value: Any) -> str:
    """The JSON type of a value; a float without fraction is an integer too, but says `number`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _value(result: _Result, value: Any, schema: Obj, path: str, old: Any) -> None:
    if old is not ABSENT and type(old) is type(value) and old == value:
        return
    result.checks += 1
    _type(result, value, schema, path)
    if value is None:
        _enum(result, value, schema, path)
        return
    _combinations(result, value, schema, path, old)
    _CHECKS[json_type(value)](result, value, schema, path, old)
    _enum(result, value, schema, path)


def _type(result: _Result, value: Any, schema: Obj, path: str) -> None:
    types, actual = types_of(schema), json_type(value)
    if not types or actual in types or (value is None and schema.get("nullable")):
        return
    if actual == "integer" and "number" in types:
        return
    if actual == "number" and "integer" in types and value.is_integer():
        return
    text = f"{path} in body must be of type {','.join(types)}: {quote(actual)}"
    result.errors.append(errors.invalid_type(path, actual, text))


def _enum(result: _Result, value: Any, schema: Obj, path: str) -> None:
    allowed = schema.get("enum")
    if not allowed or any(type(each) is type(value) and each == value for each in allowed):
        return
    if isinstance(value, int | float) and not isinstance(value, bool):
        if any(each == value and not isinstance(each, bool) for each in allowed):
            return
    shown = [each if isinstance(each, str) else wire.encode(each).decode() for each in allowed]
    result.errors.append(errors.not_supported(path, value, shown))


# By type.


def _scalar(result: _Result, value: Any, schema: Obj, path: str, old: Any) -> None:
    """Booleans have no rules of their own."""


def _string(result: _Result, value: str, schema: Obj, path: str, old: Any) -> None:
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        result.errors.append(errors.too_long(path, longest))
    if shortest is not None and len(value) < shortest:
        result.invalid(path, value, f"should be at least {shortest} chars long")
    if pattern and not go_regexp.compile(pattern).search(value):
        result.invalid(path, value, f"should match '{pattern}'")
    form = schema.get("format")
    if form and not formats.fits(form, value):
        text = f"{path} in body must be of type {form}: {quote(value)}"
        result.errors.append(errors.invalid_type(path, value, text))


def _number(result: _Result, value: float, schema: Obj, path: str, old: Any) -> None:
    factor, most, least = schema.get("multipleOf"), schema.get("maximum"), schema.get("minimum")

    def shown(bound: float) -> str:
        return go_forms.number(int(bound) if isinstance(value, int) else float(bound))

    if factor is not None and not _is_multiple(value, factor):
        result.invalid(path, value, f"should be a multiple of {shown(factor)}")
    if most is not None:
        exclusive = schema.get("exclusiveMaximum")
        if value > most or (exclusive and value == most):
            result.invalid(path, value, f"should be less than {'' if exclusive else 'or equal to '}{shown(most)}")
    if least is not None:
        exclusive = schema.get("exclusiveMinimum")
        if value < least or (exclusive and value == least):
            result.invalid(path, value, f"should be greater than {'' if exclusive else 'or equal to '}{shown(least)}")


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return factor != 0 and value % factor == 0
    return factor != 0 and (value / factor).is_integer()


def _array(result: _Result, value: list[Any], schema: Obj, path: str, old: Any) -> None:
    items = schema.get("items")
    if isinstance(items, dict):
        for index, (item, before) in enumerate(correlated(value, schema, old)):
            inner = _Result()
            _value(inner, item, items, f"{path}[{index}]", before)
            result.merge(inner)
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        result.errors.append(
            errors.invalid_value(path, len(value), f"{path} in body should have at least {least} items")
        )
    if most is not None and len(value) > most:
        result.errors.append(errors.too_many(path, len(value), most))


def correlated(value: list[Any], schema: Obj, old: Any) -> Iterator[tuple[Any, Any]]:
    """Each item with what it was before; only the items of a list that is a map can be recognized."""
    keys = schema.get("x-kubernetes-list-map-keys") if schema.get("x-kubernetes-list-type") == "map" else None
    before: dict[str, Any] = {}
    if keys and isinstance(old, list):
        before = {map_key(item, keys, schema): item for item in old if isinstance(item, dict)}
    for item in value:
        known = before.get(map_key(item, keys or [], schema), ABSENT) if isinstance(item, dict) and before else ABSENT
        yield item, known


def map_key(item: Obj, keys: list[str], schema: Obj) -> str:
    """What identifies an item of a list that is a map."""
    properties = (schema.get("items") or {}).get("properties") or {}
    return repr([item.get(key, (properties.get(key) or {}).get("default")) for key in keys])


def _object(result: _Result, value: Obj, schema: Obj, path: str, old: Any) -> None:
    before = old if isinstance(old, dict) else {}
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        text = f"{path} in body should have at least {least} properties"
        result.errors.append(errors.invalid_value(path, len(value), text))
        return
    if most is not None and len(value) > most:
        result.errors.append(errors.too_many(path, len(value), most))
        return
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, inner in value.items():
        shape = properties.get(key, additional if key not in properties else None)
        if isinstance(shape, dict):
            deeper = _Result()
            _value(deeper, inner, shape, child(path, key), before.get(key, ABSENT))
            result.merge(deeper)
        elif additional is False and key not in properties:
            result.errors.append(errors.invalid_value(path, key, f"{child(path, key)} in body is a forbidden property"))
    for key in schema.get("required") or ():
        if key not in value:
            result.errors.append(errors.required(child(path, key)))


_CHECKS: dict[str, Callable[[_Result, Any, Obj, str, Any], None]] = {
    "array": _array,
    "boolean": _scalar,
    "integer": _number,
    "number": _number,
    "object": _object,
    "string": _string,
}


def child(path: str, key: str) -> str:
    """The path of a field."""
    return f"{path}.{key}" if path else key


# Alternatives.


def _combinations(result: _Result, value: Any, schema: Obj, path: str, old: Any) -> None:
    def tried(alternative: Obj) -> _Result:
        made = _Result()
        _value(made, value, alternative, path, ABSENT)
        return made

    if schema.get("anyOf"):
        _any_of(result, [tried(each) for each in schema["anyOf"]], path)
    if schema.get("oneOf"):
        _one_of(result, [tried(each) for each in schema["oneOf"]], path)
    if schema.get("allOf"):
        outcomes = [tried(each) for each in schema["allOf"]]
        for each in outcomes:
            result.merge(each)
        valid = sum(not each.errors for each in outcomes)
        if valid < len(outcomes):
            note = "" if valid else ". None validated"
            _composite(result, f"{quote(path)} must validate all the schemas (allOf){note}")
    if schema.get("not") is not None and not tried(schema["not"]).errors:
        _composite(result, f"{quote(path)} must not validate the schema (not)")


def _composite(result: _Result, text: str) -> None:
    result.errors.append(errors.invalid_value(_NOWHERE, "", text))


def _any_of(result: _Result, outcomes: list[_Result], path: str) -> None:
    if all(each.errors for each in outcomes):
        _composite(result, f"{quote(path)} must validate at least one schema (anyOf)")
        result.merge(max(outcomes, key=lambda each: each.checks))


def _one_of(result: _Result, outcomes: list[_Result], path: str) -> None:
    valid = sum(not each.errors for each in outcomes)
    if valid == 1:
        return
    found = f"Found {valid} valid alternatives" if valid else "Found none valid"
    _composite(result, f"{quote(path)} must validate one and only one schema (oneOf). {found}")
    if not valid:
        result.merge(max(outcomes, key=lambda each: each.checks))
