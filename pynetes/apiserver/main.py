"""An API server: its parts, put together, started and stopped.

`ApiServer` owns the store, the registry over it, and everything a request passes through; `pipeline` is what happens to
a request. `python -m pynetes.apiserver` runs one alone.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from pynetes.apiserver import allocators as allocators  # for its hooks on writes
from pynetes.apiserver import bootstrap, identity_lease, legacy, pipeline, subresources, tunnels
from pynetes.apiserver import requesters as requesters  # likewise
from pynetes.apiserver.admission import chain
from pynetes.apiserver.aggregation.manager import Aggregation
from pynetes.apiserver.authn import issuer, jwt, oidc, token_file
from pynetes.apiserver.authn.authenticator import Authenticator, FrontProxy
from pynetes.apiserver.authn.bootstrap_tokens import BootstrapTokens
from pynetes.apiserver.authn.legacy_tokens import LegacyTokenUse
from pynetes.apiserver.authn.service_accounts import ServiceAccountTokens
from pynetes.apiserver.authz.authorizer import Authorizer
from pynetes.apiserver.crd.manager import CustomResources
from pynetes.apiserver.discovery import Discovery
from pynetes.apiserver.event_ttl import EventExpiry
from pynetes.apiserver.flow_schemas import FlowSchemas
from pynetes.apiserver.flowcontrol import FlowControl
from pynetes.apiserver.health import Health
from pynetes.apiserver.http import HttpServer
from pynetes.apiserver.metrics import Metrics
from pynetes.apiserver.nonresource import Paths
from pynetes.apiserver.options import Options, parse
from pynetes.apiserver.registry import Registry
from pynetes.apiserver.request import Request, Response
from pynetes.machinery import logs
from pynetes.machinery.process import run_until_stopped
from pynetes.storage import open_store
from pynetes.storage.interface import Store

log = logging.getLogger(__name__)

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"


class ApiServer:
    """One API server. Make it, `start` it, `stop` it."""

    def __init__(self, options: Options, store: Store | None = None) -> None:
        subresources.load_all()
        tunnels.load()
        self.options = options
        self.store = store or open_store(options.storage)
        self.registry = Registry(self.store)
        self.registry.server = self
        legacy.serve(self.registry, options.runtime_config)
        self.authorizer = Authorizer(options.authorization_mode or ("Node", "RBAC"))
        self.service_account_tokens = _service_account_tokens(options, self.store)
        self.legacy_tokens = LegacyTokenUse(self.registry)
        if self.service_account_tokens is not None:
            self.service_account_tokens.legacy_use = self.legacy_tokens
        self.authenticator = _authenticator(options, self.store, self.service_account_tokens)
        self.admission = chain.build(options)
        self.registry.admission = self.admission
        self.metrics = Metrics()
        self.flow = FlowControl(options.max_requests_inflight, options.max_mutating_requests_inflight)
        self.flow_schemas = FlowSchemas(self.registry)
        self.health = Health()
        self.discovery = Discovery(self.registry, lambda: f"{options.advertise_address}:{self.port}")
        self.paths = Paths(self)
        if self.service_account_tokens is not None:
            address = f"https://{options.advertise_address}:{options.secure_port}"
            issuer.register(self.paths, self.service_account_tokens, address)
        self.port = options.secure_port
        self.ready = False
        self._http: HttpServer | None = None
        self.custom_resources = CustomResources(self.registry)
        self.aggregation = Aggregation(self)
        self.discovery.remotes = self.aggregation.remotes
        self._events = EventExpiry(self.registry, options.event_ttl)
        self._tasks: list[asyncio.Task[None]] = []
        self.health.add("etcd", lambda: "")
        self.health.add("etcd-readiness", lambda: "", ("readyz",))
        self.health.add_startup(lambda: self.ready)
        self.health.add("shutdown", lambda: "process is shutting down" if self._stopping else "", ("readyz",))

    @property
    def node_port(self) -> int:
        """The port at which nodes and pods reach this server: that of the advertised address, if it has its own."""
        options = self.options
        for address in options.bind_address:
            host, port = _host_port(address, self.port)
            if host == options.advertise_address:
                return port
        return self.port

    @property
    def _stopping(self) -> bool:
        return self._http is not None and self._http.stopping

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        return await pipeline.handle(self, request)

    async def start(self) -> None:
        """Listen, and bring the store to the state every cluster starts from."""
        options = self.options
        self.authorizer.follow(self.store)
        self.flow_schemas.start()
        self.custom_resources.start()
        self.aggregation.start()
        self.admission.start(self)
        if self.authenticator.issuers is not None:
            self.authenticator.issuers.start()
        self._http = HttpServer(self.handle)
        tls = _tls(options)
        for address in options.bind_address or ["0.0.0.0"]:
            host, port = _host_port(address, options.secure_port)
            bound = await self._http.listen(host, port, tls)
            self.port = bound if port == options.secure_port else self.port
        await bootstrap.ensure(self)
        await self.authorizer.rbac.caught_up()
        self.ready = True
        self._tasks = [
            asyncio.create_task(bootstrap.keep(self)),
            asyncio.create_task(self.flow_schemas.keep_conditions()),
            asyncio.create_task(self._events.run()),
        ]
        log.info("serving securely on port %d", self.port)

    async def stop(self) -> None:
        """End the watches, let requests in progress finish, and close the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            self._http.stopping = True
            self.registry.end_watches()
            await self._http.stop(self.options.shutdown_grace)
        await self.legacy_tokens.stop()
        await self.aggregation.stop()
        await self.custom_resources.stop()
        await self.admission.stop()
        await tunnels.close(self)
        await self.authorizer.stop()
        await self.flow_schemas.stop()
        if self.authenticator.issuers is not None:
            await self.authenticator.issuers.stop()
        await self.store.close()


def _service_account_tokens(options: Options, store: Store) -> ServiceAccountTokens | None:
    """Who issues and checks the tokens of service accounts; without a key nobody does."""
    files = [*options.service_account_key_file]
    if options.service_account_signing_key_file:
        files.append(options.service_account_signing_key_file)
    if not files:
        return None
    keys = [key for file in files for key in jwt.load_public_keys(Path(file).read_bytes())]
    signing = options.service_account_signing_key_file
    issuers = options.service_account_issuer or [DEFAULT_ISSUER]
    return ServiceAccountTokens(
        store=store,
        keys=jwt.KeySet(keys),
        signer=jwt.Signer.from_pem(Path(signing).read_bytes()) if signing else None,
        issuers=issuers,
        api_audiences=options.api_audiences or issuers,
    )


def _authenticator(options: Options, store: Store, tokens: ServiceAccountTokens | None) -> Authenticator:
    return Authenticator(
        client_authorities=_certificates(options.client_ca_file),
        front_proxy=_front_proxy(options),
        static_tokens=token_file.load(Path(options.token_auth_file)) if options.token_auth_file else {},
        service_accounts=tokens,
        issuers=oidc.Issuers.of(options),
        bootstrap_tokens=BootstrapTokens(store) if options.enable_bootstrap_token_auth else None,
        anonymous=options.anonymous_auth,
    )


def _front_proxy(options: Options) -> FrontProxy | None:
    """Whom to believe about the headers that name a user; the names of those headers may be given."""
    if not options.requestheader_client_ca_file:
        return None
    given = {
        "username_headers": options.requestheader_username_headers,
        "uid_headers": options.requestheader_uid_headers,
        "group_headers": options.requestheader_group_headers,
        "extra_prefixes": options.requestheader_extra_headers_prefix,
    }
    return FrontProxy(
        authorities=_certificates(options.requestheader_client_ca_file),
        allowed_names=options.requestheader_allowed_names,
        **{name: headers for name, headers in given.items() if headers},
    )


def _certificates(file: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(Path(file).read_bytes()) if file else []


def _tls(options: Options) -> ssl.SSLContext | None:
    """TLS with client certificates welcome but not demanded; without a certificate, plain HTTP (for tests)."""
    if not options.tls_cert_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls_cert_file, options.tls_private_key_file or None)
    context.set_alpn_protocols(["http/1.1"])
    for authority in (options.client_ca_file, options.requestheader_client_ca_file):
        if authority:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _host_port(address: str, port: int) -> tuple[str, int]:
    """An address with or without a port; IPv6 with a port is in brackets."""
    host, colon, given = address.rpartition(":")
    if colon and given.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(given)
    return address.strip("[]"), port


async def run(options: Options, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    server = ApiServer(options)
    await server.start()
    lease = asyncio.create_task(identity_lease.keep(server.registry))
    try:
        await stop.wait()
    finally:
        lease.cancel()
        await asyncio.gather(lease, return_exceptions=True)
        await server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the API server alone."""
    options = parse(arguments)
    logs.setup(options.v)
    return run_until_stopped(lambda stop: run(options, stop))
