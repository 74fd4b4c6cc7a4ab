"""What an object counts for in a ResourceQuota: pure functions, shared by admission and the quota controller.

`usage(rt_group_resource, obj)` is the object's share of every quota resource. `matches_scopes` says whether a quota
applies to it at all. `constraint_violations` names what an object must say because a quota limits it.
"""

from collections.abc import Callable, Iterable
from typing import Any

from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.pod_totals import Amounts, amounts, plus, pod_total
from pynetes.machinery.quantity import Quantity, parse

ONE = parse("1")
ZERO = parse("0")

_LEGACY_COUNTS = {
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
}
_POD_COMPUTE = (
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
)
_MUST_BE_STATED = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
_STORAGE_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_ATTRIBUTES_CLASS_SUFFIX = ".volumeattributesclass.storage.k8s.io/"
_DEVICE_CLASS_SUFFIX = ".deviceclass.resource.k8s.io/devices"


def usage(group_resource: str, obj: Obj) -> Amounts:
    """The object's share of every resource a quota may name."""
    counted: Amounts = {f"count/{group_resource}": ONE}
    if group_resource in _LEGACY_COUNTS and group_resource != "pods":
        counted[group_resource] = ONE
    specific = _SPECIFIC.get(group_resource)
    return counted if specific is None else counted | specific(obj)


def _pod_usage(pod: Obj) -> Amounts:
    if not is_active(pod):
        return {}
    found: Amounts = {"pods": ONE}
    spec = pod.get("spec") or {}
    for name, value in pod_total(spec, "requests").items():
        found[f"requests.{name}"] = value
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            found[name] = value
    for name, value in pod_total(spec, "limits").items():
        found[f"limits.{name}"] = value
    return found


def is_active(pod: Obj) -> bool:
    """Whether a pod still counts: it has not ended, and is not stuck in deletion beyond its grace period."""
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return False
    deleted, grace = pod["metadata"].get("deletionTimestamp"), pod["metadata"].get("deletionGracePeriodSeconds")
    if deleted and grace is not None:
        return clock.parse_time(deleted).timestamp() >= clock.time()
    return True


def _service_usage(service: Obj) -> Amounts:
    spec = service.get("spec") or {}
    ports = spec.get("ports") or ()
    found = {"services.nodeports": ZERO, "services.loadbalancers": ZERO}
    if spec.get("type") == "NodePort":
        found["services.nodeports"] = parse(str(len(ports)))
    elif spec.get("type") == "LoadBalancer":
        allocated = len(ports)
        if spec.get("allocateLoadBalancerNodePorts") is False:
            allocated = sum(1 for port in ports if port.get("nodePort"))
        found["services.nodeports"] = parse(str(allocated))
        found["services.loadbalancers"] = ONE
    return found


def _claim_usage(claim: Obj) -> Amounts:
    spec = claim.get("spec") or {}
    storage_class = meta.annotations(claim).get("volume.beta.kubernetes.io/storage-class", spec.get("storageClassName"))
    attributes_class = spec.get("volumeAttributesClassName")
    found: Amounts = {}
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    asked = parse(size) if size is not None else None
    allocated = (((claim.get("status") or {}).get("allocatedResources")) or {}).get("storage")
    if asked is not None and allocated is not None:
        asked = max(asked, parse(allocated))
    prefixes = [""]
    if storage_class:
        prefixes.append(f"{storage_class}{_STORAGE_CLASS_SUFFIX}")
    if attributes_class:
        prefixes.append(f"{attributes_class}{_ATTRIBUTES_CLASS_SUFFIX}")
    for prefix in prefixes:
        found[f"{prefix}persistentvolumeclaims"] = ONE
        if asked is not None:
            found[f"{prefix}requests.storage"] = asked
    return found


def _resource_claim_usage(claim: Obj) -> Amounts:
    found: Amounts = {}
    devices = ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ()
    for request in devices:
        exact = request.get("exactly") or request
        device_class = exact.get("deviceClassName")
        if not device_class:
            continue
        count = 32 if exact.get("allocationMode") == "All" else exact.get("count", 1)
        name = f"{device_class}{_DEVICE_CLASS_SUFFIX}"
        found[name] = found.get(name, ZERO) + parse(str(count))
    return found


_SPECIFIC: dict[str, Callable[[Obj], Amounts]] = {
    "pods": _pod_usage,
    "services": _service_usage,
    "persistentvolumeclaims": _claim_usage,
    "resourceclaims.resource.k8s.io": _resource_claim_usage,
}


def concerns(group_resource: str, quota_resource: str) -> bool:
    """Whether objects of this resource count for the named quota resource."""
    if quota_resource == f"count/{group_resource}":
        return True
    if quota_resource in _LEGACY_COUNTS:
        return quota_resource == group_resource
    match group_resource:
        case "pods":
            return (
                quota_resource in _POD_COMPUTE
                or quota_resource.startswith(("hugepages-", "requests.hugepages-"))
                or (quota_resource.startswith("requests.") and "/" in quota_resource)
            )
        case "services":
            return quota_resource in ("services.nodeports", "services.loadbalancers")
        case "persistentvolumeclaims":
            suffixes = (_STORAGE_CLASS_SUFFIX, _ATTRIBUTES_CLASS_SUFFIX)
            kinds = ("requests.storage", "persistentvolumeclaims")
            return quota_resource == "requests.storage" or quota_resource.endswith(
                tuple(suffix + kind for suffix in suffixes for kind in kinds)
            )
        case "resourceclaims.resource.k8s.io":
            return quota_resource.endswith(_DEVICE_CLASS_SUFFIX)
    return False


# Scopes.


def is_best_effort(pod: Obj) -> bool:
    """Whether no container of the pod asks for or is limited in cpu or memory."""
    spec = pod.get("spec") or {}
    holders = [spec, *(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    for holder in holders:
        asked = holder.get("resources") or {}
        for field in ("requests", "limits"):
            if any((asked.get(field) or {}).get(name) for name in ("cpu", "memory")):
                return False
    return True


def _crosses_namespaces(pod: Obj) -> bool:
    affinity = (pod.get("spec") or {}).get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            entry.get("podAffinityTerm") or {}
            for entry in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def _in_set(requirement: Obj, value: str | None) -> bool:
    match requirement.get("operator"):
        case "In":
            return value is not None and value in (requirement.get("values") or ())
        case "NotIn":
            return value is None or value not in (requirement.get("values") or ())
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False


def _scope_holds(requirement: Obj, group_resource: str, obj: Obj) -> bool:
    spec = obj.get("spec") or {}
    scope = requirement["scopeName"]
    if group_resource == "persistentvolumeclaims":
        return scope == "VolumeAttributesClass" and any(
            _in_set(requirement, name) for name in _attributes_classes(obj) or (None,)
        )
    if group_resource != "pods":
        return False
    match scope:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return is_best_effort(obj)
        case "NotBestEffort":
            return not is_best_effort(obj)
        case "PriorityClass":
            return _in_set(requirement, spec.get("priorityClassName") or None)
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(obj)
    return False


def _attributes_classes(claim: Obj) -> set[str]:
    """The classes that a claim asks for, has, or is on its way to: it counts for each."""
    status = claim.get("status") or {}
    named = (
        (claim.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {name for name in named if name}


def scope_requirements(quota: Obj) -> list[Obj]:
    """The scopes of a quota, plain and by selector, as requirements."""
    spec = quota.get("spec") or {}
    plain = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    return plain + list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())


def matches_scopes(quota: Obj, group_resource: str, obj: Obj) -> bool:
    """Whether the quota counts the object at all."""
    return all(_scope_holds(requirement, group_resource, obj) for requirement in scope_requirements(quota))


def constraint_violations(group_resource: str, obj: Obj, limited: Iterable[str]) -> str:
    """What a pod's containers must say since the quota limits it, as upstream words it; empty if nothing is missing."""
    if group_resource != "pods":
        return ""
    spec = obj.get("spec") or {}
    wanted = sorted(_MUST_BE_STATED & set(limited))
    overall = _stated(spec)
    missing: dict[str, list[str]] = {}
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            said = _stated(container) | overall
            for name in wanted:
                if name not in said:
                    missing.setdefault(name, []).append(container.get("name", ""))
    if not missing:
        return ""
    needs = (f"{name} for: {','.join(sorted(names))}" for name, names in sorted(missing.items()))
    return f"must specify {'; '.join(needs)}"


def _stated(holder: dict[str, Any]) -> set[str]:
    asked = holder.get("resources") or {}
    requests, limits = amounts(asked.get("requests")), amounts(asked.get("limits"))
    return {*requests, *(f"requests.{name}" for name in requests), *(f"limits.{name}" for name in limits)}


def total(shares: Iterable[Amounts]) -> Amounts:
    """The sum of several objects' usage."""
    summed: Amounts = {}
    for share in shares:
        summed = plus(summed, share)
    return summed


def minus(left: Amounts, right: Amounts) -> Amounts:
    """The difference by resource."""
    names = (*left, *(name for name in right if name not in left))
    return {name: left.get(name, ZERO) - right.get(name, ZERO) for name in names}


def show(resource_list: Amounts) -> str:
    """`cpu=1,memory=2Gi`, sorted, as quota messages print it."""
    return ",".join(f"{name}={resource_list[name]}" for name in sorted(resource_list))


def as_strings(resource_list: dict[str, Quantity]) -> dict[str, str]:
    """A ResourceList as it is written."""
    return {name: str(value) for name, value in resource_list.items()}
