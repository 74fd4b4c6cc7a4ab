"""Which pods go first when there are too many.

The least loss first: not yet placed, not running, not ready, cheap by the user's own word
(`controller.kubernetes.io/pod-deletion-cost`), sharing a node with many siblings, ready for a short time, often
restarted, young. Times are compared by their logarithm, so that among pods of about the same age chance (the UID)
decides and a scale-down does not strike one failure domain only.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pynetes.controllers import pods
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def deletion_order(candidates: Iterable[Obj], related: Iterable[Obj], now: datetime) -> list[Obj]:
    """`candidates`, first to go first; `related` are active pods of the same family, to know what shares a node."""
    on_node = Counter(pods.node_name(pod) for pod in related if pods.is_active(pod))

    def standing(pod: Obj) -> tuple[Any, ...]:
        node, ready = pods.node_name(pod), pods.is_ready(pod)
        regular, sidecar = _restarts(pod)
        return (
            bool(node),
            _PHASES.get(pods.phase(pod), 0),
            ready,
            _cost(pod),
            -on_node[node],
            _magnitude(_ready_since(pod), now) if ready else 0,
            -regular,
            -sidecar,
            _magnitude(_created(pod), now),
            meta.uid(pod),
        )

    return sorted(candidates, key=standing)


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


def _magnitude(since: str, now: datetime) -> int:
    """The logarithm of an age; what has no known beginning is youngest."""
    if not since:
        return -2
    elapsed = (now - clock.parse_time(since)).total_seconds()
    return int(math.log2(elapsed * 1e9)) if elapsed > 0 else -1
