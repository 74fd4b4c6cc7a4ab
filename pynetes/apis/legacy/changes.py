"""What differs between an old version of a kind and the current one, as values.

A change can be walked in both directions on an object that the caller owns. Paths are dotted; `[]` after a field means
every item of its list. Walking one way and back again gives the object one began with: what only one side can say
travels through the other in an annotation.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj


class Change(Protocol):
    """One difference."""

    def to_new(self, obj: Obj) -> None:
        """Bring an object of the old version nearer to the current one, in place."""

    def to_old(self, obj: Obj) -> None:
        """The way back."""


@dataclass(frozen=True)
class Move:
    """The same value in another place; both places are below the same list, if below one at all."""

    old: str
    new: str

    def to_new(self, obj: Obj) -> None:
        self._move(obj, self.old, self.new)

    def to_old(self, obj: Obj) -> None:
        self._move(obj, self.new, self.old)

    def _move(self, obj: Obj, source: str, target: str) -> None:
        stem, _, source_rest = source.rpartition("[].")
        target_rest = target.rpartition("[].")[2]
        for each in objects(obj, f"{stem}[]") if stem else (obj,):
            if (value := take(each, source_rest)) is not None:
                put(each, target_rest, value)


@dataclass(frozen=True)
class Values:
    """Values that mean something else in the other version: pairs of (old, new)."""

    path: str
    pairs: tuple[tuple[Any, Any], ...]

    def to_new(self, obj: Obj) -> None:
        self._swap(obj, {0: 1})

    def to_old(self, obj: Obj) -> None:
        self._swap(obj, {1: 0})

    def _swap(self, obj: Obj, sides: dict[int, int]) -> None:
        ((source, target),) = sides.items()
        for holder, field in places(obj, self.path):
            for pair in self.pairs:
                if field in holder and holder[field] == pair[source]:
                    holder[field] = meta.deep_copy(pair[target]) if isinstance(pair[target], dict) else pair[target]
                    break


@dataclass(frozen=True)
class Each:
    """Objects at a path that are told differently: a pair of functions that change one in place."""

    path: str
    forward: Callable[[Obj], None]
    back: Callable[[Obj], None]

    def to_new(self, obj: Obj) -> None:
        for each in objects(obj, self.path):
            self.forward(each)

    def to_old(self, obj: Obj) -> None:
        for each in objects(obj, self.path):
            self.back(each)


@dataclass(frozen=True)
class Whole:
    """An object that is told differently: a pair of functions that change it in place."""

    forward: Callable[[Obj], None]
    back: Callable[[Obj], None]

    def to_new(self, obj: Obj) -> None:
        self.forward(obj)

    def to_old(self, obj: Obj) -> None:
        self.back(obj)


@dataclass(frozen=True)
class OnlyOld:
    """A field that the current version has no more; it is kept in an annotation."""

    path: str
    annotation: str

    def to_new(self, obj: Obj) -> None:
        if (value := take(obj, self.path)) is not None:
            note(obj, self.annotation, value)

    def to_old(self, obj: Obj) -> None:
        if (value := noted(obj, self.annotation)) is not None:
            put(obj, self.path, value)


@dataclass(frozen=True)
class OnlyNew:
    """A field that the old version had not yet; it travels there in an annotation."""

    path: str
    annotation: str

    def to_new(self, obj: Obj) -> None:
        if (value := noted(obj, self.annotation)) is not None:
            put(obj, self.path, value)

    def to_old(self, obj: Obj) -> None:
        if (value := take(obj, self.path)) is not None:
            note(obj, self.annotation, value)


# Paths.


def objects(obj: Obj, path: str) -> Iterator[Obj]:
    """The objects at a path (those in the list, where it ends in `[]`)."""
    for holder, field in places(obj, path):
        value = holder.get(field)
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, dict):
                yield each


def places(obj: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    """Where the value at a path stands, or would stand: the object that holds it and its field."""
    head, dot, rest = path.partition(".")
    field = head.removesuffix("[]")
    if not dot:
        yield obj, field
        return
    value = obj.get(field)
    for each in value if head.endswith("[]") and isinstance(value, list) else (value,):
        if isinstance(each, dict):
            yield from places(each, rest)


def take(obj: Obj, path: str) -> Any:
    """Remove the value at a path without lists, and what it leaves empty above it; None if there is none."""
    head, dot, rest = path.partition(".")
    if not dot:
        return obj.pop(head, None)
    inner = obj.get(head)
    if not isinstance(inner, dict):
        return None
    value = take(inner, rest)
    if value is not None and not inner and head not in _STAYS:
        del obj[head]
    return value


_STAYS = frozenset({"spec", "status", "metadata"})


def put(obj: Obj, path: str, value: Any) -> None:
    """Set the value at a path without lists, making what is missing on the way."""
    *above, last = path.split(".")
    for field in above:
        inner = obj.get(field)
        if not isinstance(inner, dict):
            inner = obj[field] = {}
        obj = inner
    obj[last] = value


def note(obj: Obj, annotation: str, value: Any) -> None:
    """Keep a value in an annotation."""
    metadata = obj.setdefault("metadata", {})
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    metadata["annotations"] = {**(metadata.get("annotations") or {}), annotation: text}


def noted(obj: Obj, annotation: str) -> Any:
    """Take a value out of an annotation again; None if there is none, or nothing that can be read."""
    metadata = obj.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if annotation not in annotations:
        return None
    try:
        value = json.loads(annotations[annotation])
    except ValueError:
        return None
    metadata["annotations"] = {key: text for key, text in annotations.items() if key != annotation}
    if not metadata["annotations"]:
        del metadata["annotations"]
    return value
