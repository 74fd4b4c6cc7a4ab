"""Validation of resource names and amounts."""

from collections.abc import Collection

from pynetes.apis import checks
from pynetes.apis.checks import Errors, selector_path
from pynetes.machinery import names, quantity
from pynetes.machinery.meta import Obj

CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
STANDARD_RESOURCES = CONTAINER_RESOURCES | {
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
}
QUOTA_RESOURCES = STANDARD_RESOURCES - {"storage"}
INTEGER_RESOURCES = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
HUGE_PAGES = "hugepages-"
_REQUESTS_PREFIX = "requests."


def is_native(name: str) -> bool:
    """Whether Kubernetes itself defines the resource (no domain, or kubernetes.io's)."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether a device plugin or an administrator defines the resource."""
    if is_native(name) or name.startswith(_REQUESTS_PREFIX):
        return False
    return not names.qualified_name(_REQUESTS_PREFIX + name)


def overcommits(name: str) -> bool:
    """Whether limits may exceed requests."""
    return is_native(name) and not name.startswith(HUGE_PAGES)


def is_integer(name: str) -> bool:
    """Whether the resource is counted in whole things."""
    return name in INTEGER_RESOURCES or is_extended(name)


def resource_name(errors: Errors, name: str, path: str) -> bool:
    """A name that any part of the API knows as a resource; returns whether it is fine."""
    messages = names.qualified_name(name)
    errors.check(path, name, messages)
    if messages:
        return False
    if (
        "/" not in name
        and name not in STANDARD_RESOURCES
        and not name.removeprefix(_REQUESTS_PREFIX).startswith(HUGE_PAGES)
    ):
        errors.invalid(path, name, "must be a standard resource type or fully qualified")
        return False
    return True


def container_resource_name(errors: Errors, name: str, path: str) -> None:
    """A resource that a container may ask for. A name that nobody knows is wrong twice, as upstream has it."""
    resource_name(errors, name, path)
    if "/" not in name:
        if name not in CONTAINER_RESOURCES and not name.startswith(HUGE_PAGES):
            errors.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        errors.invalid(path, name, "doesn't follow extended resource name standard")


def quota_resource_name(errors: Errors, name: str, path: str) -> None:
    """A resource that a quota may limit: standard ones, `count/...`, extended ones."""
    resource_name(errors, name, path)
    if "/" in name:
        return
    bare = name.removeprefix(_REQUESTS_PREFIX)
    if name not in QUOTA_RESOURCES and not bare.startswith(HUGE_PAGES):
        errors.invalid(path, name, "must be a standard resource for quota")


def amount(errors: Errors, name: str, value: str, path: str) -> None:
    """Not negative, and whole if the resource is counted in things."""
    if checks.is_negative(value):
        errors.invalid(path, value, checks.NON_NEGATIVE)
    if is_integer(name) and quantity.milli(str(value)) % 1000:
        errors.invalid(path, value, "must be an integer")


def requirements(errors: Errors, resources: Obj, path: str, claims: Collection[str] = ()) -> None:
    """`resources` of a container."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for kind, listed in (("limits", limits), ("requests", requests)):
        for name, value in listed.items():
            where = selector_path(f"{path}.{kind}", name)
            container_resource_name(errors, name, where)
            amount(errors, name, value, where)
            if kind == "requests":
                _within_limit(errors, name, value, limits, path)
            elif name.startswith(HUGE_PAGES) and quantity.milli(str(value)) % 1000:
                errors.invalid(where, value, "must be an integer")
    asked = limits.keys() | requests.keys()
    if any(name.startswith(HUGE_PAGES) for name in asked) and not {"cpu", "memory"} & asked:
        errors.forbidden(path, "HugePages require cpu or memory")
    _claims(errors, resources.get("claims") or [], claims, f"{path}.claims")


def _within_limit(errors: Errors, name: str, value: str, limits: dict[str, str], path: str) -> None:
    if name in limits:
        request, limit = quantity.milli(str(value)), quantity.milli(str(limits[name]))
        if request != limit and not overcommits(name):
            errors.invalid(f"{path}.requests", value, f"must be equal to {name} limit of {limits[name]}")
        elif request > limit:
            errors.invalid(f"{path}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}")
    elif not overcommits(name):
        errors.required(f"{path}.limits", "Limit must be set for non overcommitable resources")


def _claims(errors: Errors, listed: list[Obj], known: Collection[str], path: str) -> None:
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(listed):
        name, request = claim.get("name") or "", claim.get("request") or ""
        where = f"{path}[{index}]"
        if not name:
            errors.required(f"{where}.name")
            continue
        if (name, request) in seen or (request and (name, "") in seen):
            errors.duplicate(where, name if not request else f"{name}/{request}")
        seen.add((name, request))
        if name not in known:
            errors.not_found(f"{where}.name", name)
