"""What the tests of kinds share: an object goes through its strategy as the request pipeline takes it."""

import copy
from typing import Any

from pynetes.apis.registry import strategy_for
from pynetes.apis.strategy import Strategy
from pynetes.machinery import resources
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

CREATED = "2026-01-02T03:04:05Z"


def strategy(resource: str) -> Strategy:
    """The strategy of `deployments.apps`."""
    found = resources.lookup(resource)
    assert found is not None, resource
    return strategy_for(found)


def defaulted(kind: Strategy, obj: Obj) -> Obj:
    """The object with its defaults; the argument stays as it was."""
    made = copy.deepcopy(obj)
    kind.default(made)
    return made


def stored(kind: Strategy, obj: Obj) -> Obj:
    """The object as it is after a create, which must succeed."""
    made = defaulted(kind, obj)
    kind.prepare_create(made)
    made["metadata"] |= {"uid": "u1", "creationTimestamp": CREATED, "resourceVersion": "1"}
    assert texts(kind.validate(made)) == []
    return made


def create_errors(kind: Strategy, obj: Obj) -> list[str]:
    """What is wrong with a new object, as `path: message`."""
    made = defaulted(kind, obj)
    kind.prepare_create(made)
    return texts(kind.validate(made))


def updated(kind: Strategy, old: Obj, new: Obj, subresource: str = "") -> Obj:
    """The new object as it would be stored."""
    made = defaulted(kind, new)
    if subresource == "status":
        kind.prepare_status_update(made, old)
    elif subresource:
        kind.prepare_subresource_update(subresource, made, old)
    else:
        kind.prepare_update(made, old)
    return made


def update_errors(kind: Strategy, old: Obj, new: Obj, subresource: str = "") -> list[str]:
    """What is wrong with a change, as `path: message`."""
    made = updated(kind, old, new, subresource)
    if subresource == "status":
        return texts(kind.validate_status_update(made, old))
    if subresource:
        return texts(kind.validate_subresource_update(subresource, made, old))
    return texts(kind.validate_update(made, old))


def texts(findings: list[FieldError]) -> list[str]:
    """Findings as people see them."""
    return [str(each) for each in findings]


def changed(obj: Obj, path: str, value: Any) -> Obj:
    """A copy with the field at `spec.a.0.b` set to a value; None takes it away."""
    made = copy.deepcopy(obj)
    at: Any = made
    *parents, last = path.split(".")
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    if value is None:
        del at[last]
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return made
