"""Ingresses and their classes."""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.service import load_balancer
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_BAD_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")


class IngressStrategy(Strategy):
    """An ingress."""

    tracks_generation = True
    initial_status: ClassVar[Obj] = {"loadBalancer": {}}
    columns = (
        printing.NAME,
        column("Class", description="Who serves it."),
        column("Hosts", description="The hosts whose requests its rules are for."),
        column("Address", description="Where it is served."),
        column("Ports", description="The ports it is served on."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        obj.setdefault("spec", {})

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        backend = spec.get("defaultBackend")
        if not spec.get("rules") and backend is None:
            errors.invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
        if backend is not None:
            _backend(errors, backend, "spec.defaultBackend")
        for index, rule in enumerate(spec.get("rules") or []):
            path = f"spec.rules[{index}]"
            _host(errors, rule.get("host"), f"{path}.host")
            http = rule.get("http")
            if http is None:
                continue
            if not http.get("paths"):
                errors.required(f"{path}.http.paths")
            for position, each in enumerate(http.get("paths") or []):
                _path(errors, each, f"{path}.http.paths[{position}]")
        for index, tls in enumerate(spec.get("tls") or []):
            for position, host in enumerate(tls.get("hosts") or []):
                where = f"spec.tls[{index}].hosts[{position}]"
                check = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
                errors.check(where, host, check(host))
            secret = tls.get("secretName")
            if secret:
                errors.check(f"spec.tls[{index}].secretName", secret, names.dns1123_subdomain(secret))
        name = spec.get("ingressClassName")
        if name is not None:
            errors.check("spec.ingressClassName", name, names.dns1123_subdomain(name))

    def validate(self, obj: Obj) -> list[FieldError]:
        errors = Errors(super().validate(obj))
        old, new = meta.annotations(obj).get(CLASS_ANNOTATION), printing.spec(obj).get("ingressClassName")
        if old is not None and new is not None and old != new:
            path = "metadata.annotations"
            errors.invalid(path, old, "must match `ingressClassName` when both are specified")
        return errors

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        for index, each in enumerate((printing.status(new).get("loadBalancer") or {}).get("ingress") or []):
            where = f"status.loadBalancer.ingress[{index}]"
            if each.get("ip"):
                errors.check(f"{where}.ip", each["ip"], names.ip(each["ip"]))
            host = each.get("hostname")
            if host:
                errors.check(f"{where}.hostname", host, names.dns1123_subdomain(host))
                if names.parse_ip(host):
                    errors.invalid(f"{where}.hostname", host, "must be a DNS name, not an IP address")

    def warnings(self, obj: Obj) -> list[str]:
        found = []
        if CLASS_ANNOTATION in meta.annotations(obj):
            found.append(f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead")
        return found

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [
            meta.name(obj),
            spec.get("ingressClassName") or printing.NONE,
            _hosts(spec.get("rules") or []),
            load_balancer(printing.status(obj)),
            "80, 443" if spec.get("tls") else "80",
            printing.age(obj),
        ]


def _hosts(rules: list[Obj]) -> str:
    shown: list[str] = []
    for rule in rules:
        if len(shown) == 3:
            return f"{','.join(shown)} + {len(rules) - 3} more..."
        if rule.get("host"):
            shown.append(rule["host"])
    return ",".join(shown) or "*"


def _host(errors: Errors, host: str | None, path: str) -> None:
    if not host:
        return
    if names.parse_ip(host):
        errors.invalid(path, host, "must be a DNS name, not an IP address")
    check = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
    errors.check(path, host, check(host))


def _path(errors: Errors, value: Obj, where: str) -> None:
    kind, text = value.get("pathType"), value.get("path") or ""
    if kind is None:
        errors.required(f"{where}.pathType", "pathType must be specified")
        return
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            errors.invalid(f"{where}.path", text, "must be an absolute path")
        if text:
            for part in _BAD_PARTS:
                if part in text:
                    errors.invalid(f"{where}.path", text, f"must not contain '{part}'")
            for end in _BAD_ENDS:
                if text.endswith(end):
                    errors.invalid(f"{where}.path", text, f"cannot end with '{end}'")
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            errors.invalid(f"{where}.path", text, "must be an absolute path")
    else:
        errors.unsupported(f"{where}.pathType", kind, PATH_TYPES)
    _backend(errors, value.get("backend") or {}, f"{where}.backend")


def _backend(errors: Errors, backend: Obj, path: str) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        errors.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        errors.present(f"{path}.resource.kind", resource.get("kind"))
        errors.present(f"{path}.resource.name", resource.get("name"))
    elif service is None:
        errors.required(path, "either resource or service is required")
    else:
        name, port = service.get("name") or "", service.get("port") or {}
        if errors.present(f"{path}.service.name", name):
            errors.check(f"{path}.service.name", name, names.dns1123_label(name))
        has_name, has_number = bool(port.get("name")), bool(port.get("number"))
        if has_name and has_number:
            errors.invalid(path, "", "cannot set both port name & port number")
        elif has_name:
            errors.check(f"{path}.service.port.name", port["name"], names.port_name(port["name"]))
        elif has_number:
            errors.port(f"{path}.service.port.number", port["number"])
        else:
            errors.required(path, "port name or number is required")


class IngressClassStrategy(Strategy):
    """A class of ingresses, and who serves it."""

    tracks_generation = True
    columns = (
        printing.NAME,
        column("Controller", description="Who serves ingresses of this class."),
        column("Parameters", description="What configures the controller."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        parameters = (obj.get("spec") or {}).get("parameters")
        if parameters is not None and parameters.get("scope") is None:
            parameters["scope"] = "Cluster"

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        controller = spec.get("controller") or ""
        if len(controller) > 250:
            errors.too_long("spec.controller", 250)
        errors.check("spec.controller", controller, names.domain_prefixed_path(controller))
        parameters = spec.get("parameters")
        if parameters is None:
            return
        path = "spec.parameters"
        group = parameters.get("apiGroup")
        if group:
            errors.check(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
        for field in ("kind", "name"):
            value = parameters.get(field) or ""
            if errors.present(f"{path}.{field}", value, f"{field} is required"):
                errors.check(f"{path}.{field}", value, names.path_segment(value))
        scope = parameters.get("scope")
        if scope is None:
            errors.required(f"{path}.scope")
            return
        if scope == "Namespace":
            if parameters.get("namespace") is None:
                errors.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
            else:
                errors.check(f"{path}.namespace", parameters["namespace"], names.dns1123_label(parameters["namespace"]))
        elif parameters.get("namespace") is not None:
            errors.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
        if scope not in ("Cluster", "Namespace"):
            errors.unsupported(f"{path}.scope", scope, ("Cluster", "Namespace"))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("spec.controller", printing.spec(new).get("controller"), printing.spec(old).get("controller"))

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        parameters = spec.get("parameters")
        text = printing.NONE
        if parameters:
            kind, group = parameters.get("kind", ""), parameters.get("apiGroup")
            text = f"{kind}{f'.{group}' if group else ''}/{parameters.get('name', '')}"
        return [meta.name(obj), spec.get("controller", ""), text, printing.age(obj)]
