"""What a whole pod asks for and may use, as pure arithmetic over its spec.

The containers of a pod run together, its init containers one after the other, and sidecars (init containers that
restart) beside whatever follows them: a pod's total is the larger of both phases (KEP-753). Totals set for the pod
itself (`spec.resources`, KEP-2837) take the place of the containers', and the runtime's overhead comes on top.
"""

from typing import Any

from pynetes.machinery.quantity import Quantity, parse

Amounts = dict[str, Quantity]


def amounts(resource_list: dict[str, Any] | None) -> Amounts:
    """A ResourceList as quantities."""
    return {name: parse(value) for name, value in (resource_list or {}).items()}


def plus(left: Amounts, right: Amounts) -> Amounts:
    """The sum by resource."""
    return {name: _sum(left.get(name), right.get(name)) for name in (*left, *(n for n in right if n not in left))}


def _sum(one: Quantity | None, other: Quantity | None) -> Quantity:
    if one is None or other is None:
        present = one if one is not None else other
        assert present is not None
        return present
    return one + other


def most(left: Amounts, right: Amounts) -> Amounts:
    """The larger of both by resource."""
    joined = dict(left)
    for name, value in right.items():
        if name not in joined or value > joined[name]:
            joined[name] = value
    return joined


def pod_total(spec: dict[str, Any], field: str, *, overhead: bool = True) -> Amounts:
    """The pod's `requests` or `limits` in total."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        total = plus(total, amounts((container.get("resources") or {}).get(field)))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        asked = amounts((container.get("resources") or {}).get(field))
        if container.get("restartPolicy") == "Always":
            sidecars = plus(sidecars, asked)
            peak = most(peak, sidecars)
        else:
            peak = most(peak, plus(sidecars, asked))
    total = most(plus(total, sidecars), peak)
    total |= amounts((spec.get("resources") or {}).get(field))
    if overhead and spec.get("overhead"):
        extra = amounts(spec["overhead"])
        if field == "limits":  # what has no limit stays without one
            extra = {name: value for name, value in extra.items() if name in total}
        total = plus(total, extra)
    return total
