"""DefaultPreemption: make room for a pod by ending pods of lower priority.

A node is a candidate if the pod was refused there for something that removing pods can cure, and if it would fit with
all less important pods gone. Of those pods as many as possible are spared again, the important ones first. Among the
candidates upstream's order decides: fewest disruption budgets broken, then the least important most important victim,
the smallest sum of priorities, the fewest victims, and the latest started.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.scheduler.framework import Plugin, State, Verdict, reasons_on, run_filters
from pynetes.scheduler.podinfo import PodInfo, label_selector

MIN_CANDIDATES, CANDIDATE_SHARE = 100, 0.1
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
# What DynamicResources, which is asked before DefaultPreemption, says of a pod whose claims it need not free.
NO_CLAIMS = "no new claims to deallocate"


@dataclass
class Candidate:
    """A node and who would have to go."""

    node: str
    victims: list[PodInfo]
    budget_violations: int

    def rank(self) -> tuple[int, int, int, int, float]:
        """Lower is better."""
        priorities = [victim.priority for victim in self.victims]
        top = max(priorities)
        latest = max((v.pod.get("status") or {}).get("startTime") or "" for v in self.victims if v.priority == top)
        # Timestamps of one form compare as text; a later start is better, hence the negated digits.
        started = float("".join(c for c in latest if c.isdigit()) or 0)
        return self.budget_violations, top, sum(p + 2**31 for p in priorities), len(self.victims), -started


@dataclass
class Preemption:
    """What was found: the best candidate, or the words why there is none.

    `exhausted`: every node was looked at, so that a node cleared for the pod earlier is of no use to it.
    """

    candidate: Candidate | None
    message: str = ""
    exhausted: bool = False


def preempt(state: State, verdict: Verdict, filters: Sequence[Plugin]) -> Preemption:
    """Look for a node where ending less important pods would let the pod fit."""
    nodes, pod = state.nodes, state.pod
    if not len(nodes):
        return Preemption(None)
    if pod.spec.get("preemptionPolicy") == "Never":
        return Preemption(None, "not eligible due to preemptionPolicy=Never.")
    assert verdict.unresolvable is not None
    curable = np.flatnonzero(nodes.valid & ~verdict.feasible & ~verdict.unresolvable)
    reasons: Counter[str] = Counter()
    hopeless = int(np.count_nonzero(nodes.valid & verdict.unresolvable))
    if hopeless:
        reasons[NOT_HELPFUL] = hopeless
    limit = max(MIN_CANDIDATES, int(len(nodes) * CANDIDATE_SHARE))
    candidates: list[Candidate] = []
    for row in curable:
        found = _victims_on(nodes.names[row], state, filters)
        if isinstance(found, Candidate):
            candidates.append(found)
        else:
            reasons.update(found)
        if len(candidates) >= limit:
            break
    if candidates:
        return Preemption(min(candidates, key=Candidate.rank))
    counted = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return Preemption(None, f"0/{len(nodes)} nodes are available: {counted}.", exhausted=True)


def _victims_on(node: str, state: State, filters: Sequence[Plugin]) -> Candidate | set[str]:
    """Who would have to go, or why nobody's going would help."""
    nodes, pod = state.nodes, state.pod
    row = nodes.rows[node]
    lower = [other for other in nodes.pods_on(node) if other.priority < pod.priority]
    if not lower:
        return {NO_VICTIMS}

    def fits_now() -> bool:
        return bool(run_filters(state, filters).feasible[row])

    for other in lower:
        nodes.remove_pod(other, node)
    gone = set(lower)
    try:
        if not fits_now():
            return reasons_on(row, state, filters)
        violating, harmless = _by_budget(lower, state)
        victims: list[PodInfo] = []
        violations = 0
        for group, violates in ((violating, True), (harmless, False)):
            for other in sorted(group, key=_importance):
                nodes.add_pod(other, node)
                gone.discard(other)
                if fits_now():
                    continue
                nodes.remove_pod(other, node)
                gone.add(other)
                victims.append(other)
                violations += violates
        return Candidate(node, victims, violations) if victims else {NO_VICTIMS}
    finally:
        for other in gone:
            nodes.add_pod(other, node)


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Most important first: higher priority, then longer running."""
    return -pod.priority, (pod.pod.get("status") or {}).get("startTime") or "9"


def _by_budget(pods: Sequence[PodInfo], state: State) -> tuple[list[PodInfo], list[PodInfo]]:
    """Split into those whose end would break a PodDisruptionBudget and the others."""
    budgets = [
        (
            budget,
            label_selector(budget["spec"].get("selector")),
            [int((budget.get("status") or {}).get("disruptionsAllowed") or 0)],
        )
        for budget in state.cluster.list("poddisruptionbudgets")
    ]
    violating: list[PodInfo] = []
    harmless: list[PodInfo] = []
    for pod in pods:
        breaks = False
        for budget, selector, allowed in budgets:
            if meta.namespace(budget) != pod.namespace or not pod.labels or not selector.matches(pod.labels):
                continue
            if meta.name(pod.pod) in ((budget.get("status") or {}).get("disruptedPods") or {}):
                continue
            allowed[0] -= 1
            breaks |= allowed[0] < 0
        (violating if breaks else harmless).append(pod)
    return violating, harmless


def disruption_condition(pod: Obj, preemptor: Obj) -> Obj:
    """The status patch that says why a victim ends."""
    conditions = meta.deep_copy({"status": {"conditions": (pod.get("status") or {}).get("conditions") or []}})
    scheduler = preemptor["spec"].get("schedulerName", "default-scheduler")
    meta.set_condition(
        conditions,
        "DisruptionTarget",
        "True",
        "PreemptionByScheduler",
        f"{scheduler}: preempting to accommodate a higher priority pod",
        **meta.observed_by(pod),
    )
    return conditions


def not_helpful(nodes: int) -> str:
    """What preemption says of a pod that no removal can help."""
    return f"0/{nodes} nodes are available: {nodes} {NOT_HELPFUL}." if nodes else ""


def explain(verdict: str, preempted: str) -> str:
    """Why a pod is not scheduled: what the filters said, then what the ways to make room said, if they were asked."""
    return f"{verdict} {NO_CLAIMS}, preemption: {preempted}" if preempted else verdict
