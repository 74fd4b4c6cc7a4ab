"""Health check ports: small HTTP servers that tell load balancers whether a node has ready endpoints of a service.

`externalTrafficPolicy: Local` gives a service a `healthCheckNodePort`; a load balancer that asks it sends traffic only
to nodes that answer 200. The answers are kube-proxy's. One more server says whether the agent itself is well, and on
the node's loopback address one says in which way services are proxied.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

Answer = tuple[int, dict[str, str], bytes]
_TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
_JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
_NOT_FOUND: Answer = (404, _TEXT, b"404 page not found\n")
_GOING = "ToBeDeletedByClusterAutoscaler"


@dataclass(frozen=True, slots=True)
class Check:
    """A service's health check: its port and how many local endpoints are ready."""

    port: int
    local_endpoints: int


class HealthServers:
    """One listener per health check port, opened and closed as services come and go."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses
        self._checks: dict[str, Check] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self.healthy = True

    async def update(self, checks: Mapping[str, Check | None]) -> None:
        """Take over the checks of the named services (None: it has none any more)."""
        for key, check in checks.items():
            old = self._checks.get(key)
            if check is not None:
                self._checks[key] = check
            else:
                self._checks.pop(key, None)
            if (old and old.port) != (check and check.port):
                if (server := self._servers.pop(key, None)) is not None:
                    server.close()
                if check is not None:
                    await self._open(key, check.port)

    async def _open(self, key: str, port: int) -> None:
        try:
            self._servers[key] = await serve(self._addresses, port, lambda _: self._answer(key))
        except OSError as error:
            log.warning("cannot serve the health check of %s on port %d: %s", key, port, error)

    def _answer(self, key: str) -> Answer:
        check = self._checks.get(key)
        count = check.local_endpoints if check is not None else 0
        namespace, name = meta.split_key(key)
        body = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": count,
            "serviceProxyHealthy": self.healthy,
        }
        headers = _JSON | {"X-Load-Balancing-Endpoint-Weight": str(count)}
        return (200 if count and self.healthy else 503), headers, msgspec.json.encode(body)

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers.values():
            server.close()


def is_eligible(node: Obj | None) -> bool:
    """Whether load balancers should send new connections to this node: not if it is about to go (KEP-3836)."""
    if node is None:
        return True
    taints = node.get("spec", {}).get("taints") or []
    return not meta.is_deleting(node) and all(taint.get("key") != _GOING for taint in taints)


def proxy_health(path: str, well: bool, eligible: bool, updated: float) -> Answer:
    """What kube-proxy's health server says: `/healthz` for load balancers, `/livez` for whoever restarts it."""
    if path not in ("/healthz", "/livez"):
        return _NOT_FOUND
    now = clock.time()
    told = {
        "lastUpdated": _go_time(now if well else updated),
        "currentTime": _go_time(now),
        "nodeEligible": eligible,
    }
    return (200 if well and (eligible or path == "/livez") else 503), _JSON, msgspec.json.encode(told)


def proxy_status(path: str) -> Answer:
    """What kube-proxy's status server says of how services are proxied."""
    answers = {"/proxyMode": b"nftables", "/healthz": b"ok"}
    return (200, _TEXT, answers[path]) if path in answers else _NOT_FOUND


def _go_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC")


_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


async def serve(addresses: tuple[str, ...], port: int, answer: Callable[[str], Answer]) -> asyncio.Server:
    """Answer every HTTP request on `port` with what `answer` says to its path."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await clock.wait_for(reader.readuntil(b"\r\n\r\n"), 60.0)) and not writer.is_closing():
                method, _, target = head.decode("latin-1").partition("\r\n")[0].partition(" ")
                status, headers, body = answer(target.partition(" ")[0].partition("?")[0])
                lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Length: {len(body)}"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
            pass  # the client went away, or was no HTTP client
        finally:
            writer.close()

    return await asyncio.start_server(handle, [*addresses] or None, port)
