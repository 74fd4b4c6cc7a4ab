"""What a service is given by the cluster: addresses, their families, node ports, a health-check port.

An address is taken by creating the `IPAddress` object of that name, so two servers over one store can never give it
twice; a port is taken in one record that is changed by compare-and-swap. `services` takes part in every write of a
service: it takes what the new state needs and lacks, and tells what to give back once the write is known to have
succeeded or failed. A dry run looks, but takes nothing.

Addresses are chosen at random from the upper part of the range; the lower part stays free for those who ask for an
address by number (KEP-3070). Node ports likewise (KEP-3668).
"""

import ipaddress
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from pynetes.apis.checks import Errors
from pynetes.apis.core import service_validation
from pynetes.apis.core.service_validation import is_headless, needs_health_check_port
from pynetes.apiserver.registry import Context, Finish, Operation, Registry, on_write
from pynetes.machinery import errors, meta, resources, wire
from pynetes.machinery.errors import FieldError, StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType
from pynetes.storage.interface import Draft, KeyExists, RevisionConflict

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IP_ADDRESSES = resources.lookup("ipaddresses.networking.k8s.io")
SERVICE_CIDRS = resources.lookup("servicecidrs.networking.k8s.io")
SERVICES = resources.lookup("services")
ENDPOINTS = resources.lookup("endpoints")
MANAGER = "ipallocator.k8s.io"
FAMILY_LABEL, MANAGER_LABEL = "ipaddress.kubernetes.io/ip-family", "ipaddress.kubernetes.io/managed-by"
_PORTS_KEY = "/core/ranges/servicenodeports"
_RANDOM_TRIES = 32
ALREADY = "provided {} is already allocated"


class AllocationError(Exception):
    """The wanted address or port cannot be had."""


Undo = Callable[[], Awaitable[None]]


@dataclass
class Transaction:
    """What one write of a service takes, and what it gives back if it succeeds."""

    registry: Registry
    ctx: Context
    taken: list[Undo] = field(default_factory=list)
    released: list[Undo] = field(default_factory=list)

    async def finish(self, done: bool) -> None:
        """Keep what was taken, or return it."""
        if self.ctx.dry_run:
            return
        for undo in self.released if done else reversed(self.taken):
            await undo()


def _internal_ctx() -> Context:
    return Context(skip_admission=True)


def _fault(name: str, *findings: FieldError) -> StatusError:
    return errors.invalid("", "Service", name, findings)


# Addresses.


def family_of(network: Network) -> str:
    """`IPv4` or `IPv6`."""
    return f"IPv{network.version}"


def networks(registry: Registry) -> dict[str, list[Network]]:
    """The ranges by family, the cluster's primary family first."""
    assert registry.server is not None
    texts = registry.server.options.service_cluster_ip_range.split(",")
    texts += [
        text
        for each in registry.list(SERVICE_CIDRS)
        if not meta.is_deleting(each)
        for text in (each.get("spec") or {}).get("cidrs") or []
    ]
    found: dict[str, list[Network]] = {}
    for text in dict.fromkeys(text.strip() for text in texts if text.strip()):
        network = ipaddress.ip_network(text, strict=False)
        found.setdefault(family_of(network), []).append(network)
    return found


def _bounds(network: Network) -> tuple[int, int]:
    """The first and last usable offset: not the network's own address, nor IPv4's broadcast."""
    last = network.num_addresses - 1
    return 1, min(last - 1 if network.version == 4 else last, 2**63)


def _offsets(network: Network) -> Iterator[int]:
    """Offsets to try: some at random from the upper part, then every one."""
    low, high = _bounds(network)
    if high < low:
        return
    reserved = min(max(16, network.num_addresses // 16), 256)
    start = low + reserved if high - low > reserved else low
    for _ in range(_RANDOM_TRIES):
        yield random.randint(start, high)
    yield from range(start, high + 1)
    yield from range(low, start)


async def _take_address(tx: Transaction, address: str, service: Obj) -> bool:
    """Create the address's object; False if it is there already."""
    if tx.ctx.dry_run:
        return tx.registry.get(IP_ADDRESSES, None, address) is None
    obj = {
        "apiVersion": IP_ADDRESSES.api_version,
        "kind": IP_ADDRESSES.kind,
        "metadata": {
            "name": address,
            "labels": {FAMILY_LABEL: f"IPv{ipaddress.ip_address(address).version}", MANAGER_LABEL: MANAGER},
        },
        "spec": {"parentRef": _parent(service)},
    }
    try:
        await tx.registry.create(IP_ADDRESSES, obj, _internal_ctx())
    except StatusError as error:
        if error.reason == "AlreadyExists":
            return False
        raise
    tx.taken.append(lambda: _release_address(tx.registry, address))
    return True


def _parent(service: Obj) -> Obj:
    return {"group": "", "resource": "services", "namespace": meta.namespace(service), "name": meta.name(service)}


async def _release_address(registry: Registry, address: str) -> None:
    await _delete(registry, IP_ADDRESSES, None, address)


async def _delete(registry: Registry, rt: ResourceType, namespace: str | None, name: str) -> None:
    try:
        await registry.delete(rt, namespace, name, _internal_ctx())
    except StatusError as error:
        if error.reason != "NotFound":
            raise


async def _named_address(tx: Transaction, text: str, ranges: list[Network], service: Obj) -> str:
    address = ipaddress.ip_address(text)
    inside = next((network for network in ranges if address in network), None)
    low, high = _bounds(inside) if inside is not None else (0, -1)
    if inside is None or not low <= int(address) - int(inside.network_address) <= high:
        shown = ",".join(str(network) for network in ranges)
        raise AllocationError(f"the provided IP ({text}) is not in the valid range. The range of valid IPs is {shown}")
    if not await _take_address(tx, str(address), service):
        raise AllocationError(ALREADY.format("IP"))
    return str(address)


async def _next_address(tx: Transaction, ranges: list[Network], service: Obj) -> str:
    for network in ranges:
        for offset in _offsets(network):
            text = str(network.network_address + offset)
            if tx.registry.get(IP_ADDRESSES, None, text) is None and await _take_address(tx, text, service):
                return text
    raise AllocationError("range is full")


def default_families(service: Obj, available: dict[str, list[Network]], old: Obj | None) -> None:
    """Settle `ipFamilies` and `ipFamilyPolicy`; raises a 422 where the wish does not fit the cluster or itself."""
    spec, before = service["spec"], (old or {}).get("spec") or {}
    if spec.get("type") == "ExternalName" or _stays_prefer_dual_stack(spec, before):
        return
    selectorless = is_headless(spec) and not spec.get("selector")
    default = "RequireDualStack" if selectorless else "SingleStack"
    policy = spec["ipFamilyPolicy"] = spec.get("ipFamilyPolicy") or before.get("ipFamilyPolicy") or default
    name, found = meta.name(service), Errors()
    service_validation.cluster_ips(found, spec)
    _refuse(name, found)
    if old is not None:
        _shrink(found, spec, before)
    _infer_families(found, spec, available)
    _refuse(name, found)
    families = spec["ipFamilies"] = spec.get("ipFamilies") or []
    if not selectorless:  # those may have families that the cluster lacks: somebody else writes their endpoints
        if policy == "RequireDualStack" and len(available) < 2:
            found.invalid(_POLICY, policy, "this cluster is not configured for dual-stack services")
        for index, family in enumerate(families):
            if family not in available:
                found.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        _refuse(name, found)
    if not families:
        families.append(next(iter(available)))
    if policy != "SingleStack" and len(families) == 1:
        other = "IPv6" if families[0] == "IPv4" else "IPv4"
        if selectorless or other in available:
            families.append(other)


_POLICY = "spec.ipFamilyPolicy"


def _refuse(name: str, found: Errors) -> None:
    if found:
        raise _fault(name, *found)


def _stays_prefer_dual_stack(spec: Obj, before: Obj) -> bool:
    """Whether an update leaves all that a `PreferDualStack` service was given: it keeps that, whatever the cluster has
    become since."""
    same = ("type", "ipFamilyPolicy", "clusterIPs", "ipFamilies")
    prefers = spec.get("ipFamilyPolicy") == "PreferDualStack" and bool(spec.get("ipFamilies"))
    return prefers and all(spec.get(field) == before.get(field) for field in same)


def _shrink(found: Errors, spec: Obj, before: Obj) -> None:
    """Give up the second address and family of a service that is to be single-stack; else they cannot just go."""
    for key, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        new, old = spec.get(key) or [], before.get(key) or []
        if spec["ipFamilyPolicy"] == "SingleStack":
            if new == old and len(new) > 1:
                spec[key] = new[:1]
        elif 0 < len(new) < len(old):
            detail = f"must be 'SingleStack' to release the secondary {what}"
            found.invalid(_POLICY, spec["ipFamilyPolicy"], detail)


def _infer_families(found: Errors, spec: Obj, available: dict[str, list[Network]]) -> None:
    """Take the families from addresses that are given without; a single-stack service has one of each."""
    for key, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if spec["ipFamilyPolicy"] == "SingleStack" and len(spec.get(key) or []) == 2:
            detail = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            found.invalid(_POLICY, "SingleStack", detail)
    families = list(spec.get("ipFamilies") or [])
    addresses = spec.get("clusterIPs") or []
    for index, text in enumerate(addresses):
        if text == "None":
            break
        family = "IPv6" if ":" in text else "IPv4"
        if index < len(families):
            continue
        if family in available:
            families.append(family)
        else:
            found.invalid(f"spec.clusterIPs[{index}]", addresses, f"{family} is not configured on this cluster")
    spec["ipFamilies"] = families


async def _cluster_ips(tx: Transaction, new: Obj, old: Obj | None) -> None:
    spec, before = new["spec"], (old or {}).get("spec") or {}
    held = [text for text in before.get("clusterIPs") or [] if text != "None"]
    if before.get("type") == "ExternalName":
        held = []
    available = networks(tx.registry)
    default_families(new, available, old)
    if spec.get("type") == "ExternalName":
        kept: list[str] = []
    elif is_headless(spec):
        spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
        kept = []
    else:
        kept = await _addresses(tx, new, held, available)
        spec["clusterIP"], spec["clusterIPs"] = kept[0], kept
    for text in held:
        if text not in kept:
            tx.released.append(_releaser(tx.registry, text))


def _releaser(registry: Registry, address: str) -> Undo:
    return lambda: _release_address(registry, address)


async def _addresses(tx: Transaction, service: Obj, held: list[str], available: dict[str, list[Network]]) -> list[str]:
    spec = service["spec"]
    asked = list(spec.get("clusterIPs") or [])
    found: list[str] = []
    for index, family in enumerate(spec["ipFamilies"]):
        text = asked[index] if index < len(asked) else ""
        if text and (text in held or (held and index == 0)):
            found.append(text)  # the first never changes: validation refuses another, in range or not
            continue
        ranges = available.get(family, [])
        try:
            if text:
                found.append(await _named_address(tx, text, ranges, service))
            else:
                found.append(await _next_address(tx, ranges, service))
        except AllocationError as error:
            if not text:
                raise errors.internal(f"failed to allocate a serviceIP: {error}") from None
            detail = f"failed to allocate IP {text}: {error}"
            raise _fault(meta.name(service), errors.invalid_value("spec.clusterIPs", asked, detail)) from None
    return found


# Node ports.


@dataclass
class _Ports:
    """The record of ports in use: port number, as text, to the service that has it."""

    revision: int | None
    used: dict[str, str]


def port_range(registry: Registry) -> range:
    """The node ports of this cluster."""
    assert registry.server is not None
    low, _, high = registry.server.options.service_node_port_range.partition("-")
    return range(int(low), int(high) + 1)


def _read_ports(registry: Registry) -> _Ports:
    record = registry.store.head(_PORTS_KEY)
    if record is None:
        return _Ports(None, {})
    return _Ports(record.revision, dict(wire.decode(record.value).get("ports") or {}))


async def _change_ports(registry: Registry, change: Callable[[dict[str, str]], None]) -> None:
    """Read, change and write the record until no other writer came between."""
    while True:
        current = _read_ports(registry)
        before = dict(current.used)
        change(current.used)
        if current.used == before:
            return
        obj: Obj = {"apiVersion": "v1", "kind": "RangeAllocation", "metadata": {}, "ports": current.used}
        draft = Draft(*wire.split(obj), {}, {})
        try:
            if current.revision is None:
                await registry.store.create(_PORTS_KEY, draft)
            else:
                await registry.store.update(_PORTS_KEY, draft, current.revision)
        except (KeyExists, RevisionConflict):
            continue
        return


def _take_port(used: dict[str, str], wanted: int, valid: range, owner: str) -> int:
    """Mark a port as used, one of the server's choice if `wanted` is 0."""
    if wanted:
        if wanted not in valid:
            detail = f"The range of valid ports is {valid.start}-{valid.stop - 1}"
            raise AllocationError(f"provided port is not in the valid range. {detail}")
        if str(wanted) in used:
            raise AllocationError(ALREADY.format("port"))
        used[str(wanted)] = owner
        return wanted
    reserved = min(max(16, len(valid) // 32), 128) if len(valid) > 32 else 0
    for part in (valid[reserved:], valid[:reserved]):
        free = [port for port in part if str(port) not in used]
        if free:
            port = random.choice(free)
            used[str(port)] = owner
            return port
    raise AllocationError("range is full")


def wants_node_ports(spec: Obj) -> bool:
    """Whether the server gives every port of the service a node port."""
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def _ports_of(spec: Obj) -> set[int]:
    if spec.get("type") not in ("NodePort", "LoadBalancer"):
        return set()
    found = {port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")}
    if needs_health_check_port(spec) and spec.get("healthCheckNodePort"):
        found.add(spec["healthCheckNodePort"])
    return found


def _settle_ports(service: Obj, used: dict[str, str], held: set[int], valid: range) -> set[int]:
    """Give every port that needs one a node port, in place; returns those that were taken."""
    spec, owner = service["spec"], meta.key(service)
    taken: set[int] = set()
    given: dict[int, set[str]] = {}
    by_number = {port.get("port"): port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")}
    for index, port in enumerate(spec.get("ports") or []):
        wanted, protocol = port.get("nodePort") or 0, port.get("protocol", "TCP")
        if not wanted:
            if not wants_node_ports(spec):
                continue
            # The same port over two protocols gets the same node port.
            twin = by_number.get(port.get("port"), 0)
            if twin and protocol not in given.get(twin, set()):
                wanted = twin
        if wanted and (wanted in held or wanted in taken):
            number = wanted
        else:
            try:
                number = _take_port(used, wanted, valid, owner)
            except AllocationError as error:
                if not wanted:
                    raise errors.internal(f"failed to allocate a nodePort: {error}") from None
                finding = errors.invalid_value(f"spec.ports[{index}].nodePort", wanted, str(error))
                raise _fault(meta.name(service), finding) from None
            taken.add(number)
        port["nodePort"] = number
        given.setdefault(number, set()).add(protocol)
        by_number.setdefault(port.get("port"), number)
    if needs_health_check_port(spec):
        wanted = spec.get("healthCheckNodePort") or 0
        if not wanted or wanted not in held:
            try:
                number = _take_port(used, wanted, valid, owner)
            except AllocationError as error:
                what = f"requested HealthCheck NodePort {wanted}" if wanted else "a HealthCheck NodePort"
                raise errors.internal(f"failed to allocate {what}: {error}") from None
            taken.add(number)
            spec["healthCheckNodePort"] = number
    return taken


async def _node_ports(tx: Transaction, new: Obj, old: Obj | None) -> None:
    spec = new["spec"]
    held = _ports_of((old or {}).get("spec") or {})
    taken: set[int] = set()
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        original = meta.deep_copy(spec)
        valid = port_range(tx.registry)

        def take(used: dict[str, str]) -> None:
            nonlocal taken
            new["spec"] = spec_now = meta.deep_copy(original)
            taken = _settle_ports(new, used, held, valid)
            spec.clear()
            spec.update(spec_now)
            new["spec"] = spec

        if tx.ctx.dry_run:
            take(_read_ports(tx.registry).used)
        else:
            await _change_ports(tx.registry, take)
            if taken:
                tx.taken.append(_port_releaser(tx.registry, taken))
    gone = held - _ports_of(spec)
    if gone:
        tx.released.append(_port_releaser(tx.registry, gone))


def _port_releaser(registry: Registry, ports: set[int]) -> Undo:
    def drop(used: dict[str, str]) -> None:
        for port in ports:
            used.pop(str(port), None)

    return lambda: _change_ports(registry, drop)


# The part that allocation has in writes of services.


@on_write("services")
async def services(
    registry: Registry, operation: Operation, new: Obj | None, old: Obj | None, ctx: Context
) -> Finish | None:
    """Take what the new state needs; give back what it no longer has when the write succeeds."""
    tx = Transaction(registry, ctx)
    try:
        if new is not None:
            await _cluster_ips(tx, new, old)
            await _node_ports(tx, new, old)
        elif old is not None:
            _release_all(tx, old)
    except BaseException:
        await tx.finish(False)
        raise
    return tx.finish


def _release_all(tx: Transaction, service: Obj) -> None:
    spec, namespace, name = service.get("spec") or {}, meta.namespace(service), meta.name(service)
    # A service of the same name that comes soon must not find these, whoever wrote them.
    tx.released.append(lambda: _delete(tx.registry, ENDPOINTS, namespace, name))
    for text in spec.get("clusterIPs") or []:
        if text and text != "None":
            tx.released.append(_releaser(tx.registry, text))
    ports = _ports_of(spec)
    if ports:
        tx.released.append(_port_releaser(tx.registry, ports))


@on_write("ipaddresses.networking.k8s.io")
async def addresses(
    registry: Registry, operation: Operation, new: Obj | None, old: Obj | None, ctx: Context
) -> Finish | None:
    """An address that a service has stays taken, also when somebody deletes its object: it is made again."""
    if new is not None or old is None or ctx.dry_run:
        return None
    address, parent = meta.name(old), (old.get("spec") or {}).get("parentRef") or {}

    async def finish(done: bool) -> None:
        service = registry.get(SERVICES, parent.get("namespace"), parent.get("name") or "") if done else None
        if service is not None and address in (service["spec"].get("clusterIPs") or []):
            await _take_address(Transaction(registry, _internal_ctx()), address, service)

    return finish


async def repair(registry: Registry) -> None:
    """Make the allocations agree with the services there are: a server may have died between the two."""
    wanted: dict[str, Obj] = {}
    ports: dict[str, str] = {}
    for service in registry.list(SERVICES):
        spec = service.get("spec") or {}
        if spec.get("type") != "ExternalName":
            wanted |= {text: service for text in spec.get("clusterIPs") or [] if text not in ("", "None")}
        ports |= {str(port): meta.key(service) for port in _ports_of(spec)}
    present = {
        meta.name(each) for each in registry.list(IP_ADDRESSES) if meta.labels(each).get(MANAGER_LABEL) == MANAGER
    }
    tx = Transaction(registry, _internal_ctx())
    for text in wanted.keys() - present:
        await _take_address(tx, text, wanted[text])
    for text in present - wanted.keys():
        await _release_address(registry, text)

    def replace(used: dict[str, str]) -> None:
        used.clear()
        used.update(ports)

    await _change_ports(registry, replace)
