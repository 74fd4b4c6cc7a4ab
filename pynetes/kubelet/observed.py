"""What runs on the node for one pod, as the container runtime tells it.

The kubelet keeps no state of its own on disk: names, attempts and hashes are written into the labels and annotations
of sandboxes and containers, and `observe` reads them back. That is why a restarted kubelet, even a killed one, finds
its containers again and leaves them alone.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pynetes._generated import cri_pb2 as cri
from pynetes.kubelet.cri.client import Cri, CriError

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
RESOURCES = "pynetes.dev/resources"  # what the container was created with
PRE_STOP = "io.kubernetes.container.preStopHandler"

MAX_TERMINATION_MESSAGE = 4096
FALLBACK_LOG_BYTES = 2048
FALLBACK_LOG_LINES = 80

State = Literal["created", "running", "exited", "unknown"]
_STATES: dict[int, State] = {
    cri.CONTAINER_CREATED: "created",
    cri.CONTAINER_RUNNING: "running",
    cri.CONTAINER_EXITED: "exited",
    cri.CONTAINER_UNKNOWN: "unknown",
}


@dataclass(slots=True)
class Container:
    """One instance of a container; times are nanoseconds since the epoch, 0 for never."""

    id: str
    name: str
    sandbox_id: str
    state: State
    restart_count: int = 0
    hash: str = ""
    image: str = ""
    image_ref: str = ""
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    log_path: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    resources: Any = None
    recursive: frozenset[str] = frozenset()  # the paths of mounts that are read-only all the way down

    @property
    def running(self) -> bool:
        """Whether its process lives, as far as the runtime knows."""
        return self.state == "running"


@dataclass(slots=True)
class Sandbox:
    """One instance of the pod's sandbox."""

    id: str
    attempt: int
    ready: bool
    created_at: int
    host_network: bool = False
    ips: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PodView:
    """Everything the runtime has for one pod; sandboxes and containers newest first."""

    sandboxes: list[Sandbox] = field(default_factory=list)
    containers: dict[str, list[Container]] = field(default_factory=dict)

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    def latest(self, name: str) -> Container | None:
        """The newest instance of the container called `name`."""
        instances = self.containers.get(name)
        return instances[0] if instances else None

    def previous(self, name: str) -> Container | None:
        """The instance before the newest."""
        instances = self.containers.get(name, [])
        return instances[1] if len(instances) > 1 else None

    def all_containers(self) -> list[Container]:
        """Every instance of every container."""
        return [container for instances in self.containers.values() for container in instances]

    def running(self) -> list[Container]:
        """Every instance whose process lives."""
        return [container for container in self.all_containers() if container.running]

    def put(self, container: Container) -> None:
        """Add or replace one instance, keeping the newest first."""
        instances = [known for known in self.containers.get(container.name, []) if known.id != container.id]
        instances.append(container)
        instances.sort(key=lambda known: (known.created_at, known.restart_count), reverse=True)
        self.containers[container.name] = instances

    def drop(self, container_id: str) -> None:
        """Forget one instance."""
        for name, instances in list(self.containers.items()):
            self.containers[name] = [known for known in instances if known.id != container_id]
            if not self.containers[name]:
                del self.containers[name]

    def find(self, container_id: str) -> Container | None:
        """The instance with this id."""
        return next((known for known in self.all_containers() if known.id == container_id), None)


def container_of(status: Any, sandbox_id: str) -> Container:
    """A `Container` from CRI's ContainerStatus; reads the termination message if it has ended."""
    annotations = dict(status.annotations)
    state = _STATES.get(status.state, "unknown")
    container = Container(
        id=status.id,
        name=status.labels.get(CONTAINER_NAME) or status.metadata.name,
        sandbox_id=sandbox_id,
        state=state,
        restart_count=int(annotations.get(RESTART_COUNT) or status.metadata.attempt),
        hash=annotations.get(CONTAINER_HASH, ""),
        image=status.image.image,
        image_ref=status.image_ref or status.image_id,
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        log_path=status.log_path,
        annotations=annotations,
        resources=status.resources.linux if status.HasField("resources") else None,
        recursive=frozenset(mount.container_path for mount in status.mounts if mount.recursive_read_only),
    )
    if state == "exited":
        written = _termination_message(status, container)
        if written:
            container.message = written
    return container


def _termination_message(status: Any, container: Container) -> str:
    path = container.annotations.get(TERMINATION_PATH, "")
    host_path = next((mount.host_path for mount in status.mounts if path and mount.container_path == path), "")
    if host_path:
        try:
            with Path(host_path).open("rb") as file:
                written = file.read(MAX_TERMINATION_MESSAGE).decode(errors="replace")
        except OSError as error:
            return f"Error on reading termination log {host_path}: {error.strerror}"
        if written:
            return written
    fallback = container.annotations.get(TERMINATION_POLICY) == "FallbackToLogsOnError"
    if fallback and container.exit_code != 0 and container.reason != "ContainerCannotRun" and container.log_path:
        from pynetes.kubelet.logs import tail

        return tail(Path(container.log_path), FALLBACK_LOG_LINES, FALLBACK_LOG_BYTES)
    return ""


async def observe(runtime: Cri, uid: str) -> PodView:
    """Ask the runtime for everything it has of the pod."""
    view = PodView()
    for listed in await runtime.list_pod_sandboxes({POD_UID: uid}):
        try:
            status = (await runtime.pod_sandbox_status(listed.id)).status
        except CriError as error:
            if error.code == "NOT_FOUND":
                continue
            raise
        view.sandboxes.append(sandbox_of(status))
    view.sandboxes.sort(key=lambda sandbox: sandbox.created_at, reverse=True)
    for found in await runtime.list_containers({POD_UID: uid}):
        container = await inspect(runtime, found.id, found.pod_sandbox_id)
        if container is not None:
            view.put(container)
    return view


async def inspect(runtime: Cri, container_id: str, sandbox_id: str) -> Container | None:
    """One container, or None if the runtime does not have it (any more)."""
    try:
        return container_of(await runtime.container_status(container_id), sandbox_id)
    except CriError as error:
        if error.code == "NOT_FOUND":
            return None
        raise


def sandbox_of(status: Any) -> Sandbox:
    """A `Sandbox` from CRI's PodSandboxStatus."""
    ips = [status.network.ip, *(extra.ip for extra in status.network.additional_ips)]
    return Sandbox(
        id=status.id,
        attempt=status.metadata.attempt,
        ready=status.state == cri.SANDBOX_READY,
        created_at=status.created_at,
        host_network=status.linux.namespaces.options.network == cri.NODE,
        ips=[ip for ip in ips if ip],
    )


def pre_stop_of(container: Container) -> dict[str, Any] | None:
    """The preStop hook the container was created with, for pods whose object is gone."""
    text = container.annotations.get(PRE_STOP)
    return json.loads(text) if text else None
