"""The stream of container events: what wakes the kubelet when a container ends.

Runtimes that offer CRI's GetContainerEvents are asked there. containerd 1.6 does not, but serves its own event
service on the same socket; we subscribe to the end of tasks and to the kernel's out-of-memory kills. Nothing is
polled. When the stream breaks, the listener hears `Reconnected` after the next connection and must look at
everything afresh, for it may have missed something.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pynetes._generated import containerd_events_pb2 as containerd
from pynetes._generated import cri_pb2 as cri
from pynetes.kubelet.cri.client import Cri
from pynetes.machinery import clock

log = logging.getLogger(__name__)

SUBSCRIBE = "/containerd.services.events.v1.Events/Subscribe"
FILTERS = [f'namespace=="k8s.io",topic=="/tasks/{topic}"' for topic in ("exit", "oom")]
RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ContainerExited:
    """The main process of a container or of a sandbox ended."""

    container_id: str


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The kernel killed something in the container for its memory."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Connected:
    """The stream begins (again): anything may have happened before."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The stream broke: the runtime may be down."""


RuntimeEvent = ContainerExited | OutOfMemory | Connected | Disconnected


async def watch(cri_client: Cri) -> AsyncIterator[RuntimeEvent]:
    """Runtime events for ever; each (re)connection opens with `Connected`."""
    import grpc

    native = True
    while True:
        stream = _native(cri_client) if native else _containerd(cri_client)
        try:
            async for event in stream:
                yield event
        except grpc.aio.AioRpcError as error:
            if native and error.code() == grpc.StatusCode.UNIMPLEMENTED:
                native = False
                continue
            log.warning("container events interrupted: %s", error.details())
        yield Disconnected()
        await clock.sleep(RETRY_SECONDS)


async def _native(cri_client: Cri) -> AsyncIterator[RuntimeEvent]:
    call: Any = cri_client.container_events()
    first = True
    async for event in call:
        if first:
            first = False
            yield Connected()
        if event.container_event_type == cri.CONTAINER_STOPPED_EVENT:
            yield ContainerExited(event.container_id)


async def _containerd(cri_client: Cri) -> AsyncIterator[RuntimeEvent]:
    call = cri_client.channel.unary_stream(
        SUBSCRIBE,
        request_serializer=containerd.SubscribeRequest.SerializeToString,
        response_deserializer=containerd.Envelope.FromString,
    )(containerd.SubscribeRequest(filters=FILTERS), wait_for_ready=True)
    yield Connected()
    async for envelope in call:
        payload = containerd.TaskEvent.FromString(envelope.event.value)
        if envelope.topic == "/tasks/oom":
            yield OutOfMemory(payload.container_id)
        elif payload.id == payload.container_id:  # anything else is a process started by exec
            yield ContainerExited(payload.container_id)
