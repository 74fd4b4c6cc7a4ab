"""One pod, from its arrival on the node to its last trace: the state machine at the heart of the kubelet.

    SYNCING ──► TERMINATING ──► CLEANING ──► FINISHED ──► REMOVED
       │             ▲                          (waits for the object's deletion)
       └─ wakes on: the pod's change, a container's end, a probe's verdict, a ConfigMap's or Secret's change, a timer

SYNCING compares what should run with what runs (`plan.make_plan`) and acts, again and again. TERMINATING ends every
container within the grace period. CLEANING takes volumes and cgroups away and reports the final status. FINISHED
keeps the containers' remains for logs until the API deletes the pod; then they go as well, and so does the object.
One task per pod; whatever it was doing, a deletion interrupts it. Nothing is remembered outside the runtime and the
API, so a new kubelet picks up exactly where the last one fell.
"""

import asyncio
import contextlib
import enum
import logging
from collections.abc import Coroutine
from typing import Any

from pynetes.kubelet import mounts, observed, preemption, removal, retries, spec
from pynetes.kubelet.cri.client import CriError
from pynetes.kubelet.launcher import Launcher, SandboxFailure, StartFailure
from pynetes.kubelet.node_context import NodeContext
from pynetes.kubelet.observed import Container, PodView
from pynetes.kubelet.plan import Plan, Stop, make_plan, must_restart_all
from pynetes.kubelet.resize import Resizer
from pynetes.kubelet.resources import pod_limits, qos_class
from pynetes.kubelet.sandbox import log_directory
from pynetes.kubelet.status import Facts, make_status, next_attempt
from pynetes.kubelet.stopper import Stopper, settled
from pynetes.kubelet.vitals import Vitals
from pynetes.kubelet.volumes import PodVolumes, VolumeContext, VolumeError
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

RUNTIME_RETRY_SECONDS = 1.0


class State(enum.Enum):
    """Where in its life the pod is."""

    SYNCING = "syncing"
    TERMINATING = "terminating"
    CLEANING = "cleaning"
    FINISHED = "finished"
    REMOVED = "removed"


class PodWorker:
    """The task that looks after one pod; `run` ends when no trace of it is left on the node."""

    def __init__(self, node: NodeContext, pod: Obj) -> None:
        self.node = node
        self.pod = pod
        self.uid = meta.uid(pod)
        self.state = State.SYNCING
        self.view = PodView()
        self.status: Obj = dict(pod.get("status") or {})
        self.gone = False  # the API has no such object any more
        self.finished: tuple[str, str, str] | None = None
        self.rejection: tuple[str, str] | None = None
        self.stopped = asyncio.Event()  # nothing of it runs any more
        self.ended: dict[str, asyncio.Event] = {}  # container id → its end, for those who follow its log
        self._over = spec.is_terminal(self.status)
        self._grace: float | None = None
        self._disruption = ""
        self._mirror: Obj | None = None
        self._wake = asyncio.Event()
        self._interrupt = asyncio.Event()
        self._exits: set[str] = set()
        self._relist = False
        self._failures: dict[str, tuple[str, str]] = {}
        self._cgroup = ""
        self._restarting = meta.is_condition_true(pod, "AllContainersRestarting")
        self._retries = retries.Retries()
        self._refreshes: dict[str, float] = {}
        self._told: set[tuple[str, ...]] = set()
        self.volumes = PodVolumes(self._volume_context())
        self.launcher = Launcher(node, pod, self.view, self.volumes, self._claim)
        self.stopper = Stopper(self.launcher)
        self.resizer = Resizer(self.launcher)
        self.vitals = Vitals(self.launcher, self._wake.set)

    def _volume_context(self) -> VolumeContext:
        async def get(plural: str, namespace: str, name: str) -> Obj:
            return await self.node.sources.get(plural, namespace, name, self.uid)

        def refresh_at(name: str, when: float) -> None:
            self._refreshes[name] = when

        return VolumeContext(
            pod=self.pod,
            directory=self.node.pod_directory(self.uid),
            get=get,
            get_cluster=self.node.get_cluster_object,
            request_token=self.node.request_token,
            allocatable=self.node.allocatable,
            trust_bundles=self.node.trust_bundles,
            refresh_at=refresh_at,
            runtime=self.node.runtime,
        )

    # What happens to the pod from outside; none of these waits

    def update(self, pod: Obj) -> None:
        """The API has a newer version of the pod."""
        changed = (meta.labels(pod), meta.annotations(pod)) != (meta.labels(self.pod), meta.annotations(self.pod))
        self.pod = self.launcher.pod = pod
        shown = self.volumes.update_pod(pod)
        if changed:
            self._refreshes |= {volume.name: 0.0 for volume in shown}
        said = pod.get("status") or {}
        if spec.is_terminal(said) and not spec.is_terminal(self.status) and not self._over:
            # Somebody else declared it ended, and an end is for good: what still runs of it is stopped.
            self.status |= {key: said[key] for key in ("phase", "reason", "message") if said.get(key)}
            self.node.reporter.report(pod, self.status)
            self._over = True
            self._terminate(spec.grace_period(pod))
        if meta.is_deleting(pod):
            self._terminate(max(spec.grace_period(pod), 1.0))
        self._wake.set()

    def removed(self, last: Obj) -> None:
        """The object is gone from the API."""
        self.pod = self.launcher.pod = last
        self.gone = True
        self._terminate(max(spec.grace_period(last), 1.0))

    def finish(self, phase: str, reason: str, message: str, grace: float | None = None) -> None:
        """End the pod for a reason of the node's own: rejected, evicted, past its deadline."""
        if self.finished is None and not self._over:
            self.finished = (phase, reason, message)
            self._over = True
            self._terminate(spec.grace_period(self.pod) if grace is None else grace)

    def evict(self, message: str, grace: float) -> None:
        """End the pod because the node runs short; who watches is told that it was not the pod's doing."""
        self._disruption = message
        self.finish("Failed", "Evicted", message, grace)

    def preempt(self) -> None:
        """End the pod because a critical one needs its room."""
        self._disruption = preemption.DISRUPTION
        self.finish("Failed", preemption.REASON, preemption.MESSAGE)

    def container_ended(self, container_id: str) -> None:
        """The runtime says that a container ended."""
        self._exits.add(container_id)
        self._wake.set()

    def owns(self, container_id: str) -> bool:
        """Whether the container or sandbox is this pod's."""
        return container_id in self.ended or any(sandbox.id == container_id for sandbox in self.view.sandboxes)

    def set_mirror(self, mirror: Obj) -> None:
        """The API's image of this static pod: events and statuses go there."""
        if self._mirror is None or meta.uid(self._mirror) != meta.uid(mirror):
            self._mirror = mirror
            self.node.reporter.report(mirror, self.status)

    def look_again(self) -> None:
        """Something may have been missed: ask the runtime afresh."""
        self._relist = True
        self._wake.set()

    def object_changed(self, plural: str, name: str) -> None:
        """A ConfigMap or Secret that the pod uses changed."""
        self._refreshes |= {volume.name: 0.0 for volume in self.volumes.using(plural, name)}
        self.poke()

    def poke(self) -> None:
        """Look at the pod again now, and try again what failed."""
        self._retries.clear()
        self._wake.set()

    def _terminate(self, grace: float) -> None:
        if self._grace is None or grace < self._grace:
            self._grace = grace
        self._interrupt.set()
        self._wake.set()

    # The life

    async def run(self) -> None:
        """From state to state until the pod is removed."""
        steps = {
            State.SYNCING: self._syncing,
            State.TERMINATING: self._terminating,
            State.CLEANING: self._cleaning,
            State.FINISHED: self._waiting_for_deletion,
        }
        try:
            await self._observe_persistently()
            while self.state is not State.REMOVED:
                self.state = await steps[self.state]()
        finally:
            self.vitals.stop_all()

    async def _observe_persistently(self) -> None:
        """Look at everything afresh, however long the runtime is out of reach."""
        while True:
            try:
                return await self._observe()
            except CriError as error:
                log.warning("%s: %s", spec.describe(self.pod), error)
                await clock.sleep(RUNTIME_RETRY_SECONDS)

    async def _observe(self) -> None:
        fresh = await observed.observe(self.node.runtime, self.uid)
        self.view.sandboxes, self.view.containers = fresh.sandboxes, fresh.containers
        self._exits.clear()
        self._relist = False
        for container in self.view.all_containers():
            self._note(container)

    def _claim(self, container_id: str) -> None:
        self.ended.setdefault(container_id, asyncio.Event())

    def _note(self, container: Container) -> None:
        event = self.ended.setdefault(container.id, asyncio.Event())
        if container.state == "exited":
            event.set()

    async def _syncing(self) -> State:
        if meta.is_deleting(self.pod):
            self._terminate(max(spec.grace_period(self.pod), 1.0))
        if not self.view.containers and not self._over and not self.view.sandboxes:
            self.rejection = await self.node.admit(self.pod)
            if self.rejection is not None:
                self.launcher.pod_event("Warning", *self.rejection)
                self.finish("Failed", *self.rejection)
        while not self._over and not self._interrupt.is_set():
            self._wake.clear()
            delay = await self._interruptible(self._sync())
            if self._over or self._interrupt.is_set():
                break
            await self._sleep(delay)
        return State.TERMINATING

    async def _interruptible(self, work: Coroutine[Any, Any, float | None]) -> float | None:
        """Run a sync; a termination cancels it."""
        task = asyncio.ensure_future(work)
        alarm = asyncio.ensure_future(self._interrupt.wait())
        try:
            await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CriError):
                await task
            self._relist = True
            return None
        except CriError as error:
            log.warning("%s: %s", spec.describe(self.pod), error)
            self._relist = True
            return RUNTIME_RETRY_SECONDS
        finally:
            task.cancel()
            alarm.cancel()

    async def _sleep(self, delay: float | None) -> None:
        """Until something happens, or `delay` seconds at most."""
        moments = [clock.time() + delay] if delay is not None else []
        moments += self._refreshes.values()
        deadline = self._deadline()
        if deadline is not None:
            moments.append(deadline)
        if not moments:
            await self._wake.wait()
            return
        with contextlib.suppress(TimeoutError):
            await clock.wait_for(self._wake.wait(), max(0.0, min(moments) - clock.time()))

    def _deadline(self) -> float | None:
        """When activeDeadlineSeconds are over."""
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        start = self.status.get("startTime")
        return clock.parse_time(start).timestamp() + seconds if seconds is not None and start else None

    # SYNCING: one pass

    async def _sync(self) -> float | None:
        """Bring what runs nearer to what should run; returns when to come back unless something happens before."""
        if self._relist:
            await self._observe()
        await self._take_exits()
        self.vitals.follow(self.status)
        self.report()
        deadline = self._deadline()
        if deadline is not None and clock.time() >= deadline:
            text = "Pod was active on the node longer than the specified deadline"
            self.launcher.pod_event("Normal", "DeadlineExceeded", text)
            self.finish("Failed", "DeadlineExceeded", text)
            return None
        await self._refresh_volumes()
        owed = False  # a report that waits for what replaces the containers that were stopped
        while True:
            if self._restarting or must_restart_all(self.pod, self.view):
                await self._restart_all()
            plan = make_plan(self.pod, self.view, self.vitals.health())
            if plan.finished:
                self._over = True
                return None
            progress, delay = await self._carry_out(plan)
            if not progress:
                if owed:
                    self.report()
                return delay
            await self._take_exits()
            self.vitals.follow(self.status)
            owed = bool(plan.stop)
            if not owed:
                self.report()

    async def _take_exits(self) -> None:
        while self._exits:
            container_id = self._exits.pop()
            known = self.view.find(container_id)
            if known is None:
                if any(sandbox.id == container_id for sandbox in self.view.sandboxes):
                    await self._sandbox_ended(container_id)
                continue
            by_itself = self._grace is None
            found = await settled(self.launcher, container_id, known.sandbox_id, by_itself=by_itself)
            if found is None:
                self.view.drop(container_id)
                continue
            self.view.put(found)
            self._note(found)

    async def _sandbox_ended(self, sandbox_id: str) -> None:
        """A sandbox's own process ended: ask until the runtime has noticed too."""
        for pause in (0.0, 0.02, 0.1, 0.5):
            await clock.sleep(pause)
            try:
                status = (await self.node.runtime.pod_sandbox_status(sandbox_id)).status
            except CriError:
                self._relist = True
                return
            sandbox = observed.sandbox_of(status)
            if not sandbox.ready:
                break
        self.view.sandboxes = [sandbox if known.id == sandbox_id else known for known in self.view.sandboxes]

    async def _doubt_sandbox(self, name: str) -> None:
        """A container could not run: if that is because its sandbox just ended, it is not the container's fault."""
        sandbox = self.view.sandbox
        if sandbox is None or "namespace path" not in self._failures[name][1]:
            return
        await self._sandbox_ended(sandbox.id)
        failed = self.view.latest(name)
        if failed is not None and self.view.sandbox is not None and not self.view.sandbox.ready:
            await self.node.runtime.remove_container(failed.id)
            self.view.drop(failed.id)
            self.node.crash_backoff.forget(f"{self.uid}_{name}_")

    async def _refresh_volumes(self) -> None:
        now = clock.time()
        for name in [name for name, moment in self._refreshes.items() if moment <= now]:
            del self._refreshes[name]
            volume = self.volumes.volumes.get(name)
            if volume is None:
                continue
            try:
                await volume.refresh()
            except VolumeError as error:
                text = f'MountVolume.SetUp failed for volume "{name}" : {error}'
                self.launcher.pod_event("Warning", "FailedMount", text)

    async def _carry_out(self, plan: Plan) -> tuple[bool, float | None]:
        """Returns whether anything was done, and when to try what failed again."""
        resized, outgrown = await self.resizer.apply()
        stops = [self._stop(stop) for stop in [*plan.stop, *outgrown]]
        if stops or resized:
            self.report()
            await asyncio.gather(*stops)
            return True, None
        delay = await self._prepare()
        if delay is not None:
            return False, delay
        if plan.new_sandbox:
            return await self._new_sandbox(plan)
        progress, delays = False, [retries.RETRY_SECONDS] if self.resizer.waiting else []
        for container in [*plan.start_ephemeral, *plan.start_init, *plan.start]:
            started, wait = await self._start(container)
            progress = progress or started
            if wait is not None:
                delays.append(wait)
        return progress, min(delays, default=None)

    async def _stop(self, stop: Stop) -> None:
        grace = spec.grace_period(self.pod) if stop.probe_grace is None else stop.probe_grace
        self.vitals.stop(stop.container.id)
        await self.stopper.stop(stop.container, stop.message, grace)

    async def _restart_all(self) -> None:
        """Every container goes at once, without grace and hooks; sandbox and volumes stay; then the pod begins anew."""
        self._restarting = True
        self.report()
        self.vitals.stop_all()
        await self.stopper.stop_all(0.0)
        self.report()
        for name in await self.stopper.remove_containers():
            self._failures.pop(name, None)
        self.report()
        self._restarting = False

    async def _prepare(self) -> float | None:
        """Cgroup, directories, volumes; returns when to try again if they are not ready."""
        if self._cgroup and self.volumes.ready:
            return None
        problem = self.node.network_problem()
        if problem and not spec.host_network(self.pod):
            self._tell("Warning", "NetworkNotReady", f"network is not ready: {problem}")
            return RUNTIME_RETRY_SECONDS
        pids = self.node.options.pod_max_pids
        limits = pod_limits(self.pod, pids if pids > 0 else None)
        self.launcher.directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._cgroup = self.node.cgroups.create_pod(self.uid, qos_class(self.pod), limits)
        failures = await self.volumes.set_up()
        if unknown := sorted(self.volumes.unprocessed):
            names, why = " ".join(unknown), "; ".join(failures.pop(name) for name in unknown)
            text = f"unmounted volumes=[{names}], unattached volumes=[], failed to process volumes=[{names}]: {why}"
            self.launcher.pod_event("Warning", "FailedMount", f"Unable to attach or mount volumes: {text}")
        for message in failures.values():
            self.launcher.pod_event("Warning", "FailedMount", message)
        return self._retries.next(retries.MOUNT) if failures or unknown else None

    def _tell(self, type: str, reason: str, message: str) -> None:
        """An event about the pod that is said once only."""
        if (type, reason, message) not in self._told:
            self._told.add((type, reason, message))
            self.launcher.pod_event(type, reason, message)

    async def _new_sandbox(self, plan: Plan) -> tuple[bool, float | None]:
        if plan.sandbox_changed:
            self.launcher.pod_event(
                "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."
            )
            self.vitals.stop_all()
            await self.stopper.stop_all(spec.grace_period(self.pod))
            await self.stopper.stop_sandboxes()
        try:
            await self.launcher.sandbox(self._cgroup)
        except SandboxFailure:
            self._relist = True
            return False, self._retries.next(retries.SANDBOX)
        await self.stopper.remove_old_sandboxes()
        return True, None

    async def _start(self, container: Obj) -> tuple[bool, float | None]:
        """Start one container unless it is backing off; returns whether it started, and when to try again."""
        name = container["name"]
        wait = max(self._crash_wait(container), self._retries.wait(container))
        if wait > 0:
            return False, wait
        latest = self.view.latest(name)
        try:
            promised = self.resizer.as_allocated(container)
            started = await self.launcher.container(promised, next_attempt(self.status, name, latest), self._cgroup)
        except StartFailure as failure:
            self._failures[name] = (failure.reason, str(failure))
            await self._prune(name)
            self.report()
            if failure.reason in ("ErrImagePull", "ImagePullBackOff"):
                retry_after = self.node.images.retry_after(self.pod, container)
                return False, self._retries.image_failed(container, failure.reason, retry_after)
            if failure.reason == "RunContainerError":
                await self._doubt_sandbox(name)
                return True, None
            return False, self._retries.refused(container)
        self._failures.pop(name, None)
        self._note(started)
        problem = await self.launcher.post_start(container, started)
        if problem is not None:
            self._failures[name] = ("PostStartHookError", problem)
            await self.stopper.stop(started, "FailedPostStartHook", spec.grace_period(self.pod))
        else:  # only now may it be seen to run, be probed and be called ready
            self.vitals.follow(self.status)
            self.report()
        await self._prune(name)
        return True, None

    def _crash_wait(self, container: Obj) -> float:
        """Seconds that a crashed container must still wait, with the waiting state set accordingly."""
        name = container["name"]
        latest = self.view.latest(name)
        if latest is None or latest.state != "exited":
            return 0.0
        key = f"{self.uid}_{name}_{spec.container_hash(container)}"
        finished = latest.finished_at / 1e9 if latest.finished_at else clock.time()
        wait = self.node.crash_backoff.remaining(key, finished)
        if wait <= 0:
            self.node.crash_backoff.next(key, finished)
            return 0.0
        delay = clock.format_duration(self.node.crash_backoff.delay(key))
        pod = spec.describe(self.pod)
        text = f"back-off {delay} restarting failed container={name} pod={pod}"
        if self._failures.get(name) != ("CrashLoopBackOff", text):
            event = self.launcher.event_for(container)
            event("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {pod}")
            self._failures[name] = ("CrashLoopBackOff", text)
            self.report()
        return wait

    async def _prune(self, name: str) -> None:
        for container_id in await self.stopper.remove_old_instances(name):
            self.ended.pop(container_id, None)

    # Status

    def report(self, terminal: bool = False) -> None:
        """Compose the status and hand it to the reporter."""
        for container in self.view.running():
            failure = self._failures.get(container.name)
            if failure is not None and failure[0] != "PostStartHookError":
                del self._failures[container.name]
        facts = Facts(
            pod=self.pod,
            view=self.view,
            old=self.status,
            failures=self._failures,
            readiness=self.vitals.readiness(),
            host_ips=self.node.host_ips,
            runtime_name=self.node.runtime_name,
            terminal=terminal,
            finished=self.finished,
            rejection=self.rejection,
            disruption=self._disruption,
            resizing=self.resizer.condition,
            restarting=self._restarting,
            applied=self.resizer.applied,
            allocated=self.resizer.allocated,
            pod_level=(self.resizer.level, self.resizer.allocated_level),
        )
        self.status = make_status(facts)
        if not spec.is_static(self.pod):
            self.node.reporter.report(self.pod, self.status)
        elif self._mirror is not None:
            self.node.reporter.report(self._mirror, self.status)

    # TERMINATING, CLEANING, FINISHED

    async def _terminating(self) -> State:
        """Stop everything; a shorter grace period that arrives meanwhile is honoured."""
        if self._grace is None:
            self._grace = spec.grace_period(self.pod)
        if self._relist:
            await self._observe_persistently()
        self.vitals.stop_judging()
        if self.view.running() or not spec.is_terminal(self.status):
            self.report()
        stopping: set[asyncio.Task[None]] = set()
        promised: float | None = None
        while True:
            if promised is None or self._grace < promised:
                promised = self._grace
                stopping.add(asyncio.ensure_future(self._persistent_stop(promised)))
            self._wake.clear()
            wake = asyncio.ensure_future(self._wake.wait())
            await asyncio.wait({wake, *stopping}, return_when=asyncio.FIRST_COMPLETED)
            wake.cancel()
            if self._exits:
                await self._take_exits()
                self.vitals.follow(self.status)
            if self.view.running():  # else it is over, which is told when all is known
                self.report()
            if any(task.done() for task in stopping):
                break
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)
        self.vitals.stop_all()
        self.stopped.set()
        for container in self.view.all_containers():
            self._note(container)
        return State.CLEANING

    async def _persistent_stop(self, grace: float) -> None:
        while True:
            try:
                await self.stopper.stop_all(grace)
                await self.stopper.stop_sandboxes()
                return
            except CriError as error:
                log.warning("%s: %s", spec.describe(self.pod), error)
                await clock.sleep(RUNTIME_RETRY_SECONDS)
                await self._observe_persistently()

    async def _cleaning(self) -> State:
        """Volumes, cgroup and watches go; the final status stays."""
        self._failures.clear()
        self.report(terminal=True)
        self.node.room_made()
        await self.node.reporter.flush(self.pod)
        await self.volumes.tear_down()
        mounts.unmount_below(self.launcher.directory)
        await self.node.cgroups.remove_pod(self.uid)
        self._cgroup = ""
        self.node.sources.release(self.uid)
        self.node.crash_backoff.forget(f"{self.uid}_")
        return State.FINISHED

    async def _waiting_for_deletion(self) -> State:
        """A pod that ended by itself is kept for its logs until the API lets it go."""
        while not (self.gone or meta.is_deleting(self.pod)):
            self._wake.clear()
            await self._wake.wait()
        while True:
            try:
                await self.stopper.remove_all()
                break
            except CriError as error:
                log.warning("%s: %s", spec.describe(self.pod), error)
                await clock.sleep(RUNTIME_RETRY_SECONDS)
                await self._observe_persistently()
        logs = log_directory(self.pod, self.node.options.logs_root)
        await asyncio.to_thread(removal.remove_directories, self.launcher.directory, logs)
        await removal.delete_object(self.node.client, self.pod, self._wake, lambda: self.gone)
        self.node.reporter.forget(self.uid)
        return State.REMOVED
