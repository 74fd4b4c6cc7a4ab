"""ReplicaSets, and their elder the ReplicationController: keep N pods of one template.

Both are the same controller over different resources. `plan` decides from the pods seen; the rest carries it out
under expectations, so that a cache that lags never leads to a pod too many.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pynetes.client.informer import Informer
from pynetes.controllers import pods
from pynetes.controllers.controller import (
    Context,
    Controller,
    SlowStartStopped,
    controller_key,
    is_namespace_terminating,
    own_key,
    slow_start,
)
from pynetes.controllers.expectations import Expectations
from pynetes.controllers.ownership import CONTROLLER_INDEX, Claimer, candidates, owner_keys
from pynetes.controllers.pod_ranking import deletion_order
from pynetes.controllers.status import compact, generation, replicas, update_status, with_condition, without_condition
from pynetes.machinery import clock, meta, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

BURST = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods to create, or which to delete."""

    create: int = 0
    delete: tuple[Obj, ...] = ()


def plan(desired: int, active: list[Obj], related: list[Obj], now: datetime) -> Plan:
    """What brings `active` to `desired`, at most `BURST` at a time."""
    difference = len(active) - desired
    if difference < 0:
        return Plan(create=min(-difference, BURST))
    if difference > 0:
        return Plan(delete=tuple(deletion_order(active, related, now)[: min(difference, BURST)]))
    return Plan()


def calculate_status(owner: Obj, owned: list[Obj], failure: tuple[str, str] | None, now: datetime) -> Obj:
    """The status that `owner` has with these pods; `failure` is the reason and message of what went wrong, if any."""
    active = [pod for pod in owned if pods.is_active(pod)]
    template_labels = owner["spec"]["template"].get("metadata", {}).get("labels") or {}
    min_ready = owner["spec"].get("minReadySeconds", 0)
    old = owner.get("status", {})
    conditions = old.get("conditions") or []
    if failure is None:
        conditions = without_condition(conditions, "ReplicaFailure")
    elif not any(c["type"] == "ReplicaFailure" for c in conditions):
        conditions = with_condition(conditions, "ReplicaFailure", "True", *failure)
    status = {
        **old,
        "replicas": len(active),
        "fullyLabeledReplicas": sum(template_labels.items() <= meta.labels(pod).items() for pod in active),
        "readyReplicas": sum(pods.is_ready(pod) for pod in active),
        "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in active),
        "observedGeneration": generation(owner),
        "conditions": conditions,
    }
    if owner["kind"] == "ReplicaSet":
        status["terminatingReplicas"] = sum(meta.is_deleting(pod) and not pods.is_terminal(pod) for pod in owned)
    return compact(status, keep=("replicas", "terminatingReplicas"))


class ReplicaSetController(Controller):
    """Keeps ReplicaSets."""

    name: ClassVar[str] = "replicaset-controller"
    kind: ClassVar[str] = "ReplicaSet"
    resource: ClassVar[str] = "replicasets.apps"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.expectations = Expectations()
        self.pod_control = pods.PodControl(self.client, self.events)
        self.claimer = Claimer(self.client, "pods", self.resource)
        self.sets = self.watch(self.resource, own_key, indexers=CONTROLLER_INDEX)
        self.pods: Informer = self.watch("pods", indexers=CONTROLLER_INDEX)
        self._owner_keys = owner_keys(self.sets, self.kind, lambda owner, pod: self._selects(owner, pod))
        self.pods.on_change(self._pod_changed)

    @staticmethod
    def selector(owner: Obj) -> selectors.LabelSelector:
        """What the set selects; a ReplicationController has a plain map."""
        return selectors.from_label_selector(owner["spec"].get("selector"))

    def _selects(self, owner: Obj, pod: Obj) -> bool:
        return self.selector(owner).matches(meta.labels(pod))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        subject = new or old
        if subject is not None:
            key = controller_key(subject, self.kind, self.sets.get)
            if key is not None:
                if old is None:
                    self.expectations.creation_observed(key)
                if new is None or meta.is_deleting(new):
                    self.expectations.deletion_observed(key, meta.name(subject))
        for key in self._owner_keys(old, new):
            self.queue.add(key)

    async def reconcile(self, key: str) -> None:
        owner = self.sets.get(key)
        if owner is None:
            self.expectations.forget(key)
            return
        may_act = self.expectations.satisfied(key) and not meta.is_deleting(owner)
        owned = await self.claimer.claim(
            owner, self.selector(owner), [p for p in candidates(self.pods, owner) if not pods.is_terminal(p)]
        )
        active = [pod for pod in owned if pods.is_active(pod)]
        failure: tuple[str, str] | None = None
        error: BaseException | None = None
        if may_act:
            todo = plan(replicas(owner), active, self._related(owner), clock.now())
            try:
                await self._carry_out(key, owner, todo)
            except (SlowStartStopped, StatusError, ConnectionError) as stopped:
                error = stopped.cause if isinstance(stopped, SlowStartStopped) else stopped
                failure = ("FailedCreate" if todo.create else "FailedDelete", str(error))
        elif any(c["type"] == "ReplicaFailure" for c in owner.get("status", {}).get("conditions") or []):
            failure = ("", "")
        await update_status(self.client, self.resource, owner, calculate_status(owner, owned, failure, clock.now()))
        self._wake_when_available(key, owner, active)
        if isinstance(error, StatusError) and is_namespace_terminating(error):
            return
        if error is not None:
            raise error

    async def _carry_out(self, key: str, owner: Obj, todo: Plan) -> None:
        if todo.create:
            template = owner["spec"]["template"]
            self.expectations.expect(key, creations=todo.create)

            async def create() -> None:
                await self.pod_control.create(pods.from_template(template, owner), owner)

            try:
                await slow_start(todo.create, create)
            except SlowStartStopped as stopped:
                self.expectations.creation_observed(key, todo.create - stopped.successes)
                raise
        elif todo.delete:
            self.expectations.expect(key, deletions=[meta.name(pod) for pod in todo.delete])
            results = await asyncio.gather(*(self._delete(key, owner, pod) for pod in todo.delete))
            failed = next((error for error in results if error is not None), None)
            if failed is not None:
                raise failed

    async def _delete(self, key: str, owner: Obj, pod: Obj) -> Exception | None:
        try:
            await self.pod_control.delete(pod, owner)
        except (StatusError, ConnectionError) as error:
            self.expectations.deletion_observed(key, meta.name(pod))
            if not isinstance(error, StatusError) or error.code != 404:
                return error
        return None

    def _related(self, owner: Obj) -> list[Obj]:
        """The pods of all sets under the same parent, this one's included."""
        parent = meta.controller_of(owner)
        family = self.sets.by_index("controller", parent["uid"]) if parent else [owner]
        return [pod for member in family for pod in self.pods.by_index("controller", meta.uid(member))]

    def _wake_when_available(self, key: str, owner: Obj, active: list[Obj]) -> None:
        min_ready = owner["spec"].get("minReadySeconds", 0)
        now = clock.now()
        waits = [pods.seconds_until_available(pod, min_ready, now) for pod in active]
        soonest = min((wait for wait in waits if wait), default=None)
        if soonest is not None:
            self.queue.add_after(key, soonest)


class ReplicationControllerController(ReplicaSetController):
    """Keeps ReplicationControllers."""

    name = "replicationcontroller-controller"
    component = "replication-controller"
    account = "replication-controller"
    kind = "ReplicationController"
    resource = "replicationcontrollers"

    @staticmethod
    def selector(owner: Obj) -> selectors.LabelSelector:
        return selectors.from_label_selector({"matchLabels": owner["spec"].get("selector") or {}})
