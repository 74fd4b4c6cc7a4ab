"""kubectl speaks WebSocket, the kubelet SPDY: this sits in between.

* exec and attach: `v5.channel.k8s.io` multiplexes standard streams in WebSocket messages whose first byte is the
  channel; the kubelet gets one SPDY stream for each (`v4.channel.k8s.io`). Message `255, n` closes channel n.
* port-forward: `SPDY/3.1+portforward.k8s.io` carries SPDY's own bytes in binary messages; they are unpacked, no more.

A client of port-forward gets its `101` only if the kubelet switches protocols. A client of exec and attach gets it
first, as upstream has it: what the kubelet then refuses arrives in the channel for errors, as a Status.
"""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from pynetes.apiserver.request import Request, Response, Stream, Upgrade
from pynetes.apiserver.tunnels import websocket
from pynetes.apiserver.tunnels.kubelet import Answer, Location, dial, forwarded_headers, refusal, send_upgrade
from pynetes.apiserver.tunnels.relay import Backend
from pynetes.apiserver.tunnels.spdy import Session, SessionClosed, SpdyStream
from pynetes.apiserver.tunnels.websocket import BINARY, WebSocket
from pynetes.machinery import errors, wire

STREAMS_PROTOCOL = "v5.channel.k8s.io"
PORT_FORWARD_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_GRACE = 5.0


@dataclass(frozen=True, slots=True)
class Standard:
    """Which of the standard streams a command has."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


async def _spdy_backend(request: Request, location: Location, path: str, protocol: str) -> tuple[Backend, Answer]:
    backend = await dial(location)
    kept = [(key, value) for key, value in forwarded_headers(request) if not key.lower().startswith("sec-websocket-")]
    headers = [*kept, ("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", protocol)]
    return backend, await send_upgrade(backend, location, "POST", path, headers)


async def standard_streams(request: Request, location: Location, path: str, standard: Standard) -> Response:
    """exec and attach for a client that speaks v5 over WebSocket."""
    headers = websocket.accept(request, STREAMS_PROTOCOL)
    try:
        backend, answer = await _spdy_backend(request, location, path, "v4.channel.k8s.io")
    except errors.StatusError as error:
        cause = error.message.removeprefix("error dialing backend: ")
        failure = errors.internal(f"error sending request: Post {json.dumps(location.url(path))}: {cause}")
        return Response(101, headers, Upgrade(lambda client: _refuse(client, failure)))
    if answer.status != 101:
        refused = _as_error(await refusal(backend, answer))
        return Response(101, headers, Upgrade(lambda client: _refuse(client, refused)))
    return Response(101, headers, Upgrade(lambda client: _StandardStreams(client, backend, standard).run()))


def _as_error(answer: Response) -> errors.StatusError:
    """The kubelet's refusal: its own Status if it sent one, else its words."""
    text = answer.body.decode(errors="replace") if isinstance(answer.body, bytes) else ""
    with contextlib.suppress(ValueError):
        status = json.loads(text)
        if isinstance(status, dict) and status.get("kind") == "Status":
            return errors.from_status(status)
    return errors.internal(f"unable to upgrade connection: {text}")


async def _refuse(client: Stream, error: errors.StatusError) -> None:
    socket = WebSocket(client)
    with contextlib.suppress(ConnectionError):
        await socket.send(bytes([_ERROR]) + wire.encode(error.status()))
    await _farewell(socket)


async def port_forward(request: Request, location: Location, path: str) -> Response:
    """port-forward for a client that wraps SPDY into WebSocket."""
    backend, answer = await _spdy_backend(request, location, path, "portforward.k8s.io")
    if answer.status != 101:
        return await refusal(backend, answer)
    headers = websocket.accept(request, PORT_FORWARD_PROTOCOL)
    return Response(101, headers, Upgrade(lambda client: _unwrap(client, backend)))


async def _unwrap(client: Stream, backend: Backend) -> None:
    socket = WebSocket(client)

    async def upwards() -> None:
        while (message := await socket.receive()) is not None:
            await backend.write(message.data)

    async def downwards() -> None:
        while data := await backend.read():
            await socket.send(data, BINARY)

    await _until_first_ends(upwards(), downwards())
    backend.close()
    await _farewell(socket)


async def _until_first_ends(*works: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _farewell(socket: WebSocket, code: int = 1000) -> None:
    try:
        await socket.close(code)
        await socket.farewell()
    except ConnectionError:
        return  # the client left first


class _StandardStreams:
    """One exec or attach: pumps between the WebSocket's channels and the SPDY streams."""

    def __init__(self, client: Stream, backend: Backend, standard: Standard) -> None:
        self._socket = WebSocket(client)
        self._backend = backend
        self._standard = standard
        self._session = Session(backend)
        self._inputs: dict[int, SpdyStream] = {}

    async def run(self) -> None:
        """Until the command has ended and said how, or the client has gone."""
        reading = asyncio.create_task(self._session.run())
        try:
            standard, opened = self._standard, {}
            for channel, name, wanted in (
                (_ERROR, "error", True),
                (_STDIN, "stdin", standard.stdin),
                (_STDOUT, "stdout", standard.stdout),
                (_STDERR, "stderr", standard.stderr and not standard.tty),
                (_RESIZE, "resize", standard.tty),
            ):
                if wanted:
                    opened[channel] = await self._session.open({"streamType": name})
            self._inputs = {channel: opened[channel] for channel in (_STDIN, _RESIZE) if channel in opened}
            outputs = [(channel, opened[channel]) for channel in (_STDOUT, _STDERR) if channel in opened]
            first = outputs[0][0] if outputs else _ERROR
            await self._socket.send(bytes([first]))  # an empty message says that the streams are there
            await _until_first_ends(self._from_client(), self._from_kubelet(outputs, opened[_ERROR]))
        except (ConnectionError, SessionClosed):
            pass  # either side may go at any time; what is left to do is to close the other
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            self._backend.close()
            await _farewell(self._socket)

    async def _from_client(self) -> None:
        while (message := await self._socket.receive()) is not None:
            if not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == _CLOSE:
                stream = self._inputs.get(data[0]) if data else None
                if stream is not None:
                    await stream.finish()
            elif channel in self._inputs and data:
                await self._inputs[channel].write(data)

    async def _from_kubelet(self, outputs: list[tuple[int, SpdyStream]], error: SpdyStream) -> None:
        pumps = [asyncio.create_task(self._pump(channel, stream)) for channel, stream in outputs]
        try:
            status = await self._status(error)
            if pumps:
                await asyncio.wait(pumps, timeout=_GRACE)
            await self._socket.send(bytes([_ERROR]) + status)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, channel: int, stream: SpdyStream) -> None:
        head = bytes([channel])
        try:
            while data := await stream.read():
                await self._socket.send(head + data)
        except SessionClosed:
            return  # the status says why

    async def _status(self, error: SpdyStream) -> bytes:
        pieces = []
        try:
            while data := await error.read():
                pieces.append(data)
        except SessionClosed:
            if not pieces:
                return _failure("the connection to the node was lost before the command ended")
        return b"".join(pieces) or wire.encode({"metadata": {}, "status": "Success"})


def _failure(message: str) -> bytes:
    return wire.encode(
        {"metadata": {}, "status": "Failure", "reason": "InternalError", "message": message, "code": 500}
    )
