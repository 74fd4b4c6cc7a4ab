"""Writing status: only when it differs, and in the form the API stores it.

Counts of zero are absent on the wire (Go's `omitempty`) except those that a kind always shows.
"""

from collections.abc import Container

from pynetes.client.client import Client
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType


def compact(status: Obj, keep: Container[str] = ()) -> Obj:
    """`status` without empty values, except the fields in `keep`."""
    return {name: value for name, value in status.items() if name in keep or value not in (None, 0, "", [], {}, False)}


async def update_status(client: Client, rt: ResourceType | str, obj: Obj, status: Obj) -> Obj:
    """Write `status` if it is not what `obj` has; returns the object as it is then."""
    if obj.get("status", {}) == status:
        return obj
    return await client.update(rt, {**obj, "status": status}, subresource="status")


def with_condition(
    conditions: list[Obj], kind: str, state: str, reason: str, message: str, *, update_time: bool = False
) -> list[Obj]:
    """`conditions` with `kind` set; the same list if status and reason are the same already.

    `update_time` adds `lastUpdateTime`, which Deployments carry.
    """
    old = next((c for c in conditions if c["type"] == kind), None)
    if old is not None and old["status"] == state and old.get("reason", "") == reason:
        return conditions
    now = clock.timestamp()
    made: Obj = {"type": kind, "status": state}
    if update_time:
        made["lastUpdateTime"] = now
    made["lastTransitionTime"] = old["lastTransitionTime"] if old is not None and old["status"] == state else now
    made |= {"reason": reason, "message": message}
    return [*without_condition(conditions, kind), made]


def without_condition(conditions: list[Obj], kind: str) -> list[Obj]:
    """`conditions` less `kind`."""
    return [c for c in conditions if c["type"] != kind]


def find_condition(conditions: list[Obj], kind: str) -> Obj | None:
    """The condition `kind`."""
    return next((c for c in conditions if c["type"] == kind), None)


def generation(obj: Obj) -> int:
    """`metadata.generation`."""
    return obj["metadata"].get("generation", 0)


def replicas(obj: Obj) -> int:
    """`spec.replicas`, 1 where absent."""
    return obj["spec"].get("replicas", 1)


def status_count(obj: Obj, field: str) -> int:
    """A count in `status`, 0 where absent."""
    return obj.get("status", {}).get(field) or 0


def created_at(obj: Obj) -> str:
    """The creation time; RFC 3339 in UTC sorts as text."""
    return obj["metadata"].get("creationTimestamp") or ""


def key_by_age(obj: Obj) -> tuple[str, str]:
    """Sorts oldest first, by name where equal."""
    return created_at(obj), meta.name(obj)


def go_label_selector(selector: Obj | None) -> str:
    """A LabelSelector as Go prints a pointer to one, for messages."""
    if selector is None:
        return "nil"
    labels = "".join(f"{k}: {v}," for k, v in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{each['key']},Operator:{each['operator']},"
        f"Values:[{' '.join(each.get('values') or [])}],}},"
        for each in selector.get("matchExpressions") or []
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
