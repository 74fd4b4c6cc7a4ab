"""What a client is told about a service that is valid, but will not do what its fields seem to say."""

from collections.abc import Iterator

from pynetes.apis.core.service_validation import is_headless
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj


def of(service: Obj) -> list[str]:
    """The warnings for a service, in upstream's order."""
    spec = service.get("spec") or {}
    kind = spec.get("type")
    headless = kind == "ClusterIP" and is_headless(spec)
    found = []
    if "service.kubernetes.io/topology-aware-hints" in meta.annotations(service):
        found.append(
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
            "service.kubernetes.io/topology-mode instead"
        )
    if not headless and kind != "ExternalName":
        found += _addresses("clusterIPs", spec)
    if headless:
        found += _ignored_when_headless(spec)
    found += _addresses("externalIPs", spec)
    if spec.get("externalIPs") and not headless and kind != "ExternalName":
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("loadBalancerIP"):
        found += _address("spec.loadBalancerIP", spec["loadBalancerIP"])
    for index, text in enumerate(spec.get("loadBalancerSourceRanges") or []):
        found += _range(f"spec.loadBalancerSourceRanges[{index}]", text)
    if spec.get("externalIPs") and kind == "ExternalName":
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("externalName") and kind != "ExternalName":
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _ignored_when_headless(spec: Obj) -> Iterator[str]:
    if spec.get("loadBalancerIP"):
        yield "spec.loadBalancerIP is ignored for headless services"
    if spec.get("externalIPs"):
        yield "spec.externalIPs is ignored for headless services"
    if spec.get("sessionAffinity") != "None":
        yield "spec.SessionAffinity is ignored for headless services"


def _addresses(field: str, spec: Obj) -> Iterator[str]:
    for index, text in enumerate(spec.get(field) or []):
        yield from _address(f"spec.{field}[{index}]", text)


def _address(path: str, text: str) -> Iterator[str]:
    address = names.parse_ip(text)
    if address is None:
        return
    if names.ip(text):
        plain = address.ipv4_mapped if address.version == 6 else address
        yield (
            f'{path}: non-standard IP address "{text}" will be considered invalid in a future Kubernetes release: '
            f'use "{plain}"'
        )
    elif address.version == 6 and str(address) != text:
        yield f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")'


def _range(path: str, text: str) -> Iterator[str]:
    interface = names.parse_cidr(text.strip())
    if interface is not None and interface.version == 6 and str(interface) != text:
        yield f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{interface}")'
