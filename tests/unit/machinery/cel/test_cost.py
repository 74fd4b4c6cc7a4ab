"""The estimate of what an expression can cost; the figures are those of upstream's own estimate."""

from typing import Any

import pytest

from pynetes.apis.apiextensions.declared import declared
from pynetes.machinery.cel import checker, cost

INTEGER: dict[str, Any] = {"type": "integer"}
STRING: dict[str, Any] = {"type": "string"}


def listed(items: dict[str, Any], **limits: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **limits}


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (listed(INTEGER), "self.all(x, true)", 4718591),
        (listed(INTEGER, maxItems=10), "self.all(x, true)", 32),
        (STRING, "self.contains('test')", 314574),
        ({**STRING, "maxLength": 10}, "self.contains('test')", 5),
        (listed(STRING), "self.all(s, s == 'string constant')", 6291452),
        ({"type": "object", "properties": {"a": INTEGER, "b": INTEGER}}, "self.a <= self.b", 5),
        (
            {"type": "object", "additionalProperties": STRING, "maxProperties": 8},
            "self.all(key, key.matches('^[a-z]+$'))",
            8 * (3 + 1 + 2) + 2,
        ),
        (listed(INTEGER, maxItems=10), "self.all(x, self.all(y, true))", 10 * (3 + 32) + 2),
    ],
)
def test_what_a_rule_can_cost(schema: dict[str, Any], text: str, expected: int) -> None:
    kind = declared(schema)
    assert kind is not None
    assert cost.estimate(checker.check(text, {"self": kind})) == expected
