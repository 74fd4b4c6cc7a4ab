"""Create, update and delete: what happens between a decoded object and the store.

Every write takes this road, whoever asks: defaults, mutating admission, the kind's resets, managed fields, allocation
hooks, validation, validating admission, and at last the store, conditionally on the revision that was read. Where two
writers meet, the loser starts again from the newest state, unless it named the revision it wanted to change.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from pynetes.apis import metadata as metadata_rules
from pynetes.apiserver import deletion
from pynetes.apiserver.admission import Attributes
from pynetes.apiserver.registry import Context, Finish, Operation, Registry, Resource
from pynetes.machinery import clock, errors, meta, wire
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import apply
from pynetes.machinery.resources import ResourceType
from pynetes.storage.interface import (
    Draft,
    KeyExists,
    KeyNotFound,
    Record,
    RevisionConflict,
    StoreUnavailable,
)

Change = Callable[[Obj | None], Awaitable[Obj]]
"""From the stored object (a copy of one's own; None if there is none) to the one that is wanted."""

_NAME_ATTEMPTS = 8
_GENERATED_PREFIX_LIMIT = 63 - 5
_NEVER_FROM_CLIENTS = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid", "creationTimestamp")


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of an update: the client's bytes, and whether the object was made by it."""

    value: bytes
    created: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """The outcome of a delete: the object's last (or present) state, and whether it is gone."""

    obj: Obj
    gone: bool


def told_group(rt: ResourceType) -> str:
    """The group that errors name: events of both groups are one store upstream, and that is the core's."""
    return "" if rt.group == "events.k8s.io" else rt.group


def not_found(resource: Resource, name: str) -> StatusError:
    """The 404 for an object of this resource."""
    return errors.not_found(told_group(resource.rt), resource.rt.plural, name)


def invalid(resource: Resource, name: str, findings: list[errors.FieldError]) -> StatusError:
    """The 422 for an object of this resource."""
    return errors.invalid(told_group(resource.rt), resource.rt.kind, name, findings)


# Old versions are written as the current one.


def _modern(resource: Resource, obj: Obj) -> Obj:
    """What a client of an old version sent, with that version's defaults, as it is written."""
    obj = _with_envelope(resource, obj)
    resource.strategy.default(obj)
    return resource.to_stored(obj)


@contextlib.contextmanager
def own_names(resource: Resource, through: Resource) -> Iterator[None]:
    """Let errors about the object name the resource that was asked for, not the one it is written as."""
    try:
        yield
    except StatusError as error:
        own, other = resource.rt, through.rt
        if own.group != other.group and error.code in (404, 409):
            error.message = error.message.replace(other.group_resource, own.group_resource)
            error.details = {**(error.details or {}), "group": own.group}
        raise


# Create.


async def create(
    registry: Registry, resource: Resource, namespace: str, obj: Obj, ctx: Context, *, applied: bool = False
) -> bytes:
    """Store a new object; returns the client's bytes. The object is taken over and changed.

    `applied` says that its managed fields are there already.
    """
    through = resource.written_as
    if through is not None:
        with own_names(resource, through):
            made = await create(registry, through, namespace, _modern(resource, obj), ctx, applied=applied)
        return resource.reread(made)
    strategy, rt = resource.strategy, resource.rt
    obj = _with_envelope(resource, obj)
    metadata = obj["metadata"]
    _place(resource, metadata, namespace)
    if metadata.get("resourceVersion") not in (None, "", "0"):
        # Upstream's storage says this, not its validation: the error has no reason.
        raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
    for field in (*_NEVER_FROM_CLIENTS, "resourceVersion"):
        metadata.pop(field, None)
    _dedupe_owners(metadata, ctx)
    strategy.default(obj)
    attributes = _attributes("CREATE", resource, namespace, metadata.get("name", ""), obj, None, ctx)
    await registry.admit(attributes, ctx)
    obj, metadata = attributes.obj or obj, (attributes.obj or obj)["metadata"]
    # Who creates does not own a status: it is about to be dropped.
    sent = {field: value for field, value in obj.items() if field != "status"} if strategy.has_status else obj
    if not applied:
        _own(resource, None, sent, ctx)
    metadata["uid"] = meta.new_uid()
    metadata["creationTimestamp"] = clock.timestamp()
    generated = not metadata.get("name") and bool(metadata.get("generateName"))
    for attempt in range(_NAME_ATTEMPTS if generated else 1):
        named = obj
        if generated:
            # The kind's own resets may write the name into the object (a job's labels).
            named = wire.decode(wire.encode(obj))
            named["metadata"]["name"] = metadata["generateName"][:_GENERATED_PREFIX_LIMIT] + meta.random_suffix(5)
        strategy.prepare_create(named)
        attributes.obj = named
        try:
            return await _store_new(registry, resource, namespace, attributes, named, ctx)
        except KeyExists:
            name = named["metadata"]["name"]
            if not generated:
                raise errors.already_exists(told_group(rt), rt.plural, name) from None
            if attempt + 1 == _NAME_ATTEMPTS:
                raise errors.generate_name_conflict(told_group(rt), rt.plural, name) from None
    raise AssertionError("unreachable")


async def _store_new(
    registry: Registry, resource: Resource, namespace: str, attributes: Attributes, obj: Obj, ctx: Context
) -> bytes:
    finishes = await _begin(registry, resource, "CREATE", obj, None, ctx)
    done = False
    try:
        findings = resource.strategy.validate(obj)
        if findings:
            raise invalid(resource, metadata_rules.name_of(obj), findings)
        _warn(resource, obj, ctx)
        attributes.name = obj["metadata"]["name"]
        await registry.validate(attributes, ctx)
        key = resource.key(namespace, obj["metadata"]["name"])
        if ctx.dry_run:
            existing = registry.store.head(key)
            if existing is not None:
                raise KeyExists(existing)
            return wire.encode(obj)
        record = await stored(registry.store.create(key, await _ready(resource, obj)))
        done = True
        return client_bytes(resource, record)
    finally:
        await _finish(finishes, done)


def _with_envelope(resource: Resource, obj: Obj) -> Obj:
    """The object with kind and apiVersion first, as they are printed, and metadata there."""
    rest = {field: value for field, value in obj.items() if field not in ("kind", "apiVersion", "metadata")}
    return {
        "kind": resource.rt.kind,
        "apiVersion": resource.rt.api_version,
        "metadata": obj.get("metadata") or {},
        **rest,
    }


def _place(resource: Resource, metadata: Obj, namespace: str) -> None:
    """Put the object into the namespace of the request; what it says itself must agree."""
    if resource.rt.namespaced:
        if metadata.get("namespace", namespace) not in ("", namespace):
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)


def _dedupe_owners(metadata: Obj, ctx: Context) -> None:
    """Owner references that repeat one uid count once."""
    references = metadata.get("ownerReferences")
    if not references or len(references) < 2:
        return
    kept: list[Obj] = []
    repeated: list[str] = []
    for reference in references:
        if reference in kept:
            repeated.append(reference.get("uid", ""))
        else:
            kept.append(reference)
    if repeated:
        ctx.warnings.append(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and "
            "may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
            + ", ".join(repeated)
        )
        metadata["ownerReferences"] = kept


# Update.


async def update(
    registry: Registry,
    resource: Resource,
    namespace: str,
    name: str,
    change: Change,
    ctx: Context,
    *,
    subresource: str = "",
    retry: bool = True,
    may_create: bool = False,
    applied: bool = False,
) -> Written:
    """Change one object to what `change` makes of it.

    `may_create` lets a missing object be created (a PUT where the kind allows it, server-side apply). `applied` says
    that `change` has seen to the managed fields itself.
    """
    through = resource.written_as
    if through is not None:

        async def changed(old: Obj | None) -> Obj:
            return _modern(resource, await change(None if old is None else resource.from_stored(old)))

        with own_names(resource, through):
            written = await update(
                registry,
                through,
                namespace,
                name,
                changed,
                ctx,
                subresource=subresource,
                retry=retry,
                may_create=may_create,
                applied=applied,
            )
        return Written(resource.reread(written.value), written.created)
    key = resource.key(namespace, name)
    while True:
        record = registry.store.head(key)
        if record is None:
            if not may_create:
                raise not_found(resource, name)
            wanted = await change(None)
            _check_no_uid(resource, namespace, name, wanted, applied)
            made = await create(registry, resource, namespace, wanted, ctx, applied=applied)
            return Written(made, created=True)
        try:
            return await _update_once(
                registry, resource, namespace, name, record, change, ctx, subresource=subresource, applied=applied
            )
        except RevisionConflict:
            if not retry:
                raise errors.conflict(told_group(resource.rt), resource.rt.plural, name) from None
        except KeyNotFound:
            if not may_create:
                raise not_found(resource, name) from None


async def _update_once(
    registry: Registry,
    resource: Resource,
    namespace: str,
    name: str,
    record: Record,
    change: Change,
    ctx: Context,
    *,
    subresource: str,
    applied: bool,
) -> Written:
    strategy = resource.strategy
    if resource.converts_elsewhere:
        await resource.learn([record])
    old = resource.decode(record)
    new = _with_envelope(resource, await change(resource.decode(record)))
    _check_identity(resource, name, new, old)
    _place(resource, new["metadata"], namespace)
    # What was changed below need not be the newest state: the caller may have named a revision of its own.
    old_metadata, new_metadata = old["metadata"], new["metadata"]
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "selfLink"):
        if old_metadata.get(field) is not None:
            new_metadata[field] = old_metadata[field]
        else:
            new_metadata.pop(field, None)
    _dedupe_owners(new_metadata, ctx)
    strategy.default(new)
    attributes = _attributes("UPDATE", resource, namespace, name, new, old, ctx, subresource)
    await registry.admit(attributes, ctx)
    new = attributes.obj or new
    _prepare_update(resource, new, old, subresource)
    if not applied:
        _own(resource, old, new, ctx, subresource)
    finishes = await _begin(registry, resource, "UPDATE", new, old, ctx) if not subresource else []
    done = False
    try:
        findings = _validate_update(resource, new, old, subresource)
        if findings:
            raise invalid(resource, name, findings)
        if not subresource:
            _warn(resource, new, ctx)
        await registry.validate(attributes, ctx)
        if deletion.completes(strategy, new, old):
            return Written(wire.encode(await _remove(registry, resource, record, new, old, ctx)))
        if unchanged(new, old):
            return Written(wire.encode(old))
        if ctx.dry_run:
            return Written(wire.encode(new))
        written = await stored(registry.store.update(record.key, await _ready(resource, new), record.revision))
        done = True
        return Written(client_bytes(resource, written))
    finally:
        await _finish(finishes, done)


def _check_no_uid(resource: Resource, namespace: str, name: str, obj: Obj, applied: bool) -> None:
    """Who names a uid means an object that is there: it is not made anew."""
    rt, uid = resource.rt, (obj.get("metadata") or {}).get("uid")
    if not uid:
        return
    if applied:
        detail = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
    else:
        detail = _uid_detail(resource, namespace, name, uid, "")
    raise errors.conflict(told_group(rt), rt.plural, name, detail)


def _uid_detail(resource: Resource, namespace: str, name: str, wanted: str, found: str) -> str:
    where = "/".join(filter(None, ("/registry", resource.rt.plural, namespace, name)))
    return (
        f"StorageError: invalid object, Code: 4, Key: {where}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )


def _check_identity(resource: Resource, name: str, new: Obj, old: Obj) -> None:
    """The revision and uid the client names, if any, must be the stored ones."""
    rt, metadata = resource.rt, new["metadata"]
    version = metadata.get("resourceVersion") or "0"
    current = old["metadata"]["resourceVersion"]
    if version == "0":
        if not resource.strategy.allow_unconditional_update:
            finding = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(rt.group, rt.plural, name, [finding])  # upstream too says the resource here
        metadata["resourceVersion"] = current
    elif not version.isdigit():
        detail = f"strconv.ParseUint: parsing {errors.quote(version)}: invalid syntax"
        raise invalid(resource, name, [errors.invalid_value("metadata.resourceVersion", version, detail)])
    elif version != current:
        raise errors.conflict(told_group(rt), rt.plural, name)
    uid, known = metadata.get("uid"), old["metadata"].get("uid")
    if uid and uid != known:
        detail = _uid_detail(resource, meta.namespace(old), name, uid, known or "")
        raise errors.conflict(told_group(rt), rt.plural, name, detail)


def _prepare_update(resource: Resource, new: Obj, old: Obj, subresource: str) -> None:
    """What the kind keeps as it was, by the way in: the object itself, its status, or another subresource."""
    strategy = resource.strategy
    if subresource == "status":
        strategy.prepare_status_update(new, old)
    elif subresource in ("", "scale"):
        strategy.prepare_update(new, old)
    else:
        strategy.prepare_subresource_update(subresource, new, old)


def _validate_update(resource: Resource, new: Obj, old: Obj, subresource: str) -> list[errors.FieldError]:
    if subresource == "status":
        return resource.strategy.validate_status_update(new, old)
    if subresource in ("", "scale"):
        return resource.strategy.validate_update(new, old)
    return resource.strategy.validate_subresource_update(subresource, new, old)


def unchanged(new: Obj, old: Obj) -> bool:
    """Whether a write would change nothing but the time at which somebody owns what they owned before."""
    if new == old:
        return True
    if new.keys() != old.keys() or any(new[field] != old[field] for field in new if field != "metadata"):
        return False
    bare, before = dict(new["metadata"]), dict(old["metadata"])
    managers, managers_before = bare.pop("managedFields", []), before.pop("managedFields", [])
    return bare == before and _untimed(managers) == _untimed(managers_before)


def _untimed(managers: list[Obj]) -> list[Obj]:
    return [{field: value for field, value in entry.items() if field != "time"} for entry in managers]


# Delete.


async def delete(
    registry: Registry, resource: Resource, namespace: str, name: str, options: Obj, ctx: Context
) -> Deleted:
    """Delete an object under DeleteOptions, or record that it is being deleted."""
    through = resource.written_as
    if through is not None:
        with own_names(resource, through):
            deleted = await delete(registry, through, namespace, name, options, ctx)
        return Deleted(resource.from_stored(deleted.obj), deleted.gone)
    key = resource.key(namespace, name)
    while True:
        record = registry.store.head(key)
        if record is None:
            raise not_found(resource, name)
        if resource.converts_elsewhere:
            await resource.learn([record])
        old = resource.decode(record)
        _check_preconditions(resource, name, old, options.get("preconditions") or {})
        attributes = _attributes("DELETE", resource, namespace, name, None, old, ctx)
        await registry.admit(attributes, ctx)
        await registry.validate(attributes, ctx)
        plan = deletion.plan(resource.strategy, resource.decode(record), options)
        try:
            if plan.action == "remove":
                return Deleted(await _remove(registry, resource, record, plan.obj, old, ctx), gone=True)
            if plan.action == "keep" or unchanged(plan.obj, old):
                return Deleted(old, gone=False)
            if ctx.dry_run:
                return Deleted(plan.obj, gone=False)
            written = await stored(registry.store.update(key, await _ready(resource, plan.obj), record.revision))
            return Deleted(resource.decode(written), gone=False)
        except (RevisionConflict, KeyNotFound):
            continue


async def _remove(registry: Registry, resource: Resource, record: Record, final: Obj, old: Obj, ctx: Context) -> Obj:
    """Take the object out of the store; `final` is the last state that watchers see."""
    if ctx.dry_run:
        return final
    finishes = await _begin(registry, resource, "DELETE", None, final, ctx)
    done = False
    try:
        removed = await stored(registry.store.delete(record.key, record.revision, await _ready(resource, final)))
        done = True
        return resource.decode(removed)
    finally:
        await _finish(finishes, done)


_PRECONDITIONS = (
    ("uid", "UID", "deleted and then recreated"),
    ("resourceVersion", "ResourceVersion", "modified"),
)


def _check_preconditions(resource: Resource, name: str, old: Obj, wanted: Obj) -> None:
    for field, word, fate in _PRECONDITIONS:
        value, known = wanted.get(field), old["metadata"].get(field)
        if value and value != known:
            raise errors.conflict(
                resource.rt.group,
                resource.rt.kind,
                name,
                f"the {word} in the precondition ({value}) does not match the {word} in record ({known}). "
                f"The object might have been {fate}",
            )


# Shared steps.


def draft(resource: Resource, obj: Obj) -> Draft:
    """An object as the store takes it: bytes around its revision, and what selectors ask for."""
    kept = resource.to_stored(obj)
    head, tail = wire.split(kept)
    return Draft(head, tail, meta.labels(kept), resource.fields(obj))


async def _ready(resource: Resource, obj: Obj) -> Draft:
    """The draft of an object, once it can be converted to the stored version and to those it will be read in."""
    if resource.converts_elsewhere:
        await resource.learn((), obj)
    return draft(resource, obj)


def client_bytes(resource: Resource, record: Record) -> bytes:
    """A record's bytes in the version of the resource."""
    return wire.encode(resource.decode(record)) if resource.converts else record.value


async def stored(write: Awaitable[Record]) -> Record:
    """Await a store's write to its end, even if the request is cancelled: it can no longer be called back.

    A store that cannot take it is a 503.
    """
    task = asyncio.ensure_future(write)
    try:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            return await task
    except StoreUnavailable as error:
        raise errors.service_unavailable(f"the store is not available: {error}") from error


def _attributes(
    operation: Operation,
    resource: Resource,
    namespace: str,
    name: str,
    obj: Obj | None,
    old: Obj | None,
    ctx: Context,
    subresource: str = "",
) -> Attributes:
    return Attributes(
        operation=operation,
        rt=resource.rt,
        subresource=subresource,
        namespace=namespace,
        name=name,
        obj=obj,
        old=old,
        user=ctx.user,
        dry_run=ctx.dry_run,
        options=ctx.options,
        warnings=ctx.warnings,
    )


def _own(resource: Resource, old: Obj | None, new: Obj, ctx: Context, subresource: str = "") -> None:
    """Record in `metadata.managedFields` what the writer set."""
    apply.update_managed_fields(
        old,
        new,
        ctx.field_manager or "kube-apiserver",
        "Update",
        resource.schema,
        clock.timestamp(),
        resource.rt.api_version,
        subresource,
        resource.ignored(subresource),
    )


def _warn(resource: Resource, obj: Obj, ctx: Context) -> None:
    for text in resource.strategy.warnings(obj):
        if text not in ctx.warnings:
            ctx.warnings.append(text)


async def _begin(
    registry: Registry, resource: Resource, operation: Operation, new: Obj | None, old: Obj | None, ctx: Context
) -> list[Finish]:
    finishes: list[Finish] = []
    try:
        for hook in resource.hooks:
            finish = await hook(registry, operation, new, old, ctx)
            if finish is not None:
                finishes.append(finish)
    except BaseException:
        await _finish(finishes, False)
        raise
    return finishes


async def _finish(finishes: list[Finish], done: bool) -> None:
    for finish in reversed(finishes):
        await finish(done)
