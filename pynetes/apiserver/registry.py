"""What is served, and the one way to read and write it.

`Registry` maps a resource to everything the verbs need (`Resource`), and offers reading and writing without HTTP for
subresources, admission and start-up. HTTP's verbs go through the very same functions (`writes`), so a write is
defaulted, admitted, validated and recorded identically wherever it comes from. Reads give the stored bytes or, here,
the decoded object.

Allocators and the like take part in a write through `@on_write`: the hook runs after defaults and admission, may
change the object, and may return a `Finish` that is told whether the write was committed.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pynetes.apis.registry import strategy_for
from pynetes.apis.strategy import Strategy
from pynetes.apis.versions import convert, hub
from pynetes.apiserver.request import LOOPBACK, UserInfo
from pynetes.machinery import resources, scheme, wire
from pynetes.machinery.meta import Obj
from pynetes.machinery.openapi import CustomType
from pynetes.machinery.patches.fieldset import FieldSet
from pynetes.machinery.resources import ResourceType
from pynetes.machinery.schema import Schema
from pynetes.storage.interface import Record, Store, Watch

if TYPE_CHECKING:
    from pynetes.apiserver.admission import Attributes
    from pynetes.apiserver.main import ApiServer

Operation = Literal["CREATE", "UPDATE", "DELETE"]


@dataclass(slots=True)
class Context:
    """On whose behalf and under which options a write happens. `warnings` collects what the caller should be told."""

    user: UserInfo = LOOPBACK
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    warnings: list[str] = field(default_factory=list)
    skip_admission: bool = False
    options: Obj = field(default_factory=dict)


class Admission(Protocol):
    """The admission chain: `admit` may change `attributes.obj`, `validate` may only refuse. Both raise StatusError."""

    async def admit(self, attributes: "Attributes", server: "ApiServer") -> None: ...

    async def validate(self, attributes: "Attributes", server: "ApiServer") -> None: ...


Finish = Callable[[bool], Awaitable[None]]
"""Called after a write with whether it was committed."""

WriteHook = Callable[["Registry", Operation, Obj | None, Obj | None, Context], Awaitable[Finish | None]]
"""`hook(registry, operation, new, old, ctx)`: `new` is None for a DELETE, `old` for a CREATE."""

_write_hooks: dict[str, list[WriteHook]] = {}


def on_write(group_resource: str) -> Callable[[WriteHook], WriteHook]:
    """Register the decorated hook for every write of `group_resource` ("services", "deployments.apps")."""

    def register(hook: WriteHook) -> WriteHook:
        _write_hooks.setdefault(group_resource, []).append(hook)
        return hook

    return register


class Resource:
    """One served resource with all that the verbs ask of it, worked out once."""

    __slots__ = (
        "converts",
        "converts_elsewhere",
        "custom",
        "definition",
        "hooks",
        "list_head",
        "rt",
        "schema",
        "stored",
        "strategy",
        "supported_fields",
        "terminating",
        "written_as",
    )

    def __init__(
        self, rt: ResourceType, strategy: Strategy, stored: ResourceType, custom: CustomType | None = None
    ) -> None:
        self.custom = custom
        self.rt = rt
        self.strategy = strategy
        self.stored = stored
        self.converts = stored != rt
        self.definition = None if custom is not None else scheme.definition_of(rt.api_version, rt.kind)
        self.schema: str | Schema | None = self.definition
        self.terminating = False
        self.converts_elsewhere = False
        self.written_as: Resource | None = None  # where writes are another version's business (see `legacy`)
        self.hooks = _write_hooks.get(rt.group_resource, [])
        self.list_head = f'{{"kind":"{rt.kind}List","apiVersion":"{rt.api_version}","metadata":'.encode()
        self.supported_fields = (
            frozenset(strategy.fields({"metadata": {}}))
            | {"metadata.name"}
            | ({"metadata.namespace"} if rt.namespaced else set())
        )

    def prefix(self, namespace: str = "") -> str:
        """Where the store keeps the objects of this resource, or those of one namespace."""
        base = f"/{self.stored.group or 'core'}/{self.stored.plural}/"
        return f"{base}{namespace}/" if namespace else base

    def key(self, namespace: str, name: str) -> str:
        """Where the store keeps one object."""
        if self.rt.namespaced:
            return f"/{self.stored.group or 'core'}/{self.stored.plural}/{namespace}/{name}"
        return f"/{self.stored.group or 'core'}/{self.stored.plural}/{name}"

    def decode(self, record: Record) -> Obj:
        """The object in a record, in this resource's version."""
        obj = wire.decode(record.value)
        return self.from_stored(obj) if self.converts else obj

    def fields(self, obj: Obj) -> dict[str, str]:
        """What field selectors may ask of an object of this resource, as it is kept beside the stored value."""
        return self.strategy.fields(obj)

    @property
    def fields_of(self) -> "Callable[[Record], Mapping[str, str]] | None":
        """How to tell the fields of a record, where they are not simply those that are kept beside it."""
        return None

    def ignored(self, subresource: str) -> FieldSet | None:
        """The fields that a write through an endpoint cannot own; None for the usual ones.

        A custom kind without a status subresource has nothing at `status` that is not the writer's own.
        """
        return {} if self.custom is not None and not subresource and not self.strategy.has_status else None

    async def learn(self, records: Iterable[Record], written: Obj | None = None) -> None:
        """Before reading these records, or storing an object, where `converts_elsewhere`: ask whoever converts."""

    def from_stored(self, obj: Obj) -> Obj:
        """A stored object in this resource's version."""
        return convert(obj, self.rt.api_version) if self.converts else obj

    def to_stored(self, obj: Obj) -> Obj:
        """An object of this resource's version as it is stored."""
        return convert(obj, self.stored.api_version) if self.converts else obj

    def reread(self, value: bytes) -> bytes:
        """The client's bytes of the stored version in this one."""
        return wire.encode(self.from_stored(wire.decode(value)))


def version_priority(version: str) -> tuple[int, int, int]:
    """Sorts API versions as upstream does: v2 before v1 before v2beta1 before v1beta2 before v1alpha1."""
    match = scheme_version(version)
    return match if match is not None else (3, 0, 0)


def scheme_version(version: str) -> tuple[int, int, int] | None:
    """(stability, -major, -minor) of `v1`, `v1beta2`, `v2alpha1`, or None for other strings."""
    if not version.startswith("v"):
        return None
    for rank, word in ((1, "beta"), (2, "alpha")):
        major, found, minor = version[1:].partition(word)
        if found:
            return (rank, -int(major), -int(minor)) if major.isdigit() and minor.isdigit() else None
    return (0, -int(version[1:]), 0) if version[1:].isdigit() else None


class Registry:
    """The resources this server serves, over one store."""

    def __init__(self, store: Store, served: Iterable[ResourceType] = resources.BUILTIN) -> None:
        self.store = store
        self.server: ApiServer | None = None
        self.admission: Admission | None = None
        self.changes = 0
        self.listeners: list[Callable[[], None]] = []
        self.watches: dict[Watch, str] = {}
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        for rt in served:
            self.add(rt, strategy_for(rt), stored=hub(rt))

    def add(
        self,
        rt: ResourceType,
        strategy: Strategy,
        stored: ResourceType | None = None,
        custom: CustomType | None = None,
    ) -> Resource:
        """Serve a resource from now on (again, with another strategy, if it was served before)."""
        return self.serve(Resource(rt, strategy, stored or rt, custom))

    def serve(self, resource: Resource) -> Resource:
        """Serve a resource from now on, in place of whatever was served at its path."""
        rt = resource.rt
        self._by_path[rt.group, rt.version, rt.plural] = resource
        self.changed()
        return resource

    def remove(self, rt: ResourceType) -> None:
        """Serve a resource no longer."""
        self._by_path.pop((rt.group, rt.version, rt.plural), None)
        self.changed()

    def changed(self) -> None:
        """What is served is not what it was: discovery and schemas are made again, listeners are told."""
        self.changes += 1
        for listener in self.listeners:
            listener()

    def end_watches(self, prefix: str = "") -> None:
        """End every watch (below a prefix) in good order, as when the server stops or a kind changes."""
        for watch in [watch for watch, watched in self.watches.items() if watched.startswith(prefix)]:
            watch.close()

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_path.values()))

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at a path, or None."""
        return self._by_path.get((group, version, plural))

    def resource(self, rt: ResourceType) -> Resource:
        """The served resource for a type; KeyError if it is not served."""
        return self._by_path[rt.group, rt.version, rt.plural]

    def get(self, rt: ResourceType, namespace: str | None, name: str) -> Obj | None:
        """One object as last committed, or None. The caller owns it."""
        resource = self.resource(rt)
        record = self.store.get(resource.key(namespace or "", name))
        return None if record is None else resource.decode(record)

    def list(self, rt: ResourceType, namespace: str | None = None, selector: "Matcher | None" = None) -> "list[Obj]":
        """Every object (of one namespace) whose labels `selector` matches, as last committed."""
        resource = self.resource(rt)
        page = self.store.list(resource.prefix(namespace or ""))
        return [
            resource.decode(record) for record in page.records if selector is None or selector.matches(record.labels)
        ]

    async def create(self, rt: ResourceType, obj: Obj, ctx: Context, namespace: str | None = None) -> Obj:
        """Create an object (in `namespace`, or the one it names) and return it as stored."""
        from pynetes.apiserver import writes

        resource = self.resource(rt)
        where = namespace if namespace is not None else obj.get("metadata", {}).get("namespace", "")
        return wire.decode(await writes.create(self, resource, where, obj, ctx))

    async def update(
        self,
        rt: ResourceType,
        namespace: str | None,
        name: str,
        change: Callable[[Obj], Obj | None],
        ctx: Context,
        subresource: str = "",
    ) -> Obj:
        """Read, change and write one object, again if another writer came between.

        `change` gets a copy of its own; it may alter it in place (and return None) or return the new object.
        """
        from pynetes.apiserver import writes

        async def changed(old: Obj | None) -> Obj:
            if old is None:
                raise writes.not_found(self.resource(rt), name)
            return change(old) or old

        result = await writes.update(
            self, self.resource(rt), namespace or "", name, changed, ctx, subresource=subresource, retry=True
        )
        return wire.decode(result.value)

    async def delete(
        self, rt: ResourceType, namespace: str | None, name: str, ctx: Context, options: Obj | None = None
    ) -> Obj:
        """Delete an object under `options` (a DeleteOptions); returns its last state."""
        from pynetes.apiserver import writes

        result = await writes.delete(self, self.resource(rt), namespace or "", name, options or {}, ctx)
        return result.obj

    async def admit(self, attributes: "Attributes", ctx: Context) -> None:
        """Run mutating admission, unless the context skips admission."""
        if self.admission is not None and not ctx.skip_admission:
            assert self.server is not None
            await self.admission.admit(attributes, self.server)

    async def validate(self, attributes: "Attributes", ctx: Context) -> None:
        """Run validating admission, unless the context skips admission."""
        if self.admission is not None and not ctx.skip_admission:
            assert self.server is not None
            await self.admission.validate(attributes, self.server)


class Matcher(Protocol):
    """A label selector, as `machinery.selectors` makes them."""

    def matches(self, labels: Mapping[str, Any]) -> bool: ...
