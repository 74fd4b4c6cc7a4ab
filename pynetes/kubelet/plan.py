"""What to do next for a pod: a pure decision over the spec and what runs.

`make_plan` is the heart of the kubelet: given the pod and the view of the runtime it says whether a sandbox is to be
made, which containers to start and which to stop, and whether the pod is over. `pod.py` carries it out and asks
again; every answer follows from what is, never from what was planned before.
"""

from dataclasses import dataclass, field

from pynetes.kubelet import spec
from pynetes.kubelet.observed import Container, PodView
from pynetes.machinery.meta import Obj


@dataclass(slots=True)
class Stop:
    """A container to stop, and what the Killing event says."""

    container: Container
    message: str
    reason: str = ""
    probe_grace: float | None = None


@dataclass(slots=True)
class Plan:
    """The next steps, in the order of the fields."""

    finished: bool = False  # nothing is left to run: stop what still runs, the pod is over
    new_sandbox: bool = False
    sandbox_changed: bool = False  # there was one before: everything of it goes first
    stop: list[Stop] = field(default_factory=list)
    start_ephemeral: list[Obj] = field(default_factory=list)
    start_init: list[Obj] = field(default_factory=list)
    start: list[Obj] = field(default_factory=list)


@dataclass(slots=True)
class Health:
    """What the probes demand: container id → (probe kind, the probe's own grace period)."""

    failed: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    started: dict[str, bool] = field(default_factory=dict)


def make_plan(pod: Obj, view: PodView, health: Health) -> Plan:
    """Decide the next steps for a pod that is not being terminated."""
    plan = Plan()
    if needs_sandbox(pod, view):
        return _plan_sandbox(pod, view, plan)
    _plan_ephemeral(pod, view, plan)
    initialized = _plan_init(pod, view, health, plan)
    if not initialized:
        return plan
    alive = False
    for container in spec.containers(pod):
        latest = view.latest(container["name"])
        if latest is None or not latest.running:
            if latest is None or _again(pod, container, latest):
                plan.start.append(container)
                alive = True
            continue
        stop = _reason_to_stop(container, latest, health)
        if stop is None:
            alive = True
            continue
        plan.stop.append(stop)
        if _restarts_when_stopped(pod, container):
            plan.start.append(container)
            stop.message += ", will be restarted"
            alive = True
    if not alive:
        plan.finished = True
        plan.start_init, plan.start_ephemeral = [], []
    return plan


def must_restart_all(pod: Obj, view: PodView) -> bool:
    """Whether a container ended in the way for which its rules ask that all of them start anew (KEP-5532)."""
    for container in [*spec.init_containers(pod), *spec.containers(pod)]:
        latest = view.latest(container["name"])
        if latest is not None and latest.state == "exited":
            if spec.restart_action(container, latest.exit_code) == spec.RESTART_ALL:
                return True
    return False


def needs_sandbox(pod: Obj, view: PodView) -> bool:
    """Whether the newest sandbox, if any, cannot carry containers."""
    sandbox = view.sandbox
    if sandbox is None or not sandbox.ready or sandbox.host_network != spec.host_network(pod):
        return True
    return not spec.host_network(pod) and not sandbox.ips


def _plan_sandbox(pod: Obj, view: PodView, plan: Plan) -> Plan:
    """A sandbox is missing: make one only if there is something to run in it."""
    if _is_over(pod, view):
        plan.finished = True
        return plan
    plan.new_sandbox = True
    plan.sandbox_changed = view.sandbox is not None
    return plan


def _is_over(pod: Obj, view: PodView) -> bool:
    """Whether all that ran has ended and none of it is to run again."""
    if not view.containers:
        return False
    for container in spec.init_containers(pod):
        if spec.is_sidecar(container):
            continue
        latest = view.latest(container["name"])
        if latest is not None and latest.state == "exited" and latest.exit_code != 0:
            if not spec.restarts_after(pod, container, latest.exit_code):
                return True
    for container in spec.containers(pod):
        latest = view.latest(container["name"])
        if latest is None or latest.state != "exited" or spec.restarts_after(pod, container, latest.exit_code):
            return False
    return True


def _plan_ephemeral(pod: Obj, view: PodView, plan: Plan) -> None:
    for container in spec.ephemeral_containers(pod):
        if view.latest(container["name"]) is None:
            plan.start_ephemeral.append(container)


def _plan_init(pod: Obj, view: PodView, health: Health, plan: Plan) -> bool:
    """Init containers run one after the other, sidecars beside what follows; returns whether apps may run."""
    init = spec.init_containers(pod)
    if not init:
        return True
    sandbox = view.sandbox
    in_sandbox = {
        c["name"]: found
        for c in init
        if (found := view.latest(c["name"])) is not None and sandbox is not None and found.sandbox_id == sandbox.id
    }
    if _apps_started(pod, view):
        # Initialized before: only the sidecars are looked after from now on.
        for container in init:
            if spec.is_sidecar(container):
                _plan_sidecar(container, in_sandbox.get(container["name"]), health, plan)
        return True
    for container in init:
        latest = in_sandbox.get(container["name"])
        if spec.is_sidecar(container):
            _plan_sidecar(container, latest, health, plan)
            if latest is None or not latest.running or not _is_started(container, latest, health):
                return False
            continue
        if latest is None or latest.state in ("created", "unknown"):
            plan.start_init.append(container)
            return False
        if latest.running:
            stop = _reason_to_stop(container, latest, health, changed=False)
            if stop is not None:
                plan.stop.append(stop)
            return False
        if latest.exit_code != 0:
            if spec.restarts_after(pod, container, latest.exit_code):
                plan.start_init.append(container)
            else:
                plan.finished = True
                plan.start_init, plan.start_ephemeral = [], []
            return False
    return True


def _plan_sidecar(container: Obj, latest: Container | None, health: Health, plan: Plan) -> None:
    if latest is None or not latest.running:
        plan.start_init.append(container)
        return
    stop = _reason_to_stop(container, latest, health)
    if stop is not None:
        stop.message += ", will be restarted"
        plan.stop.append(stop)
        plan.start_init.append(container)


def _is_started(container: Obj, latest: Container, health: Health) -> bool:
    return health.started.get(latest.id, not container.get("startupProbe"))


def _apps_started(pod: Obj, view: PodView) -> bool:
    """Whether any app container was ever created in the present sandbox."""
    sandbox = view.sandbox
    for container in spec.containers(pod):
        latest = view.latest(container["name"])
        if latest is not None and sandbox is not None and latest.sandbox_id == sandbox.id:
            return True
    return False


def _again(pod: Obj, container: Obj, latest: Container) -> bool:
    if latest.state in ("created", "unknown"):
        return True
    return spec.restarts_after(pod, container, latest.exit_code)


def _restarts_when_stopped(pod: Obj, container: Obj) -> bool:
    """A container that we stop counts as failed."""
    return spec.restarts_after(pod, container, 137)


def _reason_to_stop(container: Obj, latest: Container, health: Health, changed: bool = True) -> Stop | None:
    name = container["name"]
    if changed and latest.hash and latest.hash != spec.container_hash(container):
        return Stop(latest, f"Container {name} definition changed")
    failure = health.failed.get(latest.id)
    if failure is not None:
        probe, grace = failure
        return Stop(latest, f"Container {name} failed {probe} probe", f"{probe}Probe", grace)
    return None
