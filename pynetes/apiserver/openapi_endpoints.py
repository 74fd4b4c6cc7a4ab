"""`/openapi/v2` and `/openapi/v3`: the published schemas, sent compressed to those who can read that.

A document is made when it is first asked for, in a thread, since it takes a while; it is kept until the set of served
resources changes. Clients keep it too: every answer has an ETag, and a v3 path asked for with the index's hash may be
cached for long.
"""

import asyncio
from typing import TYPE_CHECKING

from pynetes.apiserver.aggregation import proxy as aggregation
from pynetes.apiserver.request import Request, Response, json_response
from pynetes.apiserver.version import GIT_VERSION
from pynetes.machinery import errors, openapi, wire
from pynetes.machinery.openapi import Document

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

_GNOSTIC = "proto-openapi"
_IMMUTABLE = {"Cache-Control": "public, immutable"}


class OpenApi:
    """The documents of a registry's resources."""

    def __init__(self, server: "ApiServer") -> None:
        self._server = server
        self._registry = server.registry
        self._changes = -1
        self._made = openapi.OpenApi(())
        self._lock = asyncio.Lock()

    def _current(self) -> openapi.OpenApi:
        if self._changes != self._registry.changes:
            self._changes = self._registry.changes
            served = [resource.rt for resource in self._registry if resource.custom is None]
            customs = [resource.custom for resource in self._registry if resource.custom is not None]
            remotes = self._server.aggregation.remotes()
            others = {remote.path.strip("/"): remote.described for remote in remotes if remote.described is not None}
            self._made = openapi.OpenApi(served, customs, GIT_VERSION, others)
        return self._made

    async def v2(self, request: Request, path: str) -> Response:
        """All schemas in one document, as JSON or as protobuf."""
        made = self._current()
        wants_protobuf = any(
            _GNOSTIC in clause and "json" not in clause for clause in request.headers.get("accept", "").split(",")
        )
        async with self._lock:
            document = await asyncio.to_thread(made.v2_protobuf if wants_protobuf else made.v2_json)
        return await _send(request, document, {})

    async def index(self, request: Request, path: str) -> Response:
        """Where each group version's document is, here or with the server that serves it."""
        document = self._current().v3_index()
        remotes = self._server.aggregation.remotes()
        others = {path: entry for remote in remotes for path, entry in remote.schemas.items()}
        if others:
            index = wire.decode(document.body)
            return json_response(wire.encode({"paths": index["paths"] | others}))
        return await _send(request, document, {})

    async def v3(self, request: Request, path: str) -> Response:
        """The schemas of one group version."""
        made = self._current()
        wanted = path.removeprefix("/openapi/v3/")
        remote = self._server.aggregation.find_schema(wanted)
        if remote is not None:
            return await aggregation.handle(request, self._server, remote)
        if wanted not in made.v3_paths():
            raise errors.path_not_found()
        known, asked = made.v3_hash(wanted), request.param("hash")
        if asked and asked != known:
            return Response(301, {"Location": f"{path}?hash={known}"})
        async with self._lock:
            document = await asyncio.to_thread(made.v3, wanted)
        assert document is not None
        return await _send(request, document, _IMMUTABLE if asked else {})


async def _send(request: Request, document: Document, more: dict[str, str]) -> Response:
    headers = {"Content-Type": document.media_type, "ETag": document.etag, "Vary": "Accept-Encoding, Accept", **more}
    if document.etag in request.headers.get("if-none-match", ""):
        return Response(304, headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(200, headers | {"Content-Encoding": "gzip"}, document.gzipped)
    return Response(200, headers, await asyncio.to_thread(lambda: document.body))
