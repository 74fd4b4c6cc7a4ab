"""Validation rules of custom resources in CEL (`x-kubernetes-validations`, KEP-2876).

A rule stands at a place in the schema and sees the value there as `self`, typed as the schema says: timestamps,
durations and bytes by their format, numbers as doubles, only the fields that the schema names. A rule that speaks of
`oldSelf` holds for changes: it is tried only where the old value can be recognized (not inside lists that are no
maps). What did not change is not judged again, but by rules about changes.
"""

import base64
import binascii
import functools
import re
from collections.abc import Iterator
from typing import Any

from pynetes.apis.apiextensions.values import ABSENT, child, correlated
from pynetes.machinery import cel, errors
from pynetes.machinery.cel import checker, cost, types
from pynetes.machinery.cel.types import Type
from pynetes.machinery.cel.values import NONE, Optional, to_duration, to_timestamp
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

RULES = "x-kubernetes-validations"
_OLD = re.compile(r"\boldSelf\b")
_NOWHERE = "<nil>"
_SKIPPED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
# Findings after which rules are not tried: the value may not be what they take it for.
BLOCKING = frozenset(f"FieldValue{kind}" for kind in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"))
_MESSAGE_LIMIT = 5 * 1024
OBJECT_BUDGET = 10_000_000
"""What judging one object may cost."""
_NO_FURTHER = "no further validation rules will be run"
# What a rule computes: (field, its type, what is said if it does not compile, and if it is of another type).
_EXPRESSIONS = (
    ("rule", "bool", "compilation failed", "cel expression must evaluate to a bool"),
    (
        "messageExpression",
        "string",
        "messageExpression compilation failed",
        "messageExpression must evaluate to a string",
    ),
)


@functools.lru_cache(maxsize=4096)
def compiled(text: str) -> cel.Program:
    """The program of a rule or of its message."""
    return cel.compile(text, {"self", "oldSelf"})


def compile_errors(
    rule: Obj, path: str, declared: Type | None = None, costs: dict[str, int] | None = None
) -> list[FieldError]:
    """What does not compile in a rule of a schema whose values are of the declared type.

    What each expression may cost is noted in `costs`, by the rule's field.
    """
    found = []
    kind = declared or types.DYN
    names = {"self": kind, "oldSelf": types.optional_of(kind) if rule.get("optionalOldSelf") else kind}
    for field, wanted, failed, mistyped in _EXPRESSIONS:
        text = rule.get(field) or ""
        if not text.strip():
            continue
        try:
            checked = checker.check(text, names)
            compiled(text)
        except cel.CelError as error:
            found.append(errors.invalid_value(f"{path}.{field}", text, f"{failed}: {error}"))
            continue
        if checked.type.name != wanted and not (declared is None and checked.type.name == "dyn"):
            found.append(errors.invalid_value(f"{path}.{field}", text, mistyped))
        elif costs is not None and declared is not None:
            costs[field] = cost.estimate(checked)
    if rule.get("optionalOldSelf") is not None and not is_about_change(rule):
        detail = "may not be set if oldSelf is not used in rule"
        found.append(errors.invalid_value(f"{path}.optionalOldSelf", rule["optionalOldSelf"], detail))
    return found


def is_about_change(rule: Obj) -> bool:
    """Whether a rule compares with what was before."""
    return _OLD.search(rule.get("rule") or "") is not None


def has_rules(schema: Any) -> bool:
    """Whether there is a rule anywhere in a schema."""
    if isinstance(schema, dict):
        return bool(schema.get(RULES)) or any(has_rules(inner) for inner in schema.values())
    return isinstance(schema, list) and any(map(has_rules, schema))


def skipped() -> FieldError:
    """What is said when a value was so wrong already that its rules were not tried."""
    return errors.invalid_value(_NOWHERE, None, _SKIPPED)


def findings(obj: Obj, schema: Obj, old: Any = ABSENT) -> list[FieldError]:
    """Every rule that a whole custom resource breaks, up to where judging costs too much."""
    found: list[FieldError] = []
    for each in _walk(obj, old, schema, "", [OBJECT_BUDGET], is_resource=True):
        found.append(each)
        if _NO_FURTHER in each.detail:
            break
    return found


def _walk(
    value: Any, old: Any, schema: Obj, path: str, budget: list[int], *, is_resource: bool = False
) -> Iterator[FieldError]:
    if value is None:
        return
    rules = schema.get(RULES) or ()
    if rules:
        yield from _judge(value, old, schema, path, rules, budget, is_resource=is_resource)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, inner in value.items():
            shape = properties.get(key, additional)
            if isinstance(shape, dict) and not (is_resource and key in ("apiVersion", "kind", "metadata")):
                where = child(path, key) if key in properties else f"{path}[{key}]"
                embedded = bool(shape.get("x-kubernetes-embedded-resource"))
                yield from _walk(inner, before.get(key, ABSENT), shape, where, budget, is_resource=embedded)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        shape = schema["items"]
        for index, (item, known) in enumerate(correlated(value, schema, old)):
            embedded = bool(shape.get("x-kubernetes-embedded-resource"))
            yield from _walk(item, known, shape, f"{path}[{index}]", budget, is_resource=embedded)


def _judge(
    value: Any, old: Any, schema: Obj, path: str, rules: Any, budget: list[int], *, is_resource: bool
) -> Iterator[FieldError]:
    bindings: Obj = {"self": typed(value, schema, is_resource=is_resource), "oldSelf": None}
    known = old is not ABSENT and old is not None
    before = typed(old, schema, is_resource=is_resource) if known else None
    kind = schema.get("type") or ""
    where = path or _NOWHERE
    for rule in rules:
        text = rule.get("rule") or ""
        about_change = bool(_OLD.search(text))
        optional = about_change and bool(rule.get("optionalOldSelf"))
        if (about_change and not known and not optional) or (not about_change and known and old == value):
            continue
        bindings["oldSelf"] = (Optional(before) if known else NONE) if optional else before
        try:
            holds = compiled(text).metered(bindings, budget) is True
        except cel.CelError as error:
            yield errors.invalid_value(where, kind, _failure(error, text))
            continue
        if budget[0] < 0:
            said = f"validation failed due to running out of cost budget, {_NO_FURTHER}"
            yield errors.invalid_value(where, kind, said)
        if not holds:
            yield _finding(rule, bindings, where, kind)


def _failure(error: cel.CelError, text: str) -> str:
    said = str(error)
    if said.startswith("no such overload"):
        return (
            f"'{said}': call arguments did not match a supported operator, function or macro signature for rule: {text}"
        )
    if said.startswith("operation cancelled"):
        return f"'{said}': {_NO_FURTHER} due to call cost exceeds limit for rule: {text}"
    return f"{said} evaluating rule: {text}"


def _finding(rule: Obj, bindings: Obj, where: str, kind: str) -> FieldError:
    message = _message(rule, bindings)
    field_path = rule.get("fieldPath") or ""
    if field_path:
        below = re.sub(r"\['((?:[^'\\]|\\.)*)'\]", r"[\1]", field_path)
        where = below.lstrip(".") if where == _NOWHERE else f"{where}{below}"
    match rule.get("reason"):
        case "FieldValueForbidden":
            return errors.forbidden_field(where, message)
        case "FieldValueRequired":
            return errors.required(where, message)
        case "FieldValueDuplicate":
            return FieldError("FieldValueDuplicate", where, "", kind)
    return errors.invalid_value(where, kind, message)


def _message(rule: Obj, bindings: Obj) -> str:
    fallback = (rule.get("message") or "").strip() or f"failed rule: {(rule.get('rule') or '').strip()}"
    expression = rule.get("messageExpression")
    if not expression:
        return fallback
    try:
        made = compiled(expression).evaluate(bindings)
    except cel.CelError:
        return fallback
    fits = isinstance(made, str) and made.strip() and "\n" not in made and len(made) <= _MESSAGE_LIMIT
    return made.strip() if fits else fallback


# Values as the schema types them.


def typed(value: Any, schema: Obj, *, is_resource: bool = False) -> Any:
    """A JSON value as rules see it."""
    if value is None or schema.get("x-kubernetes-int-or-string"):
        return value
    if isinstance(value, dict):
        return _typed_object(value, schema, is_resource=is_resource)
    if isinstance(value, list):
        items = schema.get("items")
        return [typed(item, items) for item in value] if isinstance(items, dict) else value
    if schema.get("type") == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if schema.get("type") == "string" and isinstance(value, str):
        return _typed_string(value, schema.get("format") or "")
    return value


def _typed_object(value: Obj, schema: Obj, *, is_resource: bool) -> Obj:
    properties, additional = schema.get("properties"), schema.get("additionalProperties")
    if not properties and not isinstance(additional, dict) and not is_resource:
        return value
    found: Obj = {}
    if is_resource or schema.get("x-kubernetes-embedded-resource"):
        metadata = value.get("metadata") or {}
        found = {field: value[field] for field in ("apiVersion", "kind") if field in value}
        found["metadata"] = {field: metadata[field] for field in ("name", "generateName") if field in metadata}
    for key, inner in value.items():
        if key in found:
            continue
        shape = (properties or {}).get(key, additional)
        if isinstance(shape, dict):
            found[key] = typed(inner, shape)
    return found


def _typed_string(value: str, form: str) -> Any:
    try:
        match form:
            case "date-time":
                return to_timestamp(value)
            case "date":
                return to_timestamp(f"{value}T00:00:00Z")
            case "duration":
                return to_duration(value)
            case "byte":
                return base64.b64decode(value, validate=True)
    except (cel.CelError, binascii.Error):
        return value  # the schema's own check says what is wrong with it
    return value
