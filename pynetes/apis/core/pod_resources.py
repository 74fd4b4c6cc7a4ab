"""The quality-of-service class that follows from a pod's requests and limits; sums are `machinery.pod_totals`'."""

from collections.abc import Iterable

from pynetes.machinery import pod_totals, quantity
from pynetes.machinery.meta import Obj

QOS_RESOURCES = ("cpu", "memory")


def pod_requests(spec: Obj) -> dict[str, str]:
    """What the containers ask for together, whatever the pod itself says."""
    own = {field: value for field, value in spec.items() if field not in ("resources", "overhead")}
    return {name: str(amount) for name, amount in pod_totals.pod_total(own, "requests").items()}


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
        for total, own in ((requests, resources.get("requests")), (limits, resources.get("limits"))):
            for name, amount in _positive(own).items():
                total[name] = total.get(name, 0) + amount
        guaranteed = guaranteed and set(_positive(resources.get("limits"))) == set(QOS_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def _positive(amounts: dict[str, str] | None) -> dict[str, int]:
    found = {name: quantity.milli(str((amounts or {})[name])) for name in QOS_RESOURCES if name in (amounts or {})}
    return {name: amount for name, amount in found.items() if amount > 0}
