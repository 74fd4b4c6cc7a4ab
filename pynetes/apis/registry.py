"""Which strategy a resource has.

Each group's package offers `STRATEGIES`, a table from `group_resource` (`deployments.apps`, `pods`) to a strategy
class; `group_resource/version` names an older version that differs. A resource that no table names gets the generic
`Strategy`.
"""

import functools
import importlib
from collections.abc import Iterator

from pynetes.apis.strategy import Strategy
from pynetes.machinery.resources import ResourceType

GROUPS = (
    "core",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "networking",
    "discovery",
    "rbac",
    "storage",
    "scheduling",
    "coordination",
    "certificates",
    "node",
    "events",
    "admissionregistration",
    "apiextensions",
    "apiregistration",
    "flowcontrol",
    "resource",
    "storagemigration",
)


@functools.cache
def strategy_for(resource: ResourceType) -> Strategy:
    """The one strategy of a resource."""
    classes, name = _classes(), resource.group_resource
    return classes.get(f"{name}/{resource.version}", classes.get(name, Strategy))(resource)


@functools.cache
def _classes() -> dict[str, type[Strategy]]:
    return dict(_tables())


def _tables() -> Iterator[tuple[str, type[Strategy]]]:
    for group in GROUPS:
        yield from importlib.import_module(f"pynetes.apis.{group}").STRATEGIES.items()
