"""Everything that is not a resource: the index, discovery, health, metrics, version, OpenAPI and the issuer's keys."""

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pynetes.apiserver import metrics, negotiate, openapi_endpoints, version, zpages
from pynetes.apiserver.request import Request, RequestInfo, Response, json_response
from pynetes.machinery import errors, wire

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

Answer = Callable[[Request, str], Response | Awaitable[Response]]


class Paths:
    """The non-resource paths of one server. `add` gives others a path; one that ends in `/` takes all below it."""

    def __init__(self, server: "ApiServer") -> None:
        self._server = server
        self._version = wire.encode(version.info())
        openapi = openapi_endpoints.OpenApi(server)
        self._exact: dict[str, Answer] = {
            "/": self._index,
            "/version": self._version_answer,
            "/metrics": self._metrics,
            "/metrics/slis": self._health_metrics,
            "/statusz": zpages.Status(lambda: self._exact.keys() - {"/"}).answer,
            "/flagz": zpages.Flags(server.options).answer,
            "/openapi/v2": openapi.v2,
            "/openapi/v3": openapi.index,
        }
        self._below: dict[str, Answer] = {"/openapi/v3/": openapi.v3}
        for name in ("healthz", "livez", "readyz"):
            self._exact[f"/{name}"] = server.health.answer
            self._below[f"/{name}/"] = server.health.answer
        for name in ("api", "apis"):
            self._exact[f"/{name}"] = server.discovery.answer
            self._below[f"/{name}/"] = server.discovery.answer

    def add(self, path: str, answer: Answer) -> None:
        """Answer at one more path."""
        (self._below if path.endswith("/") else self._exact)[path] = answer

    async def answer(self, request: Request, info: RequestInfo) -> Response:
        """The answer at a path; 404 where there is none, 405 for methods that change things."""
        path = info.path
        found = self._exact.get(path) or self._exact.get(path.rstrip("/") or "/")
        if found is None:
            below = max((each for each in self._below if path.startswith(each)), key=len, default=None)
            if below is None:
                return Response(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404 page not found\n")
            found = self._below[below]
        if request.method not in ("GET", "HEAD"):
            raise errors.StatusError(
                405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
            )
        answer = found(request, path.rstrip("/") or "/")
        return await answer if inspect.isawaitable(answer) else answer

    def _index(self, request: Request, path: str) -> Response:
        versions = {(each.rt.group, each.rt.version) for each in self._server.registry}
        groups = {group for group, _ in versions if group}
        listed = {"/api", "/api/v1", "/apis", *self._exact} - {"/"}
        listed |= {f"/apis/{group}" for group in groups} | self._server.health.paths()
        listed |= {f"/apis/{group}/{version_}" for group, version_ in versions if group}
        return json_response(wire.encode({"paths": sorted(listed)}))

    def _version_answer(self, request: Request, path: str) -> Response:
        form = negotiate.PLAIN
        return json_response(negotiate.reform(self._version, form, pretty=True))

    def _health_metrics(self, request: Request, path: str) -> Response:
        return Response(200, {"Content-Type": metrics.CONTENT_TYPE}, self._server.health.metrics().encode())

    def _metrics(self, request: Request, path: str) -> Response:
        registry = self._server.registry
        objects = {each.rt.group_resource: registry.store.count(each.prefix()) for each in registry}
        text = self._server.metrics.text(objects)
        return Response(200, {"Content-Type": metrics.CONTENT_TYPE}, text.encode())
