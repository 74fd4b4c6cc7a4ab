"""Values against schemas: validation, pruning, defaulting, JSON paths."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.apis.apiextensions import formats, go_forms, json_path, shape, values
from pynetes.machinery import go_regexp
from pynetes.machinery.meta import Obj

TEXT: Obj = {"type": "string"}


def faults(value: Any, schema: Obj, old: Any = values.ABSENT) -> list[str]:
    return [str(each) for each in values.findings(value, schema, "f", old)]


def must_be(kind: str, actual: str) -> str:
    return f'f: Invalid value: "{actual}": f in body must be of type {kind}: "{actual}"'


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (1, TEXT, [must_be("string", "integer")]),
        (None, TEXT, [must_be("string", "null")]),
        (None, TEXT | {"nullable": True}, []),
        (True, {"type": "integer"}, [must_be("integer", "boolean")]),
        (1.0, {"type": "integer"}, []),
        (1.5, {"type": "integer"}, [must_be("integer", "number")]),
        (1, {"type": "number"}, []),
        ("1", {"x-kubernetes-int-or-string": True}, []),
        ([], {"x-kubernetes-int-or-string": True}, [must_be("integer,string", "array")]),
        ("ab", TEXT | {"minLength": 3}, ['f: Invalid value: "ab": f in body should be at least 3 chars long']),
        ("äö", TEXT | {"maxLength": 2}, []),
        ("abc", TEXT | {"maxLength": 2}, ["f: Too long: may not be more than 2 bytes"]),
        ("b", TEXT | {"pattern": "^a"}, ["f: Invalid value: \"b\": f in body should match '^a'"]),
        (
            5,
            {"type": "integer", "exclusiveMinimum": True, "minimum": 5},
            ["f: Invalid value: 5: f in body should be greater than 5"],
        ),
        (
            1.5,
            {"type": "number", "maximum": 1},
            ["f: Invalid value: 1.5: f in body should be less than or equal to 1"],
        ),
        (3, {"type": "integer", "multipleOf": 2}, ["f: Invalid value: 3: f in body should be a multiple of 2"]),
        ([], {"type": "array", "minItems": 1}, ["f: Invalid value: 0: f in body should have at least 1 items"]),
        ([1, 2], {"type": "array", "maxItems": 1}, ["f: Too many: 2: must have at most 1 items"]),
        (
            {},
            {"type": "object", "minProperties": 1},
            ["f: Invalid value: 0: f in body should have at least 1 properties"],
        ),
        ({"a": 1}, {"type": "object", "required": ["a", "b"]}, ["f.b: Required value"]),
        (
            {"a": 1},
            {"type": "object", "additionalProperties": TEXT},
            ['f.a: Invalid value: "integer": f.a in body must be of type string: "integer"'],
        ),
        (
            [{"a": 1}],
            {"type": "array", "items": {"type": "object", "properties": {"a": TEXT}}},
            ['f[0].a: Invalid value: "integer": f[0].a in body must be of type string: "integer"'],
        ),
        ("c", TEXT | {"enum": ["a", "b"]}, ['f: Unsupported value: "c": supported values: "a", "b"']),
        (3, {"type": "integer", "enum": [1, 2]}, ['f: Unsupported value: 3: supported values: "1", "2"']),
        (
            "x",
            TEXT | {"format": "date-time"},
            ['f: Invalid value: "x": f in body must be of type date-time: "x"'],
        ),
        ("x", TEXT | {"format": "of-mine"}, []),
    ],
)
def test_findings(value: Any, schema: Obj, expected: list[str]) -> None:
    assert faults(value, schema) == expected


def test_alternatives() -> None:
    either: Obj = {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert faults({"b": 1}, either) == []
    assert faults({}, either) == [
        '<nil>: Invalid value: "": "f" must validate at least one schema (anyOf)',
        "f.a: Required value",
    ]
    one: Obj = {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert faults({"a": 1, "b": 1}, one) == [
        '<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives'
    ]
    assert faults({}, one)[0].endswith("(oneOf). Found none valid")
    assert faults({"a": 1}, {"type": "object", "not": {"required": ["a"]}}) == [
        '<nil>: Invalid value: "": "f" must not validate the schema (not)'
    ]
    both: Obj = {"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^a"}]}
    assert (
        faults("b", both)[-1] == '<nil>: Invalid value: "": "f" must validate all the schemas (allOf). None validated'
    )


def test_what_did_not_change_is_not_judged_again() -> None:
    schema: Obj = {"type": "object", "properties": {"a": TEXT | {"maxLength": 1}, "b": TEXT | {"maxLength": 1}}}
    assert faults({"a": "long", "b": "x"}, schema, {"a": "long", "b": "y"}) == []
    assert faults({"a": "long", "b": "xx"}, schema, {"a": "long", "b": "y"}) == [
        "f.b: Too long: may not be more than 1 bytes"
    ]


def test_items_of_a_map_are_recognized_by_their_keys() -> None:
    item: Obj = {"type": "object", "properties": {"k": TEXT, "v": TEXT | {"maxLength": 1}}}
    schema: Obj = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    old = [{"k": "a", "v": "long"}]
    assert faults([{"k": "b", "v": "x"}, {"k": "a", "v": "long"}], schema, old) == []
    assert faults([{"k": "b", "v": "long"}], schema, old) == ["f[0].v: Too long: may not be more than 1 bytes"]


@pytest.mark.parametrize(
    ("value", "schema", "left", "dropped"),
    [
        ({"a": 1, "b": 2}, {"properties": {"a": {}}}, {"a": 1}, ["b"]),
        ({"a": {"x": 1}}, {"properties": {"a": {"type": "object"}}}, {"a": {}}, ["a.x"]),
        ({"a": {"x": 1}}, {"x-kubernetes-preserve-unknown-fields": True}, {"a": {"x": 1}}, []),
        (
            {"a": {"x": 1}, "b": 1},
            {"x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "object"}}},
            {"a": {}, "b": 1},
            ["a.x"],
        ),
        ({"a": [{"x": 1, "y": 2}]}, {"properties": {"a": {"items": {"properties": {"x": {}}}}}}, {"a": [{"x": 1}]},
         ["a[0].y"]),
        ({"k": {"x": 1}}, {"additionalProperties": {"properties": {}}}, {"k": {}}, ["k.x"]),
        (
            {"e": {"kind": "K", "apiVersion": "v1", "metadata": {"name": "n"}, "x": 1}},
            {"properties": {"e": {"type": "object", "x-kubernetes-embedded-resource": True}}},
            {"e": {"kind": "K", "apiVersion": "v1", "metadata": {"name": "n"}}},
            ["e.x"],
        ),
    ],
)  # fmt: skip
def test_pruning(value: Obj, schema: Obj, left: Obj, dropped: list[str]) -> None:
    assert shape.prune(value, schema) == dropped
    assert value == left


def test_defaults_stand_where_nothing_does() -> None:
    inner: Obj = {"type": "object", "properties": {"b": TEXT | {"default": "x"}}}
    schema: Obj = {"properties": {"a": inner | {"default": {}}, "l": {"items": inner}, "n": TEXT | {"default": "d"}}}
    value: Obj = {"l": [{}], "n": None}
    shape.default(value, schema)
    assert value == {"a": {"b": "x"}, "l": [{"b": "x"}], "n": "d"}
    made: Obj = {"n": None}
    shape.default(made, {"properties": {"n": TEXT | {"default": "d", "nullable": True}}})
    assert made == {"n": None}


def test_nulls_without_a_place_go() -> None:
    value: Obj = {"a": None, "b": None}
    shape.drop_nulls(value, {"properties": {"a": TEXT, "b": TEXT | {"nullable": True}}})
    assert value == {"b": None}


@pytest.mark.parametrize(
    ("value", "kind", "keys", "expected"),
    [
        (["a", "b", "a"], "set", [], ['f[2]: Duplicate value: "a"']),
        ([{"k": 1, "v": 1}, {"k": 1, "v": 2}], "map", ["k"], ['f[1]: Duplicate value: {"k":1}']),
        (["a", "a"], "atomic", [], []),
    ],
)
def test_sets_and_maps_repeat_nothing(value: Any, kind: str, keys: list[str], expected: list[str]) -> None:
    schema = {"x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": keys, "items": {}}
    assert [str(each) for each in shape.repeated(value, schema, "f")] == expected


OBJECT: Obj = {
    "spec": {"list": [{"n": 1, "type": "a"}, {"n": 2, "type": "b"}], "a.b": {"c": 3}, "text": "t"},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.text", ["t"]),
        (".spec.none", []),
        (".spec.list[0].n", [1]),
        (".spec.list[-1].n", [2]),
        (".spec.list[*].n", [1, 2]),
        (".spec.list[0:1].n", [1]),
        (".spec['a.b'].c", [3]),
        (r".spec.a\.b.c", [3]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".spec.list[?(@.n>1)].type", ["b"]),
        ("..n", [1, 2]),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    assert json_path.find(OBJECT, path) == found


@given(st.text())
def test_a_json_path_is_followed_or_refused(path: str) -> None:
    with contextlib.suppress(ValueError):
        json_path.find(OBJECT, path)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^a$", "a\n", False),
        (r"^[[:alpha:]]+$", "abc", True),
        (r"^[[:alpha:]]+$", "ab1", False),
        (r"^\d+\z", "12", True),
        (r"^\d+$", "\u0661", False),
        (r"\Qa.b\E", "a.b", True),
        (r"\Qa.b\E", "axb", False),
        (r"^[]a]+$", "a]", True),
    ],
)
def test_patterns_are_re2s(pattern: str, text: str, matches: bool) -> None:
    assert bool(go_regexp.compile(pattern).search(text)) is matches


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "[z-a]"])
def test_what_re2_does_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(re.error):
        go_regexp.compile(pattern)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(5, "5"), (1000000, "1000000"), (0.5, "0.5"), (100000.0, "100000"), (1000000.0, "1e+06"),
     (1234567.5, "1.2345675e+06"), (-2e-7, "-2e-07"), (0.0, "0")],
)  # fmt: skip
def test_numbers_are_written_as_go_does(value: float, shown: str) -> None:
    assert go_forms.number(value) == shown


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date", "2026-01-02", "2026-13-02"),
        ("date-time", "2026-01-02T03:04:05Z", "2026-01-02"),
        ("duration", "1h30m", "soon"),
        ("email", "a@example.com", "a"),
        ("hostname", "a.example.com", "a_b"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("uri", "https://example.com", "not a uri"),
        ("byte", "YWJj", "%"),
        ("mac", "00:11:22:33:44:55", "00:11"),
    ],
)
def test_formats(form: str, good: str, bad: str) -> None:
    assert formats.fits(form, good)
    assert not formats.fits(form, bad)
