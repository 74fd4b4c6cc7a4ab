"""Serving the API versions that upstream has removed (`apis.legacy` says which, and how they differ).

A `LegacyResource` reads what the current version stored and converts it; a write is converted and goes the current
version's way, so admission, allocation, validation and field owners know one version only. `--runtime-config` switches
them off: `api/legacy=false` all, `extensions/v1beta1=false` one.
"""

import copy
from collections.abc import Iterable

from pynetes.apis import legacy
from pynetes.apis.legacy import pod_security_policy
from pynetes.apis.legacy.row import Legacy
from pynetes.apis.legacy.strategy import LegacyStrategy
from pynetes.apiserver.registry import Registry, Resource
from pynetes.machinery.meta import Obj

ALL = "api/legacy"


class LegacyResource(Resource):
    """One kind in an old version, over the resource that it is today."""

    __slots__ = ("_legacy",)

    def __init__(self, row: Legacy, current: Resource) -> None:
        rt = row.resource_from(current.rt)
        super().__init__(rt, LegacyStrategy(row, rt, current.strategy), current.stored)
        self._legacy = row
        self.converts = True
        self.written_as = _writer(row, current)

    def from_stored(self, obj: Obj) -> Obj:
        """A stored object as this version has it."""
        return self._legacy.to_old(obj)

    def to_stored(self, obj: Obj) -> Obj:
        """An object of this version as it is written and stored."""
        return self._legacy.to_new(obj)


def _writer(row: Legacy, current: Resource) -> Resource:
    """The current version's resource, as far as the old version does not behave otherwise."""
    if row.writer is not None:
        return Resource(current.rt, row.writer(current.rt), current.stored)
    if row.orphans:
        strategy = copy.copy(current.strategy)
        strategy.default_propagation = "Orphan"
        return Resource(current.rt, strategy, current.stored)
    return current


def serve(registry: Registry, runtime_config: Iterable[str] = ()) -> None:
    """Serve every old version that is not switched off."""
    switches = dict(_switch(entry) for entry in runtime_config)
    legacy.install()
    policies = pod_security_policy.RESOURCE
    current = {(resource.rt.api_version, resource.rt.kind): resource for resource in registry}
    modern = Resource(policies, pod_security_policy.PodSecurityPolicyStrategy(policies), policies)
    current[policies.api_version, policies.kind] = modern
    if enabled(policies.api_version, switches):
        registry.serve(modern)
    for row in legacy.TABLE:
        if enabled(row.api_version, switches):
            registry.serve(LegacyResource(row, current[row.of, row.kind]))


def enabled(api_version: str, switches: dict[str, bool]) -> bool:
    """Whether an old version is served: as it is said itself, else as all old ones are, else yes."""
    return switches.get(api_version, switches.get(ALL, True))


def _switch(entry: str) -> tuple[str, bool]:
    key, _, value = entry.partition("=")
    return key.strip(), value.strip().lower() not in ("false", "0")
