"""Room for critical pods: whom the node ends so that a critical pod fits.

The scheduler makes room before it binds; a static pod, or one bound by hand, makes it here. As few pods go as can be,
and of the lowest quality of service: Guaranteed ones only for what all others together do not free, and so on. Among
equals those go whose requests are nearest to what is missing.
"""

from collections.abc import Iterable

from pynetes.kubelet import resources, spec
from pynetes.machinery.meta import Obj

REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"
DISRUPTION = "Pod was preempted by Kubelet to accommodate a critical pod."
SYSTEM_CRITICAL = 2_000_000_000

Amounts = dict[str, int]  # resource → what is missing, cpu in thousandths


def is_critical(pod: Obj) -> bool:
    """Whether the node must run the pod: a static one, a mirror of one, or one of a system priority."""
    return spec.is_static(pod) or spec.is_mirror(pod) or (pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL


def preemptable(preemptor: Obj, pod: Obj) -> bool:
    """Whether `pod` may be ended for `preemptor`."""
    if is_critical(preemptor) and not is_critical(pod):
        return True
    mine, other = preemptor["spec"].get("priority"), pod["spec"].get("priority")
    return mine is not None and other is not None and mine > other


def victims(preemptor: Obj, others: Iterable[Obj], missing: Amounts) -> list[Obj] | None:
    """The pods to end so that `missing` is free; None if all that may be ended would not do."""
    groups: dict[str, list[Obj]] = {"BestEffort": [], "Burstable": [], "Guaranteed": []}
    for pod in others:
        if preemptable(preemptor, pod):
            groups[resources.qos_class(pod)].append(pod)
    best_effort, burstable, guaranteed = groups.values()
    if _left(missing, [*best_effort, *burstable, *guaranteed]):
        return None
    last = _nearest(guaranteed, _left(missing, [*best_effort, *burstable]))
    middle = _nearest(burstable, _left(missing, [*best_effort, *last]))
    return [*_nearest(best_effort, _left(missing, [*middle, *last])), *middle, *last]


def _request(pod: Obj, name: str) -> int:
    return 1 if name == "pods" else resources.total(pod, "requests", name, milli=name == "cpu")[0]


def _left(missing: Amounts, pods: Iterable[Obj]) -> Amounts:
    """What is still missing without these pods."""
    ending = [*pods]
    left = {name: amount - sum(_request(pod, name) for pod in ending) for name, amount in missing.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _nearest(pods: list[Obj], missing: Amounts) -> list[Obj]:
    """Pods out of `pods` that free what is missing, the most fitting first."""
    chosen: list[Obj] = []
    candidates = [*pods]
    while missing and candidates:
        best = min(candidates, key=lambda pod: (_distance(pod, missing), _size(pod)))
        candidates.remove(best)
        chosen.append(best)
        missing = _left(missing, [best])
    return chosen


def _distance(pod: Obj, missing: Amounts) -> float:
    """How far the pod is from freeing everything: 0 if it does."""
    return sum((max(amount - _request(pod, name), 0) / amount) ** 2 for name, amount in missing.items())


def _size(pod: Obj) -> tuple[int, int]:
    return _request(pod, "memory"), _request(pod, "cpu")
