"""What Ingresses mean: virtual hosts, their locations, and the endpoints behind them.

Semantics are those of ingress-nginx: the older Ingress wins a path that two claim; `Exact` beats `Prefix`, the longer
prefix the shorter; `Prefix` matches whole path elements; a wildcard host stands for one label; a host with TLS
redirects plain requests unless told not to; an Ingress's default backend takes what its own hosts do not match.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.network.endpoints import endpoints_by_port

CONTROLLER = "k8s.io/ingress-nginx"
CLASS = "nginx"
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PREFIX = "nginx.ingress.kubernetes.io/"

# Annotations that are one nginx directive each: suffix → (directive, unit to append to bare numbers).
_DIRECTIVES = {
    "proxy-body-size": ("client_max_body_size", ""),
    "proxy-connect-timeout": ("proxy_connect_timeout", "s"),
    "proxy-read-timeout": ("proxy_read_timeout", "s"),
    "proxy-send-timeout": ("proxy_send_timeout", "s"),
    "proxy-buffer-size": ("proxy_buffer_size", ""),
    "proxy-buffering": ("proxy_buffering", ""),
    "proxy-request-buffering": ("proxy_request_buffering", ""),
    "proxy-next-upstream": ("proxy_next_upstream", ""),
    "upstream-vhost": ("proxy_set_header Host", ""),
}
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:")

EXACT, PREFIX, REGEX = "exact", "prefix", "regex"


@dataclass(frozen=True, slots=True)
class Upstream:
    """The endpoints of a service port; `name` is unique among upstreams. `external` are names to be resolved."""

    name: str
    servers: tuple[str, ...]
    external: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """A path of a virtual host."""

    kind: str
    path: str
    upstream: Upstream
    secure: bool = False  # the backend speaks TLS
    rewrite: str = ""
    directives: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Host:
    """A virtual host; the name is empty for requests to any other name."""

    name: str
    locations: dict[tuple[str, str], Location] = field(default_factory=dict)
    secret: str = ""  # namespace/name of its certificate; empty for the default one
    tls: bool = False
    redirect: bool = False

    def add(self, location: Location) -> None:
        """Add a location unless its path is taken."""
        self.locations.setdefault((location.kind, location.path), location)


def is_ours(ingress: Obj, classes: Mapping[str, Obj]) -> bool:
    """Whether this controller serves the Ingress: only by its class.

    One without a class gets a default class at admission, if there is one; else it is nobody's, as upstream.
    """
    name = ingress.get("spec", {}).get("ingressClassName") or meta.annotations(ingress).get(_CLASS_ANNOTATION)
    if meta.is_deleting(ingress) or not name:
        return False
    found = classes.get(name)
    return found["spec"].get("controller") == CONTROLLER if found is not None else name == CLASS


class Builder:
    """Builds the virtual hosts; `service` and `slices` read the caches by key."""

    def __init__(self, service: Callable[[str], Obj | None], slices: Callable[[str], Iterable[Obj]]) -> None:
        self._service = service
        self._slices = slices
        self.hosts: dict[str, Host] = {}

    def build(self, ingresses: Iterable[Obj]) -> list[Host]:
        """All virtual hosts, by name."""
        ordered = sorted(ingresses, key=lambda i: (i["metadata"].get("creationTimestamp", ""), meta.key(i)))
        for ingress in ordered:
            self._add_rules(ingress)
        for ingress in ordered:
            self._add_default(ingress)
        return [self.hosts[name] for name in sorted(self.hosts)]

    def _host(self, name: str) -> Host:
        return self.hosts.setdefault(name, Host(name))

    def _add_rules(self, ingress: Obj) -> None:
        spec = ingress.get("spec", {})
        for rule in spec.get("rules") or []:
            host = self._host(rule.get("host") or "")
            for entry in (rule.get("http") or {}).get("paths") or []:
                host.add(self._location(ingress, entry))
        self._add_tls(ingress)

    def _add_tls(self, ingress: Obj) -> None:
        spec, settings = ingress.get("spec", {}), _settings(ingress)
        wants_redirect = settings.get("ssl-redirect", "true") == "true"
        for entry in spec.get("tls") or []:
            names = entry.get("hosts") or [rule.get("host") or "" for rule in spec.get("rules") or []] or [""]
            for name in names:
                host = self.hosts.get(name)
                if host is None or host.tls:
                    continue
                host.tls = True
                host.redirect = wants_redirect
                host.secret = f"{meta.namespace(ingress)}/{entry['secretName']}" if entry.get("secretName") else ""
        if settings.get("force-ssl-redirect") == "true":
            for rule in spec.get("rules") or []:
                self._host(rule.get("host") or "").redirect = True

    def _add_default(self, ingress: Obj) -> None:
        backend = ingress.get("spec", {}).get("defaultBackend")
        if backend is None:
            return
        names = {rule.get("host") or "" for rule in ingress["spec"].get("rules") or []} or {""}
        for name in names:
            entry = {"path": "/", "pathType": "Prefix", "backend": backend}
            self._host(name).add(self._location(ingress, entry))

    def _location(self, ingress: Obj, entry: Obj) -> Location:
        settings = _settings(ingress)
        path = entry.get("path") or "/"
        rewrite = settings.get("rewrite-target", "")
        kind = EXACT if entry.get("pathType") == "Exact" else PREFIX
        if kind == PREFIX and (settings.get("use-regex") == "true" or rewrite):
            kind = REGEX
        elif kind == PREFIX and path != "/":
            path = path.rstrip("/")
        directives = tuple(
            (directive, value + unit if value.isdigit() else value)
            for name, (directive, unit) in _DIRECTIVES.items()
            if (value := settings.get(name, "")) and _SAFE.issuperset(value)
        )
        secure = settings.get("backend-protocol", "").upper() == "HTTPS"
        upstream = self._upstream(meta.namespace(ingress), entry.get("backend") or {})
        return Location(kind, path, upstream, secure, rewrite, directives)

    def _upstream(self, namespace: str, backend: Obj) -> Upstream:
        reference = backend.get("service") or {}
        wanted = reference.get("port") or {}
        name = f"{namespace}-{reference.get('name', '')}-{wanted.get('name') or wanted.get('number', '')}"
        key = f"{namespace}/{reference.get('name', '')}"
        service = self._service(key)
        if service is None:
            return Upstream(name, ())
        if service["spec"].get("type") == "ExternalName":
            target = service["spec"].get("externalName", "")
            return Upstream(name, (f"{target}:{wanted.get('number', 80)}",), external=True)
        ports = service["spec"].get("ports") or []
        port = next(
            (p for p in ports if wanted.get("name", "") == p.get("name") or wanted.get("number", 0) == p["port"]), None
        )
        if port is None:
            return Upstream(name, ())
        found = endpoints_by_port(self._slices(key)).get((port.get("name", ""), port.get("protocol", "TCP")), [])
        usable = [e for e in found if e.ready] or [e for e in found if e.serving and e.terminating]
        return Upstream(name, tuple(f"{e.address}:{e.port}" for e in usable))


def _settings(ingress: Obj) -> dict[str, str]:
    """The Ingress's own settings: its ingress-nginx annotations without their prefix."""
    found = meta.annotations(ingress).items()
    return {name.removeprefix(_PREFIX): value for name, value in found if name.startswith(_PREFIX)}
