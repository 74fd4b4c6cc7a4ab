"""Stopping containers: the preStop hook, the stop signal, the grace period, and the order of it all.

The grace period counts from the first moment and includes the hook; a container always gets a last two seconds.
App containers end side by side; sidecars stay until the last of them has gone and then end in reverse order.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Iterable
from pathlib import Path

from pynetes.kubelet import hooks, observed, spec
from pynetes.kubelet.cri.client import CriError
from pynetes.kubelet.launcher import Launcher
from pynetes.kubelet.observed import Container
from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

MINIMUM_GRACE = 2.0
KILLED = 137  # the exit code of SIGKILL
OOM_NEWS_SECONDS = 0.1


class Stopper:
    """Stops the containers of one pod."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._node = launcher.node

    async def stop(self, container: Container, message: str, grace: float) -> None:
        """Stop one container; returns when it has ended and its end has been seen."""
        deadline = clock.monotonic() + grace
        described = spec.container_named(self._launcher.pod, container.name) or {"name": container.name}
        event = self._launcher.event_for(described)
        event("Normal", "Killing", message)
        hook = (described.get("lifecycle") or {}).get("preStop") or observed.pre_stop_of(container)
        if hook and grace > 0:
            await self._pre_stop(hook, described, container, grace)
        remaining = max(deadline - clock.monotonic(), MINIMUM_GRACE if grace >= MINIMUM_GRACE else grace)
        name = (described.get("lifecycle") or {}).get("stopSignal")
        if name and remaining > 0 and await self._stop_by_signal(container, name, remaining):
            remaining = 0.0
        try:
            await self._node.runtime.stop_container(container.id, remaining)
        except CriError as error:
            if error.code != "NOT_FOUND":
                event("Warning", "FailedKillPod", f"error killing pod: {error}")
                raise
        await self.see_end(container)

    async def _stop_by_signal(self, container: Container, name: str, seconds: float) -> bool:
        """Send the signal that the spec asks for and wait (KEP-4960): runtimes before containerd 2.1 know of none."""
        pid = await self._node.runtime.container_pid(container.id)
        with contextlib.suppress(ProcessLookupError):
            if not pid:
                return False
            process = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(process, signal_number(name))
                await _end_of(process, seconds)
            finally:
                os.close(process)
        return True

    async def see_end(self, container: Container) -> None:
        """Take the end of a container into the view."""
        view = self._launcher.view
        found = await settled(self._launcher, container.id, container.sandbox_id)
        if found is not None:
            view.put(found)
        else:
            view.drop(container.id)

    async def _pre_stop(self, hook: Obj, described: Obj, container: Container, grace: float) -> None:
        pod, ips = spec.describe(self._launcher.pod), self._launcher.pod_ips

        def address() -> str:
            return ips()[0] if ips() else ""

        runtime, event = self._node.runtime, self._launcher.pod_event
        try:
            await clock.wait_for(hooks.run(hook, runtime, described, container.id, address, pod, event), grace)
        except TimeoutError:
            return
        except hooks.HookError:
            self._launcher.event_for(described)("Warning", "FailedPreStopHook", "PreStopHook failed")

    async def stop_all(self, grace: float, message: str = "Stopping container {name}") -> None:
        """Stop every running container of the pod, sidecars last."""
        deadline = clock.monotonic() + grace
        pod = self._launcher.pod
        sidecars = [c["name"] for c in spec.init_containers(pod) if spec.is_sidecar(c)]
        running = self._launcher.view.running()
        first = [container for container in running if container.name not in sidecars]
        await _all(self.stop(container, message.format(name=container.name), grace) for container in first)
        for name in reversed(sidecars):
            for container in [container for container in running if container.name == name]:
                left = max(deadline - clock.monotonic(), min(MINIMUM_GRACE, grace))
                await self.stop(container, message.format(name=name), left)

    async def stop_sandboxes(self) -> None:
        """Stop every sandbox: what is left in them ends, their addresses are free."""
        for sandbox in self._launcher.view.sandboxes:
            await self._node.runtime.stop_pod_sandbox(sandbox.id)
            sandbox.ready = False

    async def remove_old_instances(self, name: str) -> list[str]:
        """Keep the newest instance of a container and the one before it; earlier ones go, with their logs."""
        view = self._launcher.view
        gone = []
        for old in view.containers.get(name, [])[2:]:
            with contextlib.suppress(CriError):
                await self._node.runtime.remove_container(old.id)
            view.drop(old.id)
            gone.append(old.id)
            if old.log_path:
                await asyncio.to_thread(_remove_logs, Path(old.log_path))
        if gone:
            await self.remove_old_sandboxes()
        return gone

    async def remove_old_sandboxes(self) -> None:
        """Sandboxes without containers are of no use any more."""
        view = self._launcher.view
        used = {container.sandbox_id for container in view.all_containers()}
        for sandbox in view.sandboxes[1:]:
            if sandbox.id not in used:
                with contextlib.suppress(CriError):
                    await self._node.runtime.remove_pod_sandbox(sandbox.id)
        view.sandboxes[1:] = [sandbox for sandbox in view.sandboxes[1:] if sandbox.id in used]

    async def remove_containers(self) -> list[str]:
        """Remove every container but the ephemeral ones, which are never started twice; returns their names."""
        view, pod = self._launcher.view, self._launcher.pod
        names = [c["name"] for c in [*spec.init_containers(pod), *spec.containers(pod)] if view.latest(c["name"])]
        for container in [each for name in names for each in view.containers[name]]:
            await self._node.runtime.remove_container(container.id)
            view.drop(container.id)
        return names

    async def remove_all(self) -> None:
        """Remove every container and sandbox of the pod."""
        view = self._launcher.view
        for container in view.all_containers():
            with contextlib.suppress(CriError):
                await self._node.runtime.remove_container(container.id)
            view.drop(container.id)
        for sandbox in view.sandboxes:
            await self._node.runtime.remove_pod_sandbox(sandbox.id)
        view.sandboxes.clear()


def signal_number(name: str) -> int:
    """The number of a signal of a spec, such as SIGUSR1 or SIGRTMIN+3."""
    if name.startswith(("SIGRTMIN", "SIGRTMAX")) and len(name) > len("SIGRTMIN"):
        return signal.Signals[name[:8]] + int(name[8:])
    return signal.Signals[name]


async def _end_of(process: int, seconds: float) -> None:
    """Until the process of a descriptor has ended, but no longer than `seconds`."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process, ended.set)
    try:
        with contextlib.suppress(TimeoutError):
            await clock.wait_for(ended.wait(), seconds)
    finally:
        loop.remove_reader(process)


async def settled(
    launcher: Launcher, container_id: str, sandbox_id: str, *, by_itself: bool = False
) -> Container | None:
    """The container once the runtime shows its end: its event may be a little ahead of its record.

    One that was killed though nobody here did it (`by_itself`) may have lacked memory; that news comes last.
    """
    pause = 0.005
    while True:
        found = await observed.inspect(launcher.node.runtime, container_id, sandbox_id)
        if found is None or pause > 1.0:
            return found
        killed = by_itself and found.exit_code == KILLED and found.reason != "OOMKilled"
        if not found.running and not (killed and pause < OOM_NEWS_SECONDS):
            return found
        await clock.sleep(pause)
        pause *= 2


async def _all(stops: Iterable[Awaitable[None]]) -> None:
    """Let all of them end before the first failure is raised."""
    for result in await asyncio.gather(*stops, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _remove_logs(path: Path) -> None:
    """A container's log with all its rotated pieces."""
    for piece in path.parent.glob(f"{path.name}*"):
        piece.unlink(missing_ok=True)
