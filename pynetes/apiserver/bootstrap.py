"""What every cluster starts from: system namespaces, default policy, priority classes, and the `kubernetes` service.

`ensure` makes what is missing before the server says it is ready; `keep` looks after the parts that must never be
missing (the namespaces, the service under which pods find this server, the rules of whose turn it is) for as long as
it runs.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pynetes.apiserver import allocators, bootstrap_flowcontrol
from pynetes.apiserver.authn import legacy_tokens
from pynetes.apiserver.authz import reconcile
from pynetes.apiserver.options import Options
from pynetes.apiserver.registry import Context, Registry
from pynetes.machinery import clock, meta, resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITY_CLASSES = {
    "system-node-critical": (
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
}
KEEP_INTERVAL = 10.0

log = logging.getLogger(__name__)


async def ensure(server: "ApiServer") -> None:
    """Make what is missing; what is there and may have been changed by its owner stays."""
    registry, options = server.registry, server.options
    await _system_namespaces(registry)
    await asyncio.gather(
        reconcile.reconcile(registry),
        *(create_missing(registry, each) for each in _priority_classes()),
        *(create_missing(registry, each) for each in bootstrap_flowcontrol.objects()),
        create_missing(registry, _service_cidr(options)),
        create_missing(registry, legacy_tokens.tracking()),
        _front_proxy(registry, options),
    )
    await allocators.repair(registry)
    await _kubernetes_service(server)


async def keep(server: "ApiServer") -> None:
    """Bring back what every cluster has if it goes missing; until cancelled."""
    while True:
        await clock.sleep(KEEP_INTERVAL)
        try:
            await _system_namespaces(server.registry)
            await _kubernetes_service(server)
            for each in (legacy_tokens.tracking(), *bootstrap_flowcontrol.objects()):
                await create_missing(server.registry, each)
        except StatusError as error:
            log.warning("keeping the kubernetes service: %s", error.message)


async def create_missing(registry: Registry, obj: Obj) -> None:
    """Create an object unless it is there."""
    rt = resources.by_kind(obj["apiVersion"], obj["kind"])
    assert rt is not None
    if registry.get(rt, meta.namespace(obj), meta.name(obj)) is not None:
        return
    try:
        await registry.create(rt, obj, Context(skip_admission=True))
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise


async def _system_namespaces(registry: Registry) -> None:
    await asyncio.gather(
        *(
            create_missing(registry, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            for name in SYSTEM_NAMESPACES
        )
    )


def _priority_classes() -> list[Obj]:
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
        }
        for name, (value, description) in PRIORITY_CLASSES.items()
    ]


def _service_cidr(options: Options) -> Obj:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": options.service_cluster_ip_range.split(",")},
    }


async def _front_proxy(registry: Registry, options: Options) -> None:
    """The ConfigMap by which extension API servers know whom this server speaks for."""
    data = {}
    if options.client_ca_file:
        data["client-ca-file"] = await asyncio.to_thread(_text, options.client_ca_file)
    if options.requestheader_client_ca_file:
        data |= {
            "requestheader-client-ca-file": await asyncio.to_thread(_text, options.requestheader_client_ca_file),
            "requestheader-allowed-names": _json_list(options.requestheader_allowed_names),
            "requestheader-username-headers": _json_list(options.requestheader_username_headers or ["X-Remote-User"]),
            "requestheader-uid-headers": _json_list(options.requestheader_uid_headers or ["X-Remote-Uid"]),
            "requestheader-group-headers": _json_list(options.requestheader_group_headers or ["X-Remote-Group"]),
            "requestheader-extra-headers-prefix": _json_list(
                options.requestheader_extra_headers_prefix or ["X-Remote-Extra-"]
            ),
        }
    wanted: Obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": data,
    }
    await put(registry, wanted, lambda current: current.__setitem__("data", data))


def _text(file: str) -> str:
    with open(file, encoding="utf-8") as opened:
        return opened.read()


def _json_list(values: list[str]) -> str:
    return "[" + ",".join(f'"{value}"' for value in values) + "]"


async def put(registry: Registry, wanted: Obj, change: Callable[[Obj], None]) -> None:
    """Create an object, or bring the one that is there to what is wanted."""
    rt = resources.by_kind(wanted["apiVersion"], wanted["kind"])
    assert rt is not None
    await create_missing(registry, meta.deep_copy(wanted))

    def changed(current: Obj) -> Obj:
        change(current)
        return current

    await registry.update(rt, meta.namespace(wanted), meta.name(wanted), changed, Context(skip_admission=True))


async def _kubernetes_service(server: "ApiServer") -> None:
    """The service, endpoints and endpoint slice `kubernetes` in `default`: where pods find this server."""
    registry, options = server.registry, server.options
    first = next(iter(ipaddress.ip_network(options.service_cluster_ip_range.split(",")[0], strict=False).hosts()))
    labels = {"component": "apiserver", "provider": "kubernetes"}
    await create_missing(
        registry,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "clusterIP": str(first),
                "clusterIPs": [str(first)],
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": server.node_port}],
            },
        },
    )
    address = options.advertise_address
    if not address or ipaddress.ip_address(address).is_loopback:
        return  # no pod could reach it; upstream refuses such endpoints, too
    port = {"name": "https", "port": server.node_port, "protocol": "TCP"}
    subsets = [{"addresses": [{"ip": address}], "ports": [port]}]
    await put(
        registry,
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": subsets,
        },
        lambda current: current.__setitem__("subsets", subsets),
    )
    family = "IPv6" if ":" in address else "IPv4"
    endpoints = [{"addresses": [address], "conditions": {"ready": True}}]

    def placed(current: Obj) -> None:
        current["endpoints"], current["ports"] = endpoints, [port]

    await put(
        registry,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": family,
            "endpoints": endpoints,
            "ports": [port],
        },
        placed,
    )
