"""Server-side apply, and the ownership that every write leaves behind.

`update_managed_fields` is for all ordinary writes: the writer becomes the manager of what it changed, and whoever
managed that before no longer does. `server_side_apply` merges one manager's whole intent into the live object: fields
it applied before and no longer does are removed (unless somebody else manages them), fields that others manage are
conflicts unless the values agree or it forces them.

The first runs on every write, so it costs little where little changed: values are compared with `==` and descended
into only where they differ, entries of managers not concerned are passed on as they are.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pynetes.machinery import errors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import copied, failed, fieldset, managers
from pynetes.machinery.patches.fieldset import FieldSet, difference, intersection, recursive_difference, union
from pynetes.machinery.patches.managers import APPLY, UPDATE, Manager, Managers
from pynetes.machinery.patches.structure import of_definition, of_schema
from pynetes.machinery.patches.typed import DEDUCED, Object, Type
from pynetes.machinery.schema import Schema

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BEFORE_FIRST_APPLY = "before-first-apply"
_ANNOTATION_LIMIT = 256 * 1024

Definition = str | Schema | None  # None: nothing is known of the type

_SYSTEM_METADATA = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation")
_UNMANAGED = fieldset.of_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(("f:metadata", f"f:{name}") for name in (*_SYSTEM_METADATA, "managedFields", "resourceVersion")),
)

# What a write through the main resource or a subresource leaves alone, and so cannot own.
_RESET_BY_MAIN = fieldset.of_paths(("f:status",))
_RESET_BY_STATUS = fieldset.of_paths(("f:spec",), ("f:metadata", "f:labels"))


def update_managed_fields(
    old: Obj | None,
    new: Obj,
    manager: str,
    operation: str,
    definition: Definition,
    now: str,
    api_version: str,
    subresource: str = "",
    reset: FieldSet | None = None,
) -> None:
    """Set `new`'s managedFields for a write that turned `old` (None: nothing) into `new`; only they are changed.

    The managedFields that `new` came with may reset them (`[]`), replace them, or be missing. `reset` names fields
    that this endpoint ignores; by default the status for the main resource, the spec for `status`.
    """
    metadata = new.setdefault("metadata", {})
    sent = metadata.pop("managedFields", None)
    kept = (old.get("metadata") or {}).get("managedFields") if old else None
    known = _known_managers(sent, kept, subresource)
    if not known and old and old.get("metadata", {}).get("uid"):
        return  # an object whose ownership was reset is not tracked again until it is applied
    kind = _type_of(definition)
    taken, lost = _changes(kind, old or {}, new, subresource if reset is None else reset)
    owned = difference(taken, _UNMANAGED)
    if taken or lost:
        known = managers.released(known, taken, lost)
    if owned:
        writer = managers.identity(operation, manager, api_version, subresource)
        before = known.get(writer)
        known[writer] = Manager(union(before.fields, owned) if before else owned, api_version, now)
        known = managers.capped(known)
    if known:
        metadata["managedFields"] = managers.encode(known)


def server_side_apply(
    live: Obj | None,
    config: Obj,
    manager: str,
    force: bool,
    definition: Definition,
    now: str,
    subresource: str = "",
    reset: FieldSet | None = None,
) -> Obj:
    """The object that applying `config` to `live` (None: it is created) gives, its managedFields included.

    Raises StatusError: 409 with a cause for each conflict, 400 for managedFields in the configuration, 500 (as
    upstream) for a configuration that does not fit the type.
    """
    metadata = config.get("metadata") or {}
    if metadata.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    system = {name for name in (*_SYSTEM_METADATA, "resourceVersion") if metadata.get(name, name) is None}
    config = {**config, "metadata": {key: value for key, value in metadata.items() if key not in system}}
    application = _Application(live or {}, config, manager, definition, now, subresource, reset)
    try:
        result = application.run(force)
    except _Conflict as conflict:
        result = application.run_over_last_applied(conflict.found)
    if manager == "kubectl":
        _sync_last_applied(result, config)
    return result


class _Conflict(Exception):
    """Fields in conflict; not yet an error, kubectl's own earlier apply may excuse it."""

    def __init__(self, found: managers.Conflicts) -> None:
        super().__init__("conflict")
        self.found = found


class _Application:
    """One configuration on its way into one object."""

    def __init__(
        self,
        live: Obj,
        config: Obj,
        manager: str,
        definition: Definition,
        now: str,
        subresource: str,
        reset: FieldSet | None,
    ) -> None:
        self._kind = _type_of(definition)
        self._custom = not isinstance(definition, str)
        self._live = _without_managed_fields(live)
        self._config = config
        self._manager = manager
        self._now = now
        self._reset = subresource if reset is None else reset
        self._api_version = config.get("apiVersion") or live.get("apiVersion", "")
        self._identity = managers.identity(APPLY, manager, self._api_version, subresource)
        self._check()
        self._known = self._managers_of(live, subresource)

    def _check(self) -> None:
        faults = self._kind.validate(self._config)
        if faults:
            shown = [f"{path}: {message}" if path else message for path, message in faults]
            text = shown[0] if len(shown) == 1 else "\n".join(["errors:", *(f"  {line}" for line in shown)])
            raise failed(f"failed to create typed patch object ({_name_of(self._config)}): {text}")

    def _managers_of(self, live: Obj, subresource: str) -> Managers:
        """The live object's managers; an object that has none is managed by who made it, whoever that was."""
        known = managers.decode((live.get("metadata") or {}).get("managedFields") or [])
        if self._custom:
            reconciled = {who: (what, self._kind.reconcile(what.fields)) for who, what in known.items()}
            known = {who: Manager(fields, what.api_version, what.time) for who, (what, fields) in reconciled.items()}
        if known or not self._live:
            return known
        taken, _ = _changes(self._kind, {}, self._live, self._reset)
        owned = difference(taken, _UNMANAGED)
        who = managers.identity(UPDATE, _BEFORE_FIRST_APPLY, self._api_version, subresource)
        return {who: Manager(owned, self._api_version, self._now)} if owned else {}

    def run(self, force: bool) -> Obj:
        """The outcome; raises _Conflict unless `force`."""
        intent = _kept(self._kind.field_set(self._config), self._reset)
        known = dict(self._known)
        last = known.pop(self._identity, None)
        applied = Manager(difference(intent, _UNMANAGED), self._api_version, last.time if last else None)
        outcome = self._kind.merge(self._live, self._config)
        if last is not None:
            claims = [intent, *(what.fields for what in known.values())]
            outcome = _pruned(self._kind, outcome, last.fields, claims)
        taken, lost = _changes(self._kind, self._live, outcome, self._reset)
        found = managers.conflicts_with(known, taken)
        if found and not force:
            raise _Conflict(found)
        known = managers.released(known, taken, lost)
        if outcome != self._live:
            applied = Manager(applied.fields, applied.api_version, self._now)
        if applied.fields:
            known[self._identity] = applied
        result: Obj = copied(outcome)
        if known:
            result.setdefault("metadata", {})["managedFields"] = managers.encode(known)
        return result

    def run_over_last_applied(self, found: managers.Conflicts) -> Obj:
        """The outcome when fields are in conflict: kubectl takes over what it applied itself on the client's side."""
        allowed = self._last_applied() if self._manager == "kubectl" else None
        if allowed is not None:
            found = [conflict for conflict in found if not intersection(allowed, fieldset.of_paths(conflict[2]))]
        if found:
            raise managers.conflict_error(found)
        return self.run(force=True)

    def _last_applied(self) -> FieldSet | None:
        """The fields of kubectl's last client-side apply that the live object still has as they were applied."""
        text = ((self._live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
        if not text:
            return None
        try:
            applied = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return None
        if not isinstance(applied, dict) or applied.get("apiVersion") != self._api_version:
            return None
        if self._kind.validate(applied):
            return None
        changed, lost = self._kind.diff(applied, self._live)
        fields = self._kind.field_set(applied)
        return difference(difference(fields, changed or {}), lost or {})


def _pruned(kind: Type, merged: Obj, last: FieldSet, claims: list[FieldSet]) -> Obj:
    """`merged` without what was applied last time, is not in any of `claims`, and holds nothing else."""
    ours = kind.named(last)
    pruned = kind.remove(merged, ours) or {}
    claimed: FieldSet = {}
    for claim in claims:
        claimed = union(claimed, claim)
    everything = kind.named(kind.field_set(merged))
    left = union(kind.named(kind.field_set(pruned)), kind.named(claimed))
    pruned = kind.remove(merged, difference(everything, left)) or {}
    gone = difference(everything, kind.named(kind.field_set(pruned)))
    return kind.remove(merged, intersection(gone, ours)) or {}


def _type_of(definition: Definition) -> Type:
    if definition is None:
        return DEDUCED
    return of_definition(definition) if isinstance(definition, str) else _custom_type(definition)


def _custom_type(schema: Schema) -> Object:
    """The compiled type of a custom resource, made once for each version of its schema."""
    found = _custom_types.get(id(schema))
    if found is None or found[0] is not schema:
        if len(_custom_types) >= _CUSTOM_TYPES_KEPT:
            _custom_types.clear()
        found = _custom_types[id(schema)] = (schema, of_schema(schema))
    return found[1]


_CUSTOM_TYPES_KEPT = 1000
_custom_types: dict[int, tuple[Schema, Object]] = {}


def _changes(kind: Type, old: Obj, new: Obj, reset: str | FieldSet) -> tuple[FieldSet, FieldSet]:
    """What a write set and what it removed, apart from what its endpoint ignores."""
    taken, lost = kind.diff(old, new)
    return _kept(taken or {}, reset), _kept(lost or {}, reset)


def _kept(fields: FieldSet, reset: str | FieldSet) -> FieldSet:
    """`fields` without those that the endpoint ignores."""
    if reset == "":
        if "f:status" not in fields:
            return fields
        return {key: node for key, node in fields.items() if key != "f:status"}
    ignored = _RESET_BY_STATUS if reset == "status" else reset
    return recursive_difference(fields, ignored) if fields and isinstance(ignored, dict) else fields


def _known_managers(sent: Any, kept: Any, subresource: str) -> Managers:
    """The managers a write starts from: those it was sent with, if it may and did say something about them."""
    live = managers.decode(kept or [])
    if subresource or sent is None or sent == kept:
        return live
    if sent in ([], [{}]):
        return {}
    try:
        return managers.decode_sent(sent) or live
    except ValueError:
        return live


def _without_managed_fields(obj: Mapping[str, Any]) -> Obj:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return dict(obj)
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _name_of(obj: Obj) -> str:
    metadata = obj.get("metadata") or {}
    group, _, version = obj.get("apiVersion", "").rpartition("/")
    kind = f"{group}/{version}, Kind={obj.get('kind', '')}"
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {kind}"


def _sync_last_applied(obj: Obj, config: Obj) -> None:
    """Keep kubectl's annotation in step, so that client-side apply still works after server-side apply."""
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return
    plain = copied(config)
    own = plain.get("metadata", {}).get("annotations")
    if own:
        own.pop(LAST_APPLIED, None)
        if not own:
            del plain["metadata"]["annotations"]
    annotations[LAST_APPLIED] = msgspec.json.encode(plain, order="sorted").decode() + "\n"
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATION_LIMIT:
        del annotations[LAST_APPLIED]


__all__ = ["LAST_APPLIED", "Definition", "StatusError", "server_side_apply", "update_managed_fields"]
