"""What a whole pod asks for and may use, as pure arithmetic over its spec.

The containers of a pod run together, its init containers one after the other, and sidecars (init containers that
restart) beside whatever follows them: a pod's total is the larger of both phases (KEP-753). Totals set for the pod
itself (`spec.resources`, KEP-2837) take the place of the containers', and the runtime's overhead comes on top.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from pynetes.machinery.quantity import Quantity, parse

Amounts = dict[str, Quantity]
Number = TypeVar("Number", int, Quantity)


def amounts(resource_list: dict[str, Any] | None) -> Amounts:
    """A ResourceList as quantities."""
    return {name: parse(value) for name, value in (resource_list or {}).items()}


def plus(left: dict[str, Number], right: dict[str, Number]) -> dict[str, Number]:
    """The sum by resource."""
    joined = dict(left)
    for name, value in right.items():
        joined[name] = joined[name] + value if name in joined else value
    return joined


def most(left: dict[str, Number], right: dict[str, Number]) -> dict[str, Number]:
    """The larger of both by resource."""
    joined = dict(left)
    for name, value in right.items():
        if name not in joined or value > joined[name]:
            joined[name] = value
    return joined


def of_containers(spec: dict[str, Any], asked: Callable[[dict[str, Any]], dict[str, Number]]) -> dict[str, Number]:
    """What the containers need in total, if each needs what `asked` says."""
    total: dict[str, Number] = {}
    for container in spec.get("containers") or ():
        total = plus(total, asked(container))
    sidecars: dict[str, Number] = {}
    peak: dict[str, Number] = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars = plus(sidecars, asked(container))
            peak = most(peak, sidecars)
        else:
            peak = most(peak, plus(sidecars, asked(container)))
    return most(plus(total, sidecars), peak)


def pod_total(spec: dict[str, Any], field: str, *, overhead: bool = True) -> Amounts:
    """The pod's `requests` or `limits` in total."""
    total = of_containers(spec, lambda container: amounts((container.get("resources") or {}).get(field)))
    total |= amounts((spec.get("resources") or {}).get(field))
    if overhead and spec.get("overhead"):
        extra = amounts(spec["overhead"])
        if field == "limits":  # what has no limit stays without one
            extra = {name: value for name, value in extra.items() if name in total}
        total = plus(total, extra)
    return total
