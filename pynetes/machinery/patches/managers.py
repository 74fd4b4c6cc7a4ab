"""`metadata.managedFields`: who manages which fields, as entries on the wire and as values to compute with.

A manager is known by its name, its operation, the subresource it wrote through and, for updates, the API version;
someone who applies is the same manager in every version. Updating managers beyond ten are merged into one for each
version, the oldest first, so that the list does not grow with every tool that touches an object.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pynetes.machinery import errors
from pynetes.machinery.errors import StatusError, quote
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import fieldset
from pynetes.machinery.patches.fieldset import FieldSet

APPLY = "Apply"
UPDATE = "Update"

_MAX_UPDATERS = 10
_ANCIENT = "ancient-changes"


class Identity(NamedTuple):
    """What makes two entries the same manager; the order of fields is the order of entries of one time."""

    operation: str
    name: str
    api_version: str  # empty for appliers
    subresource: str


@dataclass(frozen=True, slots=True)
class Manager:
    """What one manager manages, in which version it said so, and when."""

    fields: FieldSet
    api_version: str
    time: str | None = None


Managers = dict[Identity, Manager]


def identity(operation: str, name: str, api_version: str, subresource: str) -> Identity:
    """The identity of a writer; one without a name is `unknown`."""
    return Identity(operation, name or "unknown", "" if operation == APPLY else api_version, subresource)


def decode(entries: Iterable[Mapping[str, Any]]) -> Managers:
    """The managers that stored entries describe."""
    return {
        identity(
            entry.get("operation", ""),
            entry.get("manager", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        ): Manager(entry.get("fieldsV1") or {}, entry.get("apiVersion", ""), entry.get("time"))
        for entry in entries
    }


def decode_sent(entries: Any) -> Managers:
    """The managers in entries that a client sent; raises ValueError if they are malformed."""
    if not isinstance(entries, list):
        raise ValueError("managedFields must be a list")
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError("an entry of managedFields must be an object")
        if entry.get("operation") not in (APPLY, UPDATE):
            raise ValueError(f"operation is {entry.get('operation')!r}, must be Apply or Update")
        if entry.get("fieldsType") != "FieldsV1" or not entry.get("apiVersion"):
            raise ValueError("fieldsType must be FieldsV1 and apiVersion must be there")
    return decode({**entry, "fieldsV1": fieldset.checked(entry.get("fieldsV1") or {})} for entry in entries)


def encode(managers: Managers) -> list[Obj]:
    """Entries for the wire, in upstream's order: updates behind applies, then by time, then by name."""
    order = sorted(managers.items(), key=lambda item: (item[0].operation, item[1].time or "", item[0]))
    return [_entry(who, what) for who, what in order]


def _entry(who: Identity, what: Manager) -> Obj:
    entry: Obj = {"manager": who.name, "operation": who.operation, "apiVersion": what.api_version}
    if what.time:
        entry["time"] = what.time
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = what.fields
    if who.subresource:
        entry["subresource"] = who.subresource
    return entry


def released(managers: Managers, *sets: FieldSet) -> Managers:
    """The managers without the fields in `sets`; who has none left is gone."""
    result: Managers = {}
    for who, what in managers.items():
        fields = what.fields
        for taken in sets:
            fields = fieldset.difference(fields, taken)
        if fields:
            result[who] = what if fields is what.fields else replace(what, fields=fields)
    return result


def capped(managers: Managers) -> Managers:
    """No more than ten updaters: the oldest of each version are merged into one."""
    updaters = [who for who in managers if who.operation == UPDATE]
    excess = len(updaters) - _MAX_UPDATERS
    if excess <= 0:
        return managers
    result = dict(managers)
    first_of_version: dict[str, Identity] = {}
    for who in sorted(updaters, key=lambda who: (managers[who].time or "", who)):
        if excess <= 0:
            break
        what = result[who]
        first = first_of_version.setdefault(what.api_version, who)
        if first == who:
            continue
        bucket = identity(UPDATE, _ANCIENT, what.api_version, "")
        if bucket not in result:
            result[bucket] = result.pop(first)
        if who != bucket:
            merged = fieldset.union(what.fields, result[bucket].fields)
            result[bucket] = Manager(merged, what.api_version, what.time)
            del result[who]
        excess -= 1
    return result


Conflicts = list[tuple[Identity, Manager, fieldset.Path]]


def conflicts_with(managers: Managers, taken: FieldSet) -> Conflicts:
    """Every field in `taken` that somebody in `managers` has."""
    return [
        (who, managers[who], path)
        for who in sorted(managers, key=lambda who: (who.name, who))
        for path in fieldset.paths(fieldset.intersection(managers[who].fields, taken))
    ]


def conflict_error(conflicts: Conflicts) -> StatusError:
    """409 with a cause for each field, worded as kubectl's users know it."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_show(who, what)}",
            "field": fieldset.show(path),
        }
        for who, what, path in conflicts
    ]
    if len(conflicts) == 1:
        who, what, path = conflicts[0]
        message = f"Apply failed with 1 conflict: conflict with {_show(who, what)}: {fieldset.show(path)}"
        return errors.apply_conflict(causes, message)
    lines: list[str] = []
    seen: Identity | None = None
    for who, what, path in conflicts:
        if who != seen:
            lines.append(f"conflicts with {_show(who, what)}:")
            seen = who
        lines.append(f"- {fieldset.show(path)}")
    return errors.apply_conflict(causes, f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines))


def _show(who: Identity, what: Manager) -> str:
    text = quote(who.name)
    if who.subresource:
        text += f" with subresource {quote(who.subresource)}"
    return f"{text} using {what.api_version}" if who.operation == UPDATE else text
