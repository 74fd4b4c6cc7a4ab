"""Validation of `metadata`, the same for every kind.

On create: name or generateName by the kind's own rule, namespace as the scope asks, labels, annotations, owner
references and finalizers. On update: identity and lifecycle fields never change, and no finalizer may be added once
deletion has begun.
"""

from typing import Any

from pynetes.apis import checks
from pynetes.apis.checks import Errors, NameCheck
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

TOTAL_ANNOTATION_SIZE_LIMIT = 256 * 1024
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
IMMUTABLE_FIELDS = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_BANNED_OWNERS = {("v1", "Event")}


def validate(obj: Obj, *, namespaced: bool, name_check: NameCheck, any_finalizer: bool = False) -> Errors:
    """The rules for the metadata of a new object.

    Finalizers are qualified by a domain or among the standard ones, except where the kind takes `any_finalizer`.
    """
    errors = Errors()
    metadata = obj.get("metadata") or {}
    prefix = metadata.get("generateName")
    if prefix:
        errors.check("metadata.generateName", prefix, name_check(names.name_prefix(prefix)))
    name = metadata.get("name")
    if not name:
        errors.required("metadata.name", "name or generateName is required")
    else:
        errors.check("metadata.name", name, name_check(name))
    _namespace(errors, metadata, namespaced)
    _common(errors, metadata, any_finalizer)
    return errors


def validate_update(new: Obj, old: Obj, *, any_finalizer: bool = False) -> Errors:
    """The rules for the metadata of a changed object."""
    errors = Errors()
    current, before = new.get("metadata") or {}, old.get("metadata") or {}
    _no_new_finalizers(errors, current, before)
    for field in IMMUTABLE_FIELDS:
        if current.get(field) != before.get(field):
            errors.invalid(f"metadata.{field}", current.get(field), checks.IMMUTABLE)
    generation, last = current.get("generation", 0), before.get("generation", 0)
    if generation < last:
        errors.invalid("metadata.generation", generation, "must not be decremented")
    if not current.get("resourceVersion") and before.get("resourceVersion") is None:
        errors.invalid("metadata.resourceVersion", "", "must be specified for an update")
    _common(errors, current, any_finalizer)
    return errors


def inherit(new: Obj, old: Obj) -> None:
    """Give `new` the fields that a client may leave out of an update and can never change by doing so."""
    current, before = new.setdefault("metadata", {}), old.get("metadata") or {}
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        if not current.get(field) and before.get(field) is not None:
            current[field] = before[field]
    if "generation" in before:
        current["generation"] = before["generation"]
    else:
        current.pop("generation", None)


def _namespace(errors: Errors, metadata: Obj, namespaced: bool) -> None:
    namespace = metadata.get("namespace")
    if namespaced:
        errors.name("metadata.namespace", namespace, names.dns1123_label)
    elif namespace:
        errors.forbidden("metadata.namespace", "not allowed on this type")


def _common(errors: Errors, metadata: Obj, any_finalizer: bool) -> None:
    errors.non_negative("metadata.generation", metadata.get("generation"))
    checks.labels(errors, metadata.get("labels"), "metadata.labels")
    annotations(errors, metadata.get("annotations"), "metadata.annotations")
    _owner_references(errors, metadata.get("ownerReferences") or [])
    _finalizers(errors, metadata.get("finalizers") or [], any_finalizer)


def annotations(errors: Errors, values: dict[str, str] | None, path: str) -> None:
    """Keys are qualified names in any case; all together are at most 256 KiB."""
    total = 0
    for key, value in (values or {}).items():
        errors.check(path, key, names.qualified_name(key.lower()))
        total += len(key.encode()) + len((value or "").encode())
    if total > TOTAL_ANNOTATION_SIZE_LIMIT:
        errors.too_long(path, TOTAL_ANNOTATION_SIZE_LIMIT)


def _owner_references(errors: Errors, references: list[Obj]) -> None:
    controller = ""
    for index, reference in enumerate(references):
        path = f"metadata.ownerReferences[{index}]"
        api_version = reference.get("apiVersion", "")
        if not api_version.rpartition("/")[2]:
            errors.invalid(f"{path}.apiVersion", api_version, "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not reference.get(field):
                errors.invalid(f"{path}.{field}", reference.get(field, ""), "must not be empty")
        if (api_version, reference.get("kind")) in _BANNED_OWNERS:
            detail = f"/{api_version}, Kind={reference['kind']} is disallowed from being an owner"
            errors.invalid(path, _owner_text(reference), detail)
        if reference.get("controller"):
            if controller:
                errors.invalid(
                    "metadata.ownerReferences",
                    [_owner_text(each) for each in references],
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {reference.get('name', '')}",
                )
                continue
            controller = reference.get("name", "")


def _owner_text(reference: Obj) -> dict[str, Any]:
    return {field: reference.get(field, "") for field in ("apiVersion", "kind", "name", "uid")}


def _finalizers(errors: Errors, finalizers: list[str], any_finalizer: bool) -> None:
    for index, finalizer in enumerate(finalizers):
        path = f"metadata.finalizers[{index}]"
        if any_finalizer:
            errors.check(path, finalizer, names.qualified_name(finalizer))
        else:
            finalizer_name(errors, finalizer, path)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        errors.invalid("metadata.finalizers", finalizers, "finalizer orphan and foregroundDeletion cannot be both set")


def finalizer_name(errors: Errors, finalizer: str, path: str) -> None:
    """A finalizer is fully qualified (`example.com/thing`) or one of the standard ones."""
    errors.check(path, finalizer, names.qualified_name(finalizer))
    if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
        errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def _no_new_finalizers(errors: Errors, current: Obj, before: Obj) -> None:
    if not before.get("deletionTimestamp"):
        return
    known = set(before.get("finalizers") or [])
    added = [each for each in current.get("finalizers") or [] if each not in known]
    if added:
        listed = ", ".join(f'"{each}"' for each in added)
        errors.forbidden(
            "metadata.finalizers",
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}",
        )


def name_of(obj: Obj) -> str:
    """The name for messages; generated names may not be there yet."""
    return meta.name(obj) or obj.get("metadata", {}).get("generateName", "")
