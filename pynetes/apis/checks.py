"""Collecting validation errors.

`Errors` is a list of field errors with a method for each kind of finding, so that a validator reads as a list of rules:
`errors.required(path)`, `errors.one_of(path, value, ALLOWED)`. Paths are plain strings in upstream's notation
(`spec.containers[0].name`, `data[key]`). A validator takes the collector first and never stops at the first finding.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pynetes.machinery import errors as status_errors
from pynetes.machinery import names, quantity
from pynetes.machinery.errors import FieldError

IMMUTABLE = "field is immutable"
NON_NEGATIVE = "must be greater than or equal to 0"

NameCheck = Callable[[str], list[str]]


class Errors(list[FieldError]):
    """The findings of one validation, in the order they were made."""

    def required(self, path: str, detail: str = "") -> None:
        """The field must be given."""
        self.append(status_errors.required(path, detail))

    def invalid(self, path: str, value: Any, detail: str) -> None:
        """The field's value is wrong, for the reason in `detail`."""
        self.append(status_errors.invalid_value(path, value, detail))

    def unsupported(self, path: str, value: Any, allowed: Iterable[str]) -> None:
        """The field's value is none of `allowed`."""
        self.append(status_errors.not_supported(path, value, list(allowed)))

    def duplicate(self, path: str, value: Any, detail: str = "") -> None:
        """The value occurs twice in a set."""
        self.append(replace(status_errors.duplicate(path, value), detail=detail))

    def forbidden(self, path: str, detail: str) -> None:
        """The field may not be given (or changed) here."""
        self.append(status_errors.forbidden_field(path, detail))

    def not_found(self, path: str, value: Any) -> None:
        """The value refers to something that is not there."""
        self.append(status_errors.field_not_found(path, value))

    def too_long(self, path: str, limit: int) -> None:
        """The text is longer than `limit` bytes."""
        self.append(status_errors.too_long(path, limit))

    def too_many(self, path: str, count: int, limit: int) -> None:
        """The list has more than `limit` entries."""
        self.append(status_errors.too_many(path, count, limit))

    # Rules made of the above; each adds nothing when the value is fine.

    def check(self, path: str, value: Any, messages: Iterable[str]) -> None:
        """One Invalid error for each message of a validator from `names`."""
        for message in messages:
            self.invalid(path, value, message)

    def present(self, path: str, value: Any, detail: str = "") -> bool:
        """Required unless `value` is non-empty; returns whether it is there."""
        if value in (None, "", [], {}):
            self.required(path, detail)
            return False
        return True

    def one_of(self, path: str, value: Any, allowed: Collection[str]) -> bool:
        """Unsupported unless `value` is one of `allowed` (empty counts as unsupported)."""
        if value not in allowed:
            self.unsupported(path, "" if value is None else value, allowed)
            return False
        return True

    def required_one_of(self, path: str, value: Any, allowed: Collection[str]) -> bool:
        """Required when empty, unsupported when not one of `allowed`."""
        return self.present(path, value) and self.one_of(path, value, allowed)

    def non_negative(self, path: str, value: int | None) -> None:
        """Invalid when below zero; None is fine."""
        if value is not None and value < 0:
            self.invalid(path, value, NON_NEGATIVE)

    def in_range(self, path: str, value: int | None, low: int, high: int) -> None:
        """Invalid when outside `low`..`high`; None is fine."""
        if value is not None and not low <= value <= high:
            self.invalid(path, value, f"must be between {low} and {high}, inclusive")

    def port(self, path: str, value: int) -> None:
        """A port number."""
        self.in_range(path, value, 1, 65535)

    def unchanged(self, path: str, new: Any, old: Any, detail: str = IMMUTABLE) -> bool:
        """Invalid when `new` differs from `old`; returns whether they are equal."""
        if new != old:
            self.invalid(path, new, detail)
            return False
        return True

    def name(self, path: str, value: str | None, check: NameCheck) -> None:
        """Required when empty, otherwise what the name validator says."""
        if self.present(path, value):
            self.check(path, value, check(value or ""))


def selector_path(path: str, key: str) -> str:
    """`path[key]`, as upstream writes map keys."""
    return f"{path}[{key}]"


def labels(errors: Errors, values: Mapping[str, str] | None, path: str) -> None:
    """Label keys are qualified names, values are label values."""
    for key, value in (values or {}).items():
        errors.check(path, key, names.qualified_name(key))
        errors.check(path, value, names.label_value(value))


def label_selector(errors: Errors, selector: Mapping[str, Any] | None, path: str) -> None:
    """A `metav1.LabelSelector`."""
    if not selector:
        return
    labels(errors, selector.get("matchLabels"), f"{path}.matchLabels")
    for index, requirement in enumerate(selector.get("matchExpressions") or []):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = requirement.get("operator", ""), requirement.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                errors.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.forbidden(
                    f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                )
        else:
            errors.invalid(f"{where}.operator", operator, "not a valid selector operator")
        key = requirement.get("key", "")
        errors.check(f"{where}.key", key, names.qualified_name(key))
        for position, value in enumerate(values):
            errors.check(f"{where}.values[{position}]", value, names.label_value(value))


def int_or_percent(errors: Errors, value: int | str | None, path: str) -> None:
    """A non-negative number or a percentage such as `25%`."""
    if isinstance(value, str):
        errors.check(path, value, names.percent(value))
    else:
        errors.non_negative(path, value)


def percent_over_100(errors: Errors, value: int | str | None, path: str) -> None:
    """A percentage may not exceed 100%."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+%", value) and int(value[:-1]) > 100:
        errors.invalid(path, value, "must not be greater than 100%")


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """An int-or-percent of `total`, rounded as asked; text that is no percentage counts as 0."""
    if not isinstance(value, str):
        return value or 0
    if not re.fullmatch(r"[0-9]+%", value):
        return 0
    share = int(value[:-1]) * total
    return -(-share // 100) if up else share // 100


def is_negative(text: str | int | float) -> bool:
    """Whether a quantity is below zero."""
    return quantity.milli(str(text)) < 0


def is_zero(value: int | str | None) -> bool:
    """Whether an int-or-percent is none at all."""
    return value in (None, 0, "0%")
