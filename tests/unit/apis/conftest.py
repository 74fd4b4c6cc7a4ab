"""What the pipeline does with an object, without a server: defaults, resets, validation."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from pynetes.apis.registry import strategy_for
from pynetes.apis.strategy import Strategy
from pynetes.machinery import resources

Obj = dict[str, Any]


class Outcome(NamedTuple):
    """The object after a write, and what was found wrong with it."""

    obj: Obj
    errors: list[str]


def strategy(resource: str) -> Strategy:
    return strategy_for(resources.lookup(resource))


def _with_metadata(kind: Strategy, obj: Obj) -> Obj:
    obj = copy.deepcopy(obj)
    metadata = obj.setdefault("metadata", {})
    metadata.setdefault("name", "x")
    if kind.resource.namespaced:
        metadata.setdefault("namespace", "default")
    return obj


@pytest.fixture
def create() -> Callable[[str, Obj], Outcome]:
    """`create("pods", obj)`: what a POST makes of an object."""

    def run(resource: str, obj: Obj) -> Outcome:
        kind = strategy(resource)
        obj = _with_metadata(kind, obj)
        kind.default(obj)
        obj["metadata"].setdefault("uid", "u-1")
        kind.prepare_create(obj)
        return Outcome(obj, [str(error) for error in kind.validate(obj)])

    return run


@pytest.fixture
def update() -> Callable[..., Outcome]:
    """`update("pods", stored, change, subresource="")`: what a PUT of a changed copy makes of a stored object."""

    def run(resource: str, old: Obj, change: Callable[[Obj], Any], subresource: str = "") -> Outcome:
        kind = strategy(resource)
        old = copy.deepcopy(old)
        old["metadata"].setdefault("resourceVersion", "1")
        new = copy.deepcopy(old)
        change(new)
        kind.default(new)
        if subresource == "status":
            kind.prepare_status_update(new, old)
            found = kind.validate_status_update(new, old)
        elif subresource:
            kind.prepare_subresource_update(subresource, new, old)
            found = kind.validate_subresource_update(subresource, new, old)
        else:
            kind.prepare_update(new, old)
            found = kind.validate_update(new, old)
        return Outcome(new, [str(error) for error in found])

    return run
