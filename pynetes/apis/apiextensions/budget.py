"""What the rules of a schema may cost together (KEP-2876): a definition whose rules could take too long is refused.

A rule's cost counts once for every value it may have to judge. Where neither `maxItems` nor `maxProperties` limits
those, as many are assumed as fit into a request.
"""

from typing import NamedTuple

from pynetes.apis.apiextensions.declared import REQUEST_LIMIT, smallest
from pynetes.apis.checks import Errors
from pynetes.machinery.cel.cost import UNLIMITED
from pynetes.machinery.meta import Obj

RULE_LIMIT = 10_000_000
SCHEMA_LIMIT = 100_000_000
_BLAMED = 4
_CALLED = {"rule": "estimated rule cost", "messageExpression": "estimated messageExpression cost"}


class _Spent(NamedTuple):
    cost: int
    path: str


class Budget:
    """The costs of one version's schema."""

    def __init__(self) -> None:
        self._spent: list[_Spent] = []

    def spend(self, errors: Errors, path: str, costs: dict[str, int]) -> None:
        """Count the expressions of the rule at `path`; each has a limit of its own."""
        for field, found in costs.items():
            cost, where = min(found, UNLIMITED), f"{path}.{field}"
            if cost > RULE_LIMIT:
                errors.forbidden(where, _exceeded(_CALLED[field], cost, RULE_LIMIT))
            self._spent.append(_Spent(cost, where))

    def check(self, errors: Errors, path: str) -> None:
        """Report whether all rules together cost too much, and which are most to blame."""
        total = min(sum(each.cost for each in self._spent), UNLIMITED)
        if total <= SCHEMA_LIMIT:
            return
        for each in sorted(self._spent, key=lambda each: -each.cost)[:_BLAMED]:
            detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            errors.forbidden(each.path, detail)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        errors.forbidden(path, _exceeded(what, total, SCHEMA_LIMIT))


def most_values(schema: Obj) -> int:
    """How many values of a schema fit into a request."""
    return REQUEST_LIMIT // (smallest(schema) + 1)


def _exceeded(what: str, cost: int, limit: int) -> str:
    times = cost / limit
    if times > 100:
        factor = "more than 100x"
    else:
        factor = f"{times:f}x" if times < 1.5 else f"{times:.1f}x"
    return (
        f"{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, "
        "and maxLength where arrays, maps, and strings are declared)"
    )
