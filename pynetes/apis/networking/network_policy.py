"""Network policies."""

from typing import Any

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.container_validation import PROTOCOLS
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

POLICY_TYPES = ("Egress", "Ingress")


class NetworkPolicyStrategy(Strategy):
    """A network policy."""

    tracks_generation = True
    columns = (
        printing.NAME,
        column("Pod-Selector", description="Which pods it is for."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction) or []:
                for port in rule.get("ports") or []:
                    if not port.get("protocol"):
                        port["protocol"] = "TCP"
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        checks.label_selector(errors, spec.get("podSelector"), "spec.podSelector")
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(spec.get(direction) or []):
                path = f"spec.{direction}[{index}]"
                for position, port in enumerate(rule.get("ports") or []):
                    _port(errors, port, f"{path}.ports[{position}]")
                for position, peer in enumerate(rule.get(peers) or []):
                    _peer(errors, peer, f"{path}.{peers}[{position}]")
        types = spec.get("policyTypes") or []
        if len(types) > 2:
            errors.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
            return
        for index, kind in enumerate(types):
            if kind not in POLICY_TYPES:
                errors.unsupported(f"spec.policyTypes[{index}]", kind, POLICY_TYPES)

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), printing.label_selector(printing.spec(obj).get("podSelector")), printing.age(obj)]


def _port(errors: Errors, value: Obj, path: str) -> None:
    protocol, port, end = value.get("protocol"), value.get("port"), value.get("endPort")
    if protocol is not None and protocol not in PROTOCOLS:
        errors.unsupported(f"{path}.protocol", protocol, PROTOCOLS)
    if port is None:
        if end is not None:
            errors.required(f"{path}.port", "must be specified if `endPort` is specified")
        return
    if isinstance(port, str):
        if end is not None:
            errors.invalid(f"{path}.port", port, "may not be name when `endPort` is specified")
        errors.check(f"{path}.port", port, names.port_name(port))
        return
    errors.port(f"{path}.port", port)
    if end is not None:
        if end < port:
            errors.invalid(f"{path}.endPort", port, "must be greater than or equal to `port`")
        errors.port(f"{path}.endPort", end)


def _peer(errors: Errors, peer: Obj, path: str) -> None:
    given = [kind for kind in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(kind) is not None]
    for kind in ("podSelector", "namespaceSelector"):
        if peer.get(kind) is not None:
            checks.label_selector(errors, peer[kind], f"{path}.{kind}")
    block = peer.get("ipBlock")
    if block is not None:
        _block(errors, block, f"{path}.ipBlock")
    if not given:
        errors.required(path, "must specify a peer")
    elif block is not None and len(given) > 1:
        errors.forbidden(path, "may not specify both ipBlock and another peer")


def _block(errors: Errors, block: Obj, path: str) -> None:
    text = block.get("cidr") or ""
    if not text:
        errors.required(f"{path}.cidr")
        return
    whole = names.parse_cidr(text)
    errors.check(f"{path}.cidr", text, names.cidr(text))
    for index, each in enumerate(block.get("except") or []):
        where = f"{path}.except[{index}]"
        errors.check(where, each, names.cidr(each))
        part = names.parse_cidr(each)
        if whole is None or part is None:
            continue
        inside = part.version == whole.version and part.network.subnet_of(whole.network)  # type: ignore[arg-type]  # same version
        if not inside or part.network.prefixlen <= whole.network.prefixlen:
            errors.invalid(where, each, f"must be a strict subset of `cidr` ({text})")
