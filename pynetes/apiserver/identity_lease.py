"""The lease by which a running API server is known: `apiserver-…` in kube-system (KEP-1965).

It is renewed every ten seconds and good for an hour; leases of servers that have been gone for longer are removed.
"""

import base64
import hashlib
import logging
import socket
import uuid

from pynetes.apiserver.registry import Context, Registry
from pynetes.machinery import clock, meta, resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

NAMESPACE = "kube-system"
LABEL = "apiserver.kubernetes.io/identity"
SECONDS = 3600
RENEW_INTERVAL = 10.0
_LEASES = resources.lookup("leases.coordination.k8s.io")

log = logging.getLogger(__name__)


def identity(host: str) -> str:
    """The name of the server on a host: the same after each restart."""
    digest = hashlib.sha256(host.encode()).digest()[:16]
    return f"apiserver-{base64.b32encode(digest).decode().rstrip('=').lower()}"


async def keep(registry: Registry) -> None:
    """Hold the lease until cancelled."""
    host = socket.gethostname()
    name = identity(host)
    holder = f"{name}_{uuid.uuid4()}"
    next_look = clock.monotonic()
    while True:
        try:
            await _renew(registry, host, name, holder)
            if clock.monotonic() >= next_look:
                next_look += SECONDS
                await remove_expired(registry)
        except StatusError as error:
            log.warning("renewing the lease %s: %s", name, error.message)
        await clock.sleep(RENEW_INTERVAL)


async def _renew(registry: Registry, host: str, name: str, holder: str) -> None:
    now, context = clock.micro_timestamp(), Context(skip_admission=True)

    def renewed(lease: Obj) -> None:
        lease["spec"] = {"holderIdentity": holder, "leaseDurationSeconds": SECONDS, "renewTime": now}

    if registry.get(_LEASES, NAMESPACE, name) is not None:
        await registry.update(_LEASES, NAMESPACE, name, renewed, context)
        return
    labels = {LABEL: "kube-apiserver", "kubernetes.io/hostname": host}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    lease: Obj = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
    renewed(lease)
    await registry.create(_LEASES, lease, context)


async def remove_expired(registry: Registry) -> None:
    """Remove the leases of servers that renew them no more."""
    for lease in registry.list(_LEASES, NAMESPACE):
        if meta.labels(lease).get(LABEL) == "kube-apiserver" and _expired(lease):
            await registry.delete(_LEASES, NAMESPACE, meta.name(lease), Context(skip_admission=True))


def _expired(lease: Obj) -> bool:
    spec = lease.get("spec") or {}
    renewed, seconds = spec.get("renewTime"), spec.get("leaseDurationSeconds")
    if not renewed or seconds is None:
        return True
    return clock.parse_time(renewed).timestamp() + float(seconds) < clock.time()
