"""An async client of the Container Runtime Interface, over gRPC on a unix socket.

One channel per client, made in `connect` and never at import: the process may have been forked from a preloaded
parent. Every method takes and returns the messages of `cri_pb2`; what a call means is the reader's business. A failed
call raises `CriError`, whose text is the runtime's own: it ends up in events and statuses.
"""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from pynetes._generated import cri_pb2 as cri

RUNTIME = "/runtime.v1.RuntimeService/"
IMAGES = "/runtime.v1.ImageService/"
MAX_MESSAGE = 16 * 1024 * 1024
TIMEOUT = 120.0
PULL_TIMEOUT = 3600.0
SANDBOX_TIMEOUT = 240.0

T = TypeVar("T")


class CriError(Exception):
    """A call the runtime refused: `code` is gRPC's name for the cause (`NOT_FOUND`), `details` the runtime's text."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details

    def __str__(self) -> str:
        """As Go prints a gRPC error, for that is what users of Kubernetes know."""
        return f"rpc error: code = {_go_code(self.code)} desc = {self.details}"


def _go_code(code: str) -> str:
    return "".join(part.capitalize() for part in code.split("_"))


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, and be cancelled only once it is over.

    A start that is cut short leaves containerd with a task it knows nothing of: the container counts as ended, and
    can never be removed.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


class Cri:
    """The runtime and image services behind one socket."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = re.sub(r"^(unix://)?/", "unix:///", endpoint)
        self._channel: Any = None
        self._calls: dict[str, Any] = {}

    async def connect(self) -> None:
        """Open the channel; it reconnects by itself from then on."""
        import grpc.aio

        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 3000),
        ]
        self._channel = grpc.aio.insecure_channel(self.endpoint, options=options)

    async def close(self) -> None:
        """Close the channel and every stream on it."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
            self._calls.clear()

    @property
    def channel(self) -> Any:
        """The open gRPC channel, for services that live on the same socket."""
        return self._channel

    async def _call(self, method: str, request: Any, response: Any, timeout: float = TIMEOUT) -> Any:
        import grpc

        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = self._channel.unary_unary(
                method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
            )
        try:
            return await call(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise CriError(error.code().name, error.details() or "") from None

    # The runtime itself

    async def version(self, timeout: float = TIMEOUT) -> Any:
        """The runtime's name and version."""
        return await self._call(RUNTIME + "Version", cri.VersionRequest(version="v1"), cri.VersionResponse, timeout)

    async def status(self, verbose: bool = False) -> Any:
        """The runtime's conditions (RuntimeReady, NetworkReady) and its features."""
        return await self._call(RUNTIME + "Status", cri.StatusRequest(verbose=verbose), cri.StatusResponse)

    # Sandboxes

    async def run_pod_sandbox(self, config: Any, runtime_handler: str = "") -> str:
        """Create and start a sandbox; returns its id. Goes on to its end whoever is cancelled."""
        request = cri.RunPodSandboxRequest(config=config, runtime_handler=runtime_handler)
        call = self._call(RUNTIME + "RunPodSandbox", request, cri.RunPodSandboxResponse, SANDBOX_TIMEOUT)
        return (await _to_its_end(call)).pod_sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        """Stop everything in a sandbox and release its network; idempotent."""
        request = cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._call(RUNTIME + "StopPodSandbox", request, cri.StopPodSandboxResponse, SANDBOX_TIMEOUT)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        """Remove a stopped sandbox; idempotent."""
        request = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._call(RUNTIME + "RemovePodSandbox", request, cri.RemovePodSandboxResponse)

    async def pod_sandbox_status(self, sandbox_id: str, verbose: bool = False) -> Any:
        """The whole response, with `.status` and, when verbose, `.info`."""
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=verbose)
        return await self._call(RUNTIME + "PodSandboxStatus", request, cri.PodSandboxStatusResponse)

    async def list_pod_sandboxes(self, labels: dict[str, str] | None = None) -> Sequence[Any]:
        """Sandboxes in any state that carry all of `labels`."""
        request = cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector=labels or {}))
        return (await self._call(RUNTIME + "ListPodSandbox", request, cri.ListPodSandboxResponse)).items

    # Containers

    async def create_container(self, sandbox_id: str, config: Any, sandbox_config: Any) -> str:
        """Create a container in a sandbox; returns its id."""
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        return (await self._call(RUNTIME + "CreateContainer", request, cri.CreateContainerResponse)).container_id

    async def start_container(self, container_id: str) -> None:
        """Start a created container. Goes on to its end whoever is cancelled."""
        request = cri.StartContainerRequest(container_id=container_id)
        await _to_its_end(self._call(RUNTIME + "StartContainer", request, cri.StartContainerResponse))

    async def stop_container(self, container_id: str, grace: float) -> None:
        """Send the stop signal, wait for `grace` seconds, then kill; idempotent."""
        request = cri.StopContainerRequest(container_id=container_id, timeout=math.ceil(grace - 0.05))
        await self._call(RUNTIME + "StopContainer", request, cri.StopContainerResponse, TIMEOUT + grace)

    async def remove_container(self, container_id: str) -> None:
        """Remove a container; idempotent."""
        request = cri.RemoveContainerRequest(container_id=container_id)
        await self._call(RUNTIME + "RemoveContainer", request, cri.RemoveContainerResponse)

    async def list_containers(self, labels: dict[str, str] | None = None) -> Sequence[Any]:
        """Containers in any state that carry all of `labels`."""
        request = cri.ListContainersRequest(filter=cri.ContainerFilter(label_selector=labels or {}))
        return (await self._call(RUNTIME + "ListContainers", request, cri.ListContainersResponse)).containers

    async def container_status(self, container_id: str) -> Any:
        """The `ContainerStatus` of one container."""
        request = cri.ContainerStatusRequest(container_id=container_id)
        return (await self._call(RUNTIME + "ContainerStatus", request, cri.ContainerStatusResponse)).status

    async def container_pid(self, container_id: str) -> int:
        """The process of a running container on this machine; 0 if the runtime does not tell."""
        request = cri.ContainerStatusRequest(container_id=container_id, verbose=True)
        info = (await self._call(RUNTIME + "ContainerStatus", request, cri.ContainerStatusResponse)).info
        return int(json.loads(info.get("info") or "{}").get("pid") or 0)

    async def update_container_resources(self, container_id: str, resources: Any) -> None:
        """Change a running container's `LinuxContainerResources`."""
        request = cri.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        await self._call(RUNTIME + "UpdateContainerResources", request, cri.UpdateContainerResourcesResponse)

    async def reopen_container_log(self, container_id: str) -> None:
        """Have the runtime open the log file anew, after a rotation."""
        request = cri.ReopenContainerLogRequest(container_id=container_id)
        await self._call(RUNTIME + "ReopenContainerLog", request, cri.ReopenContainerLogResponse)

    async def exec_sync(self, container_id: str, command: list[str], timeout: float = 0) -> Any:
        """Run a command and return its `stdout`, `stderr` and `exit_code`; `timeout` 0 means none."""
        request = cri.ExecSyncRequest(container_id=container_id, cmd=command, timeout=math.ceil(timeout))
        patience = timeout + TIMEOUT if timeout else PULL_TIMEOUT
        return await self._call(RUNTIME + "ExecSync", request, cri.ExecSyncResponse, patience)

    # Streaming: each returns the URL of the runtime's streaming server

    async def exec(
        self, container_id: str, command: list[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """Where to run a command interactively."""
        request = cri.ExecRequest(
            container_id=container_id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
        )
        return (await self._call(RUNTIME + "Exec", request, cri.ExecResponse)).url

    async def attach(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        """Where to attach to the container's own process."""
        request = cri.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return (await self._call(RUNTIME + "Attach", request, cri.AttachResponse)).url

    async def port_forward(self, sandbox_id: str, ports: list[int]) -> str:
        """Where to reach ports inside the sandbox's network."""
        request = cri.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return (await self._call(RUNTIME + "PortForward", request, cri.PortForwardResponse)).url

    # Usage

    async def list_container_stats(self, labels: dict[str, str] | None = None) -> Sequence[Any]:
        """CPU, memory and writable layer of every running container that carries all of `labels`."""
        request = cri.ListContainerStatsRequest(filter=cri.ContainerStatsFilter(label_selector=labels or {}))
        return (await self._call(RUNTIME + "ListContainerStats", request, cri.ListContainerStatsResponse)).stats

    # Images

    async def list_images(self) -> Sequence[Any]:
        """Every image on the node."""
        return (await self._call(IMAGES + "ListImages", cri.ListImagesRequest(), cri.ListImagesResponse)).images

    async def image_status(self, image: str) -> Any | None:
        """The image, or None if it is not on the node."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image))
        response = await self._call(IMAGES + "ImageStatus", request, cri.ImageStatusResponse)
        return response.image if response.HasField("image") else None

    async def image_info(self, image: str) -> Mapping[str, str]:
        """What the runtime knows of an image beyond CRI: JSON texts under names of its own."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image), verbose=True)
        return (await self._call(IMAGES + "ImageStatus", request, cri.ImageStatusResponse)).info

    async def pull_image(self, image: str, auth: dict[str, str] | None, sandbox_config: Any) -> str:
        """Pull an image with the credentials of `auth`; returns its id."""
        request = cri.PullImageRequest(
            image=cri.ImageSpec(image=image),
            auth=cri.AuthConfig(**auth) if auth else None,
            sandbox_config=sandbox_config,
        )
        return (await self._call(IMAGES + "PullImage", request, cri.PullImageResponse, PULL_TIMEOUT)).image_ref

    async def remove_image(self, image: str) -> None:
        """Remove an image with all its names; idempotent."""
        request = cri.RemoveImageRequest(image=cri.ImageSpec(image=image))
        await self._call(IMAGES + "RemoveImage", request, cri.RemoveImageResponse)

    def container_events(self) -> AsyncIterator[Any]:
        """The runtime's own container events; `UNIMPLEMENTED` before containerd 1.7."""
        call = self._channel.unary_stream(
            RUNTIME + "GetContainerEvents",
            request_serializer=cri.GetEventsRequest.SerializeToString,
            response_deserializer=cri.ContainerEventResponse.FromString,
        )
        return call(cri.GetEventsRequest())
