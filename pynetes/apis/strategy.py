"""What the request pipeline knows of a kind.

The verbs are generic; a kind differs only by its `Strategy`. The base class is what most kinds need: metadata is
validated by the kind's name rule, status is dropped on create and kept on update, the spec is kept on a status update,
and the generation counts changes of everything but metadata and status. A kind overrides the hooks whose names end in
`_spec` or says what is different in a class attribute.

Order in a create:  default, prepare_create, (admission,) validate.
Order in an update: default, prepare_update, (admission,) validate_update; it validates the whole new object.
Order in a status update: default, prepare_status_update, (admission,) validate_status_update.
All of these change the object they are given; none does I/O or keeps it.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pynetes.apis import metadata, printing
from pynetes.apis.checks import Errors
from pynetes.machinery import meta, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType
from pynetes.machinery.tables import Column

ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "status"})


@dataclass(frozen=True)
class ScaleSpec:
    """Where the scale subresource finds its numbers; paths are as in a CRD's `subresources.scale`."""

    spec_replicas_path: str = ".spec.replicas"
    status_replicas_path: str = ".status.replicas"
    label_selector_path: str = ".spec.selector"


class Strategy:
    """The behaviour of one kind; see the module."""

    tracks_generation: ClassVar[bool] = False
    keeps_status_on_create: ClassVar[bool] = False
    initial_status: ClassVar[Mapping[str, Any] | None] = None
    allow_create_on_update: bool = False
    allow_unconditional_update: ClassVar[bool] = True
    default_propagation: str = "Background"
    any_finalizer: ClassVar[bool] = False
    """Whether finalizers need no domain; the kinds of upstream's add-on servers are that lenient."""
    status_keeps: ClassVar[tuple[str, ...]] = ()
    """Fields of the metadata that a status update cannot change; for most kinds it can change all."""
    columns: tuple[Column, ...] = printing.NAME_AND_CREATED
    scale: ScaleSpec | None = None
    deprecated: str = ""
    """What to warn every client of that asks for this resource at all."""

    def __init__(self, resource: ResourceType) -> None:
        self.resource = resource
        self.has_status = any(sub.name == "status" for sub in resource.subresources)

    # What kinds override.

    @staticmethod
    def name_check(text: str) -> list[str]:
        """What is wrong with a name of this kind."""
        return names.dns1123_subdomain(text)

    def receive(self, obj: Obj) -> list[str]:
        """Give an untyped object the shape of the kind, in place; returns the paths of the fields that were dropped.

        Only custom kinds are untyped when they come in.
        """
        return []

    def default(self, obj: Obj) -> None:
        """Fill in what the client left out."""

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        """The rules of the kind for a whole object, beyond its metadata."""

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        """What may not change; the new object's own rules are checked by `validate_spec`."""

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        """The rules for a status written through the status subresource."""

    def prepare_create_spec(self, obj: Obj) -> None:
        """Reset what a client may not set on create."""

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        """Reset what a client may not change on update."""

    def warnings(self, obj: Obj) -> list[str]:
        """What to tell the client in `Warning` headers about an object it wrote."""
        return []

    def row(self, obj: Obj) -> list[Any]:
        """The cells of the object's table row, one for each of `columns`."""
        return [meta.name(obj), obj.get("metadata", {}).get("creationTimestamp")]

    def row_conditions(self, obj: Obj) -> list[Obj]:
        """What the row says beyond its cells: that the object is done (`Completed`)."""
        return []

    def selectable(self, obj: Obj) -> dict[str, str]:
        """The fields a field selector may name, beyond the metadata's."""
        return {}

    # What the pipeline calls.

    def prepare_create(self, obj: Obj) -> None:
        """Reset status and generation, then the kind's own resets."""
        if self.has_status and not self.keeps_status_on_create:
            obj.pop("status", None)
        if self.initial_status is not None and "status" not in obj:
            obj["status"] = copy.deepcopy(dict(self.initial_status))
        metadata_ = obj.setdefault("metadata", {})
        metadata_.pop("generation", None)
        if self.tracks_generation:
            metadata_["generation"] = 1
        self.prepare_create_spec(obj)

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Keep status and identity as they were, and count the change."""
        metadata.inherit(new, old)
        if self.has_status:
            _copy_or_drop(new, old, "status")
        self.prepare_update_spec(new, old)
        self.count_change(new, old)

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        """Keep everything but status and metadata as it was; of the metadata, what `status_keeps` names."""
        metadata.inherit(new, old)
        for field in (new.keys() | old.keys()) - ENVELOPE:
            _copy_or_drop(new, old, field)
        for field in self.status_keeps:
            _copy_or_drop(new["metadata"], old["metadata"], field)

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """Keep what a write through another subresource may not change (`finalize`, `resize`, `approval`, …)."""
        metadata.inherit(new, old)
        self.count_change(new, old)

    def count_change(self, new: Obj, old: Obj) -> None:
        """Raise the generation if anything changed that it counts."""
        if self.tracks_generation and self.content(new) != self.content(old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def validate(self, obj: Obj) -> list[FieldError]:
        """All findings about a new object."""
        errors = metadata.validate(
            obj,
            namespaced=self.resource.namespaced,
            name_check=self.name_check,
            any_finalizer=self.any_finalizer,
        )
        self.validate_spec(errors, obj)
        return errors

    def validate_update(self, new: Obj, old: Obj) -> list[FieldError]:
        """All findings about a changed object: its own rules and those of the change."""
        errors = metadata.validate_update(new, old, any_finalizer=self.any_finalizer)
        self.validate_spec(errors, new)
        self.validate_spec_update(errors, new, old)
        return errors

    def validate_status_update(self, new: Obj, old: Obj) -> list[FieldError]:
        """All findings about a changed status."""
        errors = metadata.validate_update(new, old, any_finalizer=self.any_finalizer)
        self.validate_status(errors, new, old)
        return errors

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[FieldError]:
        """All findings about a write through another subresource."""
        return metadata.validate_update(new, old, any_finalizer=self.any_finalizer)

    def content(self, obj: Obj) -> Obj:
        """What the generation counts the changes of."""
        return {field: value for field, value in obj.items() if field not in ENVELOPE}

    def fields(self, obj: Obj) -> dict[str, str]:
        """All selectable fields of the object; a selector on any other is refused."""
        found = {"metadata.name": meta.name(obj)}
        if self.resource.namespaced:
            found["metadata.namespace"] = meta.namespace(obj)
        return found | self.selectable(obj)

    # Deletion.

    def prepare_delete(self, obj: Obj) -> None:
        """What else changes in the object when somebody asks for its deletion."""

    def graceful_delete(self, obj: Obj, grace: int | None) -> int:
        """The seconds between the delete request and the object's removal; 0 removes it at once."""
        return 0

    def mark_deleting(self, obj: Obj) -> None:
        """What else changes in the object when its deletionTimestamp is set."""

    def blocks_removal(self, obj: Obj) -> bool:
        """Whether the object must stay although its grace period is over."""
        return bool(obj.get("metadata", {}).get("finalizers"))


def _copy_or_drop(new: Obj, old: Obj, field: str) -> None:
    if field in old:
        new[field] = old[field]
    else:
        new.pop(field, None)
