"""Validation rules of custom resources, against a schema and a value."""

from typing import Any

import pytest

from pynetes.apis.apiextensions import expressions
from pynetes.apis.apiextensions.values import ABSENT

Schema = dict[str, Any]


def rule(text: str, **more: Any) -> dict[str, Any]:
    return {"rule": text, **more}


def schema(spec: Schema, *rules: dict[str, Any]) -> Schema:
    return {
        "type": "object",
        "properties": {"spec": {"type": "object", **spec}},
        "x-kubernetes-validations": list(rules),
    }


def said(shape: Schema, spec: Any, old: Any = ABSENT) -> list[str]:
    head = {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n", "labels": {"a": "b"}}}
    before = {**head, "spec": old} if old is not ABSENT else ABSENT
    return [str(error) for error in expressions.findings({**head, "spec": spec}, shape, before)]


REPLICAS = {"properties": {"min": {"type": "integer"}, "max": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, 'spec: Invalid value: "object": failed rule: self.min <= self.max'),
        ({"message": "min is too large"}, 'spec: Invalid value: "object": min is too large'),
        (
            {"messageExpression": "'%d > %d'.format([self.min, self.max])", "message": "x"},
            'spec: Invalid value: "object": 5 > 3',
        ),
        ({"messageExpression": "self.nothing", "message": "x"}, 'spec: Invalid value: "object": x'),
        ({"fieldPath": ".min"}, 'spec.min: Invalid value: "object": failed rule: self.min <= self.max'),
        ({"reason": "FieldValueForbidden", "message": "no"}, "spec: Forbidden: no"),
        ({"reason": "FieldValueRequired", "message": "yes"}, "spec: Required value: yes"),
        ({"reason": "FieldValueDuplicate"}, 'spec: Duplicate value: "object"'),
    ],
)
def test_a_broken_rule_is_told_as_it_asks(more: dict[str, Any], message: str) -> None:
    shape = schema({**REPLICAS, "x-kubernetes-validations": [rule("self.min <= self.max", **more)]})
    assert said(shape, {"min": 5, "max": 3}) == [message]
    assert said(shape, {"min": 1, "max": 3}) == []


def test_rules_hold_at_the_root_in_items_and_in_maps() -> None:
    positive = {"type": "integer", "x-kubernetes-validations": [rule("self > 0", message="positive")]}
    shape = schema(
        {
            "properties": {
                "list": {"type": "array", "items": positive},
                "map": {"type": "object", "additionalProperties": positive},
            }
        },
        rule("self.metadata.name == 'n' && !has(self.metadata.labels) && self.kind == 'K'"),
        rule("self.spec.list.size() < 3", message="short"),
    )
    assert said(shape, {"list": [1, -1, 2], "map": {"a": 1, "b": -2}}) == [
        '<nil>: Invalid value: "object": short',
        'spec.list[1]: Invalid value: "integer": positive',
        'spec.map[b]: Invalid value: "integer": positive',
    ]


def test_a_rule_that_fails_says_what_went_wrong() -> None:
    shape = schema({**REPLICAS, "x-kubernetes-validations": [rule("self.min > 0"), rule("self.max / 0 == 1")]})
    assert said(shape, {"max": 1}) == [
        'spec: Invalid value: "object": no such key: min evaluating rule: self.min > 0',
        'spec: Invalid value: "object": division by zero evaluating rule: self.max / 0 == 1',
    ]


def test_values_are_typed_by_the_schema() -> None:
    shape = schema(
        {
            "properties": {
                "at": {"type": "string", "format": "date-time"},
                "for": {"type": "string", "format": "duration"},
                "raw": {"type": "string", "format": "byte"},
                "ratio": {"type": "number"},
                "port": {"x-kubernetes-int-or-string": True},
                "in": {"type": "string"},
                "x-y.z/w": {"type": "string"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
            "x-kubernetes-validations": [
                rule("self.at + self.__for__ == timestamp('2026-01-01T01:00:00Z') && self.raw == b'hi'"),
                rule("self.ratio / 2.0 == 1.5 && (type(self.port) == int ? self.port > 0 : self.port == 'http')"),
                rule("self.__in__ == 'a' && self.x__dash__y__dot__z__slash__w == 'b' && self.free.any == 1"),
            ],
        }
    )
    value = {
        "at": "2026-01-01T00:00:00Z",
        "for": "1h",
        "raw": "aGk=",
        "ratio": 3,
        "port": "http",
        "in": "a",
        "x-y.z/w": "b",
        "free": {"any": 1},
    }
    assert said(shape, value) == []


def test_rules_about_changes_are_tried_only_on_changes() -> None:
    shape = schema({**REPLICAS, "x-kubernetes-validations": [rule("self.min >= oldSelf.min", message="only up")]})
    assert said(shape, {"min": 1}) == []
    assert said(shape, {"min": 1}, {"min": 2}) == ['spec: Invalid value: "object": only up']
    assert said(shape, {"min": 3}, {"min": 2}) == []


def test_an_optional_old_value_is_there_or_not() -> None:
    text = "oldSelf.hasValue() || self.min == 1"
    shape = schema({**REPLICAS, "x-kubernetes-validations": [rule(text, optionalOldSelf=True, message="begin with 1")]})
    assert said(shape, {"min": 2}) == ['spec: Invalid value: "object": begin with 1']
    assert said(shape, {"min": 2}, {"min": 1}) == []


def test_items_are_recognized_only_in_lists_that_are_maps() -> None:
    item = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
        "x-kubernetes-validations": [rule("self.size >= oldSelf.size", message="no shrinking")],
    }
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    old = {"l": [{"name": "a", "size": 5}, {"name": "b", "size": 5}]}
    new = {"l": [{"name": "b", "size": 4}, {"name": "c", "size": 1}, {"name": "a", "size": 6}]}
    as_map = schema({"properties": {"l": {"type": "array", "items": item, **keyed}}})
    assert said(as_map, new, old) == ['spec.l[0]: Invalid value: "object": no shrinking']
    assert said(schema({"properties": {"l": {"type": "array", "items": item}}}), new, old) == []


def test_what_did_not_change_is_not_judged_again() -> None:
    shape = schema({"properties": {"a": {"type": "integer", "x-kubernetes-validations": [rule("self > 5")]}, "b": {}}})
    assert said(shape, {"a": 1, "b": 2}, {"a": 1, "b": 1}) == []
    assert len(said(shape, {"a": 2, "b": 2}, {"a": 1, "b": 1})) == 1


def test_a_rule_that_does_not_compile_is_found_in_the_schema() -> None:
    found = [str(error) for error in expressions.compile_errors(rule("self.x >", messageExpression="nope"), "p")]
    assert found[0].startswith(
        'p.rule: Invalid value: "self.x >": compilation failed: ERROR: <input>:1:9: Syntax error'
    )
    assert "undeclared reference to 'nope'" in found[1]


def test_a_rule_that_costs_too_much_ends_the_judgement() -> None:
    loop = "self.l.all(x, self.l.all(y, self.l[x] == self.l[y]))"
    shape = schema({"properties": {"l": {"type": "array", "items": {"type": "integer"}}}})
    shape["properties"]["spec"]["x-kubernetes-validations"] = [rule(loop), rule("false")]
    assert said(shape, {"l": [0] * 500}) == [
        "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': "
        f"no further validation rules will be run due to call cost exceeds limit for rule: {loop}"
    ]


def test_all_rules_of_an_object_have_a_budget_together() -> None:
    loop = rule("self.l.all(x, self.l.all(y, x == y))")
    shape = schema({"properties": {"l": {"type": "array", "items": {"type": "integer"}}}})
    shape["properties"]["spec"]["x-kubernetes-validations"] = [loop] * 20
    assert said(shape, {"l": [0] * 350}) == [
        'spec: Invalid value: "object": validation failed due to running out of cost budget, '
        "no further validation rules will be run"
    ]
