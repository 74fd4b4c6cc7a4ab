"""Tables: what `kubectl get` prints.

The server makes them, so kubectl needs to know nothing of a kind. A kind's strategy has `Column`s and a function from
an object to its cells; `table` puts them together with as much of each object as the client asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

IncludeObject = Literal["None", "Metadata", "Object"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; those with a priority above 0 are shown only by `-o wide`."""

    name: str
    type: str = "string"
    description: str = ""
    priority: int = 0
    format: str = ""

    def definition(self) -> Obj:
        """The entry in `columnDefinitions`."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one object; `conditions` may say that it is done (`Completed`)."""

    cells: Sequence[Any]
    object: Obj
    conditions: Sequence[Obj] = ()


NAME = Column("Name", format="name", description="Name must be unique within a namespace.")
AGE = Column(
    "Age", description="CreationTimestamp is a timestamp representing the server time when this object was created."
)


def table(
    columns: Iterable[Column],
    rows: Iterable[Row],
    list_meta: Obj | None = None,
    include: IncludeObject = "Metadata",
    *,
    headers: bool = True,
    api_version: str = "meta.k8s.io/v1",
) -> Obj:
    """A `Table`; watches send `headers` only with the first event."""
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": list_meta or {},
        "columnDefinitions": [column.definition() for column in columns] if headers else None,
        "rows": [_row(row, include, api_version) for row in rows],
    }


def _row(row: Row, include: IncludeObject, api_version: str) -> Obj:
    made: Obj = {"cells": list(row.cells)}
    if row.conditions:
        made["conditions"] = list(row.conditions)
    if include == "Object":
        made["object"] = row.object
    elif include == "Metadata":
        made["object"] = partial_metadata(row.object, api_version)
    else:
        made["object"] = None
    return made


def partial_metadata(obj: Obj, api_version: str = "meta.k8s.io/v1") -> Obj:
    """An object reduced to its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj.get("metadata", {})}


def age(timestamp: str | None) -> str:
    """How long ago a time was, as a cell: `3d4h`, or `<unknown>`."""
    if not timestamp:
        return "<unknown>"
    try:
        moment = clock.parse_time(timestamp)
    except ValueError:
        return "<invalid>"
    return human_duration(clock.time() - moment.timestamp())


def human_duration(seconds: float) -> str:
    """A duration in at most two units, more coarsely the longer it is, as kubectl prints ages."""
    if int(seconds) < -1:
        return "<invalid>"
    whole = max(int(seconds), 0)
    if whole < 60 * 2:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 60 * 3:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"
