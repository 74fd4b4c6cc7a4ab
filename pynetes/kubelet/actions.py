"""What probes and hooks do: ask over HTTP, connect, run a command, call gRPC health.

Every action is one coroutine that returns an `Outcome` and never raises for what the container does wrong. The
texts are those Go programs give, for they end up in events that people search for. HTTP is spoken by hand: a probe
needs a status line and a Location header, and nodes probe all day long.
"""

import asyncio
import contextlib
import errno
import os
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from pynetes.kubelet.cri.client import Cri, CriError
from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

USER_AGENT = "kube-probe/1.37"
HOOK_USER_AGENT = "kube-lifecycle/1.37"
NOT_SECURE = "http: server gave HTTP response to HTTPS client"
MAX_BODY = 10 * 1024
MAX_REDIRECTS = 10

Verdict = Literal["success", "failure", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went: `error` means that the question itself could not be asked."""

    verdict: Verdict
    output: str = ""

    @property
    def ok(self) -> bool:
        """Whether the container passed."""
        return self.verdict in ("success", "warning")


def port_of(port: int | str, container: Obj) -> int:
    """A port given by number or by the name of a container port; raises ValueError."""
    if isinstance(port, int):
        number = port
    else:
        named = next((p for p in container.get("ports") or [] if p.get("name") == port), None)
        if named is not None:
            number = named["containerPort"]
        elif port.isdigit():
            number = int(port)
        else:
            raise ValueError(f'strconv.Atoi: parsing "{port}": invalid syntax')
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number


# Commands


async def run_command(runtime: Cri, container_id: str, command: list[str], timeout: float) -> Outcome:
    """Success if the command exits with 0."""
    try:
        result = await runtime.exec_sync(container_id, command, timeout)
    except CriError as error:
        if error.code == "DEADLINE_EXCEEDED":
            within = clock.format_duration(timeout)
            return Outcome("failure", f'command timed out: "{" ".join(command)}" timed out after {within}')
        return Outcome("error", str(error))
    output = (result.stdout + result.stderr)[:MAX_BODY].decode(errors="replace")
    return Outcome("success" if result.exit_code == 0 else "failure", output)


# TCP


async def connect(host: str, port: int, timeout: float) -> Outcome:
    """Success if the port accepts a connection."""
    where = address(host, port)
    try:
        _, writer = await clock.wait_for(asyncio.open_connection(host, port), timeout)
    except TimeoutError:
        return Outcome("failure", f"dial tcp {where}: i/o timeout")
    except OSError as error:
        return Outcome("failure", _dial_error(where, error))
    _abort(writer)
    return Outcome("success")


def address(host: str, port: int) -> str:
    """Host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _dial_error(where: str, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {where.rpartition(':')[0]}: no such host"
    known = {errno.ECONNREFUSED: "connection refused", errno.EHOSTUNREACH: "no route to host"}
    number = error.errno or 0
    return f"dial tcp {where}: connect: {known.get(number) or os.strerror(number).lower()}"


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close at once and leave no half-closed connection behind: probes come every second."""
    with contextlib.suppress(OSError, AttributeError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


# HTTP


class _HttpProblem(Exception):
    """What Go's client would say."""


async def http_get(action: Obj, host: str, port: int, timeout: float, agent: str = USER_AGENT) -> Outcome:
    """Success for a status from 200 to 399; redirects are followed on the same host only."""
    scheme = (action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    path = path if path.startswith("/") else f"/{path}"
    url = f"{scheme}://{address(host, port)}{path}"
    headers = [(header["name"], header.get("value") or "") for header in action.get("httpHeaders") or []]
    try:
        status, body = await clock.wait_for(_follow(url, headers, agent), timeout)
    except TimeoutError:
        waiting = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome("failure", f'Get "{url}": {waiting}')
    except _HttpProblem as problem:
        return Outcome("failure", f'Get "{url}": {problem}')
    if 200 <= status < 300:
        return Outcome("success")
    if 300 <= status < 400:
        return Outcome("warning", f"Probe terminated redirects, Response body: {body}")
    return Outcome("failure", f"HTTP probe failed with statuscode: {status}")


async def _follow(url: str, headers: list[tuple[str, str]], agent: str) -> tuple[int, str]:
    for _ in range(MAX_REDIRECTS):
        status, location, body = await _request(url, headers, agent)
        if status not in (301, 302, 303, 307, 308) or not location:
            return status, body
        target = urljoin(url, location)
        if urlsplit(target).hostname != urlsplit(url).hostname:
            return status, body
        url = target
    raise _HttpProblem(f"stopped after {MAX_REDIRECTS} redirects")


async def _request(url: str, headers: list[tuple[str, str]], agent: str) -> tuple[int, str, str]:
    """Status, location and, of a redirect, the body."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=_unverified() if secure else None)
    except ssl.SSLError as error:
        plain = error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
        raise _HttpProblem(NOT_SECURE if plain else f"tls: {error.reason or error}") from None
    except OSError as error:
        raise _HttpProblem(_dial_error(address(host, port), error)) from None
    given = {name.lower() for name, _ in headers}
    lines = [(name, value) for name, value in headers if name.lower() != "host"]
    authority = next((value for name, value in headers if name.lower() == "host"), parts.netloc)
    defaults = (("User-Agent", agent), ("Accept", "*/*"), ("Connection", "close"))
    lines += [(name, value) for name, value in defaults if name.lower() not in given]
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    text = f"GET {target} HTTP/1.1\r\nHost: {authority}\r\n"
    text += "".join(f"{name}: {value}\r\n" for name, value in lines if value) + "\r\n"
    try:
        writer.write(text.encode("latin-1", errors="replace"))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await _body(reader, head) if head[9:10] == b"3" else ""
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise _HttpProblem("EOF") from None
    except OSError as error:
        raise _HttpProblem(f"read tcp {address(host, port)}: read: {os.strerror(error.errno or 0).lower()}") from None
    finally:
        _abort(writer)
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise _HttpProblem(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{first}"')
    location = next((line.split(":", 1)[1].strip() for line in rest if line.lower().startswith("location:")), "")
    return int(words[1]), location, body


async def _body(reader: asyncio.StreamReader, head: bytes) -> str:
    """As much of the body as is told, in words of its header or by the end of the connection."""
    length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head, re.IGNORECASE)
    left = min(int(length[1]) if length else MAX_BODY, MAX_BODY)
    body = b""
    while left and (more := await reader.read(left)):
        body += more
        left -= len(more)
    return body.decode(errors="replace")


_tls: ssl.SSLContext | None = None


def _unverified() -> ssl.SSLContext:
    """Probes accept any certificate, as upstream's."""
    global _tls
    if _tls is None:
        _tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _tls.check_hostname = False
        _tls.verify_mode = ssl.CERT_NONE
    return _tls


# gRPC health checking (KEP-2727)

_SERVING = 1
_STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def grpc_health(host: str, port: int, service: str, timeout: float) -> Outcome:
    """Success if grpc.health.v1.Health says SERVING."""
    import grpc.aio

    where = address(host, port)
    encoded = service.encode()
    request = b"\x0a" + _varint(len(encoded)) + encoded if encoded else b""
    options = [("grpc.enable_http_proxy", 0), ("grpc.primary_user_agent", USER_AGENT)]
    async with grpc.aio.insecure_channel(where, options=options) as channel:
        call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            await clock.wait_for(channel.channel_ready(), timeout)
            reply: bytes | None = await call(request, timeout=timeout)
        except TimeoutError:
            within = clock.format_duration(timeout)
            text = f'timeout: failed to connect service "{where}" within {within}: context deadline exceeded'
            return Outcome("failure", text)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                text = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
                return Outcome("failure", f"error: {text}: {error.details()}")
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                within = clock.format_duration(timeout)
                return Outcome("failure", f"timeout: health rpc did not complete within {within}")
            refused = CriError(error.code().name, error.details() or "")
            return Outcome("failure", f"error: health rpc probe failed: {refused}")
    if reply is None:  # the server ended the call well, but said nothing
        nothing = CriError(
            "INTERNAL", "cardinality violation: received no response message from non-server-streaming RPC"
        )
        return Outcome("failure", f"error: health rpc probe failed: {nothing}")
    status = reply[1] if len(reply) > 1 and reply[0] == 0x08 else 0
    if status == _SERVING:
        return Outcome("success", "service healthy")
    return Outcome("failure", f'service unhealthy (responded with "{_STATUS.get(status, str(status))}")')


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
