"""PATCH: four kinds of patch, one write.

The patch is applied to the newest stored object and the outcome goes the way of an update, again from the start if
another writer was faster. Server-side apply differs: it knows the fields' owners itself and may create the object.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from pynetes.apiserver import bodies, negotiate, parameters, writes, yaml
from pynetes.apiserver.registry import Context, Registry, Resource
from pynetes.apiserver.request import Request, RequestInfo
from pynetes.machinery import clock, decode_errors, errors, json_syntax, scheme, wire
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import apply, json_patch, merge, strategic
from pynetes.machinery.patches.go_text import go_text

JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH = negotiate.PATCH_TYPES
_MAX_OPERATIONS = 10_000


async def run(
    registry: Registry, resource: Resource, request: Request, info: RequestInfo, subresource: str = ""
) -> writes.Written:
    """Apply the patch in the body to the object (or its subresource) and store the outcome."""
    media = negotiate.body_type(request.headers.get("content-type", ""))
    known = [each for each in negotiate.PATCH_TYPES if resource.definition or each != STRATEGIC_PATCH]
    if media not in known:
        raise errors.unsupported_media_type(known)
    ctx = parameters.context(request, "PatchOptions")
    _check_options(request, media)
    if media == APPLY_PATCH:
        return await _apply(registry, resource, request, info, ctx, subresource)
    change = _Patch(media, request.body, resource, info, ctx)
    return await writes.update(registry, resource, info.namespace, info.name, change, ctx, subresource=subresource)


def change_of(request: Request, resource: Resource, ctx: Context) -> tuple[writes.Change, bool]:
    """The change that the patch in the body makes, for views that are stored as part of another object (scale).

    True beside it says that it is applied, and the change sees to the managed fields.
    """
    media = negotiate.body_type(request.headers.get("content-type", ""))
    if media not in negotiate.PATCH_TYPES:
        raise errors.unsupported_media_type(negotiate.PATCH_TYPES)
    _check_options(request, media)
    info = request.info
    assert info is not None
    if media != APPLY_PATCH:
        return _Patch(media, request.body, resource, info, ctx), False
    config, force = intent(request, resource, info, ctx), parameters.flag(request, "force")
    subresource = info.subresource

    async def applied(old: Obj | None) -> Obj:
        now = clock.timestamp()
        manager, definition = ctx.field_manager, resource.schema
        return apply.server_side_apply(old, config, manager, force, definition, now, subresource=subresource)

    return applied, True


def _check_options(request: Request, media: str) -> None:
    if media == APPLY_PATCH:
        if not request.param("fieldManager"):
            finding = errors.required("fieldManager", "is required for apply patch")
            raise errors.invalid(parameters.META_GROUP, "PatchOptions", "", [finding])
    elif request.param("force"):
        finding = errors.forbidden_field("force", "may not be specified for non-apply patch")
        raise errors.invalid(parameters.META_GROUP, "PatchOptions", "", [finding])


class _Patch:
    """A JSON, merge or strategic merge patch, parsed once and applied as often as the write is tried."""

    def __init__(self, media: str, body: bytes, resource: Resource, info: RequestInfo, ctx: Context) -> None:
        self._media = media
        self._info = info
        self._resource = resource
        self._ctx = ctx
        self._warned = False
        try:
            self._patch: Any = wire.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.bad_request(_said(media, json_syntax.error(body) or str(error))) from error
        self._repeated: list[str] = []
        wanted = list if media == JSON_PATCH else dict
        if not isinstance(self._patch, wanted):
            raise errors.bad_request(_said(media, _cannot_unmarshal(self._patch, media)))
        if media == JSON_PATCH and len(self._patch) > _MAX_OPERATIONS:
            raise errors.request_entity_too_large(
                f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(self._patch)}"
            )

        if ctx.field_validation == "Ignore":
            return
        if media == JSON_PATCH:
            self._repeated = decode_errors.operation_faults(body)
        elif len(wire.encode(self._patch)) != len(body.strip()):  # else it has no room for anything twice
            self._repeated = decode_errors.duplicates(body)

    async def __call__(self, old: Obj | None) -> Obj:
        assert old is not None
        resource = self._resource
        if self._media == JSON_PATCH:
            patched = json_patch.apply(old, self._patch)
        elif self._media == MERGE_PATCH:
            patched = merge.apply(old, self._patch)
        else:
            assert resource.definition is not None
            patched = strategic.apply(old, self._patch, resource.definition)
        self._check_fields(patched)
        if resource.custom is not None:
            bodies.check_custom(patched, resource.rt)
        else:
            bodies.check_kind(patched, resource.rt.api_version, resource.rt.kind)
        bodies.check_name(patched, self._info.name, self._info.namespace if resource.rt.namespaced else "")
        if resource.definition is None:
            resource.strategy.receive(patched)
            return patched
        try:
            return scheme.convert(resource.rt, patched)
        except StatusError as error:
            reason = error.message.partition(" cannot be handled as a ")[2].partition(": ")[2]
            raise self._refused(patched, reason or error.message) from error

    def _check_fields(self, patched: Obj) -> None:
        """Unknown fields that the patch brought, under the client's field validation."""
        definition, schema = self._resource.definition, self._resource.schema
        if self._ctx.field_validation == "Ignore":
            return
        if definition is not None:
            self._note(scheme.unknown_fields(definition, patched), patched)
        elif schema is not None:
            self._note(decode_errors.unknown_fields(schema, patched), patched)

    def _note(self, paths: list[str], patched: Obj) -> None:
        """Refuse the outcome for fields that are unknown or given twice, or warn of them, as the client wishes."""
        faults = self._repeated + [f'unknown field "{path}"' for path in paths]
        if faults and self._ctx.field_validation == "Strict":
            raise self._refused(patched, f"strict decoding error: {', '.join(faults)}")
        if not self._warned:
            self._ctx.warnings += faults
            self._warned = True

    def _refused(self, patched: Obj, reason: str) -> StatusError:
        shown = go_text(self._patch) if self._media == STRATEGIC_PATCH else wire.encode(patched).decode()
        return errors.invalid("", "", "", [errors.invalid_value("patch", shown, reason)])


def _said(media: str, reason: str) -> str:
    """A merge patch that cannot be read is refused in other words than the other two."""
    return f"error decoding patch: {reason}" if media == MERGE_PATCH else reason


def _cannot_unmarshal(patch: Any, media: str) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    found = kinds.get(type(patch), "null")
    into = "jsonpatch.Patch" if media == JSON_PATCH else "map[string]interface {}"
    return f"json: cannot unmarshal {found} into Go value of type {into}"


async def _apply(
    registry: Registry, resource: Resource, request: Request, info: RequestInfo, ctx: Context, subresource: str
) -> writes.Written:
    """Server-side apply: the body is the whole intent of one field manager."""
    config = intent(request, resource, info, ctx)
    if resource.written_as is not None:
        return await _apply_as_current(registry, resource, resource.written_as, request, config, ctx, subresource)
    return await _apply_intent(registry, resource, request, config, ctx, subresource)


async def _apply_as_current(
    registry: Registry,
    resource: Resource,
    current: Resource,
    request: Request,
    config: Obj,
    ctx: Context,
    subresource: str,
) -> writes.Written:
    """Apply an old version's configuration as one of the current version; owners are known by its fields."""

    def with_old_defaults(outcome: Obj) -> Obj:
        old = resource.from_stored(outcome)
        resource.strategy.default(old)
        return resource.to_stored(old)

    with writes.own_names(resource, current):
        written = await _apply_intent(
            registry, current, request, resource.to_stored(config), ctx, subresource, finish=with_old_defaults
        )
    return writes.Written(resource.reread(written.value), written.created)


async def _apply_intent(
    registry: Registry,
    resource: Resource,
    request: Request,
    config: Obj,
    ctx: Context,
    subresource: str,
    finish: Callable[[Obj], Obj] | None = None,
) -> writes.Written:
    force = parameters.flag(request, "force")
    info = request.info
    assert info is not None

    async def applied(old: Obj | None) -> Obj:
        outcome = apply.server_side_apply(
            old,
            config,
            ctx.field_manager,
            force,
            resource.schema,
            clock.timestamp(),
            subresource=subresource,
            reset=resource.ignored(subresource),
        )
        if old is None:
            bodies.check_name(outcome, info.name, "")
        if resource.definition is None:
            resource.strategy.receive(outcome)
            return outcome
        return scheme.convert(resource.rt, outcome)

    return await writes.update(
        registry,
        resource,
        info.namespace,
        info.name,
        applied,
        ctx,
        subresource=subresource,
        may_create=not subresource,
        applied=True,
    )


def intent(request: Request, resource: Resource, info: RequestInfo, ctx: Context) -> Obj:
    """The applied configuration, checked: it must say what it is, and agree with the path."""
    rt = resource.rt
    try:
        sent, repeated = yaml.load(request.body)
    except yaml.YamlError as error:
        raise errors.bad_request(f"error decoding YAML: {error}") from error
    sent = {} if sent is None else sent
    if not isinstance(sent, dict):
        reason = _cannot_unmarshal(sent, APPLY_PATCH)
        raise errors.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {reason}")
    if sent.get("apiVersion", "") != rt.api_version:
        raise errors.bad_request(
            "incorrect version specified in apply patch. "
            f"Specified patch version: {sent.get('apiVersion', '')}, expected: {rt.api_version}"
        )
    if sent.get("kind", "") != rt.kind:
        kind = f"{rt.group}/{rt.version}, Kind={sent.get('kind', '')}"
        raise errors.bad_request(
            f"failed to create typed patch object ({info.namespace}/{info.name}; {kind}): "
            f"no corresponding type for {kind}"
        )
    metadata = sent.setdefault("metadata", {})
    if isinstance(metadata, dict):
        if metadata.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        if rt.namespaced:
            metadata.setdefault("namespace", info.namespace)
        named = {"metadata": {"name": info.name} | metadata}
        bodies.check_name(named, info.name, info.namespace if rt.namespaced else "")
    if repeated and ctx.field_validation == "Strict":
        raise errors.bad_request(f"error strict decoding YAML: {yaml.PREFIX}{yaml.repeated_text(repeated)}")
    if ctx.field_validation == "Warn":
        ctx.warnings += repeated
    return sent
