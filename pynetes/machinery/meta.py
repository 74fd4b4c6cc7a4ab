"""Reading and building the metadata that every object carries.

Objects are plain dicts in the wire's own spelling. These helpers only save the reader from `.get("metadata", {})`
chains; they never check anything (that is `apis`) and never talk to anyone.
"""

import copy
import random
import uuid
from collections.abc import Mapping
from typing import Any

from pynetes.machinery import clock

Obj = dict[str, Any]

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def name(obj: Mapping[str, Any]) -> str:
    """`metadata.name`, or an empty string."""
    return obj.get("metadata", {}).get("name", "")


def namespace(obj: Mapping[str, Any]) -> str:
    """`metadata.namespace`, or an empty string for cluster-scoped objects."""
    return obj.get("metadata", {}).get("namespace", "")


def uid(obj: Mapping[str, Any]) -> str:
    """`metadata.uid`, or an empty string."""
    return obj.get("metadata", {}).get("uid", "")


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    """`metadata.labels`, never None; do not write to it."""
    return obj.get("metadata", {}).get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    """`metadata.annotations`, never None; do not write to it."""
    return obj.get("metadata", {}).get("annotations") or {}


def key(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` for cluster-scoped objects: what work queues and caches are keyed by."""
    space = namespace(obj)
    return f"{space}/{name(obj)}" if space else name(obj)


def split_key(text: str) -> tuple[str, str]:
    """The namespace (empty if there is none) and the name in a `key`."""
    space, _, short = text.rpartition("/")
    return space, short


def owner_references(obj: Mapping[str, Any]) -> list[Obj]:
    """`metadata.ownerReferences`, never None."""
    return obj.get("metadata", {}).get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> Obj | None:
    """The owner reference with `controller: true`."""
    return next((ref for ref in owner_references(obj) if ref.get("controller")), None)


def owner_reference(owner: Mapping[str, Any], *, controller: bool = True) -> Obj:
    """A reference to `owner`, which must carry apiVersion, kind and uid."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
    }
    return reference | {"controller": True, "blockOwnerDeletion": True} if controller else reference


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Whether deletion has begun (`metadata.deletionTimestamp` is set)."""
    return bool(obj.get("metadata", {}).get("deletionTimestamp"))


def get_condition(obj: Mapping[str, Any], kind: str) -> Obj | None:
    """The entry of `status.conditions` whose type is `kind`."""
    return next((c for c in obj.get("status", {}).get("conditions") or [] if c.get("type") == kind), None)


def is_condition_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether the condition `kind` is there and says `True`."""
    condition = get_condition(obj, kind)
    return condition is not None and condition.get("status") == "True"


def set_condition(obj: Obj, kind: str, status: str, reason: str = "", message: str = "", **more: Any) -> bool:
    """Set a condition in `status.conditions`; `lastTransitionTime` moves only when the status does.

    Returns whether anything changed.
    """
    conditions: list[Obj] = obj.setdefault("status", {}).setdefault("conditions", [])
    wanted = {"type": kind, "status": status, **more}
    wanted |= {field: text for field, text in (("reason", reason), ("message", message)) if text}
    for index, old in enumerate(conditions):
        if old.get("type") != kind:
            continue
        if {k: v for k, v in old.items() if k != "lastTransitionTime"} == wanted:
            return False
        same = old.get("status") == status and "lastTransitionTime" in old
        conditions[index] = wanted | {"lastTransitionTime": old["lastTransitionTime"] if same else clock.timestamp()}
        return True
    conditions.append(wanted | {"lastTransitionTime": clock.timestamp()})
    return True


def observed_by(pod: Obj) -> Obj:
    """What a pod's condition says of the spec that it speaks about (KEP-5067)."""
    generation = pod["metadata"].get("generation")
    return {"observedGeneration": generation} if generation else {}


def new_uid() -> str:
    """A fresh random UID."""
    return str(uuid.uuid4())


def random_suffix(length: int = 5) -> str:
    """Random characters for generated names, from upstream's alphabet without vowels and look-alikes."""
    return "".join(random.choices(_SUFFIX_ALPHABET, k=length))


def deep_copy(obj: Obj) -> Obj:
    """A copy that shares nothing with `obj`."""
    return copy.deepcopy(obj)
