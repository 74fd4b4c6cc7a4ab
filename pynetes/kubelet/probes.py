"""Probing one running container: startup first, then liveness and readiness side by side.

A `ContainerProbes` lives exactly as long as its container's process. It counts successes and failures against the
thresholds and tells its pod only when a verdict changes; a failed liveness or startup probe ends the matter until
the container has been replaced.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pynetes.kubelet import actions
from pynetes.kubelet.actions import Outcome
from pynetes.kubelet.cri.client import Cri
from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

KINDS = ("startup", "liveness", "readiness")
ATTEMPTS = 3  # a probe that cannot be carried out is tried again at once


@dataclass
class ProbeTarget:
    """What is probed, and whom to tell."""

    runtime: Cri
    container: Obj
    container_id: str
    started_at: float  # clock.time() when the process began
    address: Callable[[], str]  # the pod's address now
    event: Callable[[str, str, str], None]  # type, reason, message
    changed: Callable[[], None]


@dataclass
class ContainerProbes:
    """The probes of one container instance and their present verdicts."""

    target: ProbeTarget
    ready: bool | None = None  # None: there is no readiness probe
    started: bool | None = None  # None: there is no startup probe
    failed: tuple[str, float | None] | None = None  # the probe kind that condemned it, the probe's own grace
    _judging: bool = True
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def start(cls, target: ProbeTarget, ready: bool = False, started: bool = False) -> "ContainerProbes":
        """Begin probing; `ready` and `started` are what was known before (of a container found running)."""
        probes = cls(target)
        if target.container.get("readinessProbe"):
            probes.ready = ready
        if target.container.get("startupProbe"):
            probes.started = started
        if any(target.container.get(f"{kind}Probe") for kind in KINDS):
            probes._tasks.append(asyncio.ensure_future(probes._run()))
        return probes

    def stop(self) -> None:
        """No more probing."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def stop_judging(self) -> None:
        """The pod is ending: liveness and startup do not matter any more, readiness still does."""
        self._judging = False

    async def _run(self) -> None:
        startup = self.target.container.get("startupProbe")
        if startup and not self.started:
            await self._until_started(startup)
        async with asyncio.TaskGroup() as group:
            if liveness := self.target.container.get("livenessProbe"):
                group.create_task(self._watch_liveness(liveness))
            if readiness := self.target.container.get("readinessProbe"):
                group.create_task(self._watch_readiness(readiness))

    async def _until_started(self, probe: Obj) -> None:
        if await self._first_verdict(probe, "Startup", initially=False):
            self.started = True
            self.target.changed()
            return
        self._condemn("startup", probe)
        await asyncio.Event().wait()  # until the container is replaced

    async def _first_verdict(self, probe: Obj, kind: str, initially: bool) -> bool:
        verdicts = _Thresholds(probe, initially)
        await self._initial_delay(probe)
        while self._judging:
            settled = verdicts.add((await self._ask(probe, kind)).ok)
            if settled is not None:
                return settled
            await clock.sleep(_period(probe))
        return True

    async def _watch_liveness(self, probe: Obj) -> None:
        verdicts = _Thresholds(probe, True)
        await self._initial_delay(probe)
        while self._judging:
            outcome = await self._ask(probe, "Liveness")
            if outcome.verdict != "error" and verdicts.add(outcome.ok) is False:
                self._condemn("liveness", probe)
                return
            await clock.sleep(_period(probe))

    async def _watch_readiness(self, probe: Obj) -> None:
        verdicts = _Thresholds(probe, bool(self.ready))
        await self._initial_delay(probe)
        while True:
            outcome = await self._ask(probe, "Readiness")
            settled = verdicts.add(outcome.ok) if outcome.verdict != "error" else None
            if settled is not None and settled != self.ready:
                self.ready = settled
                self.target.changed()
            await clock.sleep(_period(probe))

    def _condemn(self, kind: str, probe: Obj) -> None:
        grace = probe.get("terminationGracePeriodSeconds")
        self.failed = (kind, None if grace is None else float(grace))
        self.target.changed()

    async def _initial_delay(self, probe: Obj) -> None:
        wait = self.target.started_at + (probe.get("initialDelaySeconds") or 0) - clock.time()
        if wait > 0:
            await clock.sleep(wait)

    async def _ask(self, probe: Obj, kind: str) -> Outcome:
        """Carry the probe out and tell of a failure."""
        outcome = Outcome("error")
        for _ in range(ATTEMPTS):
            outcome = await self._carry_out(probe)
            if outcome.verdict != "error":
                break
        if outcome.verdict == "error":
            text = f"{kind} probe errored and resulted in unknown state: {outcome.output}"
            self.target.event("Warning", "Unhealthy", text)
        elif outcome.verdict == "failure":
            self.target.event("Warning", "Unhealthy", f"{kind} probe failed: {outcome.output}")
        elif outcome.verdict == "warning":
            self.target.event("Warning", "ProbeWarning", f"{kind} probe warning: {outcome.output}")
        return outcome

    async def _carry_out(self, probe: Obj) -> Outcome:
        target, timeout = self.target, float(probe.get("timeoutSeconds") or 1)
        if action := probe.get("exec"):
            return await actions.run_command(target.runtime, target.container_id, action.get("command") or [], timeout)
        try:
            if action := probe.get("httpGet"):
                port = actions.port_of(action["port"], target.container)
                return await actions.http_get(action, action.get("host") or target.address(), port, timeout)
            if action := probe.get("tcpSocket"):
                port = actions.port_of(action["port"], target.container)
                return await actions.connect(action.get("host") or target.address(), port, timeout)
            if action := probe.get("grpc"):
                return await actions.grpc_health(target.address(), action["port"], action.get("service") or "", timeout)
        except ValueError as error:
            return Outcome("error", str(error))
        return Outcome("error", f"missing probe handler for {target.container['name']}")


def _period(probe: Obj) -> float:
    return float(probe.get("periodSeconds") or 10)


class _Thresholds:
    """Counts results; `add` returns the verdict once enough in a row agree, None before."""

    def __init__(self, probe: Obj, initially: bool) -> None:
        self._success = probe.get("successThreshold") or 1
        self._failure = probe.get("failureThreshold") or 3
        self._last = initially
        self._run = 0

    def add(self, ok: bool) -> bool | None:
        self._run = self._run + 1 if ok == self._last else 1
        self._last = ok
        return ok if self._run >= (self._success if ok else self._failure) else None
