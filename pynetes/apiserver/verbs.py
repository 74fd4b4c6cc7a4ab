"""The verbs, the same for every kind: from a request whose turn has come to its answer.

Reading takes the stored bytes and never decodes them, unless a table or another version is asked for. Writing decodes
the body into the kind's type and goes through `writes`.
"""

import asyncio
from collections.abc import Sequence

from pynetes.apiserver import bodies, negotiate, parameters, patch, present, watch, writes
from pynetes.apiserver.parameters import Continuation, ListOptions
from pynetes.apiserver.registry import Registry, Resource
from pynetes.apiserver.request import JSON, Request, RequestInfo, Response
from pynetes.machinery import errors, meta, wire
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Compacted, FutureRevision, Page, Record

_DELETED_AT_ONCE = 64
_JSON_HEADERS = {"Content-Type": JSON}

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter"
)
_EXPIRED_RESUMABLE = (
    _EXPIRED
    + ", or use the continue token in this response to retrieve the remainder of the results. Continuing with the "
    "provided token results in an inconsistent list - objects that were created, modified, or deleted between the "
    "time the first chunk was returned and now may show up in the list."
)


# Reading.


def get(registry: Registry, resource: Resource, request: Request, info: RequestInfo) -> Response:
    """One object."""
    form = negotiate.accepted(request)
    if request.raw_query:
        _check_get(request, registry)
    record = registry.store.get(resource.key(info.namespace, info.name))
    if record is None:
        raise writes.not_found(resource, info.name)
    if form is negotiate.PLAIN and not resource.converts and not negotiate.wants_pretty(request):
        return Response(200, dict(_JSON_HEADERS), record.value)
    return _answer(resource, request, writes.client_bytes(resource, record), 200)


def _check_get(request: Request, registry: Registry) -> None:
    version = request.param("resourceVersion")
    if not version or version == "0":
        return
    if not version.isdigit():
        raise parameters.bad_version(version)
    if int(version) > registry.store.revision:
        raise too_large(int(version), registry.store.revision)


def list_(registry: Registry, resource: Resource, request: Request, info: RequestInfo) -> Response:
    """A list, or one chunk of it."""
    form = negotiate.accepted(request)
    options = parameters.list_options(request, resource)
    include = present.include_policy(request.param("includeObject")) if form.transform == "Table" else "Metadata"
    page, next_token, remaining = select(registry, resource, info.namespace, options)
    metadata: Obj = {"resourceVersion": str(page.revision)}
    if next_token:
        metadata["continue"] = next_token
        if remaining is not None:
            metadata["remainingItemCount"] = remaining
    body = present.many(resource, page.records, metadata, form, pretty=negotiate.wants_pretty(request), include=include)
    return Response(200, {"Content-Type": form.content_type}, body)


def select(
    registry: Registry, resource: Resource, namespace: str, options: ListOptions
) -> tuple[Page, str, int | None]:
    """The records a list answers with, the token of the next chunk, and how many are left (None if unknown)."""
    name = options.fields.exact("metadata.name") if options.fields is not None else None
    prefix = resource.prefix(namespace if resource.rt.namespaced else "")
    if options.fields is not None and not namespace:
        space = options.fields.exact("metadata.namespace")
        prefix = resource.prefix(space) if space and resource.rt.namespaced else prefix
    at, start_after = _position(registry, options, prefix)
    if name and not options.token and (namespace or not resource.rt.namespaced) and at is None:
        return _by_name(registry, resource, namespace, name, options), "", None
    try:
        if not options.selects:
            page = registry.store.list(prefix, at=at, start_after=start_after, limit=options.limit)
            token = _token(prefix, page.continue_key, page.revision) if page.remaining else ""
            return page, token, page.remaining
        return _filtered(registry, prefix, at, start_after, options)
    except Compacted as error:
        raise _expired(registry, options, prefix) from error
    except FutureRevision as error:
        raise too_large(error.revision, error.current) from error


def _position(registry: Registry, options: ListOptions, prefix: str) -> tuple[int | None, str]:
    """The revision to read at (None: now) and the key to start after."""
    if options.token:
        if options.resource_version not in ("", "0"):
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        found = parameters.continuation(options.token)
        return found.revision or None, prefix + found.start_after
    wanted = int(options.resource_version or 0)
    exact = options.match == "Exact" or (options.limit and wanted and not options.match)
    if wanted > registry.store.revision:
        raise too_large(wanted, registry.store.revision)
    return (wanted if exact and wanted else None), ""


def _by_name(registry: Registry, resource: Resource, namespace: str, name: str, options: ListOptions) -> Page:
    """A list selected by one name is a look-up."""
    record = registry.store.get(resource.key(namespace, name))
    found = [record] if record is not None and options.matches(record) else []
    return Page(found, registry.store.revision, 0, "")


def _filtered(
    registry: Registry, prefix: str, at: int | None, start_after: str, options: ListOptions
) -> tuple[Page, str, int | None]:
    """A list under a selector. Chunks of it say that more follows, not how much."""
    page = registry.store.list(prefix, at=at, start_after=start_after)
    limit = options.limit
    if not limit:
        found = [record for record in page.records if options.matches(record)]
        return Page(found, page.revision, 0, ""), "", None
    found = []
    for record in page.records:
        if not options.matches(record):
            continue
        if len(found) == limit:
            return Page(found, page.revision, 1, found[-1].key), _token(prefix, found[-1].key, page.revision), None
        found.append(record)
    return Page(found, page.revision, 0, ""), "", None


def _token(prefix: str, key: str, revision: int) -> str:
    return Continuation(revision, key.removeprefix(prefix)).encode()


def _expired(registry: Registry, options: ListOptions, prefix: str) -> StatusError:
    """410 for history that is gone; a chunked list may go on inconsistently with the token this error carries."""
    if not options.token:
        return errors.expired("The resourceVersion for the provided list is too old.")
    found = parameters.continuation(options.token)
    error = Resumable(_EXPIRED_RESUMABLE)
    error.token = Continuation(0, found.start_after).encode()
    return error


class Resumable(StatusError):
    """410 Expired with a token under which the list may be continued from now."""

    def __init__(self, message: str) -> None:
        super().__init__(410, "Expired", message)
        self.token = ""

    def status(self) -> Obj:
        status = super().status()
        status["metadata"] = {"continue": self.token}
        return status


def too_large(wanted: int, current: int) -> StatusError:
    """504: a revision that this server has not reached."""
    message = f"Too large resource version: {wanted}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return StatusError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def watch_(registry: Registry, resource: Resource, request: Request, info: RequestInfo) -> Response:
    """A stream of changes."""
    return watch.respond(registry, resource, request, info)


# Writing.


async def create(registry: Registry, resource: Resource, request: Request, info: RequestInfo) -> Response:
    """Store the object in the body."""
    form = negotiate.accepted(request)
    if resource.terminating:
        error = errors.method_not_supported(resource.rt.group, resource.rt.plural, "create")
        error.message = "create not allowed while custom resource definition is terminating"
        raise error
    ctx = parameters.context(request, "CreateOptions")
    obj = bodies.decode(request, resource, ctx)
    value = await writes.create(registry, resource, info.namespace, obj, ctx)
    return _answer(resource, request, value, 201, form)


async def update(
    registry: Registry, resource: Resource, request: Request, info: RequestInfo, subresource: str = ""
) -> Response:
    """Replace the object by the one in the body."""
    form = negotiate.accepted(request)
    ctx = parameters.context(request, "UpdateOptions")
    sent = bodies.decode(request, resource, ctx)
    bodies.check_name(sent, info.name, info.namespace if resource.rt.namespaced else "")
    encoded = wire.encode(sent)

    async def replaced(old: Obj | None) -> Obj:
        if old is None and sent.get("metadata", {}).get("resourceVersion", "0") not in ("", "0"):
            raise errors.conflict(resource.rt.group, resource.rt.plural, info.name)
        return wire.decode(encoded)

    written = await writes.update(
        registry,
        resource,
        info.namespace,
        info.name,
        replaced,
        ctx,
        subresource=subresource,
        may_create=resource.strategy.allow_create_on_update and not subresource,
    )
    return _answer(resource, request, written.value, 201 if written.created else 200, form)


async def patch_(
    registry: Registry, resource: Resource, request: Request, info: RequestInfo, subresource: str = ""
) -> Response:
    """Change the object by the patch in the body."""
    form = negotiate.accepted(request)
    written = await patch.run(registry, resource, request, info, subresource)
    return _answer(resource, request, written.value, 201 if written.created else 200, form)


# Kinds whose DELETE answers with the deleted object instead of a Status.
_RETURNED = frozenset(
    {
        "pods",
        "podtemplates",
        "persistentvolumes",
        "persistentvolumeclaims",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "csistoragecapacities.storage.k8s.io",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "volumeattributesclasses.storage.k8s.io",
    }
)


async def delete(registry: Registry, resource: Resource, request: Request, info: RequestInfo) -> Response:
    """Delete the object."""
    form = negotiate.accepted(request)
    options, ctx = parameters.delete_options(request)
    outcome = await writes.delete(registry, resource, info.namespace, info.name, options, ctx)
    accepted = not outcome.gone and (
        options.get("orphanDependents") is False or options.get("propagationPolicy") == "Foreground"
    )
    if outcome.gone and resource.rt.group_resource not in _RETURNED:
        rt = resource.rt
        details = {"name": info.name, "group": rt.group, "kind": rt.plural, "uid": meta.uid(outcome.obj)}
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {field: value for field, value in details.items() if value},
        }
        return negotiate.object_response(request, status)
    return _answer(resource, request, wire.encode(outcome.obj), 202 if accepted else 200, form)


async def delete_collection(registry: Registry, resource: Resource, request: Request, info: RequestInfo) -> Response:
    """Delete everything a list would show; the answer is that list."""
    form = negotiate.accepted(request)
    options, ctx = parameters.delete_options(request)
    page, next_token, _ = select(registry, resource, info.namespace, parameters.list_options(request, resource))
    deleted = await _delete_each(registry, resource, page.records, options, ctx)
    metadata: Obj = {"resourceVersion": str(registry.store.revision)}
    if next_token:
        metadata["continue"] = next_token
    body = present.many(resource, deleted, metadata, form, pretty=negotiate.wants_pretty(request))
    return Response(200, {"Content-Type": form.content_type}, body)


async def _delete_each(
    registry: Registry, resource: Resource, records: Sequence[Record], options: Obj, ctx: writes.Context
) -> list[Record]:
    """Delete the records, some at a time so that they share commits; those that are gone already do not matter."""

    async def one(record: Record) -> None:
        obj = resource.decode(record)
        try:
            await writes.delete(registry, resource, meta.namespace(obj), meta.name(obj), options, ctx)
        except StatusError as error:
            if error.code != 404:
                raise

    for start in range(0, len(records), _DELETED_AT_ONCE):
        outcomes = await asyncio.gather(*map(one, records[start : start + _DELETED_AT_ONCE]), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
    return list(records)


def _answer(
    resource: Resource, request: Request, value: bytes, status: int, form: negotiate.Form | None = None
) -> Response:
    form = form or negotiate.accepted(request)
    include = present.include_policy(request.param("includeObject")) if form.transform == "Table" else "Metadata"
    body = present.one(resource, value, form, pretty=negotiate.wants_pretty(request), include=include)
    return Response(status, {"Content-Type": form.content_type}, body)
