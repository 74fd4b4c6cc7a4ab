"""DaemonSets: one pod on every node that fits, replaced node by node when the template changes."""

import asyncio
from collections.abc import Iterable

from pynetes.client.backoff import Backoff
from pynetes.controllers import daemonset_plan as planning
from pynetes.controllers import pods, revisions
from pynetes.controllers.controller import (
    Context,
    Controller,
    SlowStartStopped,
    controller_key,
    ignore_not_found,
    is_namespace_terminating,
    own_key,
    slow_start,
)
from pynetes.controllers.expectations import Expectations
from pynetes.controllers.ownership import CONTROLLER_INDEX, Claimer, candidates, owner_keys
from pynetes.controllers.status import compact, update_status
from pynetes.machinery import clock, meta, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

DAEMONSETS = "daemonsets.apps"
_BURST = 250
_DEFAULT_HISTORY = 10
_SHOWN = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def selector_of(daemons: Obj) -> selectors.LabelSelector:
    """What the set selects."""
    return selectors.from_label_selector(daemons["spec"].get("selector"))


class DaemonSetController(Controller):
    """Keeps DaemonSets."""

    name = "daemonset-controller"
    account = "daemon-set-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.expectations = Expectations()
        self.pod_control = pods.PodControl(self.client, self.events)
        self.pod_claimer = Claimer(self.client, "pods", DAEMONSETS)
        self.revision_claimer = Claimer(self.client, revisions.RESOURCE, DAEMONSETS)
        self._retries: dict[tuple[str, str], tuple[Backoff, float]] = {}
        self.sets = self.watch(DAEMONSETS, own_key)
        self._owner_keys = owner_keys(self.sets, "DaemonSet", lambda d, p: selector_of(d).matches(meta.labels(p)))
        self.pods = self.watch("pods", indexers=CONTROLLER_INDEX)
        self.pods.on_change(self._pod_changed)
        self.revisions = self.watch(revisions.RESOURCE, self._revision_gone, indexers=CONTROLLER_INDEX)
        self.nodes = self.watch("nodes", self._node_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        subject = new or old
        key = controller_key(subject, "DaemonSet", self.sets.get) if subject is not None else None
        if key is not None and subject is not None:
            if old is None:
                self.expectations.creation_observed(key)
            if new is None or meta.is_deleting(new):
                self.expectations.deletion_observed(key, meta.name(subject))
        for each in self._owner_keys(old, new):
            self.queue.add(each)

    def _revision_gone(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        key = controller_key(old, "DaemonSet", self.sets.get) if old is not None and new is None else None
        return (key,) if key is not None else ()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        """Only what decides where daemons run matters: labels, taints, existence."""
        if old is not None and new is not None:
            same_labels = meta.labels(old) == meta.labels(new)
            if same_labels and old.get("spec", {}).get("taints") == new.get("spec", {}).get("taints"):
                return ()
        return [meta.key(daemons) for daemons in self.sets.list()]

    async def reconcile(self, key: str) -> None:
        daemons = self.sets.get(key)
        if daemons is None:
            self.expectations.forget(key)
            return
        selector = selector_of(daemons)
        if selector.empty:
            self.events.event(
                daemons,
                "Warning",
                "SelectingAll",
                "This daemon set is selecting all pods. A non-empty selector is required.",
            )
            return
        if meta.is_deleting(daemons):
            return
        history = await self.revision_claimer.claim(daemons, selector, candidates(self.revisions, daemons))
        try:
            current, history = await self._revise(daemons, history)
        except revisions.NameTaken:
            status = daemons.get("status", {})
            await update_status(
                self.client, DAEMONSETS, daemons, {**status, "collisionCount": status.get("collisionCount", 0) + 1}
            )
            return
        digest = meta.labels(current)[revisions.HASH_LABEL]
        owned = await self.pod_claimer.claim(daemons, selector, candidates(self.pods, daemons))
        by_node: dict[str, list[Obj]] = {}
        for pod in owned:
            by_node.setdefault(planning.target_node(pod), []).append(pod)
        nodes = self.nodes.list()
        now = clock.now()
        error: BaseException | None = None
        try:
            if self.expectations.satisfied(key):
                todo = planning.manage(daemons, nodes, by_node, digest, now)
                self._note_failed(key, daemons, todo)
                if not todo.create and not todo.delete and planning.is_rolling(daemons):
                    todo = planning.roll(daemons, nodes, by_node, digest, now)
                await self._carry_out(key, daemons, todo, digest)
                await self._trim(daemons, history, owned, current)
        except (SlowStartStopped, StatusError, ConnectionError) as stopped:
            error = stopped.cause if isinstance(stopped, SlowStartStopped) else stopped
        status = planning.calculate_status(daemons, nodes, by_node, digest, now)
        status["collisionCount"] = daemons.get("status", {}).get("collisionCount")
        await update_status(self.client, DAEMONSETS, daemons, compact(status, keep=_SHOWN))
        waits = [pods.seconds_until_available(pod, daemons["spec"].get("minReadySeconds", 0), now) for pod in owned]
        soonest = min((wait for wait in waits if wait), default=None)
        if soonest is not None:
            self.queue.add_after(key, soonest)
        if error is not None and not (isinstance(error, StatusError) and is_namespace_terminating(error)):
            raise error

    async def _revise(self, daemons: Obj, history: list[Obj]) -> tuple[Obj, list[Obj]]:
        """The revision of the current template, and all of them."""
        history = sorted(history, key=revisions.order)
        data = revisions.data_of(daemons)
        latest = max((revisions.number(revision) for revision in history), default=0)
        equal = [revision for revision in history if revisions.same(revision, data)]
        if equal:
            current = equal[-1]
            if revisions.number(current) < latest:
                current = await revisions.renew(self.client, current, latest + 1)
            for twin in equal[:-1]:
                await self._merge(daemons, twin, current)
            return current, [revision for revision in history if revision not in equal[:-1]]
        labels = dict((daemons["spec"]["template"].get("metadata") or {}).get("labels") or {})
        made = revisions.make(daemons, data, latest + 1, labels, dict(meta.annotations(daemons)))
        current = await revisions.create(self.client, made)
        return current, [*history, current]

    async def _merge(self, daemons: Obj, twin: Obj, current: Obj) -> None:
        """Two revisions of one template: the pods of the older become the newer's, and the older goes."""
        digest = {revisions.HASH_LABEL: meta.labels(current)[revisions.HASH_LABEL]}
        old = meta.labels(twin).get(revisions.HASH_LABEL)
        for pod in self.pods.by_index("controller", meta.uid(daemons)):
            if meta.labels(pod).get(revisions.HASH_LABEL) == old:
                patch = {"metadata": {"uid": meta.uid(pod), "labels": digest}}
                await ignore_not_found(self.client.patch("pods", meta.name(pod), patch, meta.namespace(pod)))
        await revisions.remove(self.client, [twin])

    def _note_failed(self, key: str, daemons: Obj, todo: planning.Plan) -> None:
        """Pods that ended are replaced, on one node ever more slowly if they keep failing."""
        for node, pod in todo.failed:
            name = f"{meta.namespace(pod)}/{meta.name(pod)}"
            if pods.phase(pod) == "Succeeded":
                self.events.event(
                    daemons,
                    "Normal",
                    "SucceededDaemonPod",
                    f"Found succeeded daemon pod {name} on node {node}, will try to delete it",
                )
                todo.delete.append(pod)
                continue
            now = clock.monotonic()
            backoff, until = self._retries.get((key, node), (Backoff(1.0, 900.0, 0.0), 0.0))
            if now < until:
                self.queue.add_after(key, until - now)
                continue
            self._retries[key, node] = (backoff, now + backoff.next())
            self.events.event(
                daemons,
                "Warning",
                "FailedDaemonPod",
                f"Found failed daemon pod {name} on node {node}, will try to kill it",
            )
            todo.delete.append(pod)

    async def _carry_out(self, key: str, daemons: Obj, todo: planning.Plan, digest: str) -> None:
        create, delete = todo.create[:_BURST], todo.delete[:_BURST]
        if not create and not delete:
            return
        self.expectations.expect(key, creations=len(create), deletions=[meta.name(pod) for pod in delete])
        left = iter(create)

        async def create_next() -> None:
            await self.pod_control.create(planning.new_pod(daemons, next(left), digest), daemons)

        results = await asyncio.gather(
            slow_start(len(create), create_next),
            *(self._delete(key, daemons, pod) for pod in delete),
            return_exceptions=True,
        )
        started = results[0]
        if isinstance(started, SlowStartStopped):
            self.expectations.creation_observed(key, len(create) - started.successes)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _delete(self, key: str, daemons: Obj, pod: Obj) -> None:
        try:
            await self.pod_control.delete(pod, daemons)
        except (StatusError, ConnectionError) as error:
            self.expectations.deletion_observed(key, meta.name(pod))
            if not isinstance(error, StatusError) or error.code != 404:
                raise

    async def _trim(self, daemons: Obj, history: list[Obj], owned: list[Obj], current: Obj) -> None:
        used = {meta.labels(pod).get(revisions.HASH_LABEL) for pod in owned}
        live = {meta.name(r) for r in history if meta.labels(r).get(revisions.HASH_LABEL) in used}
        limit = daemons["spec"].get("revisionHistoryLimit", _DEFAULT_HISTORY)
        await revisions.remove(self.client, revisions.surplus(history, limit, live | {meta.name(current)}))
