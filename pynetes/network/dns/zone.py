"""The names of the cluster, as the Kubernetes DNS specification (version 1.1.0) has them: a lookup in the caches.

    <service>.<ns>.svc.<domain>                      cluster IP, or every ready endpoint if headless; CNAME if external;
                                                     a headless service without ready endpoints has no name
    <hostname>.<service>.<ns>.svc.<domain>           one endpoint, by its hostname or dashed address
    _<port>._<protocol>.<service>.<ns>.svc.<domain>  SRV
    <a-b-c-d>.<ns>.pod.<domain>                      the address in the name, if the namespace exists
    <d.c.b.a>.in-addr.arpa                           PTR of cluster IPs and of endpoints that have a name

Names that exist without records of the asked type get an empty answer, others NXDOMAIN, both with the zone's SOA.
"""

import ipaddress
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj
from pynetes.network.dns import message
from pynetes.network.dns.message import ANY, CNAME, NXDOMAIN, PTR, SRV, TXT, Answer, Record

TTL = 5
VERSION = "1.1.0"
_SERVICE = "kubernetes.io/service-name"


class Cache(Protocol):
    """What of the cluster the zone reads; informers in the agent, dicts in tests."""

    def service(self, namespace: str, name: str) -> Obj | None:
        """The service."""

    def slices(self, namespace: str, name: str) -> Iterable[Obj]:
        """The EndpointSlices of a service."""

    def has_namespace(self, name: str) -> bool:
        """Whether the namespace exists."""

    def services_at(self, address: str) -> Iterable[Obj]:
        """The services with this cluster IP."""

    def slices_at(self, address: str) -> Iterable[Obj]:
        """The EndpointSlices that list this address."""


@dataclass(frozen=True, slots=True)
class Backend:
    """An address behind a headless service, with its name there and the ports it has."""

    address: str
    hostname: str
    ports: tuple[tuple[str, str, int], ...]  # name, protocol in lower case, number
    is_named: bool = False  # by its pod, not by its address


class Zone:
    """Answers for `domain` and for the reverse names of what is in it."""

    def __init__(self, domain: str, cache: Cache, dns_address: str) -> None:
        self.domain = domain.strip(".").lower()
        self._cache = cache
        self._dns_address = dns_address
        self._suffix = f".{self.domain}"
        self._serial = int(clock.time())

    def contains(self, name: str) -> bool:
        """Whether the zone is the authority for the name."""
        return name == self.domain or name.endswith(self._suffix)

    def lookup(self, name: str, kind: int) -> Answer:
        """The answer for a name in the zone."""
        found = self._find(name, kind)
        if found is None:
            return Answer(NXDOMAIN, authority=[self.authority()])
        answer, additional = found
        if not answer:
            return Answer(authority=[self.authority()])
        return Answer(records=answer, additional=additional)

    def reverse(self, name: str) -> Answer | None:
        """The PTR answer for an in-addr.arpa or ip6.arpa name, or None if the address is not the cluster's."""
        address = address_of(name)
        if address is None:
            return None
        targets = [f"{meta.name(s)}.{meta.namespace(s)}.svc.{self.domain}" for s in self._cache.services_at(address)]
        if not targets:
            targets = [
                f"{backend.hostname}.{meta.labels(piece).get(_SERVICE, '')}.{meta.namespace(piece)}.svc.{self.domain}"
                for piece in self._cache.slices_at(address)
                for backend in _slice_backends(piece)
                if backend.address == address and (backend.is_named or self._is_headless(piece))
            ]
        records = [Record(name, PTR, TTL, message.encode_name(target)) for target in dict.fromkeys(targets)]
        return Answer(records=records) if records else None

    def _is_headless(self, piece: Obj) -> bool:
        service = self._cache.service(meta.namespace(piece), meta.labels(piece).get(_SERVICE, ""))
        return service is not None and service.get("spec", {}).get("clusterIP", "None") in ("", "None")

    def authority(self) -> Record:
        """The zone's SOA."""
        return message.soa_record(self.domain, f"ns.dns.{self.domain}", f"hostmaster.{self.domain}", self._serial, TTL)

    def _find(self, name: str, kind: int) -> tuple[list[Record], list[Record]] | None:
        """Answer and additional records; both empty if the name exists without them; None if it does not exist."""
        labels = name[: -len(self._suffix)].split(".") if name != self.domain else []
        match labels:
            case []:
                nameserver = Record(name, message.NS, TTL, message.encode_name(f"ns.dns.{self.domain}"))
                return [r for r in (self.authority(), nameserver) if kind in (r.type, ANY)], []
            case ["dns-version"]:
                return ([message.text_record(name, VERSION, TTL)] if kind in (TXT, ANY) else []), []
            case ["ns", "dns"]:
                return self._addresses(name, kind, [self._dns_address]), []
            case ["svc"] | ["pod"] | ["dns"]:
                return [], []
            case [namespace, "svc" | "pod"]:
                return ([], []) if self._cache.has_namespace(namespace) else None
            case [dashed, namespace, "pod"]:
                address = _undash(dashed)
                if address is None or not self._cache.has_namespace(namespace):
                    return None
                return self._addresses(name, kind, [address]), []
            case [service, namespace, "svc"]:
                return self._service(name, kind, namespace, service)
            case [hostname, service, namespace, "svc"]:
                return self._endpoint(name, kind, namespace, service, hostname)
            case [port, protocol, service, namespace, "svc"] if port.startswith("_") and protocol.startswith("_"):
                return self._service(name, kind, namespace, service, (port[1:], protocol[1:]))
        return None

    def _service(
        self, name: str, kind: int, namespace: str, short: str, port: tuple[str, str] | None = None
    ) -> tuple[list[Record], list[Record]] | None:
        service = self._cache.service(namespace, short)
        if service is None:
            return None
        spec = service.get("spec", {})
        own = f"{short}.{namespace}.svc.{self.domain}"
        if spec.get("type") == "ExternalName":
            if port is not None:
                return None
            return [Record(name, CNAME, TTL, message.encode_name(spec.get("externalName", "").strip(".").lower()))], []
        if spec.get("clusterIP", "None") in ("", "None"):
            return self._headless(name, kind, own, namespace, short, port)
        addresses = spec.get("clusterIPs") or [spec["clusterIP"]]
        ports = [
            p["port"]
            for p in spec.get("ports") or []
            if port is None or port == (p.get("name", ""), p.get("protocol", "TCP").lower())
        ]
        if port is not None and not ports:
            return None
        if kind in (SRV, ANY):
            weight = 100 // max(1, len(ports))
            records = [message.srv_record(name, own, number, weight, TTL) for number in ports]
            if kind == SRV:
                return records, self._all_addresses(own, addresses)
            return [*self._addresses(name, kind, addresses), *records], []
        return self._addresses(name, kind, addresses), []

    def _headless(
        self, name: str, kind: int, own: str, namespace: str, short: str, port: tuple[str, str] | None
    ) -> tuple[list[Record], list[Record]] | None:
        backends = [
            backend
            for backend in self._backends(namespace, short)
            if port is None or any(port == (p, protocol) for p, protocol, _ in backend.ports)
        ]
        if not backends:
            return None
        if kind in (SRV, ANY):
            wanted = [(b, n) for b in backends for p, t, n in b.ports if port is None or port == (p, t)]
            weight = 100 // max(1, len(wanted))
            records, additional = [], []
            for backend, number in wanted:
                target = f"{backend.hostname}.{own}"
                records.append(message.srv_record(name, target, number, weight, TTL))
                additional += self._all_addresses(target, [backend.address])
            if kind == SRV:
                return list(dict.fromkeys(records)), list(dict.fromkeys(additional))
            return [*self._addresses(name, kind, [b.address for b in backends]), *records], []
        return self._addresses(name, kind, [backend.address for backend in backends]), []

    def _endpoint(
        self, name: str, kind: int, namespace: str, short: str, hostname: str
    ) -> tuple[list[Record], list[Record]] | None:
        if self._cache.service(namespace, short) is None:
            return None
        found = [backend for backend in self._backends(namespace, short) if backend.hostname == hostname]
        if not found:
            return None
        if kind == SRV:
            numbers = [number for backend in found for _, _, number in backend.ports]
            weight = 100 // max(1, len(numbers))
            records = [message.srv_record(name, name, number, weight, TTL) for number in dict.fromkeys(numbers)]
            return records, self._all_addresses(name, [backend.address for backend in found])
        return self._addresses(name, kind, [backend.address for backend in found]), []

    def _backends(self, namespace: str, short: str) -> Iterator[Backend]:
        for piece in self._cache.slices(namespace, short):
            yield from _slice_backends(piece)

    def _addresses(self, name: str, kind: int, addresses: Iterable[str]) -> list[Record]:
        """Address records of the asked type, each time in another order so that clients spread."""
        records = [r for r in self._all_addresses(name, addresses) if kind in (r.type, ANY)]
        random.shuffle(records)
        return records

    @staticmethod
    def _all_addresses(name: str, addresses: Iterable[str]) -> list[Record]:
        return [message.address_record(name, address, TTL) for address in dict.fromkeys(addresses) if address]


def _slice_backends(piece: Obj) -> Iterator[Backend]:
    """The ready endpoints of a slice; one without a hostname is named by its address with dashes."""
    if piece.get("addressType") == "FQDN":
        return
    ports = tuple(
        (p.get("name") or "", (p.get("protocol") or "TCP").lower(), p["port"])
        for p in piece.get("ports") or []
        if p.get("port")
    )
    for endpoint in piece.get("endpoints") or []:
        if not (endpoint.get("conditions") or {}).get("ready", True):
            continue
        for address in endpoint.get("addresses") or []:
            hostname = (endpoint.get("hostname") or address.replace(".", "-").replace(":", "-")).lower()
            yield Backend(address, hostname, ports, bool(endpoint.get("hostname")))


def _undash(text: str) -> str | None:
    """The address in a pod's name: `10-1-2-3`, or IPv6 groups with dashes."""
    for candidate in (text.replace("-", "."), text.replace("-", ":")):
        try:
            return str(ipaddress.ip_address(candidate))
        except ValueError:
            continue
    return None


def address_of(name: str) -> str | None:
    """The address that a reverse name stands for."""
    if name.endswith(".in-addr.arpa"):
        parts = name.removesuffix(".in-addr.arpa").split(".")
        text = ".".join(reversed(parts)) if len(parts) == 4 else ""
    elif name.endswith(".ip6.arpa"):
        digits = name.removesuffix(".ip6.arpa").split(".")
        groups = "".join(reversed(digits)) if len(digits) == 32 else ""
        text = ":".join(groups[i : i + 4] for i in range(0, len(groups), 4))
    else:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
