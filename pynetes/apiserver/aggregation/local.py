"""APIServices for what this server serves itself, so that clients find every group version in one list.

They are the server's to keep: those of custom resources come and go with their definitions.
"""

import asyncio
from collections.abc import Awaitable, Iterable

from pynetes.apiserver.registry import Context, Registry, Resource
from pynetes.machinery import meta, resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

API_SERVICES = resources.lookup("apiservices.apiregistration.k8s.io")
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
_OWN_GROUP = API_SERVICES.group
_ON_START, _ALWAYS = "onstart", "true"

# Upstream's order of the groups: the greater the number, the earlier clients look there.
_GROUP_PRIORITY = {
    "": 18000, _OWN_GROUP: 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600, "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200, "extensions": 17150, "policy": 17100,
    "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500,
    "node.k8s.io": 16300, "discovery.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100,
    "internal.apiserver.k8s.io": 16000, "resource.k8s.io": 15900, "storagemigration.k8s.io": 15800,
}  # fmt: skip
_VERSION_PRIORITY = {("", "v1"): 1, ("autoscaling", "v2"): 30, ("flowcontrol.apiserver.k8s.io", "v1"): 21}
_CUSTOM_PRIORITY = (1000, 100)


def group_priority(group: str) -> int:
    """Where a group of this server's own comes: before all others, or as custom resources do."""
    return _GROUP_PRIORITY.get(group, _CUSTOM_PRIORITY[0])


def version_priority(resource: Resource) -> int:
    """Where a version comes in its group."""
    rt = resource.rt
    if resource.custom is not None:
        return _CUSTOM_PRIORITY[1]
    return _VERSION_PRIORITY.get((rt.group, rt.version), _by_stability(rt.version))


def _by_stability(version: str) -> int:
    return 1 if "alpha" in version else 9 if "beta" in version else 15


def wanted(served: Iterable[Resource]) -> dict[str, Obj]:
    """The APIServices for what is served, by name."""
    made: dict[str, Obj] = {}
    for resource in served:
        rt = resource.rt
        if rt.group == _OWN_GROUP:
            continue
        custom = resource.custom is not None
        name = f"{rt.version}.{rt.group}"
        spec: Obj = {"group": rt.group, "version": rt.version} if rt.group else {"version": rt.version}
        made[name] = {
            "metadata": {"name": name, "labels": {AUTOMANAGED: _ALWAYS if custom else _ON_START}},
            "spec": spec
            | {"groupPriorityMinimum": group_priority(rt.group), "versionPriority": version_priority(resource)},
        }
    return made


async def reconcile(registry: Registry) -> None:
    """Make the automanaged APIServices be those wanted; an object of that name that is not ours stays as it is."""
    target = wanted(registry)
    present = {meta.name(each): each for each in registry.list(API_SERVICES)}
    ctx = Context(skip_admission=True)
    jobs = [
        _quietly(registry.create(API_SERVICES, made, ctx), 409) for name, made in target.items() if name not in present
    ]
    for name, found in present.items():
        if name not in target and meta.labels(found).get(AUTOMANAGED) in (_ON_START, _ALWAYS):
            jobs.append(_quietly(registry.delete(API_SERVICES, None, name, ctx), 404))
    await asyncio.gather(*jobs)


async def _quietly(job: Awaitable[Obj], expected: int) -> None:
    """Wait for a write; that another writer did the same is fine."""
    try:
        await job
    except StatusError as error:
        if error.code != expected:
            raise
