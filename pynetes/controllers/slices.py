"""Packing endpoints into EndpointSlices with few writes. Pure functions.

Endpoints that share their ports share slices, at most so many in one. A slice that holds only what is still wanted is
left alone; one that must change anyway takes in new endpoints; only then another is filled up, and only what fits
nowhere makes a new slice. So one pod's change costs one write, however many endpoints there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

_encode = msgspec.json.Encoder(order="deterministic").encode

Group = tuple[list[Obj], list[Obj]]
"""Ports, and the endpoints that have them."""


@dataclass(slots=True)
class Changes:
    """Slices to create (ports and endpoints), to write and to delete."""

    create: list[Group] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def ports_key(ports: Iterable[Obj] | None) -> bytes:
    """What makes two lists of ports the same."""
    return _encode(sorted(ports or [], key=_encode))


def identity(endpoint: Obj) -> bytes:
    """What makes two endpoints the same one, perhaps changed: its pod, or else its addresses."""
    reference = endpoint.get("targetRef")
    if reference:
        return f"{reference.get('namespace', '')}/{reference.get('uid') or reference.get('name')}".encode()
    return _encode([sorted(endpoint["addresses"]), endpoint.get("hostname")])


def group(pairs: Iterable[tuple[list[Obj], Obj]]) -> dict[bytes, Group]:
    """Endpoints by their ports."""
    groups: dict[bytes, Group] = {}
    for ports, endpoint in pairs:
        groups.setdefault(ports_key(ports), (ports, []))[1].append(endpoint)
    return groups


def pack(existing: list[Obj], wanted: dict[bytes, Group], limit: int) -> Changes:
    """How to get from `existing` slices (of one address type) to the `wanted` endpoints."""
    changes = Changes()
    by_ports: dict[bytes, list[Obj]] = {}
    for found in existing:
        by_ports.setdefault(ports_key(found.get("ports")), []).append(found)
    for key, slices in by_ports.items():
        if key not in wanted:
            changes.delete += slices
    for key, (ports, endpoints) in wanted.items():
        _pack_group(by_ports.get(key, []), ports, endpoints, limit, changes)
    _reuse(changes)
    return changes


def _pack_group(existing: list[Obj], ports: list[Obj], endpoints: list[Obj], limit: int, changes: Changes) -> None:
    missing = {identity(endpoint): endpoint for endpoint in endpoints}
    contents: list[tuple[Obj, list[Obj], bool]] = []
    for found in existing:
        kept, changed = [], False
        for endpoint in found.get("endpoints") or []:
            desired = missing.pop(identity(endpoint), None)
            if desired is not None:
                kept.append(desired)
            changed = changed or desired != endpoint
        if len(kept) > limit:
            missing |= {identity(endpoint): endpoint for endpoint in kept[limit:]}
            kept, changed = kept[:limit], True
        contents.append((found, kept, changed))
    new = [*missing.values()]
    touched = [entry for entry in contents if entry[2]]
    untouched = [entry for entry in contents if not entry[2]]
    for _, kept, _ in sorted(touched, key=lambda entry: -len(entry[1])):
        room = limit - len(kept)
        kept += new[:room]
        new = new[room:]
    while len(new) >= limit:
        changes.create.append((ports, new[:limit]))
        new = new[limit:]
    if new:
        fitting = [entry for entry in untouched if len(entry[1]) + len(new) <= limit]
        if fitting:
            best = max(fitting, key=lambda entry: len(entry[1]))
            best[1].extend(new)
            touched.append(best)
        else:
            changes.create.append((ports, new))
    for found, kept, _ in touched:
        if kept:
            changes.update.append({**found, "endpoints": kept})
        else:
            changes.delete.append(found)


def _reuse(changes: Changes) -> None:
    """Write new content into slices that would be deleted, rather than delete and create."""
    while changes.create and changes.delete:
        ports, endpoints = changes.create.pop()
        changes.update.append({**changes.delete.pop(), "ports": ports, "endpoints": endpoints})


def is_placeholder(found: Obj) -> bool:
    """Whether a slice only says that there is no endpoint."""
    return not found.get("endpoints") and not found.get("ports")


def with_placeholder(existing: list[Obj], changes: Changes) -> Changes:
    """A service without endpoints still has one slice, an empty one."""
    remaining = len(existing) - len(changes.delete) + len(changes.create)
    if remaining > 0:
        return changes
    kept = next((found for found in changes.delete if is_placeholder(found)), None)
    if kept is not None:
        changes.delete.remove(kept)
    elif changes.delete:
        changes.update.append({**changes.delete.pop(), "ports": [], "endpoints": []})
    else:
        changes.create.append(([], []))
    return changes


def by_age(found: Obj) -> tuple[str, str]:
    """A stable order of slices."""
    return found["metadata"].get("creationTimestamp", ""), meta.name(found)
