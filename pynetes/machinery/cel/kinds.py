"""Kubernetes' own kinds of CEL values: quantities, addresses, networks, URLs, semantic versions and named formats."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from pynetes.machinery import names, quantity
from pynetes.machinery.cel.values import INT_MAX, INT_MIN, NONE, CelError, Optional, no_overload

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class QuantityValue:
    """`quantity('1Gi')`."""

    amount: quantity.Quantity
    type_name: ClassVar[str] = "kubernetes.Quantity"

    def __str__(self) -> str:
        return str(self.amount)

    def call(self, function: str, arguments: list[Any]) -> Any:
        mine = self.amount
        match function, arguments:
            case "isInteger", []:
                return _is_integer(mine)
            case "asInteger", []:
                if not _is_integer(mine):
                    raise CelError("cannot convert value to integer")
                return mine.nanos // quantity.NANO
            case "asApproximateFloat", []:
                return mine.nanos / quantity.NANO
            case "sign", []:
                return (mine.nanos > 0) - (mine.nanos < 0)
            case (("add" | "sub"), [other]):
                theirs = _amount(other)
                return QuantityValue(mine + theirs if function == "add" else mine - theirs)
            case "isLessThan", [QuantityValue(theirs)]:
                return mine < theirs
            case "isGreaterThan", [QuantityValue(theirs)]:
                return mine > theirs
            case "compareTo", [QuantityValue(theirs)]:
                return (mine > theirs) - (mine < theirs)
        raise no_overload(function)


def _is_integer(amount: quantity.Quantity) -> bool:
    """Whether 64 bits hold it; what is larger was cut to the largest number when it was read."""
    return amount.nanos % quantity.NANO == 0 and INT_MIN < amount.nanos // quantity.NANO < INT_MAX


def _amount(value: Any) -> quantity.Quantity:
    if isinstance(value, QuantityValue):
        return value.amount
    if type(value) is int:
        return quantity.parse(str(value))
    raise no_overload("add")


def make_quantity(text: Any) -> QuantityValue:
    """`quantity(text)`."""
    if not isinstance(text, str):
        raise TypeError
    try:
        return QuantityValue(quantity.parse(text))
    except ValueError as error:
        raise CelError(str(error)) from None


@dataclass(frozen=True)
class IpValue:
    """`ip('10.0.0.1')`."""

    address: Address
    type_name: ClassVar[str] = "net.IP"

    def __str__(self) -> str:
        return str(self.address)

    def call(self, function: str, arguments: list[Any]) -> Any:
        mine = self.address
        if arguments:
            raise no_overload(function)
        match function:
            case "family":
                return mine.version
            case "isUnspecified":
                return mine.is_unspecified
            case "isLoopback":
                return mine.is_loopback
            case "isLinkLocalMulticast":
                local = ipaddress.ip_network("224.0.0.0/24" if mine.version == 4 else "ff02::/16")
                return mine in local
            case "isLinkLocalUnicast":
                return mine.is_link_local
            case "isGlobalUnicast":
                broadcast = mine == ipaddress.ip_address("255.255.255.255")
                odd = mine.is_unspecified or mine.is_loopback or mine.is_multicast or mine.is_link_local
                return not odd and not broadcast
        raise no_overload(function)


@dataclass(frozen=True)
class CidrValue:
    """`cidr('10.0.0.0/8')`."""

    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    type_name: ClassVar[str] = "net.CIDR"

    def __str__(self) -> str:
        return str(self.interface)

    def call(self, function: str, arguments: list[Any]) -> Any:
        network: Network = self.interface.network
        match function, arguments:
            case "containsIP", [other]:
                address = other.address if isinstance(other, IpValue) else make_ip(other).address
                return address.version == network.version and address in network
            case "containsCIDR", [other]:
                inner = (other if isinstance(other, CidrValue) else make_cidr(other)).interface.network
                return inner.version == network.version and inner.subnet_of(network)  # type: ignore[arg-type]  # same version
            case "ip", []:
                return IpValue(self.interface.ip)
            case "masked", []:
                return CidrValue(ipaddress.ip_interface(str(network)))
            case "prefixLength", []:
                return network.prefixlen
        raise no_overload(function)


def make_ip(text: Any) -> IpValue:
    """`ip(text)`."""
    if not isinstance(text, str):
        raise TypeError
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise CelError(f"IP Address {text!r} parse error during conversion from string") from None
    if "%" in text or (address.version == 6 and getattr(address, "ipv4_mapped", None)):
        raise CelError(
            f"IP Address {text!r} parse error during conversion from string: zones and mapped addresses are not allowed"
        )
    return IpValue(address)


def make_cidr(text: Any) -> CidrValue:
    """`cidr(text)`."""
    if not isinstance(text, str):
        raise TypeError
    if "/" not in text:
        raise CelError("network address parse error during conversion from string: no '/'")
    try:
        return CidrValue(ipaddress.ip_interface(text))
    except ValueError as error:
        raise CelError(f"network address parse error during conversion from string: {error}") from None


@dataclass(frozen=True)
class UrlValue:
    """`url('https://example.com/a?b=c')`."""

    text: str
    type_name: ClassVar[str] = "kubernetes.URL"

    def __str__(self) -> str:
        return self.text

    def call(self, function: str, arguments: list[Any]) -> Any:
        if arguments:
            raise no_overload(function)
        parts = urlsplit(self.text)
        host = parts.netloc.rpartition("@")[2]
        match function:
            case "getScheme":
                return parts.scheme
            case "getHost":
                return host
            case "getHostname":
                return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
            case "getPort":
                return str(parts.port) if parts.port is not None else ""
            case "getEscapedPath":
                return parts.path
            case "getQuery":
                return parse_qs(parts.query, keep_blank_values=True)
        raise no_overload(function)


def make_url(text: Any) -> UrlValue:
    """`url(text)`: absolute, or an absolute path."""
    if not isinstance(text, str):
        raise TypeError
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (reading it is what checks it)
    except ValueError as error:
        raise CelError(f"URL parse error during conversion from string: {error}") from None
    if not parts.scheme and not text.startswith("/"):
        raise CelError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return UrlValue(text)


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z.-]+))?"
)


@dataclass(frozen=True)
class SemverValue:
    """`semver('1.2.3')`."""

    numbers: tuple[int, int, int]
    pre_release: tuple[str, ...] = ()
    type_name: ClassVar[str] = "kubernetes.Semver"

    def __str__(self) -> str:
        text = ".".join(map(str, self.numbers))
        return f"{text}-{'.'.join(self.pre_release)}" if self.pre_release else text

    def _order(self) -> tuple[Any, ...]:
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre_release)
        return (self.numbers, not self.pre_release, parts)

    def call(self, function: str, arguments: list[Any]) -> Any:
        match function, arguments:
            case "major", []:
                return self.numbers[0]
            case "minor", []:
                return self.numbers[1]
            case "patch", []:
                return self.numbers[2]
            case "isLessThan", [SemverValue() as other]:
                return self._order() < other._order()
            case "isGreaterThan", [SemverValue() as other]:
                return self._order() > other._order()
            case "compareTo", [SemverValue() as other]:
                return (self._order() > other._order()) - (self._order() < other._order())
        raise no_overload(function)


def make_semver(text: Any, normalize: bool = False) -> SemverValue:
    """`semver(text)`; with `normalize`, `v1.2` counts as `1.2.0`."""
    if not isinstance(text, str):
        raise TypeError
    if normalize:
        core, dash, rest = text.removeprefix("v").partition("-")
        parts = [part.lstrip("0") or "0" for part in core.split(".")] + ["0", "0"]
        text = ".".join(parts[: max(3, len(core.split(".")))]) + dash + rest
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise CelError(f"semver parse error: {text!r} is not a semantic version")
    major, minor, patch, pre, _ = match.groups()
    return SemverValue((int(major), int(minor), int(patch)), tuple(pre.split(".")) if pre else ())


@dataclass(frozen=True)
class FormatValue:
    """`format.dns1123Label()` and the like."""

    name: str
    complaints: Callable[[str], list[str]]
    type_name: ClassVar[str] = "kubernetes.NamedFormat"

    def __str__(self) -> str:
        return self.name

    def call(self, function: str, arguments: list[Any]) -> Any:
        match function, arguments:
            case "validate", [str(text)]:
                found = self.complaints(text)
                return Optional(found) if found else NONE
        raise no_overload(function)


def _prefixed(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """The check for a name that something generated will be put behind."""
    return lambda text: check(text[:-1] + "a" if text.endswith("-") else text)


def _pattern(pattern: str, complaint: str) -> Callable[[str], list[str]]:
    compiled = re.compile(pattern)
    return lambda text: [] if compiled.fullmatch(text) else [complaint]


def _uri(text: str) -> list[str]:
    try:
        make_url(text)
    except CelError as error:
        return [str(error)]
    return []


_FORMATS: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": names.dns1123_label,
    "dns1123Subdomain": names.dns1123_subdomain,
    "dns1035Label": names.dns1035_label,
    "dns1123LabelPrefix": _prefixed(names.dns1123_label),
    "dns1123SubdomainPrefix": _prefixed(names.dns1123_subdomain),
    "dns1035LabelPrefix": _prefixed(names.dns1035_label),
    "qualifiedName": names.qualified_name,
    "labelValue": names.label_value,
    "uri": _uri,
    "uuid": _pattern(
        r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}",
        "does not match the UUID format",
    ),
    "byte": _pattern(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", "invalid base64"),
    "date": _pattern(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", "invalid date"),
    "datetime": _pattern(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", "invalid datetime"),
}


def _named(name: str) -> Optional:
    return Optional(FormatValue(name, _FORMATS[name])) if name in _FORMATS else NONE


def _format_maker(name: str) -> Callable[[], FormatValue]:
    return lambda: FormatValue(name, _FORMATS[name])


def _succeeds(make: Callable[..., Any]) -> Callable[..., bool]:
    def check(*arguments: Any) -> bool:
        try:
            make(*arguments)
        except CelError:
            return False
        return True

    return check


def _is_canonical(text: str) -> bool:
    return str(make_ip(text)) == text


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "quantity": make_quantity,
    "isQuantity": _succeeds(make_quantity),
    "ip": make_ip,
    "isIP": _succeeds(make_ip),
    "ip.isCanonical": _is_canonical,
    "cidr": make_cidr,
    "isCIDR": _succeeds(make_cidr),
    "url": make_url,
    "isURL": _succeeds(make_url),
    "semver": make_semver,
    "isSemver": _succeeds(make_semver),
    "format.named": _named,
    **{f"format.{name}": _format_maker(name) for name in _FORMATS},
}

METHOD_NAMES = frozenset(
    {
        "isInteger",
        "asInteger",
        "asApproximateFloat",
        "sign",
        "add",
        "sub",
        "isLessThan",
        "isGreaterThan",
        "compareTo",
        "family",
        "isUnspecified",
        "isLoopback",
        "isLinkLocalMulticast",
        "isLinkLocalUnicast",
        "isGlobalUnicast",
        "containsIP",
        "containsCIDR",
        "ip",
        "masked",
        "prefixLength",
        "getScheme",
        "getHost",
        "getHostname",
        "getPort",
        "getEscapedPath",
        "getQuery",
        "major",
        "minor",
        "patch",
        "validate",
    }
)
