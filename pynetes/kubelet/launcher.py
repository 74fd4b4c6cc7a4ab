"""Starting things for one pod: its sandbox and its containers, one step after the other, as upstream does.

Every step that fails leaves a reason and a message behind (a `StartFailure`), which becomes the container's waiting
state, and an event. What to start and when to try again is decided elsewhere.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pynetes.kubelet import dns, hooks, hosts, observed, spec
from pynetes.kubelet.container import ContainerFacts, container_config
from pynetes.kubelet.cri.client import CriError
from pynetes.kubelet.env import ConfigError, PodFacts, make_environment
from pynetes.kubelet.images import ImageError
from pynetes.kubelet.node_context import NodeContext
from pynetes.kubelet.observed import Container, PodView, Sandbox
from pynetes.kubelet.sandbox import SandboxSettings, log_directory, sandbox_config
from pynetes.kubelet.sources import MissingObject
from pynetes.kubelet.volumes import PodVolumes
from pynetes.kubelet.volumes.image import ImageVolume
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

RECURSIVE = "recursiveReadOnlyMounts"


class StartFailure(Exception):
    """A container did not start: the reason and message of its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SandboxFailure(Exception):
    """The sandbox could not be made; the text went into an event."""


class Launcher:
    """Starts the sandbox and the containers of one pod."""

    def __init__(
        self, node: NodeContext, pod: Obj, view: PodView, volumes: PodVolumes, claim: Callable[[str], None]
    ) -> None:
        self.node = node
        self.pod = pod
        self.view = view
        self.volumes = volumes
        self._claim = claim  # told of every new container before it can end
        self.directory = node.pod_directory(meta.uid(pod))
        self._config: Any = None

    def pod_event(self, type: str, reason: str, message: str) -> None:
        """An event about the pod itself."""
        self.node.events.event(self.pod, type, reason, message)

    def event_for(self, container: Obj) -> Callable[[str, str, str], None]:
        """Events about one container."""
        path = spec.field_path(self.pod, container["name"])
        return lambda type, reason, message: self.node.events.event(self.pod, type, reason, message, field_path=path)

    # The sandbox

    async def sandbox(self, cgroup: str) -> Sandbox:
        """Make a new sandbox; raises SandboxFailure."""
        attempt = self.view.sandbox.attempt + 1 if self.view.sandbox else 0
        try:
            config = self._sandbox_config(attempt, cgroup, warn=True)
            handler = await self._runtime_handler()
            self._check_user_namespace(handler)
            log_directory(self.pod, self.node.options.logs_root).mkdir(parents=True, exist_ok=True, mode=0o755)
            sandbox_id = await self.node.runtime.run_pod_sandbox(config, handler)
            status = (await self.node.runtime.pod_sandbox_status(sandbox_id)).status
        except (CriError, ValueError, MissingObject) as error:
            self.pod_event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            raise SandboxFailure(str(error)) from None
        self._config = config
        sandbox = observed.sandbox_of(status)
        self.view.sandboxes.insert(0, sandbox)
        return sandbox

    def _sandbox_config(self, attempt: int, cgroup: str, warn: bool = False) -> Any:
        options = self.node.options
        host_file = Path(options.resolv_conf) if options.resolv_conf else None
        conf = dns.pod_dns(self.pod, options.cluster_dns, options.cluster_domain, host_file)
        policy = self.pod["spec"].get("dnsPolicy") or "ClusterFirst"
        if warn:
            for warning in conf.warnings:
                self.pod_event("Warning", "DNSConfigForming", warning)
            if policy.startswith("ClusterFirst") and not options.cluster_dns and not spec.host_network(self.pod):
                text = (
                    f'pod: "{spec.describe(self.pod)}". kubelet does not have ClusterDNS IP configured and cannot '
                    f'create Pod using "{policy}" policy. Falling back to "Default" policy.'
                )
                self.pod_event("Warning", "MissingClusterDNS", text)
        settings = SandboxSettings(options.logs_root, options.seccomp_root, options.cluster_domain)
        return sandbox_config(self.pod, attempt, conf, cgroup, settings)

    def _check_user_namespace(self, handler: str) -> None:
        """No runtime that pynetes knows of maps users; raises ValueError for a pod that must have it."""
        if self.pod["spec"].get("hostUsers", True):
            return
        who = f'RuntimeClass handler "{handler}"' if handler else "runtime"
        raise ValueError(f"can't set `spec.hostUsers: false`, {who} does not support user namespaces")

    async def _runtime_handler(self) -> str:
        name = self.pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        runtime_class = await self.node.get_cluster_object("runtimeclasses.node.k8s.io", name)
        handler = runtime_class.get("handler", "")
        return "" if handler == "runc" else handler

    def write_hosts_file(self) -> Path | None:
        """Write the managed /etc/hosts; None while the pod has no address."""
        ips = self.pod_ips()
        if not ips:
            return None
        path = self.directory / "etc-hosts"
        text = hosts.hosts_file(self.pod, ips, self.node.options.cluster_domain)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o644)
            group = self.volumes.context.fs_group
            if group is not None:
                os.chown(path, -1, group)
        return path

    def pod_ips(self) -> list[str]:
        """The pod's addresses."""
        if spec.host_network(self.pod):
            return self.node.host_ips
        return self.view.sandbox.ips if self.view.sandbox else []

    # Containers

    async def container(self, container: Obj, restart_count: int, cgroup: str) -> Container:
        """Pull, create and start one container and run its postStart hook; raises StartFailure."""
        event = self.event_for(container)
        sandbox = self.view.sandbox
        assert sandbox is not None
        if self._config is None:
            self._config = self._sandbox_config(sandbox.attempt, cgroup)
        try:
            await self._image_volumes(container)
            image = await self.node.images.ensure(self.pod, container, event, self._pull_secrets, self._config)
        except ImageError as error:
            event("Warning", "Failed", f"Error: {error.reason}")
            raise StartFailure(error.reason, str(error)) from None
        try:
            config = await self._container_config(container, image, restart_count, event)
        except ConfigError as error:
            event("Warning", "Failed", f"Error: {error}")
            raise StartFailure("CreateContainerConfigError", str(error)) from None
        (log_directory(self.pod, self.node.options.logs_root) / container["name"]).mkdir(parents=True, exist_ok=True)
        try:
            container_id = await self.node.runtime.create_container(sandbox.id, config, self._config)
        except CriError as error:
            event("Warning", "Failed", f"Error: {error.details}")
            raise StartFailure("CreateContainerError", error.details) from None
        self._claim(container_id)
        event("Normal", "Created", "Container created")
        try:
            await self.node.runtime.start_container(container_id)
        except CriError as error:
            event("Warning", "Failed", f"Error: {error.details}")
            await self._look(container_id, sandbox.id)
            raise StartFailure("RunContainerError", error.details) from None
        event("Normal", "Started", "Container started")
        started = await self._look(container_id, sandbox.id)
        if started is None:
            raise StartFailure("RunContainerError", f"container {container_id} vanished")
        return started

    async def _look(self, container_id: str, sandbox_id: str) -> Container | None:
        found = await observed.inspect(self.node.runtime, container_id, sandbox_id)
        if found is not None:
            self.view.put(found)
        return found

    async def post_start(self, container: Obj, started: Container) -> str | None:
        """Run the postStart hook, if any; returns what went wrong."""
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return None
        name = f"{meta.name(self.pod)}_{meta.namespace(self.pod)}({meta.uid(self.pod)})"
        try:
            await hooks.run(hook, self.node.runtime, container, started.id, self._address, name, self.pod_event)
        except hooks.HookError as error:
            self.event_for(container)("Warning", "FailedPostStartHook", "PostStartHook failed")
            return str(error)
        return None

    def _address(self) -> str:
        ips = self.pod_ips()
        return ips[0] if ips else ""

    async def _container_config(
        self, container: Obj, image: Any, restart_count: int, event: Callable[[str, str, str], None]
    ) -> Any:
        await self.node.services.synced()
        facts = PodFacts(
            pod=self.pod,
            pod_ips=self.pod_ips(),
            host_ips=self.node.host_ips,
            allocatable=self.node.allocatable(),
            services=self.node.services.list(),
            get=self.volumes.context.get,
            volume_path=self.volumes.path_of,
        )
        environment = await make_environment(container, facts)
        for where, keys in environment.skipped:
            text = f"Keys [{', '.join(keys)}] from the EnvFrom {where} were skipped since they are considered invalid "
            event("Warning", "InvalidEnvironmentVariableNames", text + "environment variable names.")
        return container_config(
            container,
            ContainerFacts(
                pod=self.pod,
                volumes=self.volumes,
                directory=self.directory,
                hosts_file=self.write_hosts_file(),
                variables=environment.variables,
                image=image,
                restart_count=restart_count,
                memory_capacity=self.node.memory_capacity,
                seccomp_root=self.node.options.seccomp_root,
                target_id=self._target(container),
                recursive_read_only=bool(self.node.handler_features(await self._runtime_handler()).get(RECURSIVE)),
            ),
        )

    def _target(self, container: Obj) -> str:
        name = container.get("targetContainerName")
        if not name:
            return ""
        target = self.view.latest(name)
        if target is None or not target.running:
            raise ConfigError(f"unable to find target container {name}")
        return target.id

    async def _image_volumes(self, container: Obj) -> None:
        """Pull and mount the images that the container mounts; raises ImageError."""
        for name in [mount["name"] for mount in container.get("volumeMounts") or []]:
            volume = self.volumes.volumes.get(name)
            if not isinstance(volume, ImageVolume) or volume.mounted:
                continue
            wanted = {"image": volume.reference, "imagePullPolicy": volume.source.get("pullPolicy")}
            image = await self.node.images.ensure(self.pod, wanted, self.pod_event, self._pull_secrets, self._config)
            try:
                await volume.mount(self.node.runtime, image.id)
            except (CriError, OSError) as error:
                text = error.details if isinstance(error, CriError) else str(error)
                raise ImageError("CreateContainerError", f"failed to mount image volume: {text}") from None

    async def _pull_secrets(self) -> list[Obj]:
        found, missing = [], []
        for reference in self.pod["spec"].get("imagePullSecrets") or []:
            name = reference.get("name", "")
            try:
                found.append(await self.volumes.context.get("secrets", meta.namespace(self.pod), name))
            except MissingObject:
                missing.append(name)
        if missing:
            text = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to pull the image may"
            )
            self.pod_event("Warning", "FailedToRetrieveImagePullSecret", f"{text} not succeed.")
        return found
