"""Admission: what may be written, and what is filled in on the way.

`chain` is the way in: the plugins in upstream's order, each a module of its own. A plugin gets the `Attributes` of a
write. `admit` runs first through all plugins and may change `attributes.obj`; after defaults and schema, `validate`
runs through all and may only refuse. Both refuse by raising `StatusError`.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pynetes.apiserver.request import LOOPBACK, UserInfo
from pynetes.machinery import errors
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True)
class Attributes:
    """One write (or connection) as admission sees it.

    `rt` is the resource in the version of the request; `obj` the new object (None for DELETE), `old` the stored one
    (None for CREATE). For subresources that speak another kind (a Binding, an Eviction, options of a CONNECT) `obj` is
    of that kind. `name` may be empty on CREATE with generateName. Plugins append to `warnings` and
    `audit_annotations`.
    """

    operation: Operation
    rt: ResourceType
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    obj: Obj | None = None
    old: Obj | None = None
    user: UserInfo = LOOPBACK
    dry_run: bool = False
    options: Obj = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    audit_annotations: dict[str, str] = field(default_factory=dict)
    changed_by_webhook: bool = False
    reinvoked: bool = False
    webhook_outcomes: dict[str, Obj] = field(default_factory=dict)  # the object as each webhook left it

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, or `pods` in the core group."""
        return self.rt.group_resource

    def is_for(self, group_resource: str, *operations: Operation, subresource: str = "") -> bool:
        """Whether this is one of `operations` on the given resource (and subresource)."""
        return (
            self.rt.group_resource == group_resource
            and self.subresource == subresource
            and self.operation in operations
        )

    def forbidden(self, message: str) -> errors.StatusError:
        """The refusal of this write, as upstream words it."""
        name = self.name
        if not name and self.obj is not None:
            metadata = self.obj.get("metadata") or {}
            name = metadata.get("name") or metadata.get("generateName", "")
        return errors.forbidden(self.rt.group, self.rt.plural, name, message)


class Plugin:
    """One admission plugin; override what it takes part in."""

    name = ""

    def start(self, server: "ApiServer") -> None:
        """Begin what the plugin follows; called once, inside the event loop."""

    async def stop(self) -> None:
        """End what `start` began."""

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        """Change `attributes.obj`, or refuse by raising StatusError."""

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        """Refuse by raising StatusError."""
