"""HTTP carried on to nodes, pods and services: `…/proxy` and everything below it.

A target is written `name`, `name:port`, `scheme:name:port`. What follows `/proxy` is the path there. The answer comes
back as it is, but for what would lead the client astray: redirects and links of HTML pages to absolute paths get the
proxy's own prefix. Upgrades (WebSocket) are tunnelled. Nobody is reached through this but pods, services' endpoints and
nodes: loopback and link-local addresses are refused.
"""

import functools
import ipaddress
import random
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from yarl import URL

from pynetes.apiserver.admission import Attributes
from pynetes.apiserver.endpoints import SERVICES, has_endpoints, ready_addresses
from pynetes.apiserver.registry import Context
from pynetes.apiserver.request import Request, Response
from pynetes.apiserver.subresources import subresource
from pynetes.apiserver.tunnels import rewrite
from pynetes.apiserver.tunnels.kubelet import (
    HOP_BY_HOP,
    Location,
    dial_error,
    forwarded_headers,
    http_client,
    node_location,
    tls,
    tunnel,
)
from pynetes.machinery import errors
from pynetes.machinery.errors import quote
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

VERBS = ("get", "create", "update", "patch", "delete", "options")


class Target(NamedTuple):
    """`scheme:name:port`, taken apart."""

    scheme: str
    name: str
    port: str


def parse_target(text: str) -> Target | None:
    """The parts of a target, None if it is malformed."""
    parts = text.split(":")
    if len(parts) == 1:
        target = Target("", parts[0], "")
    elif len(parts) == 2:
        target = Target("", parts[0], parts[1])
    elif len(parts) == 3 and parts[0] in ("", "http", "https"):
        target = Target(*parts)
    else:
        return None
    return target if target.name else None


def _check_address(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast:
        raise errors.bad_request("address not allowed")


@functools.cache
def insecure() -> ssl.SSLContext:
    """TLS to pods and services, whose certificates nobody vouches for."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _location(scheme: str, host: str, port: int) -> Location:
    return Location(scheme or "http", host, port, insecure() if scheme == "https" else None)


def pod_target(server: "ApiServer", rt: ResourceType, namespace: str, text: str) -> Location:
    """Where a pod is."""
    target = parse_target(text)
    if target is None:
        raise errors.bad_request(f"invalid pod request {quote(text)}")
    pod = server.registry.get(rt, namespace, target.name)
    if pod is None:
        raise errors.not_found("", "pods", target.name)
    port = target.port
    if not port:
        containers = pod["spec"].get("containers") or ()
        port = next((str(entry["ports"][0]["containerPort"]) for entry in containers if entry.get("ports")), "")
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise errors.bad_request("address not allowed")
    _check_address(address)
    if port and not port.isdigit():
        raise errors.bad_request(f"invalid pod request {quote(text)}")
    return _location(target.scheme, address, int(port) if port else (443 if target.scheme == "https" else 80))


def service_target(server: "ApiServer", rt: ResourceType, namespace: str, text: str) -> Location:
    """A ready endpoint of a service."""
    target = parse_target(text)
    if target is None:
        raise errors.bad_request(f"invalid service request {quote(text)}")
    service = server.registry.get(SERVICES, namespace, target.name)
    if service is None:
        raise errors.not_found("", "services", target.name)
    port = target.port
    if port.isdigit():
        number = int(port)
        entry = next((each for each in service["spec"].get("ports") or () if each["port"] == number), None)
        if entry is None:
            raise errors.service_unavailable(f"no service port {number} found for service {quote(target.name)}")
        port = entry.get("name") or ""
    addresses = ready_addresses(server.registry, namespace, target.name, port)
    if not addresses:
        asked = text if has_endpoints(server.registry, namespace, target.name) else target.name
        raise errors.service_unavailable(f"no endpoints available for service {quote(asked)}")
    host, number = random.choice(addresses)
    _check_address(host)
    return _location(target.scheme, host, number)


def node_target(server: "ApiServer", rt: ResourceType, namespace: str, text: str) -> Location:
    """A node's kubelet, or another port of the node."""
    target = parse_target(text)
    if target is None:
        raise errors.bad_request(f"invalid node request {quote(text)}")
    kubelet = node_location(server, target.name)
    if not target.port or target.port == str(kubelet.port):
        return kubelet
    if not target.port.isdigit():
        raise errors.bad_request(f"invalid node request {quote(text)}")
    _check_address(kubelet.host)
    context = tls(server, verify=False) if target.scheme == "https" else None
    return Location(target.scheme or "http", kubelet.host, int(target.port), context)


_TARGETS = {"pods": pod_target, "services": service_target, "nodes": node_target}
_OPTIONS = {"pods": "PodProxyOptions", "services": "ServiceProxyOptions", "nodes": "NodeProxyOptions"}


async def _proxy(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    assert request.info is not None and request.user is not None
    tail = request.info.tail
    options = {"apiVersion": "v1", "kind": _OPTIONS[rt.plural], "path": tail}
    attributes = Attributes(
        "CONNECT", rt, "proxy", namespace, name, options, None, request.user, warnings=request.warnings
    )
    ctx = Context(user=request.user)
    await server.registry.admit(attributes, ctx)
    await server.registry.validate(attributes, ctx)
    location = _TARGETS[rt.plural](server, rt, namespace, name)
    query = f"?{request.raw_query}" if request.raw_query else ""
    if not tail and request.method in ("GET", "HEAD") and not request.is_upgrade:
        return Response(301, {"Location": f"{request.path}/{query}"})
    path = f"{tail or '/'}{query}"
    if request.is_upgrade:
        return await tunnel(request, location, path)
    prefix = request.raw_path[: len(request.raw_path) - len(tail)] if tail else request.raw_path
    return await forward(request, server, location, path, prefix)


async def forward(request: Request, server: "ApiServer", location: Location, path: str, prefix: str) -> Response:
    """Send the request on and pass the answer back, chunk by chunk."""
    url = location.url(path)
    headers = forwarded_headers(request)
    headers += [
        ("X-Forwarded-Uri", prefix + path.partition("?")[0]),
        ("X-Forwarded-Host", request.headers.get("host", "")),
        ("X-Forwarded-Proto", "https" if request.peer_cert or server.options.tls_cert_file else "http"),
    ]
    if not any(key.lower() == "x-forwarded-for" for key, _ in headers) and request.peer_address:
        headers.append(("X-Forwarded-For", request.peer_address))
    body: AsyncIterator[bytes] | bytes | None = None
    if request.headers.get("transfer-encoding") or int(request.headers.get("content-length") or 0):
        body = _sent_body(request)
        if "content-length" in request.headers:
            headers.append(("Content-Length", request.headers["content-length"]))
    try:
        answer = await http_client(server).request(
            request.method,
            URL(url, encoded=True),
            headers=headers,
            data=body,
            ssl=location.tls or True,
            server_hostname=location.server_name or None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
    except (aiohttp.ClientError, OSError, TimeoutError, ssl.SSLError) as error:
        raise errors.service_unavailable(f"error trying to reach service: {dial_error(error)}") from None
    passed = _answer_headers(answer)
    if "Location" in passed:
        passed["Location"] = rewrite.location(passed["Location"], prefix, location.authority)
    if rewrite.is_html(passed.get("Content-Type", "")) and request.method != "HEAD":
        encoding = passed.get("Content-Encoding", "")
        page = await answer.read()
        return Response(answer.status, passed, rewrite.html(page, encoding, prefix, location.authority))
    if request.method == "HEAD" or answer.status in (204, 304):
        answer.release()
        return Response(answer.status, passed)
    return Response(answer.status, passed, _received_body(answer))


async def _sent_body(request: Request) -> AsyncIterator[bytes]:
    if request.body:
        yield request.body
    async for chunk in request.chunks():
        yield chunk


async def _received_body(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    finally:
        answer.close()


def _answer_headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """The answer's headers. A repeated name is kept under another spelling: to HTTP both are the same."""
    found: dict[str, str] = {}
    for key, value in answer.headers.items():
        if key.lower() in HOP_BY_HOP or key.lower() in ("content-length", "date"):
            continue
        spelled = key.title()
        while spelled in found:
            spelled = spelled.swapcase() if spelled.swapcase() not in found else _respell(spelled, found)
        found[spelled] = value
    return found


def _respell(name: str, taken: dict[str, str]) -> str:
    for bits in range(1 << len(name)):
        spelled = "".join(letter.upper() if bits >> place & 1 else letter.lower() for place, letter in enumerate(name))
        if spelled not in taken:
            return spelled
    return name


for _kind in _TARGETS:
    subresource(_kind, "proxy", verbs=VERBS, streaming=True)(_proxy)
