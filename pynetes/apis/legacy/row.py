"""One row of the table of old versions: a kind as it was called and shaped once, and what it is today."""

import dataclasses
from dataclasses import dataclass, field

from pynetes.apis.legacy.changes import Change
from pynetes.apis.legacy.defaults import Default
from pynetes.apis.legacy.shape import Edit
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, resources
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType, Subresource


@dataclass(frozen=True)
class Legacy:
    """A kind in a version that upstream removed.

    `of` is the version it is written and stored as. The old version's schema is the current one with `edits`, by type
    name. `use` is what the warning recommends, where that is not `of`; an empty text recommends nothing.
    """

    api_version: str
    kind: str
    of: str
    deprecated: str
    removed: str
    changes: tuple[Change, ...] = ()
    defaults: tuple[Default, ...] = ()
    edits: dict[str, Edit] = field(default_factory=dict)
    use: str | None = None
    writer: type[Strategy] | None = None
    subresources: tuple[Subresource, ...] = ()
    """Subresources that the current version has no more."""
    orphans: bool = False
    """Whether dependents outlive a deletion in this version, unless the client says otherwise."""
    aliases: bool = True
    """Whether discovery lists its short names and categories: not where another group shows the same objects."""

    @property
    def warning(self) -> str:
        """What every client that asks for it is told, in upstream's words."""
        said = f"{self.api_version} {self.kind} is deprecated in v{self.deprecated}+, unavailable in v{self.removed}+"
        use = f"{self.of} {self.kind}" if self.use is None else self.use
        return f"{said}; use {use}" if use else said

    def resource_from(self, current: ResourceType) -> ResourceType:
        """How its objects are addressed, given how the current version's are."""
        group, _, version = self.api_version.rpartition("/")
        own = (current.group, current.version)
        subresources = tuple(
            dataclasses.replace(sub, group=group, version=version) if (sub.group, sub.version) == own else sub
            for sub in current.subresources
        )
        subresources = tuple(sorted((*subresources, *self.subresources), key=lambda sub: sub.name))
        made = dataclasses.replace(current, group=group, version=version, subresources=subresources)
        return made if self.aliases else dataclasses.replace(made, short_names=(), categories=())

    @property
    def current(self) -> ResourceType:
        """The resource it is today; only for kinds that the table of resources has."""
        found = resources.by_kind(self.of, self.kind)
        assert found is not None, f"no {self.of} {self.kind}"
        return found

    def default(self, obj: Obj) -> None:
        """Fill in, in an object of the old version, what that version fills in."""
        for each in self.defaults:
            each.fill(obj)

    def to_new(self, obj: Obj) -> Obj:
        """An object of the old version in the current one; the one given stays as it is."""
        made = meta.deep_copy(obj)
        for change in self.changes:
            change.to_new(made)
        return _renamed(made, self.of)

    def to_old(self, obj: Obj) -> Obj:
        """An object of the current version in the old one; the one given stays as it is."""
        made = meta.deep_copy(obj)
        for change in reversed(self.changes):
            change.to_old(made)
        return _renamed(made, self.api_version)


def _renamed(obj: Obj, api_version: str) -> Obj:
    if "apiVersion" in obj:
        obj["apiVersion"] = api_version
        return obj
    return {"apiVersion": api_version, **obj}
