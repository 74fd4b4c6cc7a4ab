"""Any well-typed object gets an answer: no defaults, rules, warnings, cells or versions trip over what is missing.

Objects are drawn from the published definitions, so a field that no other test thinks of is thought of here. Whatever
the client sends, the outcome is an object or a list of findings, never an exception.
"""

import copy
import random
from typing import Any

import pytest

from pynetes.apis import versions
from pynetes.apis.registry import strategy_for
from pynetes.machinery import errors, resources, scheme
from pynetes.machinery.resources import ResourceType
from pynetes.machinery.schema import Field, Schema

TEXTS = (
    "",
    "a",
    "A b",
    "web-1",
    "None",
    "Always",
    "TCP",
    "10.0.0.1",
    "10.0.0.0/8",
    "a.b/c",
    "/x",
    "25%",
    "*",
    "x" * 70,
)
QUANTITIES = ("0", "1", "500m", "-1", "2Gi", "1e3", "0.5")
TIMES = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z")
NUMBERS = (-1, 0, 1, 2, 80, 65536, 2**31 - 1)
OBJECTS_PER_KIND = 60
DEPTH = 9
STORED = [rt for rt in resources.BUILTIN if "get" in rt.verbs]


def draw(field: Field, chance: random.Random, depth: int) -> Any:
    """A random value of the field's type."""
    kind = field.type
    if kind == "object":
        return fill(field.schema, chance, depth - 1) if field.schema is not None and depth > 0 else {}
    if kind == "array":
        count = chance.choice((0, 1, 1, 2))
        return [draw(_inner(field), chance, depth - 1) for _ in range(count)] if depth > 0 else []
    if kind == "map":
        return {chance.choice(TEXTS): draw(_inner(field), chance, depth - 1) for _ in range(chance.choice((0, 1, 2)))}
    if kind == "boolean":
        return chance.random() < 0.5
    if kind in ("integer", "number"):
        return chance.choice(NUMBERS)
    if kind == "int-or-string":
        return chance.choice((*NUMBERS, *TEXTS))
    if kind == "quantity":
        return chance.choice(QUANTITIES)
    if kind == "time":
        return TIMES[1] if field.format == "micro-time" else TIMES[0]
    if kind == "any":
        return chance.choice(({}, {"a": 1}))
    return chance.choice(("", "YQ==")) if field.format == "byte" else chance.choice(TEXTS)


def _inner(field: Field) -> Field:
    if field.item is not None:
        return field.item
    return Field("object", ref=field.ref)


def fill(schema: Schema, chance: random.Random, depth: int) -> dict[str, Any]:
    """A random object: each field is there or not; near the root more often, so that the depths are reached."""
    share = 0.7 if depth > DEPTH - 3 else 0.35
    return {name: draw(field, chance, depth) for name, field in schema.fields.items() if chance.random() < share}


def sample(rt: ResourceType, seed: int) -> dict[str, Any]:
    """A random object of a kind, as the server would have decoded it; skips what no decoder would let through."""
    chance = random.Random(f"{rt.group_resource}/{rt.version}/{seed}")
    definition = scheme.definition_of(rt.api_version, rt.kind)
    assert definition is not None
    obj = fill(scheme.schema(definition), chance, DEPTH)
    metadata = {"name": chance.choice(TEXTS), "labels": {"a": "b"}} | (
        {"namespace": "default"} if rt.namespaced else {}
    )
    try:
        return scheme.convert(rt, obj | {"apiVersion": rt.api_version, "kind": rt.kind, "metadata": metadata})
    except errors.StatusError:
        return {"apiVersion": rt.api_version, "kind": rt.kind, "metadata": metadata}


@pytest.mark.parametrize("rt", STORED, ids=lambda rt: f"{rt.group_resource}/{rt.version}")
def test_any_object_gets_an_answer(rt: ResourceType) -> None:
    kind = strategy_for(rt)
    drawn = 0
    for seed in range(OBJECTS_PER_KIND):
        obj = sample(rt, seed)
        drawn += len(obj) > 3
        kind.row(copy.deepcopy(obj))
        kind.default(obj)
        obj["metadata"]["uid"] = "u"
        created = copy.deepcopy(obj)
        kind.prepare_create(created)
        kind.warnings(created)
        kind.fields(created)
        str([str(finding) for finding in kind.validate(created)])
        kind.row(created)
        kind.graceful_delete(created, None)
        kind.mark_deleting(copy.deepcopy(created))
        created["metadata"]["resourceVersion"] = "1"
        other = sample(rt, seed + 1)
        kind.default(other)
        for subresource in ("", "status", "ephemeralcontainers", "resize", "finalize", "approval"):
            new = copy.deepcopy(other)
            if subresource == "status":
                kind.prepare_status_update(new, created)
                findings = kind.validate_status_update(new, created)
            elif subresource:
                kind.prepare_subresource_update(subresource, new, created)
                findings = kind.validate_subresource_update(subresource, new, created)
            else:
                kind.prepare_update(new, created)
                findings = kind.validate_update(new, created)
            str([str(finding) for finding in findings])
        there = versions.convert(created, versions.hub(rt).api_version)
        versions.convert(there, rt.api_version)
    assert drawn or rt.plural in ("bindings",)
