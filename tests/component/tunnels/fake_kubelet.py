"""A kubelet's streaming API without containers: real TLS, real SPDY, and commands that are functions.

`exec` knows a few words: `cat` gives back its input, `fail N` ends with code N, `yes N` writes N bytes, `size` reports
terminal sizes. Port-forwarding connects to an echo that shouts. Logs follow until told to stop.
"""

import asyncio
import json
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pynetes.apiserver.tunnels.relay import Backend
from pynetes.apiserver.tunnels.spdy import Session, SpdyStream

SUCCESS = {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> bytes:
    if code == 0:
        return json.dumps(SUCCESS).encode()
    failure = {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
    return json.dumps(failure).encode()


@dataclass
class FakeKubelet:
    port: int = 0
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    peer_names: list[str] = field(default_factory=list)
    follow: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert") or {}
        self.peer_names += [
            value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"
        ]
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in rest) if key}
        self.requests.append((method, target, headers))
        parts = urlsplit(target)
        verb, query = parts.path.split("/")[1], parse_qs(parts.query, keep_blank_values=True)
        if verb == "containerLogs":
            await self._logs(writer, query)
        elif verb == "exec" and query.get("command") == ["refuse"]:
            await self._answer(writer, 500, b"container not running")
        elif verb in ("exec", "attach") and headers.get("upgrade") == "SPDY/3.1":
            await self._switch(writer, "v4.channel.k8s.io")
            await self._run(Backend(reader, writer), query)
        elif verb == "portForward" and headers.get("upgrade") == "SPDY/3.1":
            await self._switch(writer, "portforward.k8s.io")
            await self._forward(Backend(reader, writer))
        elif headers.get("upgrade") == "websocket":
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
            writer.write(b"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n")
            while data := await reader.read(1 << 16):  # whatever is in the frames comes back as it was
                writer.write(data)
        else:
            length = int(headers.get("content-length") or 0)
            body = await reader.readexactly(length) if length else b""
            echoed = {"method": method, "target": target, "headers": headers, "body": body.decode()}
            await self._answer(writer, 200, json.dumps(echoed).encode(), "application/json")

    async def _answer(self, writer: asyncio.StreamWriter, status: int, body: bytes, kind: str = "text/plain") -> None:
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()

    async def _logs(self, writer: asyncio.StreamWriter, query: dict[str, list[str]]) -> None:
        if "previous" in query:
            await self._answer(writer, 400, b'previous terminated container "c" in pod "p" not found')
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"6\r\nhello\n\r\n")
        await writer.drain()
        if "follow" in query:
            await self.follow.wait()
            writer.write(b"5\r\nmore\n\r\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _switch(self, writer: asyncio.StreamWriter, protocol: str) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n")
        writer.write(f"X-Stream-Protocol-Version: {protocol}\r\n\r\n".encode())
        await writer.drain()

    async def _run(self, connection: Backend, query: dict[str, list[str]]) -> None:
        wanted = {"error"} | {
            name for name, key in (("stdin", "input"), ("stdout", "output"), ("stderr", "error")) if key in query
        }
        if "tty" in query:
            wanted = (wanted - {"stderr"}) | {"resize"}
        streams: dict[str, SpdyStream] = {}
        complete = asyncio.Event()

        def opened(stream: SpdyStream) -> None:
            streams[stream.headers["streamtype"]] = stream
            if wanted <= streams.keys():
                complete.set()

        session = Session(connection, client=False, on_stream=opened)
        reading = asyncio.create_task(session.run())
        await complete.wait()
        code = await self._command(query.get("command", ["attached"]), streams)
        for name in ("stdout", "stderr"):
            if name in streams:
                await streams[name].finish()
        await streams["error"].write(exit_status(code))
        await streams["error"].finish()
        await asyncio.sleep(0.05)
        connection.close()
        await asyncio.gather(reading, return_exceptions=True)

    async def _command(self, words: list[str], streams: dict[str, SpdyStream]) -> int:
        match words:
            case ["cat"]:
                while data := await streams["stdin"].read():
                    await streams["stdout"].write(data)
            case ["yes", count]:
                await streams["stdout"].write(b"y" * int(count))
            case ["fail", code]:
                await streams["stderr"].write(b"it failed\n")
                return int(code)
            case ["size"]:
                await streams["stdout"].write(await streams["resize"].read())
            case ["vanish"]:
                self.tasks.add(asyncio.ensure_future(asyncio.sleep(0)))
                raise ConnectionResetError
            case _:
                await streams["stdout"].write(" ".join(words).encode() + b"\n")
        return 0

    async def _forward(self, connection: Backend) -> None:
        def opened(stream: SpdyStream) -> None:
            if stream.headers["streamtype"] == "data":
                self.tasks.add(asyncio.create_task(self._shout(stream)))
            else:
                self.tasks.add(asyncio.create_task(stream.finish()))

        await Session(connection, client=False, on_stream=opened).run()

    async def _shout(self, stream: SpdyStream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())
        await stream.finish()


@asynccontextmanager
async def running_kubelet(certificate: Path, key: Path, authority: Path) -> AsyncIterator[FakeKubelet]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    kubelet = FakeKubelet()
    server = await asyncio.start_server(kubelet.serve, "127.0.0.1", 0, ssl=context)
    kubelet.port = server.sockets[0].getsockname()[1]
    try:
        yield kubelet
    finally:
        server.close()
        for task in kubelet.tasks:
            task.cancel()


def websocket_frame(data: bytes) -> bytes:
    """A masked binary frame, as a client sends it."""
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    return struct.pack("!BB", 0x82, 0x80 | len(data)) + mask + masked
