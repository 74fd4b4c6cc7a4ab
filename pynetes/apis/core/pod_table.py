"""The pod's row in `kubectl get pods`.

The status column tells the most telling thing about the pod: why it is going away, which init container it is at, why a
container waits or ended, and only then its phase.
"""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.printing import column, wide
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

COLUMNS = (
    printing.NAME,
    column("Ready", description="Containers that are ready, of all."),
    column("Status", description="What the pod is doing, in a word."),
    column("Restarts", description="How often containers were restarted, and when last."),
    printing.AGE,
    wide("IP", description="The pod's address."),
    wide("Node", description="The node the pod is bound to."),
    wide("Nominated Node", description="The node that preemption is making room on."),
    wide("Readiness Gates", description="Readiness gates that are true, of all."),
)


def row(pod: Obj) -> list[Any]:
    """The cells of a pod."""
    spec, status = printing.spec(pod), printing.status(pod)
    reason, ready, total, restarts = summary(pod)
    addresses = status.get("podIPs") or []
    gates = spec.get("readinessGates") or []
    met = sum(meta.is_condition_true(pod, gate.get("conditionType", "")) for gate in gates)
    return [
        meta.name(pod),
        f"{ready}/{total}",
        reason,
        restarts,
        printing.age(pod),
        (addresses[0].get("ip") if addresses else status.get("podIP")) or printing.NONE,
        spec.get("nodeName") or printing.NONE,
        status.get("nominatedNodeName") or printing.NONE,
        f"{met}/{len(gates)}" if gates else printing.NONE,
    ]


_ENDED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def completed(pod: Obj) -> list[Obj]:
    """What the row says of a pod that has ended."""
    phase = printing.status(pod).get("phase") or ""
    if phase not in _ENDED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDED[phase]}]


class _Restarts:
    """Counts restarts and remembers the latest."""

    def __init__(self) -> None:
        self.count = 0
        self.last: str = ""

    def add(self, container: Obj) -> None:
        self.count += container.get("restartCount", 0)
        ended = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last = max(self.last, ended)

    def __str__(self) -> str:
        if self.count and self.last:
            return f"{self.count} ({printing.since(self.last)} ago)"
        return str(self.count)


def summary(pod: Obj) -> tuple[str, int, int, str]:
    """The status word, the number of ready containers and of all, and the restarts."""
    spec, status = printing.spec(pod), printing.status(pod)
    reason = status.get("reason") or status.get("phase") or ""
    scheduled = meta.get_condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    sidecars = {c.get("name") for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    total, ready = len(spec.get("containers") or []) + len(sidecars), 0
    restarts, sidecar_restarts = _Restarts(), _Restarts()
    initializing = False
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        restarts.add(container)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            sidecar_restarts.add(container)
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if is_sidecar and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if ended is not None:
            reason = f"Init:{ended.get('reason') or _exit(ended)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            reason = f"Init:{waiting['reason']}"
        else:
            reason = f"Init:{index}/{len(spec.get('initContainers') or [])}"
        initializing = True
        break
    if not initializing or meta.is_condition_true(pod, "Initialized"):
        restarts = sidecar_restarts
        reason, more_ready = _containers(pod, reason, restarts)
        ready += more_ready
    if meta.is_deleting(pod):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return reason, ready, total, str(restarts)


def _containers(pod: Obj, reason: str, restarts: _Restarts) -> tuple[str, int]:
    ready, running = 0, False
    for container in reversed(printing.status(pod).get("containerStatuses") or []):
        restarts.add(container)
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended is not None:
            reason = ended.get("reason") or _exit(ended)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            ready += 1
    if reason == "Completed" and running:
        reason = "Running" if meta.is_condition_true(pod, "Ready") else "NotReady"
    return reason, ready


def _exit(ended: Obj) -> str:
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode', 0)}"
