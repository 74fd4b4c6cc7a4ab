"""A group version that a service serves: where it is, how it is trusted, whether it answers, what it offers."""

import asyncio
import base64
import binascii
import logging
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote as percent_encode

import aiohttp
import msgspec
from yarl import URL

from pynetes.apiserver.endpoints import (
    SLICES,
    NoEndpoint,
    ServiceMissing,
    find_service,
    ready_addresses,
    resolve_service,
)
from pynetes.apiserver.registry import Registry
from pynetes.apiserver.request import UserInfo
from pynetes.apiserver.tunnels.kubelet import Location, dial_error, http_client
from pynetes.machinery import clock, openapi, openapi_merge, selectors
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

log = logging.getLogger(__name__)

CHECK_TIMEOUT = 5.0
CHECK_ATTEMPTS = 5
AGGREGATOR = UserInfo("system:kube-aggregator", groups=("system:masters",))


class Availability(NamedTuple):
    """The Available condition."""

    status: str
    reason: str
    message: str


PASSED = Availability("True", "Passed", "all checks passed")


@dataclass
class Remote:
    """One group version behind a service."""

    group: str
    version: str
    namespace: str
    name: str
    port: int
    bundle: str
    insecure: bool
    version_priority: int = 0
    group_priority: int = 0
    available: Availability | None = None
    resources: list[Obj] = field(default_factory=list)
    schemas: dict[str, Any] = field(default_factory=dict)
    described: Obj | None = None
    """The part of its OpenAPI v2 document that is about this group version."""
    _tags: dict[str, str] = field(default_factory=dict)
    _contexts: dict[bool, ssl.SSLContext] = field(default_factory=dict)

    @classmethod
    def of(cls, api_service: Obj) -> "Remote | None":
        """What an APIService says, or None for one that is served here."""
        spec = api_service.get("spec") or {}
        service = spec.get("service")
        if service is None:
            return None
        return cls(
            group=spec.get("group", ""),
            version=spec.get("version", ""),
            namespace=service.get("namespace", ""),
            name=service.get("name", ""),
            port=service.get("port") or 443,
            bundle=spec.get("caBundle") or "",
            insecure=bool(spec.get("insecureSkipTLSVerify")),
            version_priority=spec.get("versionPriority", 0),
            group_priority=spec.get("groupPriorityMinimum", 0),
        )

    @property
    def path(self) -> str:
        """Where the group version is, here and there."""
        return f"/apis/{self.group}/{self.version}"

    @property
    def host(self) -> str:
        """The name that the server's certificate must be for."""
        return f"{self.name}.{self.namespace}.svc"

    def location(self, server: "ApiServer") -> Location:
        """A ready endpoint; raises NoEndpoint."""
        host, port = resolve_service(server.registry, self.namespace, self.name, str(self.port))
        return Location("https", host, port, self._tls(server), self.host)

    def _tls(self, server: "ApiServer", verify: bool = True) -> ssl.SSLContext:
        """How to speak to it as the front proxy; whether it is there is asked without verifying who answers."""
        context = self._contexts.get(verify)
        if context is None:
            try:
                authorities = base64.b64decode(self.bundle).decode() if self.bundle else None
                context = ssl.create_default_context(cadata=authorities)
            except (ssl.SSLError, ValueError, binascii.Error) as error:
                raise NoEndpoint(f"unable to load root certificates: {error}") from None
            context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
            if self.insecure or not verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            options = server.options
            if options.proxy_client_cert_file:
                context.load_cert_chain(options.proxy_client_cert_file, options.proxy_client_key_file or None)
            self._contexts[verify] = context
        return context

    def missing(self, registry: Registry) -> Availability | None:
        """What its service lacks, if anything."""
        where = f"service/{self.name} in {quote(self.namespace)}"
        try:
            spec = find_service(registry, self.namespace, self.name).get("spec") or {}
        except ServiceMissing:
            return Availability("False", "ServiceNotFound", f"{where} is not present")
        if spec.get("type", "ClusterIP") != "ClusterIP":
            return None
        port = next((entry for entry in spec.get("ports") or () if entry.get("port") == self.port), None)
        if port is None:
            return Availability("False", "ServicePortError", f"{where} is not listening on port {self.port}")
        selector = selectors.from_label_selector({"matchLabels": {"kubernetes.io/service-name": self.name}})
        if not registry.list(SLICES, self.namespace, selector):
            return Availability("False", "EndpointsNotFound", f"cannot find endpointslices for {where}")
        name = port.get("name") or ""
        if not ready_addresses(registry, self.namespace, self.name, name):
            message = f"endpointslices for {where} have no addresses with port name {quote(name)}"
            return Availability("False", "MissingEndpoints", message)
        return None

    async def ask(self, server: "ApiServer") -> Availability:
        """Whether it answers; if so, what it offers is known afterwards. One of several endpoints is enough."""
        attempts = [asyncio.ensure_future(self._discover(server)) for _ in range(CHECK_ATTEMPTS)]
        fault = ""
        try:
            for attempt in asyncio.as_completed(attempts):
                outcome = await attempt
                if isinstance(outcome, str):
                    fault = outcome
                    continue
                self.resources = outcome.get("resources") or []
                await self._learn_schemas(server)
                return PASSED
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
        return Availability("False", "FailedDiscoveryCheck", fault)

    async def _discover(self, server: "ApiServer") -> Obj | str:
        """The discovery document of one endpoint, or what went wrong."""
        try:
            url = self.location(server).url(self.path)
        except NoEndpoint as error:
            return str(error)
        failed = f"failing or missing response from {url}"
        try:
            status, body, _ = await self._get(server, url)
            if not 200 <= status < 300:
                return f"{failed}: bad status from {url}: {status}"
            found = msgspec.json.decode(body)
        except TimeoutError:
            return f"{failed}: Get {quote(url)}: context deadline exceeded"
        except (aiohttp.ClientError, OSError) as error:
            return f"{failed}: Get {quote(url)}: {dial_error(error)}"
        except (NoEndpoint, msgspec.DecodeError) as error:
            return f"{failed}: {error}"
        return found if isinstance(found, dict) else {}

    async def _learn_schemas(self, server: "ApiServer") -> None:
        """Its OpenAPI: where its v3 document is, if it has one, and the part of v2 that is about this group version."""
        index = await self._published(server, "/openapi/v3")
        mine = self.path.removeprefix("/")
        known = (index or {}).get("paths") or {}
        self.schemas = {path: entry for path, entry in known.items() if path == mine}
        document = await self._published(server, "/openapi/v2")
        if document is None:
            return
        try:
            part = openapi_merge.restricted(document, self.path)
            await asyncio.to_thread(openapi.check, part)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("the schemas of %s are not OpenAPI: %r", self.host, error)
            return
        self.described = part

    async def _published(self, server: "ApiServer", path: str) -> Obj | None:
        """A document, None if there is none or it is what it was."""
        try:
            url = self.location(server).url(path)
            status, body, tag = await self._get(server, url, self._tags.get(path, ""))
            if status != 200:
                return None
            found = msgspec.json.decode(body)
        except (TimeoutError, aiohttp.ClientError, OSError, NoEndpoint, msgspec.DecodeError):
            return None
        if path == "/openapi/v2":  # the index is small and always looked at
            self._tags[path] = tag
        return found if isinstance(found, dict) else None

    async def _get(self, server: "ApiServer", url: str, tag: str = "") -> tuple[int, bytes, str]:
        """Status, body and ETag of the answer to a GET by ourselves, whoever it comes from."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **dict(user_headers(AGGREGATOR))}
        if tag:
            headers["If-None-Match"] = tag

        async def ask() -> tuple[int, bytes, str]:
            request = http_client(server).get(
                URL(url, encoded=True),
                headers=headers,
                ssl=self._tls(server, verify=False),
                server_hostname=self.host,
                allow_redirects=False,
            )
            async with request as answer:
                return answer.status, await answer.read(), answer.headers.get("ETag", "")

        return await clock.wait_for(ask(), CHECK_TIMEOUT)


def user_headers(user: UserInfo) -> list[tuple[str, str]]:
    """The headers that tell an aggregated server whose request it is."""
    headers = [("X-Remote-User", user.name)]
    if user.uid:
        headers.append(("X-Remote-Uid", user.uid))
    headers += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra.items():
        headers += [(f"X-Remote-Extra-{_escaped(key)}", value) for value in values]
    return headers


def _escaped(key: str) -> str:
    """A key as a header's name may have it: what may not stand there is percent-encoded."""
    return percent_encode(key, safe="!#$&'*+^`|")
