"""Services.

Defaults that depend on the cluster (addresses, families, node ports) are given by `apiserver.allocators`; here are
those that do not, and what an update inherits: values that were allocated stay unless the client changes the type.
"""

import copy
from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.core import service_validation, service_warnings
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.core.service_validation import externally_accessible, needs_health_check_port
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

AFFINITY_SECONDS = 10800
_ADDRESS_MODES = ("Proxy", "VIP")
_TRAFFIC_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")


class ServiceStrategy(Strategy):
    """A service."""

    allow_create_on_update = True
    name_check = staticmethod(names.dns1123_label)
    columns = (
        printing.NAME,
        column("Type", description="How the service is reached."),
        column("Cluster-IP", description="The service's address inside the cluster."),
        column("External-IP", description="The addresses under which it is reached from outside."),
        column("Port(s)", description="The service's ports, with node ports where it has them."),
        printing.AGE,
        wide("Selector", description="Which pods serve it."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        elif spec["sessionAffinity"] == "ClientIP":
            client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
            if client.get("timeoutSeconds") is None:
                spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}
        for port in spec.get("ports") or []:
            fill(port, {"protocol": "TCP"})
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        if externally_accessible(spec):
            fill(spec, {"externalTrafficPolicy": "Cluster"})
        if spec["type"] in _TRAFFIC_TYPES and spec.get("internalTrafficPolicy") is None:
            spec["internalTrafficPolicy"] = "Cluster"
        if spec["type"] == "LoadBalancer":
            if spec.get("allocateLoadBalancerNodePorts") is None:
                spec["allocateLoadBalancerNodePorts"] = True
            for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []:
                if ingress.get("ip"):
                    fill(ingress, {"ipMode": "VIP"})

    def prepare_create_spec(self, obj: Obj) -> None:
        obj["status"] = {"loadBalancer": {}}
        _normalize_addresses(obj["spec"], {})

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        spec, before = new["spec"], old.get("spec") or {}
        _drop_type_dependent(spec, before)
        _keep_allocated(spec, before)
        _normalize_addresses(spec, before)
        if spec.get("type") != "LoadBalancer" and "loadBalancer" in (new.get("status") or {}):
            new["status"] = {**new["status"], "loadBalancer": {}}

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        service_validation.service(errors, obj)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        service_validation.update(errors, new, old)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        ingresses = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if ingresses and printing.spec(new).get("type") != "LoadBalancer":
            errors.forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is LoadBalancer")
            return
        for index, ingress in enumerate(ingresses):
            where = f"status.loadBalancer.ingress[{index}]"
            mode, name = ingress.get("ipMode"), ingress.get("hostname")
            if ingress.get("ip"):
                errors.check(f"{where}.ip", ingress["ip"], names.ip(ingress["ip"]))
                if mode is None:
                    errors.required(f"{where}.ipMode", "must be specified when `ip` is set")
                elif mode not in _ADDRESS_MODES:
                    errors.unsupported(f"{where}.ipMode", mode, _ADDRESS_MODES)
            elif mode is not None:
                errors.forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set")
            if name:
                errors.check(f"{where}.hostname", name, names.dns1123_subdomain(name))
                if names.parse_ip(name) is not None:
                    errors.invalid(f"{where}.hostname", name, "must be a DNS name, not an IP address")

    def warnings(self, obj: Obj) -> list[str]:
        return service_warnings.of(obj)

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [
            meta.name(obj),
            spec.get("type", ""),
            (spec.get("clusterIPs") or [spec.get("clusterIP")])[0] or printing.NONE,
            external_ip(obj),
            printing.joined(_port(port) for port in spec.get("ports") or []),
            printing.age(obj),
            printing.label_set(spec.get("selector")),
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        spec = printing.spec(obj)
        return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}


def _port(port: Obj) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port', 0)}{node}/{port.get('protocol', '')}"


def load_balancer(status: Obj) -> str:
    """The addresses or host names in `status.loadBalancer`, sorted."""
    ingresses = (status.get("loadBalancer") or {}).get("ingress") or []
    return ",".join(sorted({each.get("ip") or each.get("hostname") or "" for each in ingresses} - {""}))


def external_ip(obj: Obj) -> str:
    """The External-IP cell."""
    spec = printing.spec(obj)
    own = spec.get("externalIPs") or []
    kind = spec.get("type")
    if kind in ("ClusterIP", "NodePort"):
        return printing.joined(own)
    if kind == "LoadBalancer":
        assigned = load_balancer(printing.status(obj))
        return ",".join(filter(None, [assigned, *own])) or "<pending>"
    if kind == "ExternalName":
        return spec.get("externalName", "")
    return printing.UNKNOWN


def _normalize_addresses(spec: Obj, before: Obj) -> None:
    """Keep `clusterIP` and `clusterIPs[0]` the same, whichever of the two an old or new client wrote."""
    address, listed = spec.get("clusterIP") or "", spec.get("clusterIPs")
    if not before:
        if address and not listed:
            spec["clusterIPs"] = [address]
        return
    old_address, old_listed = before.get("clusterIP") or "", before.get("clusterIPs") or []
    same_list = (listed or []) == old_listed
    if address == old_address:
        if not same_list and not address and listed:
            spec["clusterIP"] = listed[0]
        return
    if not same_list:
        return
    if not address and old_address:
        spec.pop("clusterIPs", None)
    else:
        spec["clusterIPs"] = [address]


def _needs(kind: str, what: str) -> bool:
    return (
        kind
        in {
            "clusterIP": ("ClusterIP", "NodePort", "LoadBalancer"),
            "nodePort": ("NodePort", "LoadBalancer"),
        }[what]
    )


def _keep_allocated(spec: Obj, before: Obj) -> None:
    """A client that leaves an allocated value out means the value there is."""
    new_kind, old_kind = spec.get("type", ""), before.get("type", "")
    if _needs(old_kind, "clusterIP") and _needs(new_kind, "clusterIP"):
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not spec.get(field) and before.get(field):
                spec[field] = copy.deepcopy(before[field])
    if _needs(old_kind, "nodePort") and _needs(new_kind, "nodePort"):
        _keep_node_ports(spec.get("ports") or [], before.get("ports") or [])
    if needs_health_check_port(before) and needs_health_check_port(spec) and not spec.get("healthCheckNodePort"):
        if before.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = before["healthCheckNodePort"]


def _keep_node_ports(ports: list[Obj], before: list[Obj]) -> None:
    allocated = {(p.get("protocol"), p.get("port")): p["nodePort"] for p in before if p.get("nodePort")}
    used = {p["nodePort"] for p in ports if p.get("nodePort")}
    for port in ports:
        known = allocated.get((port.get("protocol"), port.get("port")))
        if not port.get("nodePort") and known and known not in used:
            port["nodePort"] = known


def _drop_type_dependent(spec: Obj, before: Obj) -> None:
    """When the type changes, what only the old type had goes, unless the client set it anew."""
    new_kind, old_kind = spec.get("type", ""), before.get("type", "")

    def same(field: str) -> bool:
        return spec.get(field) == before.get(field)

    if _needs(old_kind, "clusterIP") and not _needs(new_kind, "clusterIP"):
        if same("clusterIP") and same("clusterIPs"):
            for field in ("clusterIP", "clusterIPs"):
                spec.pop(field, None)
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if same(field):
                spec.pop(field, None)
    if _needs(old_kind, "nodePort") and not _needs(new_kind, "nodePort"):
        old_ports = {p["nodePort"] for p in before.get("ports") or [] if p.get("nodePort")}
        for port in spec.get("ports") or []:
            if port.get("nodePort") in old_ports:
                port.pop("nodePort", None)
    if needs_health_check_port(before) and not needs_health_check_port(spec) and same("healthCheckNodePort"):
        spec.pop("healthCheckNodePort", None)
    if externally_accessible(before) and not externally_accessible(spec) and same("externalTrafficPolicy"):
        spec.pop("externalTrafficPolicy", None)
    if old_kind == "ExternalName" and new_kind != "ExternalName" and same("externalName"):
        spec.pop("externalName", None)
    if old_kind == "LoadBalancer" and new_kind != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if same(field):
                spec.pop(field, None)
    if old_kind != "ExternalName" and new_kind == "ExternalName" and same("internalTrafficPolicy"):
        spec.pop("internalTrafficPolicy", None)
