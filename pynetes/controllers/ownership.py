"""Who controls what: adoption of orphans that match, release of those that no longer do.

The decision is `sort_claims`; `Claimer` carries it out. Adopting asks the API server first whether the owner still
lives, because the cache may not know yet that it is being deleted, and adopting into death would delete the orphan.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pynetes.client.client import Client
from pynetes.client.informer import Indexer, Informer
from pynetes.controllers.controller import controller_key
from pynetes.machinery import meta, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType


@dataclass(slots=True)
class Claims:
    """What to do with the objects that an owner's selector or an owner reference points at."""

    owned: list[Obj] = field(default_factory=list)
    adopt: list[Obj] = field(default_factory=list)
    release: list[Obj] = field(default_factory=list)


def sort_claims(
    owner: Obj,
    selector: selectors.LabelSelector,
    objects: Iterable[Obj],
    accept: Callable[[Obj], bool] = lambda obj: True,
) -> Claims:
    """Sort `objects` by whether they are `owner`'s, could be, or should be no more."""
    claims = Claims()
    for obj in objects:
        reference = meta.controller_of(obj)
        matches = selector.matches(meta.labels(obj)) and accept(obj)
        if reference is not None:
            if reference["uid"] != meta.uid(owner):
                continue
            if matches:
                claims.owned.append(obj)
            elif not meta.is_deleting(owner):
                claims.release.append(obj)
        elif matches and not meta.is_deleting(owner) and not meta.is_deleting(obj):
            claims.adopt.append(obj)
    return claims


class Claimer:
    """Adopts and releases objects of one resource for owners of another."""

    def __init__(self, client: Client, resource: ResourceType | str, owner_resource: ResourceType | str) -> None:
        self._client = client
        self._resource = resource
        self._owner_resource = owner_resource

    async def claim(
        self,
        owner: Obj,
        selector: selectors.LabelSelector,
        objects: Iterable[Obj],
        accept: Callable[[Obj], bool] = lambda obj: True,
    ) -> list[Obj]:
        """All of `objects` that are the owner's once orphans are adopted and strangers released."""
        claims = sort_claims(owner, selector, objects, accept)
        for obj in claims.release:
            await self._patch_references(obj, [{"$patch": "delete", "uid": meta.uid(owner)}])
        if claims.adopt and await self._may_adopt(owner):
            for obj in claims.adopt:
                adopted = await self._patch_references(obj, [meta.owner_reference(owner)])
                if adopted is not None:
                    claims.owned.append(adopted)
        return claims.owned

    async def _may_adopt(self, owner: Obj) -> bool:
        try:
            live = await self._client.get(self._owner_resource, meta.name(owner), meta.namespace(owner))
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return meta.uid(live) == meta.uid(owner) and not meta.is_deleting(live)

    async def _patch_references(self, obj: Obj, references: list[Obj]) -> Obj | None:
        """Merge `references` into the object's owners; None if it is gone or another by now."""
        patch = {"metadata": {"uid": meta.uid(obj), "ownerReferences": references}}
        try:
            return await self._client.patch(
                self._resource, meta.name(obj), patch, meta.namespace(obj), type="strategic"
            )
        except StatusError as error:
            if error.code == 404 or (error.code == 422 and references[0].get("$patch")):
                return None
            raise


def by_controller(obj: Obj) -> list[str]:
    """The indexer that `candidates` needs: the controlling owner's UID, or `orphan/<namespace>`."""
    reference = meta.controller_of(obj)
    return [reference["uid"] if reference else f"orphan/{meta.namespace(obj)}"]


CONTROLLER_INDEX: dict[str, Indexer] = {"controller": by_controller}


def candidates(informer: Informer, owner: Obj) -> list[Obj]:
    """Every cached object that `owner` controls or could adopt; it costs nothing for those of others."""
    owned = informer.by_index("controller", meta.uid(owner))
    return owned + informer.by_index("controller", f"orphan/{meta.namespace(owner)}")


def owner_keys(
    owners: Informer, kind: str, selects: Callable[[Obj, Obj], bool]
) -> Callable[[Obj | None, Obj | None], list[str]]:
    """A handler for what `owners` control: the owner before and after; for an orphan, all owners that select it."""

    def keys(old: Obj | None, new: Obj | None) -> list[str]:
        found: list[str] = []
        for obj in (old, new):
            if obj is not None:
                key = controller_key(obj, kind, owners.get)
                if key is not None and key not in found:
                    found.append(key)
        subject = new or old
        if subject is not None and meta.controller_of(subject) is None and not meta.is_deleting(subject):
            labels_same = old is not None and new is not None and meta.labels(old) == meta.labels(new)
            if not labels_same or (old is not None and meta.controller_of(old) is not None):
                space = meta.namespace(subject)
                found += [meta.key(owner) for owner in owners.list(space) if selects(owner, subject)]
        return found

    return keys
