"""How many replicas a metric calls for. Pure functions.

The rule is one proportion, ceil(replicas · usage / target), made safe: small deviations are ignored, pods that are just
starting do not count as busy, pods without metrics are taken to behave so that the change becomes smaller, and no
change is made when these assumptions turn its direction.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pynetes.controllers import pods
from pynetes.controllers.autoscaling_metrics import NoMetrics, PodSamples, Sample
from pynetes.machinery import clock, meta, quantity
from pynetes.machinery.meta import Obj


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The relative deviation that is ignored, downwards and upwards."""

    down: float = 0.1
    up: float = 0.1

    def ignores(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(slots=True)
class Groups:
    """Pods by what their metrics are worth."""

    ready: set[str]
    unready: set[str]
    missing: set[str]
    ignored: set[str]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a pod is taken to be starting."""

    cpu_initialization: float = 300.0
    initial_readiness: float = 30.0


def group(
    selected: Iterable[Obj], samples: Mapping[str, Sample], resource: str, timing: Timing, now: datetime
) -> Groups:
    """Sort the pods."""
    groups = Groups(set(), set(), set(), set())
    for pod in selected:
        name = meta.name(pod)
        if meta.is_deleting(pod) or pods.phase(pod) == "Failed":
            groups.ignored.add(name)
        elif pods.phase(pod) == "Pending":
            groups.unready.add(name)
        elif name not in samples:
            groups.missing.add(name)
        elif resource == "cpu" and _is_starting(pod, samples[name], timing, now):
            groups.unready.add(name)
        else:
            groups.ready.add(name)
    return groups


def _is_starting(pod: Obj, sample: Sample, timing: Timing, now: datetime) -> bool:
    """Whether the pod's CPU use is that of its start."""
    condition = meta.get_condition(pod, "Ready")
    started_text = pod.get("status", {}).get("startTime")
    if condition is None or not started_text:
        return True
    started = clock.parse_time(started_text)
    changed = clock.parse_time(condition["lastTransitionTime"])
    unready = condition["status"] == "False"
    if started + timedelta(seconds=timing.cpu_initialization) > now:
        return unready or sample.at < changed + timedelta(seconds=sample.window)
    return unready and started + timedelta(seconds=timing.initial_readiness) > changed


def requests(selected: Iterable[Obj], container: str, resource: str) -> dict[str, int]:
    """What each pod requests, in thousandths; a container that requests nothing makes the share unknowable."""
    found: dict[str, int] = {}
    for pod in selected:
        spec = pod.get("spec", {})
        total = 0
        sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
        for each in [*(spec.get("containers") or []), *sidecars]:
            if container and each["name"] != container:
                continue
            value = ((each.get("resources") or {}).get("requests") or {}).get(resource)
            if value is None:
                raise NoMetrics(f"missing request for {resource} in container {each['name']} of Pod {meta.name(pod)}")
            total += quantity.milli(value)
        found[meta.name(pod)] = total
    return found


@dataclass(frozen=True, slots=True)
class Proposal:
    """Replicas, and what was measured: the share of requests in percent, or the average per pod in thousandths."""

    replicas: int
    utilization: int | None
    average: int


def by_utilization(
    current: int,
    target: int,
    samples: PodSamples,
    asked: Mapping[str, int],
    groups: Groups,
    tolerance: Tolerance,
) -> Proposal:
    """For a target in percent of the requests."""
    known = {name: s.value for name, s in samples.items() if name not in groups.unready | groups.ignored}
    if not known:
        raise NoMetrics("did not receive metrics for targeted pods (pods might be unready)")

    def ratio(values: Mapping[str, int]) -> tuple[float, int]:
        total = sum(value for name, value in values.items() if name in asked)
        wanted = sum(asked[name] for name in values if name in asked)
        if not wanted:
            raise NoMetrics("no metrics returned matched known pods")
        share = total * 100 // wanted
        return share / target, share

    usage, share = ratio(known)
    average = sum(known.values()) // len(known)
    fallback = max(100, target)
    stand_in = {name: asked[name] * fallback // 100 for name in groups.missing if name in asked}
    replicas = _settle(current, known, usage, groups, tolerance, lambda values: ratio(values)[0], stand_in)
    return Proposal(replicas, share, average)


def by_average(current: int, target: int, samples: PodSamples, groups: Groups, tolerance: Tolerance) -> Proposal:
    """For a target of so much per pod, in thousandths."""
    known = {name: s.value for name, s in samples.items() if name not in groups.unready | groups.ignored}
    if not known:
        raise NoMetrics("did not receive metrics for targeted pods (pods might be unready)")

    def ratio(values: Mapping[str, int]) -> float:
        return sum(values.values()) / len(values) / target

    average = sum(known.values()) // len(known)
    stand_in = dict.fromkeys(groups.missing, target)
    replicas = _settle(current, known, ratio(known), groups, tolerance, ratio, stand_in)
    return Proposal(replicas, None, average)


def _settle(
    current: int,
    known: Mapping[str, int],
    usage: float,
    groups: Groups,
    tolerance: Tolerance,
    ratio: Callable[[Mapping[str, int]], float],
    stand_in: Mapping[str, int],
) -> int:
    """Apply the proportion with what is assumed of pods that are missing or starting."""
    starting = bool(groups.unready) and usage > 1
    if not starting and not groups.missing:
        if tolerance.ignores(usage):
            return current
        return math.ceil(round(usage * len(groups.ready), 9))
    values = dict(known)
    if groups.missing:
        values |= dict(stand_in) if usage < 1 else dict.fromkeys(groups.missing, 0) if usage > 1 else {}
    if starting:
        values |= dict.fromkeys(groups.unready, 0)
    again = ratio(values)
    if tolerance.ignores(again) or (usage < 1 < again) or (usage > 1 > again):
        return current
    wanted = math.ceil(round(again * len(values), 9))
    if (again < 1 and wanted > current) or (again > 1 and wanted < current):
        return current
    return wanted


def by_total(current: int, ready: int, usage: int, target: int, tolerance: Tolerance) -> int:
    """For one number about all: a target value (times the ready pods, or the first pod if there are none yet)."""
    ratio = usage / target
    if not current:
        return math.ceil(round(ratio, 9))
    return current if tolerance.ignores(ratio) else math.ceil(round(ratio * ready, 9))


def by_total_average(status_replicas: int, usage: int, target: int, tolerance: Tolerance) -> int:
    """For one number about all: a target of so much per pod."""
    if status_replicas and tolerance.ignores(usage / (target * status_replicas)):
        return status_replicas
    return math.ceil(usage / target)
