"""How fast an autoscaler may move. Pure functions.

Recommendations are remembered: going down, the highest of the window counts, going up, the lowest. Changes are
remembered too: policies limit how many pods, or what share, may come or go in a period. Without a `behavior` the
defaults are upstream's older rules: at most double (but at least 4), and five minutes of patience before going down.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from pynetes.machinery.meta import Obj

_UP_FACTOR, _UP_MINIMUM = 2.0, 4
DEFAULT_UP: Obj = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
DEFAULT_DOWN: Obj = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


@dataclass(slots=True)
class Memory:
    """What an autoscaler recommended and did, with the times."""

    recommendations: list[tuple[float, int]] = field(default_factory=list)
    ups: list[tuple[float, int]] = field(default_factory=list)
    downs: list[tuple[float, int]] = field(default_factory=list)

    def note_change(self, at: float, before: int, after: int, keep: float) -> None:
        """Remember that the scale was changed."""
        events = self.ups if after > before else self.downs
        events[:] = [event for event in events if event[0] > at - keep]
        events.append((at, abs(after - before)))


@dataclass(frozen=True, slots=True)
class Limited:
    """The replicas after all limits; the condition that tells of each limit that applied."""

    replicas: int
    able: tuple[str, str] | None
    limited: tuple[str, str, str]


_STABILIZED_DOWN = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_STABILIZED_UP = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_READY = ("ReadyForNewScale", "recommended size matches current size")
_WITHIN = ("False", "DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("True", "TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("True", "TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("True", "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("True", "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


def rules(behavior: Obj | None, direction: str) -> Obj:
    """The rules for one direction, with defaults for what is not said."""
    default = DEFAULT_UP if direction == "scaleUp" else DEFAULT_DOWN
    given = {k: v for k, v in ((behavior or {}).get(direction) or {}).items() if v is not None}
    return {**default, **given}


def settle(spec: Obj, current: int, desired: int, memory: Memory, now: float, down_window: float) -> Limited:
    """The replicas to have now, when metrics call for `desired`."""
    low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
    behavior = spec.get("behavior")
    up, down = rules(behavior, "scaleUp"), rules(behavior, "scaleDown")
    up_window = up["stabilizationWindowSeconds"] if behavior else 0
    patience = down.get("stabilizationWindowSeconds", down_window) if behavior else down_window
    stable = _stabilize(current if behavior else None, desired, memory, now, up_window, patience)
    able: tuple[str, str] | None = _READY
    if stable != desired:
        able = _STABILIZED_DOWN if stable > desired else _STABILIZED_UP
    if behavior:
        return _with_rates(current, stable, low, high, up, down, memory, now, able)
    ceiling = max(int(_UP_FACTOR * current), _UP_MINIMUM)
    if stable < low:
        return Limited(low, able, _TOO_FEW)
    if stable > min(ceiling, high):
        return Limited(min(ceiling, high), able, _TOO_MANY if high <= ceiling else _UP_LIMIT)
    return Limited(stable, able, _WITHIN)


def _stabilize(
    current: int | None, desired: int, memory: Memory, now: float, up_window: float, down_window: float
) -> int:
    """What recent recommendations make of this one; without `current` only the way down is held back."""
    up_value = down_value = desired
    for at, value in memory.recommendations:
        if at > now - up_window:
            up_value = min(up_value, value)
        if at > now - down_window:
            down_value = max(down_value, value)
    longest = max(up_window, down_window)
    memory.recommendations[:] = [entry for entry in memory.recommendations if entry[0] > now - longest]
    memory.recommendations.append((now, desired))
    if current is None:
        return down_value
    return min(max(current, up_value), down_value)


def _with_rates(
    current: int,
    stable: int,
    low: int,
    high: int,
    up: Obj,
    down: Obj,
    memory: Memory,
    now: float,
    able: tuple[str, str] | None,
) -> Limited:
    if stable > current:
        ceiling = max(current, _up_limit(current, up, memory, now))
        if stable > min(ceiling, high):
            return Limited(min(ceiling, high), able, _TOO_MANY if high <= ceiling else _UP_LIMIT)
    elif stable < current:
        floor = min(current, _down_limit(current, down, memory, now))
        if stable < max(floor, low):
            return Limited(max(floor, low), able, _TOO_FEW if low >= floor else _DOWN_LIMIT)
    return Limited(stable, able, _WITHIN)


def _changed(events: Iterable[tuple[float, int]], period: float, now: float) -> int:
    return sum(count for at, count in events if at > now - period)


def _at_start(current: int, memory: Memory, period: float, now: float) -> int:
    """The replicas at the beginning of a policy's period."""
    return current - _changed(memory.ups, period, now) + _changed(memory.downs, period, now)


def _up_limit(current: int, given: Obj, memory: Memory, now: float) -> int:
    if given["selectPolicy"] == "Disabled":
        return current
    limits = []
    for policy in given["policies"]:
        start = _at_start(current, memory, policy["periodSeconds"], now)
        by_share = math.ceil(round(start * (1 + policy["value"] / 100), 9))
        limits.append(start + policy["value"] if policy["type"] == "Pods" else by_share)
    return min(limits) if given["selectPolicy"] == "Min" else max(limits)


def _down_limit(current: int, given: Obj, memory: Memory, now: float) -> int:
    if given["selectPolicy"] == "Disabled":
        return current
    limits = []
    for policy in given["policies"]:
        start = _at_start(current, memory, policy["periodSeconds"], now)
        by_share = int(start * (1 - policy["value"] / 100))
        limits.append(start - policy["value"] if policy["type"] == "Pods" else by_share)
    return max(limits) if given["selectPolicy"] == "Min" else min(limits)


def longest_period(behavior: Obj | None) -> float:
    """How long changes must be remembered."""
    policies = [p for way in ("scaleUp", "scaleDown") for p in rules(behavior, way)["policies"]]
    return max((policy["periodSeconds"] for policy in policies), default=0)
