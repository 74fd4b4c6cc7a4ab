"""A group version that a service serves: where it is, how it is trusted, whether it answers, what it offers."""

import base64
import binascii
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote as percent_encode

import aiohttp
import msgspec
from yarl import URL

from pynetes.apiserver.endpoints import NoEndpoint, find_service, ready_addresses, resolve_service, service_port
from pynetes.apiserver.request import UserInfo
from pynetes.apiserver.tunnels.kubelet import Location, http_client
from pynetes.machinery import clock
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

CHECK_TIMEOUT = 5.0
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
    _contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)

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

    def _tls(self, server: "ApiServer") -> ssl.SSLContext:
        context = self._contexts.get("")
        if context is None:
            try:
                authorities = base64.b64decode(self.bundle).decode() if self.bundle else None
                context = ssl.create_default_context(cadata=authorities)
            except (ssl.SSLError, ValueError, binascii.Error) as error:
                raise NoEndpoint(f"unable to load root certificates: {error}") from None
            context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            options = server.options
            if options.proxy_client_cert_file:
                context.load_cert_chain(options.proxy_client_cert_file, options.proxy_client_key_file or None)
            self._contexts[""] = context
        return context

    async def check(self, server: "ApiServer") -> Availability:
        """Whether it can be asked; if so, what it offers is known afterwards."""
        registry, where = server.registry, f"service/{self.name} in {quote(self.namespace)}"
        try:
            service = find_service(registry, self.namespace, self.name)
        except NoEndpoint:
            return Availability("False", "ServiceNotFound", f"{where} is not present")
        if (service.get("spec") or {}).get("type") != "ExternalName":
            port = service_port(service, str(self.port))
            if port is None:
                message = f"{where} is not listening on port {self.port}"
                return Availability("False", "ServicePortError", message)
            name = port.get("name") or ""
            if not ready_addresses(registry, self.namespace, self.name, name):
                message = (
                    f"endpoints for service/{self.name} in {quote(self.namespace)} have no addresses with port name "
                    f"{quote(name)}"
                )
                return Availability("False", "MissingEndpoints", message)
        url = f"https://{self.host}:{self.port}{self.path}"
        try:
            found = await clock.wait_for(self._get(server, self.path), CHECK_TIMEOUT)
        except TimeoutError:
            fault = f"Get {quote(url)}: context deadline exceeded"
        except (aiohttp.ClientError, OSError, NoEndpoint, msgspec.DecodeError) as error:
            fault = f"Get {quote(url)}: {error}"
        else:
            if isinstance(found, int):
                fault = f"bad status from {url}: {found}"
            else:
                self.resources = found.get("resources") or []
                await self._learn_schemas(server)
                return PASSED
        message = f"failing or missing response from {url}: {fault}"
        return Availability("False", "FailedDiscoveryCheck", message)

    async def _learn_schemas(self, server: "ApiServer") -> None:
        """The index of its OpenAPI v3 documents, if it has such."""
        try:
            index = await clock.wait_for(self._get(server, "/openapi/v3"), CHECK_TIMEOUT)
        except (TimeoutError, aiohttp.ClientError, OSError, NoEndpoint, msgspec.DecodeError):
            index = 0
        known = index.get("paths") or {} if isinstance(index, dict) else {}
        mine = self.path.removeprefix("/")
        self.schemas = {path: entry for path, entry in known.items() if path == mine}

    async def _get(self, server: "ApiServer", path: str) -> Obj | int:
        """The decoded answer to a GET, or the status that was not 200."""
        location = self.location(server)
        headers = {"Accept": "application/json", **dict(user_headers(AGGREGATOR))}
        async with http_client(server).get(
            URL(location.url(path), encoded=True), headers=headers, ssl=location.tls or True, server_hostname=self.host
        ) as answer:
            body = await answer.read()
            if answer.status != 200:
                return answer.status
            decoded = msgspec.json.decode(body)
            return decoded if isinstance(decoded, dict) else {}


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
