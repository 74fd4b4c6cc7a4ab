"""The scheduler, from a pod without a node to its binding: read this file and you know the component.

One pod at a time is decided (`_decide`), because each decision must see the one before; its binding then goes on by
itself (`_bind`) while the next pod is decided. In between the pod is *assumed*: counted on its node as if it were
bound. If the binding fails, the assumption is taken back and the pod waits for its next attempt.

    queue.pop → filters → scores → reserve + assume ─┬→ next pod
                   │                                 └→ pre-bind → bind → Scheduled
                   └→ nobody fits: preemption, FailedScheduling, back to the queue until something changes
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterator, Mapping

import numpy as np

from pynetes.client.client import Client, Unreachable
from pynetes.client.events import EventRecorder
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.scheduler import preemption
from pynetes.scheduler.framework import (
    BindingFailed,
    Cluster,
    State,
    Unschedulable,
    Verdict,
    run_filters,
    run_scores,
)
from pynetes.scheduler.plugins.volumes import Binder
from pynetes.scheduler.podinfo import PodInfo
from pynetes.scheduler.profiles import DEFAULT_NAME, Profile
from pynetes.scheduler.queue import SchedulingQueue, Waiting
from pynetes.scheduler.snapshot import Nodes

log = logging.getLogger(__name__)

BIND = 'Bind plugin "DefaultBinder"'


class Scheduler:
    """Takes pods from the queue and binds them. `sources.py` keeps `nodes` and `queue` true to the cluster."""

    def __init__(
        self,
        client: Client,
        events: Mapping[str, EventRecorder],
        nodes: Nodes,
        queue: SchedulingQueue,
        cluster: Cluster,
        profiles: Mapping[str, Profile],
        binder: Binder,
    ) -> None:
        self.client = client
        self.events = events
        self.nodes = nodes
        self.queue = queue
        self.cluster = cluster
        self.profiles = profiles
        self.binder = binder
        self.assumed: dict[str, tuple[PodInfo, str]] = {}
        self.nominated: dict[str, tuple[PodInfo, str]] = {}
        self._bindings: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Schedule for ever; ends by cancellation."""
        try:
            while True:
                waiting = await self.queue.pop()
                try:
                    await self._schedule(waiting)
                except (StatusError, Unreachable) as error:
                    log.warning("%s: %s", waiting.info.key, error)
                    self.queue.retry(waiting)
                except Exception as error:
                    log.exception("%s", waiting.info.key)
                    await self._give_up(waiting, error)
        finally:
            for task in self._bindings:
                task.cancel()

    async def _give_up(self, waiting: Waiting, error: Exception) -> None:
        """One pod that no plugin can make sense of must not keep the others waiting."""
        pod = waiting.info
        if (assumed := self.assumed.get(pod.uid)) is not None:
            self._forget(*assumed)
        self.queue.retry(waiting)
        with contextlib.suppress(StatusError, Unreachable):
            await self._report(pod, "SchedulerError", str(error))

    async def _schedule(self, waiting: Waiting) -> None:
        pod = waiting.info
        profile = self._profile(pod)
        state = State(pod, self.nodes, self.cluster, {"binder": self.binder})
        try:
            for plugin in profile.filters if len(self.nodes) else ():
                plugin.pre_filter(state)
        except Unschedulable as reason:
            verdict = Verdict(np.zeros(len(self.nodes.names), dtype=bool), general=reason.reason)
            verdict.plugins.add(reason.plugin)
            await self._withdraw(pod)
            await self._fail(waiting, verdict, preemption.not_helpful(len(self.nodes)))
            return
        verdict, node = self._decide(state)
        if node is None:
            found = self._preempt(state, verdict)
            if found.candidate is not None:
                await self._nominate(pod, found.candidate)
            elif found.exhausted:
                await self._withdraw(pod)
            await self._fail(waiting, verdict, found.message)
            return
        self._assume(pod, node)
        for plugin in profile.filters:
            plugin.reserve(state, node)
        task = asyncio.get_running_loop().create_task(self._bind(waiting, state, node))
        self._bindings.add(task)
        task.add_done_callback(self._bindings.discard)

    def _profile(self, pod: PodInfo) -> Profile:
        return self.profiles[_scheduler_of(pod)]

    # -- deciding ---------------------------------------------------------------------------------------------------

    def _decide(self, state: State) -> tuple[Verdict, str | None]:
        """The best node for the pod, or None; nominated pods of at least its priority count as if they were there."""
        profile = self._profile(state.pod)
        with self._guests(state.pod):
            verdict = run_filters(state, profile.filters)
            rows = np.flatnonzero(verdict.feasible)
            if not len(rows):
                return verdict, None
            cleared = self.nodes.rows.get(self._nominated_node(state.pod))
            if cleared is not None and verdict.feasible[cleared]:
                return verdict, self.nodes.names[cleared]
            if len(rows) == 1:
                return verdict, self.nodes.names[rows[0]]
            scores = run_scores(state, profile.scorers, rows)
            best = rows[scores == scores.max()]
            return verdict, self.nodes.names[random.choice(best)]

    @contextlib.contextmanager
    def _guests(self, pod: PodInfo) -> Iterator[None]:
        """Nominated pods that matter as much as `pod` count as if they were on their nodes."""
        guests = [
            (other, node)
            for other, node in self.nominated.values()
            if other.priority >= pod.priority and other.uid != pod.uid and other.uid not in self.assumed
        ]
        for other, node in guests:
            self.nodes.add_pod(other, node)
        try:
            yield
        finally:
            for other, node in guests:
                self.nodes.remove_pod(other, node)

    # -- binding ----------------------------------------------------------------------------------------------------

    def _assume(self, pod: PodInfo, node: str) -> None:
        self.assumed[pod.uid] = (pod, node)
        self.nominated.pop(pod.uid, None)
        self.nodes.add_pod(pod, node)

    def confirm(self, uid: str) -> None:
        """The cluster shows the pod on its node: the assumption has become a fact."""
        self.assumed.pop(uid, None)

    def _forget(self, pod: PodInfo, node: str) -> None:
        if self.assumed.pop(pod.uid, None) is not None:
            self.nodes.remove_pod(pod, node)
            self.queue.happened("pod-delete")

    async def _bind(self, waiting: Waiting, state: State, node: str) -> None:
        pod, step = waiting.info, BIND
        filters = self._profile(pod).filters
        try:
            for plugin in filters:
                step = f'PreBind plugin "{plugin.name}"'
                await plugin.pre_bind(state, node)
            step = BIND
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": meta.name(pod.pod), "namespace": pod.namespace, "uid": pod.uid},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            }
            await self.client.create("pods", binding, namespace=pod.namespace, subresource="binding")
        except (StatusError, Unreachable, BindingFailed) as error:
            for plugin in reversed(filters):
                plugin.unreserve(state, node)
            self._forget(pod, node)
            if isinstance(error, StatusError) and error.code == 404 and step == BIND:
                self.queue.done(pod.uid)
                return
            log.warning("%s could not be bound to %s: %s", pod.key, node, error)
            self.queue.retry(waiting)
            with contextlib.suppress(StatusError, Unreachable):
                await self._report(pod, "SchedulerError", f"running {step}: {error}")
            return
        self.queue.done(pod.uid)
        text = f"Successfully assigned {pod.key} to {node}"
        self._event(pod, pod, "Normal", "Scheduled", text, "Binding")

    # -- failing ----------------------------------------------------------------------------------------------------

    async def _fail(self, waiting: Waiting, verdict: Verdict, preempted: str) -> None:
        """Say why the pod is not scheduled, and let it wait for what may change that."""
        pod = waiting.info
        message = preemption.explain(verdict.message(self.nodes), preempted)
        wakes = {"node-add"}.union(
            *(plugin.wakes for plugin in self._profile(pod).filters if plugin.name in verdict.plugins)
        )
        self.queue.park(waiting, wakes)
        await self._report(pod, "Unschedulable", message)

    async def _report(self, pod: PodInfo, reason: str, message: str) -> None:
        """Tell in an event and in the pod's status why it has no node."""
        self._event(pod, pod, "Warning", "FailedScheduling", message, "Scheduling")
        before = meta.get_condition(pod.pod, "PodScheduled") or {}
        said: Obj = {"reason": reason, "message": message, **meta.observed_by(pod.pod)}
        if all(before.get(field) == value for field, value in said.items()):
            return
        draft: Obj = {"status": {"conditions": [dict(before)] if before else []}}
        meta.set_condition(draft, "PodScheduled", "False", **said)
        await self._patch_status(pod, draft)

    def _event(
        self, pod: PodInfo, of: PodInfo, type: str, reason: str, message: str, action: str, related: Obj | None = None
    ) -> None:
        """Tell of something that the attempt to schedule `pod` did."""
        self.events[_scheduler_of(pod)].event(of.pod, type, reason, message, action=action, related=related)

    async def _patch_status(self, pod: PodInfo, patch: Obj) -> None:
        """Change the pod's status, unless the pod has been replaced or is gone."""
        name = meta.name(pod.pod)
        body = {"metadata": {"uid": pod.uid}, **patch}
        try:
            await self.client.patch("pods", name, body, namespace=pod.namespace, type="strategic", subresource="status")
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    # -- preemption -------------------------------------------------------------------------------------------------

    def _preempt(self, state: State, verdict: Verdict) -> preemption.Preemption:
        pod = state.pod
        if (node := self._nominated_node(pod)) and any(
            meta.is_deleting(other.pod) and other.priority < pod.priority for other in self.nodes.pods_on(node)
        ):
            waiting = "not eligible due to a terminating pod on the nominated node."
            return preemption.Preemption(None, waiting)
        profile = self._profile(pod)
        if not profile.preempts:
            return preemption.Preemption(None)
        with self._guests(pod):
            return preemption.preempt(state, verdict, profile.filters)

    def _nominated_node(self, pod: PodInfo) -> str:
        nominated = self.nominated.get(pod.uid)
        return nominated[1] if nominated else ""

    async def _withdraw(self, pod: PodInfo) -> None:
        """The node that was cleared for the pod is of no use to it any more: others may have it."""
        if self.nominated.pop(pod.uid, None) is not None:
            self.queue.happened("pod-delete")
            await self._patch_status(pod, {"status": {"nominatedNodeName": None}})

    async def _nominate(self, pod: PodInfo, candidate: preemption.Candidate) -> None:
        """Reserve the node for the pod and end the victims."""
        node = candidate.node
        self.nominated[pod.uid] = (pod, node)
        for victim in candidate.victims:
            if meta.is_deleting(victim.pod):
                continue
            condition = preemption.disruption_condition(victim.pod, pod.pod)
            await self._patch_status(victim, condition)
            try:
                await self.client.delete("pods", meta.name(victim.pod), victim.namespace, uid=victim.uid)
            except StatusError as error:
                if error.code not in (404, 409):
                    raise
            text = f"Preempted by pod {pod.uid} on node {node}"
            self._event(pod, victim, "Normal", "Preempted", text, "Preempting", related=pod.pod)
        for uid, (other, other_node) in list(self.nominated.items()):
            if other_node == node and other.priority < pod.priority:
                del self.nominated[uid]
                await self._patch_status(other, {"status": {"nominatedNodeName": None}})
                self.queue.happened("pod-delete")
        await self._patch_status(pod, {"status": {"nominatedNodeName": node}})


def _scheduler_of(pod: PodInfo) -> str:
    name: str = pod.spec.get("schedulerName") or DEFAULT_NAME
    return name
