"""One served version of a custom resource.

Objects are stored in the definition's storage version at the time of their write; which version that was, each says
itself. Without a conversion webhook versions differ only in name, so reading another version is setting `apiVersion`,
pruning and defaulting by its schema, as upstream does on every read. Where a read would change nothing (one version,
no defaults, a schema that never changed) the stored bytes are served as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pynetes.apis.apiextensions import shape
from pynetes.apis.apiextensions.custom_resource import CustomResourceStrategy
from pynetes.apiserver.admission.webhook_client import WebhookClient
from pynetes.apiserver.crd.conversion import WebhookConversion
from pynetes.apiserver.registry import Resource
from pynetes.machinery import meta, scheme, wire
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.openapi import CustomType
from pynetes.machinery.resources import FULL, STATUS, ResourceType, Subresource
from pynetes.storage.interface import Record

_META = "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_EVERY_OBJECT: Obj = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": _META}}


class CustomResource(Resource):
    """A version of a definition, as the verbs see it."""

    __slots__ = ("_conversion", "_siblings", "_versions")

    def __init__(self, definition: Obj, version: Obj, conversion: WebhookConversion | None = None) -> None:
        rt = resource_type(definition, version)
        strategy = CustomResourceStrategy(rt, version)
        super().__init__(rt, strategy, storage_type(definition), CustomType(rt, strategy.schema or None))
        self.terminating = meta.is_condition_true(definition, "Terminating")
        list_kind = _names(definition).get("listKind") or rt.list_kind
        self.list_head = f'{{"kind":"{list_kind}","apiVersion":"{rt.api_version}","metadata":'.encode()
        self.schema = scheme.from_openapi(_typed(strategy.schema, is_resource=True), rt.kind)
        several = len(definition["spec"].get("versions") or []) > 1
        changed = definition["metadata"].get("generation", 1) > 1
        self.converts = several or changed or shape.has_defaults(strategy.schema)
        self.converts_elsewhere = conversion is not None and several
        self._conversion = conversion
        self._siblings: list[CustomResource] = [self]
        self._versions = [f"{rt.group}/{each['name']}" for each in _versions(definition) if each.get("served")]

    async def learn(self, records: Iterable[Record], written: Obj | None = None) -> None:
        """Have the webhook convert what is about to be read, and what is written to every version it is read in."""
        if self._conversion is None:
            return
        await self._conversion.learn([wire.decode(record.value) for record in records], self.rt.api_version)
        if written is not None:
            await self._conversion.learn([written], self.stored.api_version)
            kept = self._conversion.converted(written, self.stored.api_version)
            for api_version in self._versions:
                await self._conversion.learn([kept], api_version)

    def fields(self, obj: Obj) -> dict[str, str]:
        """The selectable fields of every version, under that version's name: each has the object in its own form."""
        selecting = [each for each in self._siblings if each._own_fields]
        found = {name: value for name, value in self.strategy.fields(obj).items() if name.startswith("metadata.")}
        for each in selecting:
            shown = obj if each is self else each.from_stored(meta.deep_copy(self.to_stored(obj)))
            found |= {each._kept_as(name): value for name, value in each.strategy.selectable(shown).items()}
        return found

    @property
    def fields_of(self) -> Callable[[Record], Mapping[str, str]] | None:
        """Those kept for this version; worked out where the record was written before they were selectable."""
        return self._fields_of if self._own_fields else None

    def _fields_of(self, record: Record) -> Mapping[str, str]:
        own = {name: record.fields.get(self._kept_as(name)) for name in self._own_fields}
        kept = {name: value for name, value in own.items() if value is not None}
        if len(kept) == len(own):
            return {**record.fields, **kept}
        try:
            return self.strategy.fields(self.decode(record))
        except StatusError:  # nobody can say what the record would be in this version
            return record.fields

    @property
    def _own_fields(self) -> list[str]:
        return [name for name in self.supported_fields if not name.startswith("metadata.")]

    def _kept_as(self, name: str) -> str:
        return f"{self.rt.version}|{name}"

    def from_stored(self, obj: Obj) -> Obj:
        """A stored object as this version has it."""
        if self.converts:
            if self._conversion is not None:
                obj = self._conversion.converted(obj, self.rt.api_version)
            obj["apiVersion"] = self.rt.api_version
            shape.prune(obj, self.strategy_schema, is_resource=True)
            self.strategy.default(obj)
        return obj

    def to_stored(self, obj: Obj) -> Obj:
        """An object of this version as it is stored."""
        if self._conversion is not None:
            return self._conversion.converted(obj, self.stored.api_version)
        return {**obj, "apiVersion": self.stored.api_version}

    @property
    def strategy_schema(self) -> Obj:
        """The version's schema as it was written."""
        assert isinstance(self.strategy, CustomResourceStrategy)
        return self.strategy.schema


def _typed(schema: Obj, *, is_resource: bool = False) -> Obj:
    """A schema in which every resource, the whole and those embedded in it, has what all have."""
    made = dict(schema)
    properties = {name: _typed(inner) for name, inner in (schema.get("properties") or {}).items()}
    if is_resource or schema.get("x-kubernetes-embedded-resource"):
        properties |= _EVERY_OBJECT
    if properties:
        made["properties"] = properties
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), dict):
            made[field] = _typed(schema[field])
    return made


def served(definition: Obj, client: WebhookClient) -> list[CustomResource]:
    """All versions of a definition that are served."""
    by_webhook = (definition["spec"].get("conversion") or {}).get("strategy") == "Webhook"
    conversion = WebhookConversion(definition, client) if by_webhook else None
    made = [
        CustomResource(definition, version, conversion) for version in _versions(definition) if version.get("served")
    ]
    for each in made:
        each._siblings = made
    return made


def storage_type(definition: Obj) -> ResourceType:
    """The version that objects are stored in."""
    stored = next(version for version in _versions(definition) if version.get("storage"))
    return resource_type(definition, stored)


def resource_type(definition: Obj, version: Obj) -> ResourceType:
    """How the objects of one version are addressed, by the names that were accepted."""
    spec, names = definition["spec"], _names(definition)
    group, kind = spec["group"], names["kind"]
    subresources: list[Subresource] = []
    wanted: dict[str, Any] = version.get("subresources") or {}
    if wanted.get("scale") is not None:
        subresources.append(Subresource("scale", "autoscaling", "v1", "Scale", STATUS))
    if wanted.get("status") is not None:
        subresources.append(Subresource("status", group, version["name"], kind, STATUS))
    return ResourceType(
        group=group,
        version=version["name"],
        plural=names["plural"],
        kind=kind,
        singular=names.get("singular") or kind.lower(),
        namespaced=spec.get("scope") == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=FULL,
        subresources=tuple(subresources),
    )


def _versions(definition: Obj) -> list[Obj]:
    return definition["spec"].get("versions") or []


def _names(definition: Obj) -> Obj:
    accepted = (definition.get("status") or {}).get("acceptedNames") or {}
    return accepted if accepted.get("plural") else definition["spec"]["names"]
