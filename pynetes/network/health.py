"""Health check ports: small HTTP servers that tell load balancers whether a node has ready endpoints of a service.

`externalTrafficPolicy: Local` gives a service a `healthCheckNodePort`; a load balancer that asks it sends traffic only
to nodes that answer 200. The answers are kube-proxy's. One more server says whether the agent itself is well.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from pynetes.machinery import clock, meta

log = logging.getLogger(__name__)

Answer = tuple[int, dict[str, str], bytes]


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
            self._servers[key] = await serve(self._addresses, port, lambda: self._answer(key))
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
        headers = {
            "Content-Type": "application/json",
            "X-Content-Type-Options": "nosniff",
            "X-Load-Balancing-Endpoint-Weight": str(count),
        }
        return (200 if count and self.healthy else 503), headers, msgspec.json.encode(body)

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers.values():
            server.close()


_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


async def serve(addresses: tuple[str, ...], port: int, answer: Callable[[], Answer]) -> asyncio.Server:
    """Answer every HTTP request on `port` with what `answer` says."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (await clock.wait_for(reader.readuntil(b"\r\n\r\n"), 60.0)) and not writer.is_closing():
                status, headers, body = answer()
                lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Length: {len(body)}"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
            pass  # the client went away, or was no HTTP client
        finally:
            writer.close()

    return await asyncio.start_server(handle, [*addresses] or None, port)
