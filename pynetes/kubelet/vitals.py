"""Who of a pod's containers is started, ready, or condemned: the probes of all of them together."""

from collections.abc import Callable

from pynetes.kubelet import spec
from pynetes.kubelet.launcher import Launcher
from pynetes.kubelet.observed import Container
from pynetes.kubelet.plan import Health
from pynetes.kubelet.probes import ContainerProbes, ProbeTarget
from pynetes.kubelet.status import Readiness
from pynetes.machinery.meta import Obj


class Vitals:
    """The probes of one pod; `changed` is called on every new verdict."""

    def __init__(self, launcher: Launcher, changed: Callable[[], None]) -> None:
        self._launcher = launcher
        self._changed = changed
        self._probes: dict[str, ContainerProbes] = {}

    def follow(self, reported: Obj) -> None:
        """Probe every running container and nothing else; `reported` is the status as it was told before."""
        running = {container.id: container for container in self._launcher.view.running()}
        for container_id in [known for known in self._probes if known not in running]:
            self.stop(container_id)
        for container_id, container in running.items():
            described = spec.container_named(self._launcher.pod, container.name)
            if container_id not in self._probes and described is not None:
                self._probes[container_id] = self._start(described, container, reported)

    def _start(self, described: Obj, container: Container, reported: Obj) -> ContainerProbes:
        before = _status_of(container, reported)
        ips = self._launcher.pod_ips
        target = ProbeTarget(
            runtime=self._launcher.node.runtime,
            container=described,
            container_id=container.id,
            started_at=container.started_at / 1e9,
            address=lambda: ips()[0] if ips() else "",
            event=self._launcher.event_for(described),
            changed=self._changed,
        )
        return ContainerProbes.start(target, bool(before.get("ready")), bool(before.get("started")))

    def stop(self, container_id: str) -> None:
        """This container is not probed any more."""
        probes = self._probes.pop(container_id, None)
        if probes is not None:
            probes.stop()

    def stop_all(self) -> None:
        """Nothing is probed any more."""
        for container_id in [*self._probes]:
            self.stop(container_id)

    def stop_judging(self) -> None:
        """The pod is ending: only readiness matters from now on."""
        for probes in self._probes.values():
            probes.stop_judging()

    def health(self) -> Health:
        """What the plan must know."""
        health = Health()
        for container_id, probes in self._probes.items():
            if probes.failed is not None:
                health.failed[container_id] = probes.failed
            if probes.started is not None:
                health.started[container_id] = probes.started
        return health

    def readiness(self) -> Readiness:
        """What the status must show."""
        return Readiness(
            ready={key: probes.ready for key, probes in self._probes.items() if probes.ready is not None},
            started={key: probes.started for key, probes in self._probes.items() if probes.started is not None},
        )


def _status_of(container: Container, reported: Obj) -> Obj:
    """What was reported of this very instance before, by this kubelet or the last."""
    for group in ("containerStatuses", "initContainerStatuses"):
        for old in reported.get(group) or []:
            if old["name"] == container.name and str(old.get("containerID", "")).endswith(container.id):
                return old
    return {}
