"""YAML as the API server reads it."""

from typing import Any

import pytest

from pynetes.machinery import yaml_body


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("yes", True),
        ("off", False),
        ('"yes"', "yes"),
        ("0644", 420),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("-12", -12),
        ("1_000", 1000),
        ("089", 89),
        ("1e3", 1000),
        ("1.5", 1.5),
        (".5", 0.5),
        ("12:30", "12:30"),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("~", None),
        ("", None),
        ("null", None),
        ("1.2.3", "1.2.3"),
        ("100m", "100m"),
        ("!!str 5", "5"),
        ("'5'", "5"),
    ],
)
def test_scalars_are_resolved_as_upstream_does(scalar: str, value: Any) -> None:
    assert yaml_body.parse(f"a: {scalar}\n") == ({"a": value}, [])


def test_keys_are_texts() -> None:
    assert yaml_body.parse("1: a\ntrue: b\nnull: c\n1.5: d\n")[0] == {"1": "a", "true": "b", "null": "c", "1.5": "d"}


def test_a_key_given_twice_is_the_last_and_is_reported() -> None:
    value, duplicates = yaml_body.parse("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert value == {"a": 3, "b": {"c": 2}}
    assert duplicates == ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']


def test_anchors_and_merges() -> None:
    assert yaml_body.parse("x: &x {a: 1, b: 2}\nw:\n  <<: *x\n  b: 3\nz:\n  <<: [*x, {c: 4}]\n")[0] == {
        "x": {"a": 1, "b": 2},
        "w": {"a": 1, "b": 3},
        "z": {"a": 1, "b": 2, "c": 4},
    }


def test_malformed_documents_are_refused_with_their_line() -> None:
    with pytest.raises(yaml_body.YamlError) as caught:
        yaml_body.parse("a: b\nc: d: e\n")
    assert str(caught.value) == (
        "error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context"
    )


def test_streams_of_documents() -> None:
    assert list(yaml_body.documents("a: 1\n---\n---\n# nothing\n---\nb: 2\n")) == [{"a": 1}, {"b": 2}]
    assert yaml_body.parse("")[0] is None


def test_a_bomb_of_aliases_is_refused() -> None:
    levels = "".join(f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 10)}]\n" for n in range(12))
    with pytest.raises(yaml_body.YamlError, match="excessive aliasing"):
        yaml_body.parse(f"l0: &l0 [x]\n{levels}")


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "? "])
@pytest.mark.parametrize("depth", [1_000, 200_000])
def test_bottomless_nesting_is_refused_and_does_not_crash(opener: str, depth: int) -> None:
    with pytest.raises(yaml_body.YamlError, match="max depth"):
        yaml_body.parse(opener * depth + "x")


def test_bottomless_blocks_are_refused() -> None:
    with pytest.raises(yaml_body.YamlError, match="max depth"):
        yaml_body.parse("".join(f"{' ' * depth}a:\n" for depth in range(1_500)))


def test_long_documents_are_not_deep_ones() -> None:
    text = "".join(f"- {{name: n{number}, list: [1, 2]}}\n" for number in range(2_000))
    assert len(yaml_body.parse(text)[0]) == 2_000
