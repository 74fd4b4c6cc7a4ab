"""Which pods go first when there are too many.

The least loss first: not yet placed, not running, not ready, cheap by the user's own word
(`controller.kubernetes.io/pod-deletion-cost`), sharing a node with many siblings, ready for a short time, often
restarted, young. Times are compared by their logarithm, so that among pods of about the same age chance (the UID)
decides and a scale-down does not strike one failure domain only.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from pynetes.controllers import pods
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def deletion_order(candidates: Iterable[Obj], related: Iterable[Obj], now: datetime) -> list[Obj]:
    """`candidates`, first to go first; `related` are active pods of the same family, to know what shares a node."""
    on_node = Counter(pods.node_name(pod) for pod in related if pods.is_active(pod))

    def compare(a: Obj, b: Obj) -> int:
        for first, second in zip(_standing(a, on_node), _standing(b, on_node), strict=True):
            if first != second:
                return -1 if first < second else 1
        if pods.is_ready(a) and pods.is_ready(b):
            order = _by_time(_ready_since(a), _ready_since(b), a, b, now)
            if order:
                return order
        more = _restarts(b), _restarts(a)
        if more[0] != more[1]:
            return -1 if more[0] < more[1] else 1
        return _by_time(_created(a), _created(b), a, b, now)

    return sorted(candidates, key=functools.cmp_to_key(compare))


def _standing(pod: Obj, on_node: Counter[str]) -> tuple[int, ...]:
    node = pods.node_name(pod)
    return (
        1 if node else 0,
        _PHASES.get(pods.phase(pod), 0),
        1 if pods.is_ready(pod) else 0,
        _cost(pod),
        -on_node[node],
    )


def _cost(pod: Obj) -> int:
    text = meta.annotations(pod).get(pods.POD_DELETION_COST, "0")
    try:
        value = int(text)
    except ValueError:
        return 0
    return value if -(2**31) <= value < 2**31 else 0


def _restarts(pod: Obj) -> tuple[int, int]:
    status = pod.get("status", {})
    sidecars = {
        c["name"] for c in pod.get("spec", {}).get("initContainers") or [] if c.get("restartPolicy") == "Always"
    }
    regular = max((s.get("restartCount", 0) for s in status.get("containerStatuses") or []), default=0)
    side = max(
        (s.get("restartCount", 0) for s in status.get("initContainerStatuses") or [] if s.get("name") in sidecars),
        default=0,
    )
    return regular, side


def _ready_since(pod: Obj) -> str:
    return (meta.get_condition(pod, "Ready") or {}).get("lastTransitionTime") or ""


def _created(pod: Obj) -> str:
    return pod["metadata"].get("creationTimestamp") or ""


def _by_time(first: str, second: str, a: Obj, b: Obj, now: datetime) -> int:
    """Unknown before younger before older, on a logarithmic scale."""
    if first == second:
        return 0
    if not first or not second:
        return -1 if not first else 1
    difference = _magnitude(first, now) - _magnitude(second, now)
    if difference:
        return -1 if difference < 0 else 1
    return -1 if meta.uid(a) < meta.uid(b) else 1


def _magnitude(since: str, now: datetime) -> int:
    elapsed = (now - clock.parse_time(since)).total_seconds()
    return int(math.log2(elapsed * 1e9)) if elapsed > 0 else -1
