"""One request from arrival to answer: read this file to know the API server.

    path → authentication → impersonation → authorization → flow control → body → verb → answer

Each step is a function elsewhere: `paths` says what is asked for, `authn` who asks, `authz` whether they may,
`flowcontrol` whether it is their turn. `verbs` reads the store, or writes to it through `writes`, where defaults,
admission and validation happen. Subresources and virtual resources have handlers of their own (`subresources`). Every
failure is a `StatusError` and becomes a `Status` here, at one place.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from pynetes.apiserver import negotiate, parameters, paths, subresources, verbs
from pynetes.apiserver.aggregation import proxy as aggregation
from pynetes.apiserver.authn.impersonation import impersonate
from pynetes.apiserver.authz.authorizer import forbidden
from pynetes.apiserver.registry import Resource
from pynetes.apiserver.request import Request, RequestInfo, Response, UserInfo
from pynetes.machinery import clock, errors
from pynetes.machinery.errors import StatusError
from pynetes.storage.interface import Record

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

BODY_LIMIT = 3 * 1024 * 1024
_READING = frozenset({"get", "list", "watch"})
_LONG_RUNNING = frozenset({"attach", "exec", "log", "portforward", "proxy"})
_SHOWING = _READING | {"deletecollection"}
_MUTATING: dict[str, Callable[..., Awaitable[Response]]] = {
    "create": verbs.create,
    "update": verbs.update,
    "patch": verbs.patch_,
    "delete": verbs.delete,
    "deletecollection": verbs.delete_collection,
}
_READS: dict[str, Callable[..., Response]] = {"get": verbs.get, "list": verbs.list_, "watch": verbs.watch_}

log = logging.getLogger(__name__)


async def handle(server: "ApiServer", request: Request) -> Response:
    """Answer a request, whatever happens."""
    started = clock.monotonic()
    request.raw_path = request.path
    info = request.info = paths.request_info(request.method, request.path, request.raw_query)
    request.path = info.path
    try:
        if request.raw_query and "timeout=" in request.raw_query and not _long_running(info):
            parameters.timeout(request, server.options.request_timeout)
        response = await _admitted(server, request, info)
    except StatusError as error:
        response = negotiate.error_response(request, error)
    except TimeoutError:
        response = negotiate.error_response(request, _timed_out())
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        log.exception("%s %s", request.method, request.raw_path)
        panic = StatusError(
            500, "InternalError", "This request caused apiserver to panic. Look in the logs for details."
        )
        response = negotiate.error_response(request, panic)
    if isinstance(response.body, AsyncIterator):
        response.body = _counted(server, info, response.status, response.body, started)
    else:
        dry_run = bool(request.raw_query) and "dryRun" in request.query
        server.metrics.observe(info, response.status, clock.monotonic() - started, dry_run)
    return response


def _long_running(info: RequestInfo) -> bool:
    return info.verb == "watch" or info.subresource in _LONG_RUNNING


async def _admitted(server: "ApiServer", request: Request, info: RequestInfo) -> Response:
    """Who asks, and may they; then the answer itself."""
    user = server.authenticator.authenticate(request)
    user = request.user = impersonate(request, user, server.authorizer)
    request.flow_lines = server.flow_schemas.lines(user, info)
    decision = server.authorizer.authorize(user, info)
    if not decision.allowed:
        raise forbidden(user, info, decision.reason)
    remote = server.aggregation.find(info.path)
    if remote is not None:
        return await aggregation.handle(request, server, remote)
    if not info.is_resource:
        return await server.paths.answer(request, info)
    return await _resource(server, request, info, user)


async def _resource(server: "ApiServer", request: Request, info: RequestInfo, user: UserInfo) -> Response:
    resource = server.registry.find(info.group, info.version, info.resource)
    if resource is None or not _addressable(resource, info):
        raise errors.path_not_found()
    if resource.converts_elsewhere and info.verb in _SHOWING:
        await resource.learn(_shown(server, resource, info))
    endpoint = _endpoint(resource, info)
    if resource.strategy.deprecated:
        request.warnings.append(resource.strategy.deprecated)
        server.metrics.note_deprecated(info, resource.strategy.deprecated)
    if endpoint is None and not info.subresource and info.verb in _READS:
        if info.verb not in resource.rt.verbs:
            raise method_not_allowed()
        return _READS[info.verb](server.registry, resource, request, info)
    if endpoint is not None and endpoint.streaming:
        # Proxies, exec and logs: they read their own bodies and may last for ever.
        server.metrics.long_running += 1
        try:
            return await endpoint.handler(request, server, resource.rt, info.namespace, info.name)
        finally:
            server.metrics.long_running -= 1
    async with server.flow.seat(user, info):
        kind = "readOnly" if info.verb in _READING else "mutating"
        server.metrics.inflight[kind] += 1
        timeout = parameters.timeout(request, server.options.request_timeout)
        try:
            return await clock.wait_for(_run(server, request, info, resource, endpoint), timeout)
        finally:
            server.metrics.inflight[kind] -= 1


async def _run(
    server: "ApiServer",
    request: Request,
    info: RequestInfo,
    resource: Resource,
    endpoint: subresources.Endpoint | None,
) -> Response:
    """A write, or whatever a subresource does, once it has its turn."""
    await request.read_body(BODY_LIMIT)
    if endpoint is not None:
        return await endpoint.handler(request, server, resource.rt, info.namespace, info.name)
    if info.subresource:
        if info.verb == "get":
            return verbs.get(server.registry, resource, request, info)
        return await _MUTATING[info.verb](server.registry, resource, request, info, info.subresource)
    if info.verb not in resource.rt.verbs or info.verb not in _MUTATING:
        raise method_not_allowed()
    return await _MUTATING[info.verb](server.registry, resource, request, info)


def _shown(server: "ApiServer", resource: Resource, info: RequestInfo) -> Sequence[Record]:
    """The records that a request may read."""
    if info.name:
        record = server.registry.store.get(resource.key(info.namespace, info.name))
        return [record] if record is not None else []
    return server.registry.store.list(resource.prefix(info.namespace if resource.rt.namespaced else "")).records


def _addressable(resource: Resource, info: RequestInfo) -> bool:
    """Whether the path is one that this resource has: namespaced ones name a namespace, others do not."""
    if not resource.rt.namespaced:
        return not info.namespace or info.resource == "namespaces"
    return bool(info.namespace) or not info.name or info.verb in ("list", "watch", "deletecollection")


def _endpoint(resource: Resource, info: RequestInfo) -> subresources.Endpoint | None:
    """The handler registered for what is asked, None if the generic verbs serve it; 404 and 405 where neither does."""
    handlers = subresources.find(resource.rt.group_resource, info.subresource)
    if handlers is not None and info.verb in handlers:
        return handlers[info.verb]
    if not info.subresource:
        if handlers is not None and info.verb not in resource.rt.verbs:
            raise method_not_allowed()
        if resource.rt.namespaced and not info.namespace and info.verb in ("create", "deletecollection"):
            raise method_not_allowed()
        if bool(info.name) == (info.verb == "create") and info.verb in ("create", "update", "patch"):
            raise method_not_allowed()  # one creates in a collection, and changes one object
        return None
    served = resource.rt.subresource(info.subresource)
    shared = subresources.find(subresources.ANY, info.subresource) if served is not None else None
    if shared is not None and info.verb in shared:
        return shared[info.verb]
    if served is None and handlers is None:
        raise errors.path_not_found()
    if info.subresource != "status" or served is None or info.verb not in served.verbs:
        raise method_not_allowed()
    return None


def method_not_allowed() -> StatusError:
    """405, in the words of upstream's router."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def _timed_out() -> StatusError:
    return errors.timeout("request did not complete within the allotted timeout", 0)


async def _counted(
    server: "ApiServer", info: RequestInfo, status: int, stream: AsyncIterator[bytes], started: float
) -> AsyncIterator[bytes]:
    """A stream, counted as one long-running request from its start to its end."""
    server.metrics.long_running += 1
    try:
        async for piece in stream:
            yield piece
    finally:
        closing = getattr(stream, "aclose", None)
        if closing is not None:
            await closing()
        server.metrics.long_running -= 1
        server.metrics.observe(info, status, clock.monotonic() - started, False)
