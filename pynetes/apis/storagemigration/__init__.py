"""The storagemigration group: rewriting every object of a resource in its newest stored version."""

from typing import Any

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj


class StorageVersionMigrationStrategy(Strategy):
    """A migration. What it migrates is said once."""

    tracks_generation = True
    allow_unconditional_update = False
    columns = (printing.NAME, column("Resource", description="The resource whose objects are rewritten."))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        resource = printing.spec(obj).get("resource") or {}
        group, plural = resource.get("group") or "", resource.get("resource") or ""
        if group:
            errors.check("spec.resource.group", group, names.dns1123_subdomain(group))
        if errors.present("spec.resource.resource", plural):
            errors.check("spec.resource.resource", plural, names.dns1035_label(plural))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("spec", printing.spec(new), printing.spec(old), checks.IMMUTABLE)

    def row(self, obj: Obj) -> list[Any]:
        resource = printing.spec(obj).get("resource") or {}
        group = resource.get("group")
        return [meta.name(obj), f"{resource.get('resource', '')}{f'.{group}' if group else ''}"]


STRATEGIES: dict[str, type[Strategy]] = {
    "storageversionmigrations.storagemigration.k8s.io": StorageVersionMigrationStrategy,
}
