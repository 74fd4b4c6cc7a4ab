"""What webhooks and policies share: the rules that say which requests they are for, and how a webhook is reached."""

from typing import Any
from urllib.parse import urlsplit

from pynetes.apis.checks import Errors
from pynetes.machinery import names
from pynetes.machinery.meta import Obj

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
MAX_CONDITIONS = 64


def default_rule(rule: Obj) -> None:
    """A rule without scope is for both."""
    if rule.get("scope") is None:
        rule["scope"] = "*"


def with_operations(errors: Errors, rule: Obj, path: str) -> None:
    """A rule of a webhook or policy."""
    operations = rule.get("operations") or []
    if not operations:
        errors.required(f"{path}.operations")
    if len(operations) > 1 and "*" in operations:
        errors.invalid(f"{path}.operations", operations, "if '*' is present, must not specify other operations")
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            errors.unsupported(f"{path}.operations[{index}]", operation, OPERATIONS)
    _rule(errors, rule, path)


def _rule(errors: Errors, rule: Obj, path: str) -> None:
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(field) or []
        if not values:
            errors.required(f"{path}.{field}")
        if len(values) > 1 and "*" in values:
            errors.invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {what}")
        for index, value in enumerate(values):
            if not value and field == "apiVersions":
                errors.required(f"{path}.{field}[{index}]")
    resources = rule.get("resources") or []
    if not resources:
        errors.required(f"{path}.resources")
    for index, resource in enumerate(resources):
        if not resource:
            errors.required(f"{path}.resources[{index}]")
    if len(resources) > 1 and "*/*" in resources:
        errors.invalid(f"{path}.resources", resources, "if '*/*' is present, must not specify other resources")
    elif len(resources) > 1 and "*" in resources and any("/" not in each for each in resources if each != "*"):
        errors.invalid(
            f"{path}.resources",
            resources,
            "if '*' is present, must not specify other resources without subresources",
        )
    scope = rule.get("scope")
    if scope is not None and scope not in SCOPES:
        errors.unsupported(f"{path}.scope", scope, SCOPES)


def client_config(errors: Errors, config: Obj, path: str) -> None:
    """How a webhook is reached: by URL or by service."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errors.required(path, "exactly one of url or service is required")
    elif url is not None:
        _url(errors, url, f"{path}.url")
    else:
        service_reference(errors, service or {}, f"{path}.service")


def _url(errors: Errors, url: str, path: str) -> None:
    form = "; desired format: https://host[/path]"
    parts = urlsplit(url)
    if parts.scheme != "https":
        errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{form}")
    if not parts.netloc:
        errors.invalid(path, parts.netloc, f"host must be specified{form}")
    if parts.username:
        errors.invalid(path, parts.username, "user information is not permitted in the URL")
    if parts.fragment:
        errors.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        errors.invalid(path, parts.query, "query parameters are not permitted in the URL")


def service_reference(errors: Errors, service: Obj, path: str) -> None:
    """A service that serves a webhook."""
    for field in ("name", "namespace"):
        if not service.get(field):
            errors.required(f"{path}.{field}", f"service {field} is required")
    port = service.get("port")
    if port is not None and not 1 <= port <= 65535:
        errors.invalid(f"{path}.port", port, "port is not valid: must be between 1 and 65535, inclusive")
    text = service.get("path")
    if not text:
        return
    if text != "/" and not text.startswith("/"):
        errors.invalid(f"{path}.path", text, "must start with a '/'")
    for index, step in enumerate(text.strip("/").split("/") if text != "/" else []):
        if not step:
            errors.invalid(f"{path}.path", text, f"segment[{index}] may not be empty")
            break
        faults = names.dns1123_subdomain(step)
        for fault in faults:
            errors.invalid(f"{path}.path", text, f"segment[{index}]: {fault}")


def match_conditions(errors: Errors, conditions: list[Obj], path: str) -> None:
    """Named CEL expressions."""
    if len(conditions) > MAX_CONDITIONS:
        errors.too_many(path, len(conditions), MAX_CONDITIONS)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        where, name = f"{path}[{index}]", condition.get("name") or ""
        if name and name in seen:
            errors.duplicate(f"{where}.name", name)
        seen.add(name)
        if not name:
            errors.required(f"{where}.name")
        else:
            errors.check(f"{where}.name", name, names.qualified_name(name))
        if not (condition.get("expression") or "").strip():
            errors.required(f"{where}.expression")


def one_of(errors: Errors, holder: Obj, field: str, allowed: tuple[str, ...], path: str) -> None:
    """An optional enumerated field."""
    value: Any = holder.get(field)
    if value is not None and value not in allowed:
        errors.unsupported(f"{path}.{field}", value, allowed)
