"""What a pod asks for: effective requests, and the quality-of-service class that follows from requests and limits."""

from collections.abc import Iterable

from pynetes.machinery import quantity
from pynetes.machinery.meta import Obj

QOS_RESOURCES = ("cpu", "memory")


def is_sidecar(container: Obj) -> bool:
    """Whether an init container keeps running beside the app containers."""
    return container.get("restartPolicy") == "Always"


def _amounts(container: Obj) -> dict[str, int]:
    requests = (container.get("resources") or {}).get("requests") or {}
    return {name: quantity.milli(str(amount)) for name, amount in requests.items()}


def _plus(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in left.keys() | right.keys()}


def _most(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    return {name: max(left.get(name, 0), right.get(name, 0)) for name in left.keys() | right.keys()}


def pod_requests(spec: Obj) -> dict[str, str]:
    """The sum of the containers' requests, or the peak while init containers run (KEP-753's rule)."""
    total: dict[str, int] = {}
    for container in spec.get("containers") or []:
        total = _plus(total, _amounts(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or []:
        asked = _amounts(container)
        if is_sidecar(container):
            sidecars = _plus(sidecars, asked)
            peak = _most(peak, sidecars)
        else:
            peak = _most(peak, _plus(sidecars, asked))
    total = _most(_plus(total, sidecars), peak)
    return {name: quantity.canonical(f"{amount}m") for name, amount in total.items()}


def qos_class(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort."""
    if spec.get("resources"):
        holders: Iterable[Obj] = [spec]
    else:
        holders = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for holder in holders:
        resources = holder.get("resources") or {}
        requests = _plus(requests, _positive(resources.get("requests")))
        own_limits = _positive(resources.get("limits"))
        limits = _plus(limits, own_limits)
        guaranteed = guaranteed and all(name in own_limits for name in QOS_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and len(requests) == len(limits) and all(limits.get(n) == v for n, v in requests.items()):
        return "Guaranteed"
    return "Burstable"


def _positive(amounts: dict[str, str] | None) -> dict[str, int]:
    found = {name: quantity.milli(str((amounts or {})[name])) for name in QOS_RESOURCES if name in (amounts or {})}
    return {name: amount for name, amount in found.items() if amount > 0}
