"""What an old version fills in that the current one fills in differently, as values.

They apply to what a client sends in the old version, and before the current version's own defaults.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from pynetes.apis.legacy.changes import places
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj


class Default(Protocol):
    """One default."""

    def fill(self, obj: Obj) -> None:
        """Fill it in, in place, if the client left it out."""


@dataclass(frozen=True)
class Value:
    """A literal; `when` names a field and the value it must have for this default to apply."""

    path: str
    value: Any
    when: tuple[str, Any] | None = None

    def fill(self, obj: Obj) -> None:
        if self.when is not None and _at(obj, self.when[0]) != self.when[1]:
            return
        *above, _ = self.path.split(".")
        if above and not any(step.endswith("[]") for step in above):
            _make(obj, above)
        for holder, field in places(obj, self.path):
            if holder.get(field) is None:
                holder[field] = meta.deep_copy({"": self.value})[""]


@dataclass(frozen=True)
class FromTemplate:
    """Selector and labels of a workload are those of its pods, if it names none itself."""

    def fill(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
        if not labels:
            return
        if spec.get("selector") is None:
            spec["selector"] = {"matchLabels": dict(labels)}
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)


def _at(obj: Obj, path: str) -> Any:
    value: Any = obj
    for field in path.split("."):
        value = value.get(field) if isinstance(value, dict) else None
    return value


def _make(obj: Obj, fields: list[str]) -> None:
    for field in fields:
        inner = obj.get(field)
        if inner is None:
            inner = obj[field] = {}
        obj = inner
