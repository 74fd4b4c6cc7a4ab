"""What webhooks and policies have in common: which requests they are for, and how a webhook is called."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from pynetes.apis import checks
from pynetes.apis.admissionregistration import scopes
from pynetes.apis.admissionregistration.scopes import Scope
from pynetes.apis.checks import Errors
from pynetes.machinery import cel, names
from pynetes.machinery.cel import checker
from pynetes.machinery.meta import Obj

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
SCOPES = ("*", "Cluster", "Namespaced")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
REVIEW_VERSIONS = ("v1", "v1beta1")
MATCH_CONDITIONS_LIMIT = 64
NEWLINES = re.compile("[\n\r]")
_URL_FORM = "; desired format: https://host[/path]"


def default_rules(rules: Iterable[Obj] | None) -> None:
    """Rules are for resources of any scope."""
    for rule in rules or ():
        if rule.get("scope") is None:
            rule["scope"] = "*"


def default_match(match: Obj | None) -> None:
    """What a webhook or policy matches: everything that its rules name."""
    if match is None:
        return
    for field, value in (("matchPolicy", "Equivalent"), ("namespaceSelector", {}), ("objectSelector", {})):
        if match.get(field) is None:
            match[field] = value.copy() if isinstance(value, dict) else value


def optional_one_of(errors: Errors, value: Any, path: str, allowed: tuple[str, ...]) -> None:
    """One of `allowed`, if given at all."""
    if value is not None:
        errors.one_of(path, value, allowed)


def rule(errors: Errors, value: Obj, path: str) -> None:
    """Operations, groups, versions and resources, each a list or the wildcard alone."""
    _wildcards(errors, value.get("operations"), f"{path}.operations", "operations")
    for index, operation in enumerate(value.get("operations") or []):
        errors.one_of(f"{path}.operations[{index}]", operation, OPERATIONS)
    _wildcards(errors, value.get("apiGroups"), f"{path}.apiGroups", "API groups")
    _wildcards(errors, value.get("apiVersions"), f"{path}.apiVersions", "API versions")
    for index, version in enumerate(value.get("apiVersions") or []):
        errors.present(f"{path}.apiVersions[{index}]", version)
    _resources(errors, value.get("resources") or [], f"{path}.resources")
    optional_one_of(errors, value.get("scope"), f"{path}.scope", SCOPES)


def _wildcards(errors: Errors, values: list[str] | None, path: str, what: str) -> None:
    if errors.present(path, values) and values and len(values) > 1 and "*" in values:
        errors.invalid(path, values, f"if '*' is present, must not specify other {what}")


def _resources(errors: Errors, values: list[str], path: str) -> None:
    errors.present(path, values)
    whole_resources, whole_subresources = set(), set()
    plain = False
    for index, value in enumerate(values):
        if not errors.present(f"{path}[{index}]", value):
            continue
        resource, slash, subresource = value.partition("/")
        if not slash:
            plain = value != "*"
            continue
        if resource in whole_resources:
            errors.invalid(f"{path}[{index}]", value, f"if '{resource}/*' is present, must not specify {value}")
        if subresource in whole_subresources:
            errors.invalid(f"{path}[{index}]", value, f"if '*/{subresource}' is present, must not specify {value}")
        if subresource == "*":
            whole_resources.add(resource)
        if resource == "*":
            whole_subresources.add(subresource)
    if len(values) > 1 and "*/*" in values:
        errors.invalid(path, values, "if '*/*' is present, must not specify other resources")
    if "*" in values and plain:
        errors.invalid(path, values, "if '*' is present, must not specify other resources without subresources")


def match_resources(errors: Errors, match: Obj, path: str) -> None:
    """A policy's `matchConstraints`, or a binding's `matchResources`."""
    errors.required_one_of(f"{path}.matchPolicy", match.get("matchPolicy"), MATCH_POLICIES)
    for field in ("namespaceSelector", "objectSelector"):
        if match.get(field) is None:
            errors.required(f"{path}.{field}")
        else:
            checks.label_selector(errors, match[field], f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, each in enumerate(match.get(field) or []):
            where = f"{path}.{field}[{index}]"
            wanted = each.get("resourceNames") or []
            for position, name in enumerate(wanted):
                errors.check(f"{where}.resourceNames[{position}]", name, names.path_segment(name))
                if name in wanted[:position]:
                    errors.duplicate(f"{where}.resourceNames[{position}]", name)
            rule(errors, each, where)


def expression(
    errors: Errors,
    text: str,
    path: str,
    scope: Scope,
    gives: tuple[str, ...] = (),
    detail: str = "expression is not specified",
) -> None:
    """An expression that is there, speaks only of what is in scope, and gives one of some types (if any are named)."""
    if not errors.present(path, text.strip(), detail):
        return
    try:
        found = checker.check(text, scope).type
        cel.compile(text, scope)
    except cel.CelError as error:
        errors.invalid(path, text, f"compilation failed: {error}")
        return
    if gives and found.name not in gives:
        wanted = gives[0] if len(gives) == 1 else f"one of [{' '.join(gives)}]"
        errors.invalid(path, text, f"must evaluate to {wanted} but got {found}")


def match_conditions(errors: Errors, conditions: list[Obj] | None, path: str, scope: Scope = scopes.REQUEST) -> None:
    """Named expressions, all of which must hold."""
    conditions = conditions or []
    if len(conditions) > MATCH_CONDITIONS_LIMIT:
        errors.too_many(path, len(conditions), MATCH_CONDITIONS_LIMIT)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        where, name = f"{path}[{index}]", condition.get("name", "")
        expression(errors, condition.get("expression", ""), f"{where}.expression", scope, ("bool",), "")
        errors.name(f"{where}.name", name, names.qualified_name)
        if name and name in seen:
            errors.duplicate(f"{where}.name", name)
        seen.add(name)


def client_config(errors: Errors, config: Obj, path: str, required_path: str = "") -> None:
    """Where a webhook is: a URL, or a service in the cluster."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errors.required(required_path or path, "exactly one of url or service is required")
    elif url is not None:
        webhook_url(errors, url, f"{path}.url")
    else:
        webhook_service(errors, service or {}, f"{path}.service")


def webhook_url(errors: Errors, url: str, path: str) -> None:
    """An https URL without a user, a query or a fragment."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        errors.required(path, f"url must be a valid URL: {error}{_URL_FORM}")
        return
    user, at, host = parts.netloc.rpartition("@")
    if parts.scheme != "https":
        errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_URL_FORM}")
    if not host:
        errors.invalid(path, host, f"host must be specified{_URL_FORM}")
    if at:
        errors.invalid(path, user, "user information is not permitted in the URL")
    if parts.fragment:
        errors.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        errors.invalid(path, parts.query, "query parameters are not permitted in the URL")


def webhook_service(errors: Errors, service: Obj, path: str) -> None:
    """A service, its port, and the path to ask there."""
    errors.present(f"{path}.name", service.get("name"), "service name is required")
    errors.present(f"{path}.namespace", service.get("namespace"), "service namespace is required")
    port = service.get("port", 0)
    faults = names.port_number(port)
    if faults:
        errors.invalid(f"{path}.port", port, f"port is not valid: {','.join(faults)}")
    url_path, where = service.get("path"), f"{path}.path"
    if not url_path or url_path == "/":
        return
    if url_path == "//":
        errors.invalid(where, url_path, "segment[0] may not be empty")
        return
    if not url_path.startswith("/"):
        errors.invalid(where, url_path, "must start with a '/'")
    for index, segment in enumerate(url_path[1:].removesuffix("/").split("/")):
        if not segment:
            errors.invalid(where, url_path, f"segment[{index}] may not be empty")
        for fault in names.dns1123_subdomain(segment) if segment else ():
            errors.invalid(where, url_path, f"segment[{index}]: {fault}")


def review_versions(errors: Errors, versions: list[str] | None, path: str, *, recognized: bool = True) -> None:
    """Versions of AdmissionReview, of which this server must know one."""
    if not versions:
        errors.required(path, f"must specify one of {', '.join(REVIEW_VERSIONS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        errors.check(f"{path}[{index}]", version, names.dns1035_label(version))
    if recognized and not set(versions) & set(REVIEW_VERSIONS):
        errors.invalid(path, versions, f"must include at least one of {', '.join(REVIEW_VERSIONS)}")
