"""The arithmetic of Deployments: how many pods each ReplicaSet should have. Pure functions of what was seen.

A rolling update never goes below `replicas - maxUnavailable` available pods nor above `replicas + maxSurge` pods; a
Deployment that is scaled in the middle of one spreads the change over its ReplicaSets in proportion to their size.
"""

import math
from collections.abc import Sequence

from pynetes.controllers.status import key_by_age, replicas, status_count
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"

Sizes = dict[str, int]
"""The name of a ReplicaSet → the replicas it should have."""


def scaled_value(value: int | str | None, total: int, *, round_up: bool) -> int:
    """An int-or-percent of `total`."""
    if value is None:
        return 0
    if isinstance(value, str):
        share = int(value.removesuffix("%")) * total / 100 if value.endswith("%") else float(int(value))
        return math.ceil(share) if round_up else math.floor(share)
    return value


def is_rolling(deployment: Obj) -> bool:
    """Whether its strategy is RollingUpdate."""
    return deployment["spec"].get("strategy", {}).get("type", "RollingUpdate") == "RollingUpdate"


def fence(deployment: Obj) -> tuple[int, int]:
    """maxSurge and maxUnavailable in pods; never both 0, or nothing could move."""
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    desired = replicas(deployment)
    surge = scaled_value(rolling.get("maxSurge", "25%"), desired, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), desired, round_up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def max_surge(deployment: Obj) -> int:
    """How many pods above `replicas` there may be."""
    return fence(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Obj) -> int:
    """How many of `replicas` may be unavailable."""
    desired = replicas(deployment)
    if not is_rolling(deployment) or desired == 0:
        return 0
    return min(fence(deployment)[1], desired)


def total_replicas(sets: Sequence[Obj]) -> int:
    """The pods that `sets` ask for."""
    return sum(replicas(rs) for rs in sets)


def total_status(sets: Sequence[Obj], field: str) -> int:
    """The sum of a count in their status."""
    return sum(status_count(rs, field) for rs in sets)


def active(sets: Sequence[Obj]) -> list[Obj]:
    """Those that ask for pods."""
    return [rs for rs in sets if replicas(rs) > 0]


def new_set_size(deployment: Obj, all_sets: Sequence[Obj], current: int) -> int:
    """What the new ReplicaSet, having `current` replicas among `all_sets`, may have now."""
    desired = replicas(deployment)
    if not is_rolling(deployment):
        return desired
    room = desired + max_surge(deployment) - total_replicas(all_sets)
    if room <= 0:
        return current
    return current + min(room, desired - current)


def grow_new(deployment: Obj, all_sets: Sequence[Obj], new: Obj) -> int:
    """The next size of the new ReplicaSet in a rolling update."""
    current, desired = replicas(new), replicas(deployment)
    if current >= desired:
        return desired
    return new_set_size(deployment, all_sets, current)


def shrink_old(deployment: Obj, all_sets: Sequence[Obj], old_sets: Sequence[Obj], new: Obj) -> Sizes:
    """The next sizes of the old ReplicaSets in a rolling update: what is broken goes first, then the oldest."""
    floor = replicas(deployment) - max_unavailable(deployment)
    new_unavailable = replicas(new) - status_count(new, "availableReplicas")
    room = total_replicas(all_sets) - floor - new_unavailable
    if total_replicas(old_sets) == 0 or room <= 0:
        return {}
    sizes: Sizes = {}
    cleaned = 0
    by_age = sorted(old_sets, key=key_by_age)
    for rs in by_age:
        if cleaned >= room:
            break
        broken = replicas(rs) - status_count(rs, "availableReplicas")
        if replicas(rs) == 0 or broken <= 0:
            continue
        taken = min(room - cleaned, broken)
        sizes[meta.name(rs)] = replicas(rs) - taken
        cleaned += taken
    spare = total_status(all_sets, "availableReplicas") - floor
    for rs in by_age:
        if spare <= 0:
            break
        size = sizes.get(meta.name(rs), replicas(rs))
        taken = min(spare, size)
        if taken:
            sizes[meta.name(rs)] = size - taken
            spare -= taken
    return sizes


def is_saturated(deployment: Obj, rs: Obj | None) -> bool:
    """Whether `rs` alone already is what the deployment wants."""
    if rs is None:
        return False
    desired = replicas(deployment)
    annotated = annotated_count(rs, DESIRED_REPLICAS)
    return replicas(rs) == desired and annotated == desired and status_count(rs, "availableReplicas") == desired


def annotated_count(rs: Obj, annotation: str) -> int | None:
    """A count kept in an annotation."""
    try:
        return int(meta.annotations(rs)[annotation])
    except (KeyError, ValueError):
        return None


def active_or_latest(new: Obj | None, old_sets: Sequence[Obj]) -> Obj | None:
    """The only active ReplicaSet, or the newest if none is; None if several are."""
    every = [*old_sets, *([new] if new else [])]
    running = active(every)
    if len(running) > 1:
        return None
    if running:
        return running[0]
    return new or max(old_sets, key=key_by_age, default=None)


def proportional(deployment: Obj, sets: Sequence[Obj]) -> Sizes:
    """Sizes that spread a change of `spec.replicas` over the active `sets` of a rollout in progress."""
    running = active(sets)
    desired = replicas(deployment)
    allowed = desired + max_surge(deployment) if desired > 0 else 0
    to_add = allowed - total_replicas(running)
    # The largest take what rounding leaves; among equals the newest when growing, the oldest when shrinking.
    running.sort(key=key_by_age, reverse=to_add > 0)
    running.sort(key=replicas, reverse=True)
    sizes: Sizes = {}
    added = 0
    for rs in running:
        share = _proportion(deployment, rs, to_add, added) if to_add else 0
        sizes[meta.name(rs)] = replicas(rs) + share
        added += share
    if running and to_add:
        first = meta.name(running[0])
        sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _proportion(deployment: Obj, rs: Obj, to_add: int, added: int) -> int:
    if replicas(rs) == 0 or to_add == added:
        return 0
    fraction = _fraction(deployment, rs)
    left = to_add - added
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def _fraction(deployment: Obj, rs: Obj) -> int:
    desired = replicas(deployment)
    if desired == 0:
        return -replicas(rs)
    before = annotated_count(rs, MAX_REPLICAS) or status_count(deployment, "replicas")
    if not before:
        return 0
    target = replicas(rs) * (desired + max_surge(deployment)) / before
    return math.floor(target + 0.5) - replicas(rs)


def is_scaling_event(deployment: Obj, sets: Sequence[Obj]) -> bool:
    """Whether `spec.replicas` changed since the active ReplicaSets were last sized."""
    counts = (annotated_count(rs, DESIRED_REPLICAS) for rs in active(sets))
    return any(count is not None and count != replicas(deployment) for count in counts)


def revision(obj: Obj) -> int:
    """The revision in the annotation, 0 if none."""
    return annotated_count(obj, REVISION) or 0
