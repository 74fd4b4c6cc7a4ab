"""The graph of who owns whom, over every object in the cluster. Pure bookkeeping: events in, work out.

A node stands for an object by its UID. An owner that has not been seen is a *virtual* node: somebody refers to it, and
whether it exists must be found out. The graph holds the informers' own objects, not copies.

Work that comes out: `("delete", uid)`, see whether that object should go (or can finish going); `("orphan", uid)`, set
that object's dependents free before it goes; `("look", uid)`, find out whether an owner exists.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

Work = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reference:
    """Where to look for an owner that was never seen."""

    api_version: str
    kind: str
    namespace: str
    name: str


@dataclass(slots=True)
class Node:
    """An object, or with `obj` None an owner that is only known by a reference to it."""

    uid: str
    resource: ResourceType | None = None
    obj: Obj | None = None
    reference: Reference | None = None
    dependents: set[str] = field(default_factory=set)

    @property
    def is_virtual(self) -> bool:
        return self.obj is None

    @property
    def owners(self) -> list[Obj]:
        return meta.owner_references(self.obj) if self.obj else []

    @property
    def is_deleting(self) -> bool:
        return self.obj is not None and meta.is_deleting(self.obj)

    @property
    def waits_for_dependents(self) -> bool:
        """Whether it is being deleted in the foreground."""
        return self.is_deleting and FOREGROUND in finalizers(self.obj)

    @property
    def waits_for_orphaning(self) -> bool:
        """Whether it is being deleted and its dependents are to stay."""
        return self.is_deleting and ORPHAN in finalizers(self.obj)


def finalizers(obj: Obj | None) -> list[str]:
    """`metadata.finalizers`."""
    return (obj or {}).get("metadata", {}).get("finalizers") or []


def blocks(obj: Obj, owner_uid: str) -> bool:
    """Whether `obj` keeps that owner from finishing its foreground deletion."""
    return any(ref["uid"] == owner_uid and ref.get("blockOwnerDeletion") for ref in meta.owner_references(obj))


def _names(node: Node, reference: Obj, owner: Node) -> bool:
    """Whether the reference in `node` leads to `owner`, as far as is known, or has no more than its UID."""
    if owner.obj is None or owner.resource is None:
        place, namespaced = owner.reference, True
    else:
        metadata = owner.obj["metadata"]
        place = Reference("", owner.resource.kind, metadata.get("namespace", ""), metadata["name"])
        namespaced = bool(place.namespace)
    if place is None or (place.kind, place.name) != (reference["kind"], reference["name"]):
        return False
    return not namespaced or place.namespace == meta.namespace(node.obj or {})


def _owned(node: Node, owner: Node) -> bool:
    """Whether the reference by which `node` claims `owner` leads to it."""
    return all(_names(node, reference, owner) for reference in node.owners if reference["uid"] == owner.uid)


class Graph:
    """All nodes, by UID."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def get(self, uid: str) -> Node | None:
        return self.nodes.get(uid)

    def dependents(self, node: Node) -> Iterator[Node]:
        """The nodes that name `node` as an owner."""
        for uid in node.dependents:
            found = self.nodes.get(uid)
            if found is not None:
                yield found

    def blocking(self, node: Node) -> list[Node]:
        """The dependents that `node`'s foreground deletion waits for."""
        return [each for each in self.dependents(node) if each.obj is not None and blocks(each.obj, node.uid)]

    def upsert(self, resource: ResourceType, obj: Obj) -> list[Work]:
        """An object appeared or changed."""
        uid = meta.uid(obj)
        node = self.nodes.get(uid)
        if node is None:
            node = self.nodes[uid] = Node(uid)
        waited, orphaned = node.waits_for_dependents, node.waits_for_orphaning
        before = {ref["uid"]: ref for ref in node.owners}
        known = not node.is_virtual
        node.resource, node.obj, node.reference = resource, obj, None
        after = {ref["uid"]: ref for ref in node.owners}
        work: list[Work] = []
        for owner_uid in before.keys() - after.keys():
            work += self._detach(node, owner_uid)
        for owner_uid, reference in after.items():
            if owner_uid not in before:
                work += self._attach(node, reference)
            elif before[owner_uid].get("blockOwnerDeletion") and not reference.get("blockOwnerDeletion"):
                work += self._wake_owner(owner_uid)
        if known and before.keys() - after.keys() and after:
            work.append(("delete", uid))
        if not known:
            work += [("delete", each.uid) for each in self.dependents(node) if not _owned(each, node)]
        if node.waits_for_orphaning and not orphaned:
            work.append(("orphan", uid))
        if node.waits_for_dependents and not waited:
            work += [("delete", dependent) for dependent in node.dependents]
            work.append(("delete", uid))
        return work

    def remove(self, uid: str) -> list[Work]:
        """An object is gone: those it owned may go too, those that waited for it may finish."""
        node = self.nodes.pop(uid, None)
        if node is None:
            return []
        work: list[Work] = [("delete", dependent) for dependent in node.dependents]
        for reference in node.owners:
            work += self._detach(node, reference["uid"])
        return work

    def _attach(self, node: Node, reference: Obj) -> list[Work]:
        """Record an owner; one never seen is to be looked for, one that is on its way takes the newcomer along."""
        owner = self.nodes.get(reference["uid"])
        if owner is None:
            place = Reference(
                reference["apiVersion"], reference["kind"], meta.namespace(node.obj or {}), reference["name"]
            )
            self.nodes[reference["uid"]] = Node(reference["uid"], reference=place, dependents={node.uid})
            return [("look", reference["uid"])]
        owner.dependents.add(node.uid)
        return [("delete", node.uid)] if owner.waits_for_dependents or not _names(node, reference, owner) else []

    def _detach(self, node: Node, owner_uid: str) -> list[Work]:
        owner = self.nodes.get(owner_uid)
        if owner is None:
            return []
        owner.dependents.discard(node.uid)
        if owner.is_virtual and not owner.dependents:
            del self.nodes[owner_uid]
            return []
        return self._wake_owner(owner_uid)

    def _wake_owner(self, owner_uid: str) -> list[Work]:
        owner = self.nodes.get(owner_uid)
        return [("delete", owner_uid)] if owner is not None and owner.waits_for_dependents else []


@dataclass(slots=True)
class Owners:
    """An object's owner references by what has become of the owner."""

    solid: list[Obj] = field(default_factory=list)
    dangling: list[Obj] = field(default_factory=list)
    waiting: list[Obj] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an object: nothing, `release` it from owners, or delete it by `policy` after `unblock`ing."""

    release: tuple[str, ...] = ()
    policy: str | None = None
    unblock: bool = False


def judge(obj: Obj, owners: Owners, dependents: Iterable[Node]) -> Verdict:
    """The fate of an object, given its owners' state.

    One living owner keeps it, and it is released from the others. Without any it goes: in the foreground if an owner
    waits for it and it has dependents itself (who then go first), else as its own finalizers ask.
    """
    if owners.solid:
        return Verdict(release=tuple(ref["uid"] for ref in (*owners.dangling, *owners.waiting)))
    if not owners.dangling and not owners.waiting:
        return Verdict()
    mine = list(dependents)
    if owners.waiting and mine:
        # A dependent that waits for us while we wait for it is a circle; dropping the block breaks it.
        return Verdict(policy="Foreground", unblock=any(each.waits_for_dependents for each in mine))
    if ORPHAN in finalizers(obj):
        return Verdict(policy="Orphan")
    return Verdict(policy="Foreground" if FOREGROUND in finalizers(obj) else "Background")
