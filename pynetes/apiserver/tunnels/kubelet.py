"""Reaching a node's kubelet: its address, our credentials, and requests that upgrade the connection.

The address is the node's, of the most preferred type it has; the port is what the node's status says. We show the
client certificate of `--kubelet-client-certificate` and check the kubelet's against `--kubelet-certificate-authority`
(not at all without one, as upstream).
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from pynetes.apiserver.authn.authenticator import BEARER_PROTOCOL
from pynetes.apiserver.request import Request, Response, Upgrade
from pynetes.apiserver.tunnels.relay import Backend, relay
from pynetes.machinery import clock, errors, resources

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

NODES = resources.lookup("nodes")
ADDRESS_TYPES = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")
DIAL_TIMEOUT = 30.0
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS = frozenset({"authorization", "host", "content-length", "expect"})


@dataclass(frozen=True, slots=True)
class Location:
    """Where a request is carried on to."""

    scheme: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    """The name its certificate must be for, where that is not the address."""

    @property
    def authority(self) -> str:
        """`host:port` as a URL has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, path: str) -> str:
        """The URL of a path (with its query) there."""
        return f"{self.scheme}://{self.authority}{path}"


def node_location(server: "ApiServer", name: str) -> Location:
    """The kubelet of a node; raises 404 or, for a node without an address, 500."""
    node = server.registry.get(NODES, None, name)
    if node is None:
        raise errors.not_found("", "nodes", name)
    status = node.get("status") or {}
    by_type: dict[str, str] = {}
    for entry in status.get("addresses") or ():
        by_type.setdefault(entry["type"], entry["address"])
    wanted = server.options.kubelet_preferred_address_types or ADDRESS_TYPES
    host = next((by_type[kind] for kind in wanted if kind in by_type), None)
    if host is None:
        raise errors.StatusError(500, "", f"no preferred addresses found; known addresses: {list(by_type.values())}")
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
    return Location("https", host, port, tls(server))


def tls(server: "ApiServer", *, verify: bool = True) -> ssl.SSLContext:
    """The context for connections to kubelets, made once."""
    known: dict[bool, ssl.SSLContext] = server.__dict__.setdefault("kubelet_tls", {})
    if verify not in known:
        options = server.options
        context = ssl.create_default_context(cafile=options.kubelet_certificate_authority or None)
        if not verify or not options.kubelet_certificate_authority:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if options.kubelet_client_certificate:
            context.load_cert_chain(options.kubelet_client_certificate, options.kubelet_client_key or None)
        known[verify] = context
    return known[verify]


def http_client(server: "ApiServer") -> aiohttp.ClientSession:
    """The session for plain requests to kubelets, pods and services; closed with the server's loop."""
    session: aiohttp.ClientSession | None = server.__dict__.get("tunnel_session")
    if session is None or session.closed:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        timeout = aiohttp.ClientTimeout(total=None, connect=DIAL_TIMEOUT)
        session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout, trust_env=False)
        server.__dict__["tunnel_session"] = session
    return session


def forwarded_headers(request: Request) -> list[tuple[str, str]]:
    """The client's headers without those that concern only its connection to us, and without its credentials."""
    listed = {entry.strip().lower() for entry in request.headers.get("connection", "").split(",")}
    dropped = HOP_BY_HOP | _OURS | listed
    found = []
    for raw_key, raw_value in request.raw_headers:
        key, value = raw_key.decode("latin-1"), raw_value.decode("latin-1")
        name = key.lower()
        if name in dropped or name.startswith("impersonate-"):
            continue
        if name == "sec-websocket-protocol":  # browsers bring their token here
            protocols = [entry.strip() for entry in value.split(",")]
            value = ", ".join(entry for entry in protocols if not entry.startswith(BEARER_PROTOCOL))
            if not value:
                continue
        found.append((key, value))
    return found


def dial_error(error: BaseException) -> str:
    """A failed connection as Go words it."""
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, ssl.SSLError) and error.os_error.reason == "WRONG_VERSION_NUMBER":
            return "http: server gave HTTP response to HTTPS client"
        where = f"{error.host}:{error.port}"
        return f"dial tcp {where}: {_cause(error.os_error)}"
    return _cause(error)


def _cause(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    if isinstance(error, OSError) and error.errno == 113:
        return "connect: no route to host"
    return str(error) or type(error).__name__


async def dial(location: Location) -> Backend:
    """A raw connection; raises the 500 that says it failed."""
    try:
        opened = asyncio.open_connection(
            location.host,
            location.port,
            ssl=location.tls if location.scheme == "https" else None,
            server_hostname=location.server_name or None,
            limit=1 << 18,
        )
        reader, writer = await clock.wait_for(opened, DIAL_TIMEOUT)
    except (OSError, TimeoutError, ssl.SSLError) as error:
        said = dial_error(error)
        if not isinstance(error, ssl.SSLError):
            said = f"dial tcp {location.authority}: {said}"
        raise errors.StatusError(500, "", f"error dialing backend: {said}") from None
    return Backend(reader, writer)


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer read from a raw connection."""

    status: int
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


async def send_upgrade(
    backend: Backend, location: Location, method: str, path: str, headers: list[tuple[str, str]]
) -> Answer:
    """Ask for an upgrade over a raw connection; returns the head of the answer."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {location.authority}"]
    lines += [f"{key}: {value}" for key, value in headers]
    if method not in ("GET", "HEAD"):
        lines.append("Content-Length: 0")
    try:
        await backend.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        head = await backend.reader.readuntil(b"\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError) as error:
        backend.close()
        raise errors.StatusError(500, "", f"error dialing backend: {error}") from None
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = [(key.strip(), value.strip()) for key, colon, value in (line.partition(":") for line in rest) if colon]
    return Answer(int(first.split(" ")[1]), pairs)


async def refusal(backend: Backend, answer: Answer) -> Response:
    """The client's answer where the other side declined to upgrade: its own answer, passed on."""
    try:
        body = await clock.wait_for(_body(backend, answer), 10.0)
    except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
        body = b""
    backend.close()
    headers = {"Content-Type": answer.get("Content-Type") or "text/plain; charset=utf-8"}
    return Response(answer.status, headers, body)


async def _body(backend: Backend, answer: Answer) -> bytes:
    if "chunked" in answer.get("Transfer-Encoding").lower():
        pieces = []
        while size := int((await backend.reader.readline()).split(b";")[0], 16):
            pieces.append(await backend.reader.readexactly(size))
            await backend.reader.readline()
        return b"".join(pieces)
    if length := answer.get("Content-Length"):
        return await backend.reader.readexactly(int(length))
    return await backend.reader.read(1 << 16) if answer.status != 204 else b""


async def tunnel(request: Request, location: Location, path: str) -> Response:
    """Carry an upgrading request on and, if the other side switches protocols, pass the bytes through."""
    backend = await dial(location)
    headers = forwarded_headers(request)
    headers += [("Connection", "Upgrade"), ("Upgrade", request.headers.get("upgrade", ""))]
    answer = await send_upgrade(backend, location, request.method, path, headers)
    if answer.status != 101:
        return await refusal(backend, answer)
    switched = {key: value for key, value in answer.headers if key.lower() not in ("date", "content-length")}
    return Response(101, switched, Upgrade(lambda client: relay(client, backend)))
