"""Priority levels: how much of the server's capacity a class of requests has, and how they queue for it."""

import math
from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.flowcontrol import conditions
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

TYPES = ("Exempt", "Limited")
RESPONSES = ("Queue", "Reject")
LIMITED = {"nominalConcurrencyShares": 30, "lendablePercent": 0}
EXEMPT = {"nominalConcurrencyShares": 0, "lendablePercent": 0}
QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
QUEUES_LIMIT = 10_000_000
HASH_BITS = 60

MANDATORY: dict[str, Obj] = {
    "exempt": {"type": "Exempt", "exempt": EXEMPT},
    "catch-all": {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
    },
}
"""Priority levels that are always there and always so; of the exempt one, what stands under `exempt` may be changed."""


class PriorityLevelConfigurationStrategy(Strategy):
    """A priority level."""

    tracks_generation = True
    allow_unconditional_update = False
    columns = (
        printing.NAME,
        column("Type", description="Whether its requests are limited or exempt."),
        column("NominalConcurrencyShares", description="Its share of the server's concurrency."),
        column("Queues", description="How many queues it has."),
        column("HandSize", description="How many queues a flow may use."),
        column("QueueLengthLimit", description="How long a queue may get."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        for field, defaults in (("limited", LIMITED), ("exempt", EXEMPT)):
            if spec.get(field) is not None:
                fill(spec[field], defaults)
        queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            queuing |= {field: queuing.get(field) or value for field, value in QUEUING.items()}

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec, name = printing.spec(obj), meta.name(obj)
        kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
        if (name == "exempt") != (kind == "Exempt"):
            errors.invalid("spec.type", kind, "type must be 'Exempt' if and only if name is 'exempt'")
        if kind == "Exempt":
            if limited is not None:
                errors.forbidden("spec.limited", "must be nil if the type is not Limited")
            if exempt is not None:
                _shares(errors, exempt, "spec.exempt")
        elif kind == "Limited":
            if exempt is not None:
                errors.forbidden("spec.exempt", "must be nil if the type is Limited")
            if limited is None:
                errors.required("spec.limited", "must not be empty when type is Limited")
            else:
                _limited(errors, limited)
        else:
            errors.unsupported("spec.type", kind, TYPES)
        _mandatory(errors, spec, name)
        conditions.validate(errors, obj)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        conditions.validate(errors, new)

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        limited = spec.get("limited") or {}
        queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
        return [
            meta.name(obj),
            spec.get("type", ""),
            limited.get("nominalConcurrencyShares", printing.NONE),
            *(queuing.get(field, printing.NONE) for field in QUEUING),
            printing.age(obj),
        ]


def _mandatory(errors: Errors, spec: Obj, name: str) -> None:
    fixed = MANDATORY.get(name)
    if fixed is None:
        return
    if name == "exempt":
        if {**spec, "exempt": None} != {**fixed, "exempt": None}:
            detail = "spec of 'exempt' except the 'spec.exempt' fields must equal the fixed value"
            errors.invalid("spec", spec, detail)
    elif spec != fixed:
        errors.invalid("spec", spec, f"spec of '{name}' must equal the fixed value")


def _shares(errors: Errors, part: Obj, path: str) -> None:
    shares = part.get("nominalConcurrencyShares")
    if shares is not None and shares < 0:
        errors.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    errors.in_range(f"{path}.lendablePercent", part.get("lendablePercent"), 0, 100)


def _limited(errors: Errors, limited: Obj) -> None:
    path = "spec.limited"
    _shares(errors, limited, path)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        detail = "if specified, must be a non-negative integer"
        errors.invalid(f"{path}.borrowingLimitPercent", borrowing, detail)
    response = limited.get("limitResponse") or {}
    kind, queuing, where = response.get("type") or "", response.get("queuing"), f"{path}.limitResponse.queuing"
    if kind == "Reject":
        if queuing is not None:
            errors.forbidden(where, "must be nil if limited.limitResponse.type is not Limited")
    elif kind == "Queue":
        if queuing is None:
            errors.required(where, "must not be empty if limited.limitResponse.type is Limited")
        else:
            _queuing(errors, queuing, where)
    else:
        errors.unsupported(f"{path}.limitResponse.type", kind, RESPONSES)


def _queuing(errors: Errors, queuing: Obj, path: str) -> None:
    queues, hand, length = (queuing.get(field, 0) for field in QUEUING)
    if length <= 0:
        errors.invalid(f"{path}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        errors.invalid(f"{path}.queues", queues, "must be positive")
    elif queues > QUEUES_LIMIT:
        errors.invalid(f"{path}.queues", queues, f"must not be greater than {QUEUES_LIMIT}")
    if hand <= 0:
        errors.invalid(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        errors.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > HASH_BITS:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        )
        errors.invalid(f"{path}.handSize", hand, detail)
