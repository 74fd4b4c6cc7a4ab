"""The ingress controller of one node: caches in, nginx configuration out; the leader writes addresses into status.

Requests come to one address of the cluster (the last of the load balancer range, or the nodes' own without one). On
every node two elements of the services' table lead that address to the node's own nginx, with the client's address as
it is; so the host reaches node 1's, and a pod its own node's.
"""

import asyncio
import base64
import dataclasses
import datetime
import ipaddress
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pynetes.client.client import Client, Unreachable
from pynetes.client.informer import Informer
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.network.caches import Caches
from pynetes.network.ingress.config import Place, render
from pynetes.network.ingress.model import Builder, Host, is_ours
from pynetes.network.ingress.nginx import Nginx, worker_user
from pynetes.network.rules import Here, internal_frontend
from pynetes.network.table import Fragment

log = logging.getLogger(__name__)

HTTP_PORT, HTTPS_PORT = 10080, 10443
_GATHER_SECONDS = 0.1  # changes come in bursts, and every configuration costs nginx new workers
_RETRY_SECONDS = 5.0


def shared_address(load_balancer_range: str) -> str:
    """The cluster's address for Ingresses: the last of the range; none without a range."""
    if not load_balancer_range:
        return ""
    return str(ipaddress.IPv4Network(load_balancer_range)[-2])


def fragment(addresses: tuple[str, ...], here: Here) -> Fragment:
    """Lead these addresses to this node's nginx."""
    part = Fragment()
    if here.addresses:
        for address in addresses:
            for port, target in ((80, HTTP_PORT), (443, HTTPS_PORT)):
                internal_frontend(part, address, port, here.addresses[0], target)
    return part


class IngressController:
    """Keeps nginx as the Ingresses say."""

    def __init__(
        self,
        client: Client,
        caches: Caches,
        directory: Path,
        node_address: Callable[[], str],
        shared: str,
        resolver: str,
    ) -> None:
        self._client = client
        self._caches = caches
        self._node_address = node_address
        self._place = Place(directory, "", HTTP_PORT, HTTPS_PORT, worker_user(), resolver)
        self._shared = shared
        self._ingresses: Informer = caches.informers.get("ingresses")
        self.classes: Informer = caches.informers.get("ingressclasses")
        self._secrets: Informer | None = None
        self._nginx = Nginx(directory)
        self._wake = asyncio.Event()
        self._written = ""
        self._on_active: Callable[[], None] = lambda: None
        self.active = False

    def on_active(self, callback: Callable[[], None]) -> None:
        """Call back when the first Ingress appears."""
        self._on_active = callback

    def ours(self) -> list[Obj]:
        """The Ingresses that this controller serves."""
        classes = {meta.name(obj): obj for obj in self.classes.list()}
        return [ingress for ingress in self._ingresses.list() if is_ours(ingress, classes)]

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._ingresses.synced()
        await self.classes.synced()
        for informer in (self._ingresses, self.classes):
            informer.on_change(self._changed)
        self._caches.services.on_change(self._backend_changed)
        self._caches.endpoint_slices.on_change(self._backend_changed)
        try:
            while True:
                await self._wake.wait()
                await clock.sleep(_GATHER_SECONDS)
                self._wake.clear()
                await self._sync()
        finally:
            await self._nginx.stop()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        self._wake.set()

    def _backend_changed(self, old: Obj | None, new: Obj | None) -> None:
        if self.active:
            self._wake.set()

    async def _sync(self) -> None:
        ours = self.ours()
        if not ours and not self.active:
            return
        if not self.active:
            if shutil.which("nginx") is None:
                log.warning("there are Ingresses, but no nginx on this machine to serve them")
                return
            await self._begin()
        configuration, stamp = self._configure(ours)
        if stamp == self._written and self._nginx.running:
            return
        if not await self._nginx.apply(configuration):
            good = [ingress for ingress in ours if await self._nginx.accepts(self._configure([ingress])[0])]
            for ingress in ours:
                if ingress not in good:
                    log.warning("ingress %s is left out: nginx does not take what it says", meta.key(ingress))
            if not await self._nginx.apply(self._configure(good)[0]):
                return
        self._written = stamp

    def _configure(self, ingresses: list[Obj]) -> tuple[str, str]:
        """The configuration for these Ingresses, and what changes whenever nginx must be told."""
        hosts = Builder(self._caches.service_by_key, self._caches.slices_by_key).build(ingresses)
        certificates = self._write_certificates(hosts)
        configuration = render(hosts, self._place, frozenset(certificates))
        return configuration, configuration + repr(sorted(certificates.items()))

    async def _begin(self) -> None:
        """The first Ingress is here: make the directory, watch certificates, tell the agent to route to nginx."""
        self._place = dataclasses.replace(self._place, address=self._node_address())
        self._place.directory.mkdir(parents=True, exist_ok=True)
        self._place.directory.chmod(0o711)
        default = self._place.certificate("")
        if not default.exists():
            _write_private(default, _placeholder_certificate())
        self._secrets = self._caches.informers.get("secrets", field_selector="type=kubernetes.io/tls")
        await self._secrets.synced()
        self._secrets.on_change(self._changed)
        self.active = True
        self._on_active()

    def _write_certificates(self, hosts: list[Host]) -> dict[str, str]:
        """Write the certificates that hosts ask for; returns the secrets that are usable, with their versions."""
        usable: dict[str, str] = {}
        for key in {host.secret for host in hosts if host.secret}:
            secret = self._secrets.get(key) if self._secrets is not None else None
            data = (secret or {}).get("data") or {}
            if secret is None or not data.get("tls.crt") or not data.get("tls.key"):
                continue
            text = b"\n".join(base64.b64decode(data[name]) for name in ("tls.crt", "tls.key"))
            if not _is_pair(text):
                log.warning("secret %s holds no certificate with its key", key)
                continue
            _write_private(self._place.certificate(key), text)
            usable[key] = secret["metadata"].get("resourceVersion", "")
        return usable

    # The leader's part

    async def publish(self) -> None:
        """Write the address into the status of every Ingress of ours, until cancelled."""
        changed = asyncio.Event()

        def note(old: Obj | None, new: Obj | None) -> None:
            changed.set()

        watched = (self._ingresses, self.classes, self._caches.nodes)
        for informer in watched:
            informer.on_change(note)
        try:
            while True:
                await changed.wait()
                changed.clear()
                for ingress in self.ours():
                    if not await self._publish(ingress):
                        await clock.sleep(_RETRY_SECONDS)
                        changed.set()
        finally:
            for informer in watched:
                informer.off_change(note)

    async def _publish(self, ingress: Obj) -> bool:
        wanted = [{"ip": address} for address in self._addresses()]
        if (ingress.get("status", {}).get("loadBalancer", {}).get("ingress") or []) == wanted:
            return True
        patch = {"status": {"loadBalancer": {"ingress": wanted}}}
        try:
            await self._client.patch(
                "ingresses", meta.name(ingress), patch, meta.namespace(ingress), subresource="status"
            )
        except StatusError as error:
            if error.code == 404:
                return True
            log.warning("status of ingress %s: %s", meta.key(ingress), error.message)
            return False
        except Unreachable:
            return False
        return True

    def _addresses(self) -> list[str]:
        if self._shared:
            return [self._shared]
        return sorted(
            address["address"]
            for node in self._caches.nodes.list()
            for address in node.get("status", {}).get("addresses") or []
            if address.get("type") == "InternalIP" and ":" not in address["address"]
        )


def _write_private(path: Path, text: bytes) -> None:
    if path.exists() and path.read_bytes() == text:
        return
    draft = path.with_suffix(".new")
    draft.touch(0o600)
    draft.write_bytes(text)
    draft.replace(path)


def _is_pair(text: bytes) -> bool:
    """Whether the text has a certificate and the key that belongs to it."""
    try:
        certificate = x509.load_pem_x509_certificate(text)
        key = serialization.load_pem_private_key(text[text.rindex(b"-----BEGIN") :], None)
    except (ValueError, TypeError):
        return False
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def _placeholder_certificate() -> bytes:
    """A self-signed certificate for hosts that have none of their own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Kubernetes Ingress Controller Fake Certificate")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.now() - datetime.timedelta(days=1))
        .not_valid_after(clock.now() + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("ingress.local")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private
