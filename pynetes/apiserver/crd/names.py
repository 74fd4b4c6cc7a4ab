"""Names of custom resources: which of those that a definition asks for it gets.

Within a group a name belongs to the definition that had it first. The outcome is a pure function of a definition and of
the names that the others hold; it is written to the status as accepted names and conditions.
"""

from collections.abc import Iterable
from typing import Any

from pynetes.apis.apiextensions.custom_resource_definition import approval, is_protected
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

_APPROVAL_REASONS = {
    "approved": ("True", "ApprovedAnnotation"),
    "bypassed": ("False", "UnapprovedAnnotation"),
    "missing": ("False", "MissingAnnotation"),
    "invalid": ("False", "InvalidAnnotation"),
}


def taken(others: Iterable[Obj]) -> tuple[set[str], set[str]]:
    """The resource names and the kinds that other definitions of the group hold."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        held = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {held.get("plural", ""), held.get("singular", ""), *(held.get("shortNames") or [])}
        kinds |= {held.get("kind", ""), held.get("listKind", "")}
    return resources - {""}, kinds - {""}


def status(definition: Obj, others: Iterable[Obj]) -> Obj:
    """The definition's status with its names and conditions as they should be."""
    made = meta.deep_copy(definition.get("status") or {})
    holder: Obj = {"status": made}
    wanted = definition["spec"].get("names") or {}
    accepted, conflict = _accept(wanted, made.get("acceptedNames") or {}, *taken(others))
    made["acceptedNames"] = accepted
    if conflict is None:
        _set(holder, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
        _set(holder, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
    else:
        _set(holder, "NamesAccepted", "False", *conflict)
        if not meta.is_condition_true(holder, "Established"):
            _set(holder, "Established", "False", "NotAccepted", "not all names are accepted")
    if is_protected(definition["spec"].get("group", "")):
        state, reason = approval(meta.annotations(definition))
        _set(holder, "KubernetesAPIApprovalPolicyConformant", *_APPROVAL_REASONS[state], reason)
    return made


def _set(holder: Obj, kind: str, value: str, reason: str, message: str) -> None:
    """Set a condition; its time is that of the last change of its status."""
    conditions = holder["status"].setdefault("conditions", [])
    found = next((each for each in conditions if each.get("type") == kind), None)
    if found is None:
        found = {"type": kind}
        conditions.append(found)
    if found.get("status") != value:
        found["lastTransitionTime"] = clock.timestamp()
    found |= {"status": value, "reason": reason, "message": message}


def _accept(wanted: Obj, held: Obj, resources: set[str], kinds: set[str]) -> tuple[Obj, tuple[str, str] | None]:
    """The names it gets (keeping what it holds where it cannot have what it asks for), and the last conflict."""
    conflict: tuple[str, str] | None = None
    accepted: Obj = dict(held)

    def ask(field: str, reason: str, value: Any, used: set[str]) -> None:
        nonlocal conflict
        asked = value if isinstance(value, list) else [value]
        owned = held.get(field) if isinstance(held.get(field), list) else [held.get(field)]
        refused = next((each for each in asked if each and each not in (owned or []) and each in used), None)
        if refused is not None:
            conflict = (reason, f"{quote(refused)} is already in use")
        elif value:
            accepted[field] = value
        else:
            accepted.pop(field, None)

    ask("plural", "PluralConflict", wanted.get("plural", ""), resources)
    ask("singular", "SingularConflict", wanted.get("singular", ""), resources)
    ask("shortNames", "ShortNamesConflict", wanted.get("shortNames") or [], resources)
    ask("kind", "KindConflict", wanted.get("kind", ""), kinds)
    ask("listKind", "ListKindConflict", wanted.get("listKind", ""), kinds)
    accepted["categories"] = wanted.get("categories") or []
    order = ("plural", "singular", "shortNames", "kind", "listKind", "categories")
    ordered = {field: accepted[field] for field in order if accepted.get(field)}
    return {"plural": "", "kind": ""} | ordered, conflict
