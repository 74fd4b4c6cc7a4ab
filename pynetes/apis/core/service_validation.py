"""Validation of services. Addresses and node ports have been allocated by then; what is malformed or contradicts the
type is found here, what cannot be allocated in `apiserver.allocators`."""

from pynetes.apis import checks
from pynetes.apis.checks import Errors
from pynetes.apis.core import container_validation, probe_validation
from pynetes.machinery import names
from pynetes.machinery.meta import Obj

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
TRAFFIC_POLICIES = ("Cluster", "Local")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("SingleStack", "PreferDualStack", "RequireDualStack")
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
MAX_AFFINITY_SECONDS = 86400
KUBELET_PORT = 10250
ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"


def is_headless(spec: Obj) -> bool:
    """Whether the service has no address of its own by choice."""
    return spec.get("clusterIP") == "None" or (spec.get("clusterIPs") or [""])[0] == "None"


def externally_accessible(spec: Obj) -> bool:
    """Whether traffic from outside the cluster can reach the service."""
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check_port(spec: Obj) -> bool:
    """Whether nodes answer health checks of a load balancer for the service."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def service(errors: Errors, obj: Obj) -> None:
    """The rules for a service beyond its metadata's."""
    spec = obj.get("spec") or {}
    kind = spec.get("type") or ""
    headless = is_headless(spec)
    if not spec.get("ports") and not headless and kind != "ExternalName":
        errors.required("spec.ports")
    _type_specific(errors, spec, kind, headless)
    _ports(errors, spec, kind, headless)
    checks.labels(errors, spec.get("selector"), "spec.selector")
    _affinity(errors, spec)
    _addresses(errors, spec)
    errors.required_one_of("spec.type", kind, TYPES)
    _load_balancer_fields(errors, spec, kind)
    _policies(errors, spec, kind)


def _type_specific(errors: Errors, spec: Obj, kind: str, headless: bool) -> None:
    if kind in ("LoadBalancer", "NodePort") and headless:
        errors.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "LoadBalancer":
        for index, port in enumerate(spec.get("ports") or []):
            # The kubelet's own port would be reachable from outside if a balancer sent that port to nodes.
            if port.get("port") == KUBELET_PORT:
                errors.invalid(
                    f"spec.ports[{index}]",
                    KUBELET_PORT,
                    f"may not expose port {KUBELET_PORT} externally since it is used by kubelet",
                )
    if kind == "ExternalName":
        if spec.get("clusterIPs"):
            errors.forbidden("spec.clusterIPs", "may not be set for ExternalName services")
        if spec.get("ipFamilies"):
            errors.forbidden("spec.ipFamilies", "may not be set for ExternalName services")
        if spec.get("ipFamilyPolicy") is not None:
            errors.forbidden("spec.ipFamilyPolicy", "may not be set for ExternalName services")
        name = (spec.get("externalName") or "").removesuffix(".")
        if name:
            errors.check("spec.externalName", name, names.dns1123_subdomain(name))
        else:
            errors.required("spec.externalName")


def _ports(errors: Errors, spec: Obj, kind: str, headless: bool) -> None:
    listed = spec.get("ports") or []
    named: set[str] = set()
    node_ports: set[tuple[str, int]] = set()
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(listed):
        where = f"spec.ports[{index}]"
        name, protocol, number = port.get("name") or "", port.get("protocol") or "", port.get("port") or 0
        if len(listed) > 1 and not name:
            errors.required(f"{where}.name")
        elif name:
            errors.check(f"{where}.name", name, names.dns1123_label(name))
            if name in named:
                errors.duplicate(f"{where}.name", name)
            named.add(name)
        errors.port(f"{where}.port", number)
        errors.required_one_of(f"{where}.protocol", protocol, container_validation.PROTOCOLS)
        probe_validation.port_or_name(errors, port.get("targetPort"), f"{where}.targetPort")
        application = port.get("appProtocol")
        if application is not None:
            errors.check(f"{where}.appProtocol", application, names.qualified_name(application))
        node_port = port.get("nodePort") or 0
        if node_port and kind == "ClusterIP":
            errors.forbidden(f"{where}.nodePort", "may not be used when `type` is 'ClusterIP'")
        elif node_port and kind == "ExternalName":
            errors.forbidden(f"{where}.nodePort", "may not be used when `type` is 'ExternalName'")
        if node_port:
            if (protocol, node_port) in node_ports:
                errors.duplicate(f"{where}.nodePort", node_port)
            node_ports.add((protocol, node_port))
        if (protocol, number) in numbers:
            errors.duplicate(where, {"port": number, "protocol": protocol, "targetPort": 0})
        numbers.add((protocol, number))


def _affinity(errors: Errors, spec: Obj) -> None:
    affinity = spec.get("sessionAffinity") or ""
    if not errors.required_one_of("spec.sessionAffinity", affinity, AFFINITIES):
        return
    config = spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    if affinity == "None":
        if config is not None:
            errors.forbidden(path, "must not be set when session affinity is None")
        return
    if config is None:
        errors.required(path, "when session affinity type is ClientIP")
        return
    client = config.get("clientIP")
    if client is None:
        errors.required(f"{path}.clientIP", "when session affinity type is ClientIP")
        return
    seconds = client.get("timeoutSeconds")
    if seconds is None:
        errors.required(f"{path}.clientIP.timeoutSeconds", "when session affinity type is ClientIP")
    elif not 0 < seconds <= MAX_AFFINITY_SECONDS:
        detail = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
        errors.invalid(f"{path}.clientIP.timeoutSeconds", seconds, detail)


def _addresses(errors: Errors, spec: Obj) -> None:
    cluster_ips(errors, spec)
    for index, address in enumerate(spec.get("externalIPs") or []):
        where = f"spec.externalIPs[{index}]"
        messages = names.ip(address)
        errors.check(where, address, messages)
        if not messages:
            errors.check(where, address, special_ip(address))


def special_ip(text: str) -> list[str]:
    """What makes an address unfit for being a destination: unspecified, loopback, link-local."""
    address = names.parse_ip(text)
    if address is None:
        return []
    if address.is_unspecified:
        return [f"may not be unspecified ({text})"]
    if address.is_loopback:
        return ["may not be in the loopback range (127.0.0.0/8, ::1/128)"]
    if address.is_link_local:
        return ["may not be in the link-local range (169.254.0.0/16, fe80::/10)"]
    if address.is_multicast and str(address).startswith(("224.0.0.", "ff02:")):
        return ["may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"]
    return []


def cluster_ips(errors: Errors, spec: Obj) -> None:
    """The rules for addresses and families that hold whatever the cluster has."""
    if spec.get("type") == "ExternalName":
        return
    address, listed = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        errors.invalid("spec.ipFamilyPolicy", policy, f"must be one of: {', '.join(FAMILY_POLICIES)}")
    families: list[str] = []
    for index, family in enumerate(spec.get("ipFamilies") or []):
        if family not in FAMILIES:
            errors.unsupported(f"spec.ipFamilies[{index}]", family, FAMILIES)
        if family in families:
            errors.duplicate(f"spec.ipFamilies[{index}]", family)
        families.append(family)
    if len(families) > 2:
        errors.invalid("spec.ipFamilies", families, "service.ipFamilies may hold at most 2 values")
    if address and not listed:
        errors.required("spec.clusterIPs")
    if listed and address != listed[0]:
        errors.invalid("spec.clusterIPs", listed, "first value must match `clusterIP`")
    if len(listed) > 2:
        errors.invalid("spec.clusterIPs", listed, "may only hold up to 2 values")
    for index, each in enumerate(listed):
        if each == "None":
            if len(listed) > 1:
                errors.invalid("spec.clusterIPs", listed, "'None' must be the first and only value")
                break
            continue
        messages = names.ip(each) if each else ["must be empty, 'None', or a valid IP address"]
        if messages:
            errors.invalid(f"spec.clusterIPs[{index}]", each, messages[0])
            continue
        if index < len(families):
            actual = "IPv6" if ":" in each else "IPv4"
            if actual != families[index]:
                errors.invalid(
                    f"spec.clusterIPs[{index}]",
                    listed,
                    f"expected an {families[index]} value as indicated by `ipFamilies[{index}]`",
                )


def _load_balancer_fields(errors: Errors, spec: Obj, kind: str) -> None:
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and kind != "LoadBalancer":
        errors.forbidden("spec.LoadBalancerSourceRanges", ONLY_LOAD_BALANCER)
    elif ranges:
        for index, each in enumerate(ranges):
            errors.check(f"spec.LoadBalancerSourceRanges[{index}]", each, names.cidr(each.strip()))
    allocate = spec.get("allocateLoadBalancerNodePorts")
    if kind == "LoadBalancer" and allocate is None:
        errors.required("spec.allocateLoadBalancerNodePorts")
    if kind != "LoadBalancer" and allocate is not None:
        errors.forbidden("spec.allocateLoadBalancerNodePorts", ONLY_LOAD_BALANCER)
    balancer = spec.get("loadBalancerClass")
    if balancer is not None:
        if kind != "LoadBalancer":
            errors.forbidden("spec.loadBalancerClass", ONLY_LOAD_BALANCER)
        else:
            errors.check("spec.loadBalancerClass", balancer, names.qualified_name(balancer))


def _policies(errors: Errors, spec: Obj, kind: str) -> None:
    external, port = spec.get("externalTrafficPolicy") or "", spec.get("healthCheckNodePort") or 0
    if not externally_accessible(spec):
        if external:
            errors.invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services")
    else:
        if not external:
            errors.required("spec.externalTrafficPolicy")
        elif external not in TRAFFIC_POLICIES:
            errors.unsupported("spec.externalTrafficPolicy", external, TRAFFIC_POLICIES)
    if needs_health_check_port(spec):
        if port:
            errors.port("spec.healthCheckNodePort", port)
        else:
            errors.required("spec.healthCheckNodePort")
    elif port:
        errors.invalid(
            "spec.healthCheckNodePort",
            port,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        )
    internal = spec.get("internalTrafficPolicy")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer") and internal is None:
        errors.required("spec.internalTrafficPolicy")
    elif internal is not None and internal not in TRAFFIC_POLICIES:
        errors.unsupported("spec.internalTrafficPolicy", internal, TRAFFIC_POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        errors.unsupported("spec.trafficDistribution", distribution, DISTRIBUTIONS)


def update(errors: Errors, new_service: Obj, old_service: Obj) -> None:
    """What may not change: the addresses while both types have some, the balancer's class."""
    new, old = new_service.get("spec") or {}, old_service.get("spec") or {}
    if new.get("type") != "ExternalName" and old.get("type") != "ExternalName":
        _address_changes(errors, new, old)
    if new.get("type") == old.get("type") == "LoadBalancer":
        if new.get("loadBalancerClass") != old.get("loadBalancerClass"):
            errors.invalid("spec.loadBalancerClass", new.get("loadBalancerClass"), "may not change once set")


def _address_changes(errors: Errors, new: Obj, old: Obj) -> None:
    before, after = old.get("clusterIPs") or [], new.get("clusterIPs") or []
    if before and after and before[0] != after[0]:
        errors.invalid("spec.clusterIPs[0]", after, "may not change once set")
    elif before and not after:
        errors.invalid("spec.clusterIPs[0]", after, "primary clusterIP can not be unset")
    families_before, families_after = old.get("ipFamilies") or [], new.get("ipFamilies") or []
    if families_before and families_after and families_before[0] != families_after[0]:
        errors.invalid("spec.ipFamilies[0]", families_after, "may not change once set")
    elif families_before and not families_after:
        errors.invalid("spec.ipFamilies[0]", families_after, "primary ipFamily can not be unset")
