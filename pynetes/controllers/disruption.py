"""PodDisruptionBudgets: how many of a budget's pods may be evicted now, kept current in its status.

The API server spends the allowance (`disruptionsAllowed`, `disruptedPods`) when it grants an eviction; here it is
counted anew whenever a pod or a budget changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pynetes.client.discovery import resource_of_kind
from pynetes.controllers import pods
from pynetes.controllers.controller import Context, Controller, ignore_not_found, own_key
from pynetes.controllers.deployment_rollout import scaled_value
from pynetes.controllers.ownership import CONTROLLER_INDEX
from pynetes.controllers.status import generation, go_label_selector, replicas, update_status
from pynetes.machinery import clock, meta, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

BUDGETS = "poddisruptionbudgets.policy"
_DELETION_SECONDS = 120
_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of "
    "the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please "
    'set ".spec.minAvailable" field of the PDB to an integer value.'
)


@dataclass(frozen=True, slots=True)
class Count:
    """How many pods there should be, and how many must be healthy."""

    expected: int
    desired: int


def desired_healthy(budget: Obj, matched: int, scale: int | None) -> Count:
    """The budget's demand; `scale` is what the pods' controllers ask for, where that matters."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        expected = scale or 0
        unavailable = scaled_value(spec["maxUnavailable"], expected, round_up=True)
        return Count(expected, max(0, expected - unavailable))
    wanted = spec.get("minAvailable")
    if isinstance(wanted, str) and wanted.endswith("%"):
        expected = scale or 0
        return Count(expected, scaled_value(wanted, expected, round_up=True))
    return Count(matched, int(wanted or 0))


def needs_scale(budget: Obj) -> bool:
    """Whether the demand depends on the controllers' scale."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        return True
    wanted = spec.get("minAvailable")
    return isinstance(wanted, str) and wanted.endswith("%")


@dataclass(slots=True)
class Disrupted:
    """The evictions granted that have not shown yet, when the next of them expires, and pods whose did."""

    left: dict[str, str] = field(default_factory=dict)
    recheck: datetime | None = None
    survivors: list[Obj] = field(default_factory=list)


def still_disrupted(budget: Obj, matched: Iterable[Obj], now: datetime) -> Disrupted:
    """What has become of the evictions that were granted."""
    granted = budget.get("status", {}).get("disruptedPods") or {}
    result = Disrupted()
    for pod in matched:
        moment = granted.get(meta.name(pod))
        if moment is None or meta.is_deleting(pod):
            continue
        expires = clock.parse_time(moment) + timedelta(seconds=_DELETION_SECONDS)
        if expires > now:
            result.left[meta.name(pod)] = moment
            result.recheck = min(result.recheck, expires) if result.recheck else expires
        else:
            result.survivors.append(pod)
    return result


def calculate_status(budget: Obj, matched: list[Obj], disrupted: dict[str, str], count: Count) -> Obj:
    """The budget's status."""
    healthy = sum(
        pods.is_ready(pod) and not meta.is_deleting(pod) and meta.name(pod) not in disrupted for pod in matched
    )
    allowed = max(0, healthy - count.desired) if count.expected > 0 else 0
    draft: Obj = {"status": {"conditions": meta.deep_copy(budget.get("status", {})).get("conditions") or []}}
    enough = allowed > 0
    meta.set_condition(
        draft,
        "DisruptionAllowed",
        "True" if enough else "False",
        "SufficientPods" if enough else "InsufficientPods",
        observedGeneration=generation(budget),
    )
    for condition in draft["status"]["conditions"]:
        condition.setdefault("message", "")
    status = {
        "observedGeneration": generation(budget),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": count.desired,
        "expectedPods": count.expected,
        "conditions": draft["status"]["conditions"],
    }
    return {**status, "disruptedPods": disrupted} if disrupted else status


def seconds_until_stale(pod: Obj, now: datetime) -> float | None:
    """When the announcement that the pod will be disrupted is to be taken back; None if there is none to take back.

    What a kubelet announces stays, however long it takes; so does what is said of pods that are ending or have ended.
    """
    condition = meta.get_condition(pod, "DisruptionTarget")
    if condition is None or condition["status"] != "True" or condition.get("reason") == "TerminationByKubelet":
        return None
    if meta.is_deleting(pod) or pods.is_terminal(pod):
        return None
    since = clock.parse_time(condition["lastTransitionTime"])
    return max(0.0, _DELETION_SECONDS - (now - since).total_seconds())


class UnknownScale(Exception):
    """The controllers of a budget's pods cannot tell their scale; the message says why."""


class DisruptionController(Controller):
    """Keeps budgets counted."""

    name = "disruption-controller"
    component = "controllermanager"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.budgets = self.watch(BUDGETS, own_key)
        self.pods = self.watch("pods", self._pod_changed)
        self._scaled = {
            kind: self.watch(resource, self._owner_scaled, indexers=CONTROLLER_INDEX)
            for kind, resource in (
                ("ReplicaSet", "replicasets.apps"),
                ("Deployment", "deployments.apps"),
                ("StatefulSet", "statefulsets.apps"),
                ("ReplicationController", "replicationcontrollers"),
            )
        }

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is not None and seconds_until_stale(new, clock.now()) is not None:
            self.queue.add(f"stale {meta.key(new)}")
        if old is not None and new is not None:
            before = (meta.labels(old), pods.is_ready(old), meta.is_deleting(old))
            if before == (meta.labels(new), pods.is_ready(new), meta.is_deleting(new)):
                return ()
        present = [pod for pod in (old, new) if pod is not None]
        return [
            meta.key(budget)
            for budget in self.budgets.list(meta.namespace(present[0]))
            if any(_selector(budget).matches(meta.labels(pod)) for pod in present)
        ]

    def _owner_scaled(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None or (old is not None and replicas(old) == replicas(new)):
            return ()
        return [meta.key(budget) for budget in self.budgets.list(meta.namespace(new)) if needs_scale(budget)]

    async def reconcile(self, key: str) -> None:
        if key.startswith("stale "):
            await self._take_back(key, self.pods.get(key.removeprefix("stale ")))
            return
        budget = self.budgets.get(key)
        if budget is None:
            return
        matched = [p for p in self.pods.list(meta.namespace(budget), _selector(budget)) if not pods.is_terminal(p)]
        if not matched:
            self.events.event(budget, "Normal", "NoPods", "No matching pods found")
        now = clock.now()
        try:
            scale = await self._scale(matched) if needs_scale(budget) else None
        except UnknownScale as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self.events.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._fail_safe(budget, str(error))
            return
        if needs_scale(budget) and any(meta.controller_of(pod) is None for pod in matched):
            selector = go_label_selector(budget["spec"].get("selector"))
            self.events.event(budget, "Warning", "UnmanagedPods", _UNMANAGED.format(selector))
        disrupted = still_disrupted(budget, matched, now)
        for pod in disrupted.survivors:
            text = f"Pod was expected by PDB {key} to be deleted but it wasn't"
            self.events.event(pod, "Warning", "NotDeleted", text)
        count = desired_healthy(budget, len(matched), scale)
        await update_status(self.client, BUDGETS, budget, calculate_status(budget, matched, disrupted.left, count))
        if disrupted.recheck is not None:
            self.queue.add_after(key, (disrupted.recheck - now).total_seconds())

    async def _take_back(self, key: str, pod: Obj | None) -> None:
        """A pod that was to be disrupted two minutes ago and still runs is not disrupted any more."""
        left = seconds_until_stale(pod, clock.now()) if pod is not None else None
        if pod is None or left is None:
            return
        if left > 0:
            self.queue.add_after(key, left)
            return
        condition = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": clock.timestamp()}
        patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
        await ignore_not_found(
            self.client.patch(
                "pods", meta.name(pod), patch, meta.namespace(pod), type="strategic", subresource="status"
            )
        )

    async def _fail_safe(self, budget: Obj, message: str) -> None:
        """Nothing may be evicted while we cannot count."""
        draft = {"status": meta.deep_copy(budget.get("status", {}))}
        draft["status"]["disruptionsAllowed"] = 0
        meta.set_condition(
            draft, "DisruptionAllowed", "False", "SyncFailed", message, observedGeneration=generation(budget)
        )
        for count in ("currentHealthy", "desiredHealthy", "expectedPods"):
            draft["status"].setdefault(count, 0)
        await update_status(self.client, BUDGETS, budget, draft["status"])

    async def _scale(self, matched: list[Obj]) -> int:
        """What the controllers of all these pods ask for together."""
        found: dict[str, int] = {}
        for pod in matched:
            reference = meta.controller_of(pod)
            if reference is None or reference["uid"] in found:
                continue
            uid, scale = await self._scale_of(pod, reference)
            found[uid] = scale
        return sum(found.values())

    async def _scale_of(self, pod: Obj, reference: Obj) -> tuple[str, int]:
        informer = self._scaled.get(reference["kind"])
        if informer is not None and reference["apiVersion"] in ("apps/v1", "v1"):
            owner = informer.get(f"{meta.namespace(pod)}/{reference['name']}")
            if owner is not None and meta.uid(owner) == reference["uid"]:
                parent = meta.controller_of(owner)
                if parent is not None and parent["kind"] in self._scaled:
                    return await self._scale_of(pod, parent)
                return meta.uid(owner), replicas(owner)
        try:
            rt = await resource_of_kind(self.client, reference["apiVersion"], reference["kind"])
            scale = await ignore_not_found(
                self.client.get(rt, reference["name"], meta.namespace(pod), subresource="scale")
            )
        except (StatusError, LookupError) as error:
            raise UnknownScale(error.message if isinstance(error, StatusError) else str(error)) from error
        if scale is None and rt.subresource("scale") is None:
            raise UnknownScale(f"{rt.group_resource} does not implement the scale subresource")
        if scale is None or meta.uid(scale) != reference["uid"]:
            raise UnknownScale(f'found no controllers for pod "{meta.name(pod)}"')
        return reference["uid"], scale["spec"].get("replicas", 0)


def _selector(budget: Obj) -> selectors.LabelSelector:
    return selectors.from_label_selector(budget["spec"].get("selector"))
