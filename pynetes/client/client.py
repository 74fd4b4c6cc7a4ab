"""The API client: every verb on every resource, as plain dicts, over a few kept-alive connections.

A request that the server refuses raises `StatusError`, whatever the refusal; a server that cannot be reached raises
`Unreachable`. Nothing is retried here: who asks knows whether asking twice is right. A watch ends normally when the
server ends it, and raises like any other call; `informer` turns that into a cache that never ends.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from pynetes.client import kubeconfig
from pynetes.machinery import errors, resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

Patch = Obj | list[Obj]
PatchType = Literal["json", "merge", "strategic", "apply"]

_PATCH_CONTENT: dict[str, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_JSON = "application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

# A peer that vanished without a word (its machine or its link died) is noticed after about a quarter of a minute.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 3), (socket.TCP_KEEPCNT, 3))
_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 60.0
_PARALLEL_REQUESTS = 64


class TokenSource(Protocol):
    """Where a client that is somebody gets its bearer tokens."""

    async def __call__(self) -> str:
        """The token to send now."""
        ...

    def reject(self, token: str) -> None:
        """The server did not accept `token`: the next one must be another."""
        ...


class Unreachable(ConnectionError):
    """The server did not answer: refused, reset, timed out or cut off in mid-answer."""


@dataclass(slots=True)
class ObjList:
    """One answer to a list request."""

    items: list[Obj]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


@dataclass(slots=True)
class RawResponse:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)


class WatchFrame(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: dict[str, Any]


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")
    remaining_item_count: int | None = None


class _ListBody(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[dict[str, Any]] | None = None


_decode_frame = msgspec.json.Decoder(WatchFrame).decode
_decode_list = msgspec.json.Decoder(_ListBody).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def resource_of(rt: ResourceType | str) -> ResourceType:
    """The resource itself, or the built-in one of that name."""
    if isinstance(rt, str):
        found = resources.lookup(rt)
        if found is None:
            raise LookupError(f"no built-in resource {rt!r}")
        return found
    return rt


def default_user_agent() -> str:
    """What to call ourselves: the program's name and ours."""
    return f"{os.path.basename(sys.argv[0] or 'python')}/pynetes"  # noqa: PTH119 - argv is not always a path


@dataclass(slots=True)
class _Session:
    """The aiohttp session, made on first use because it belongs to the running event loop."""

    http: aiohttp.ClientSession
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_PARALLEL_REQUESTS))


class Client:
    """An authenticated connection to one API server."""

    def __init__(
        self,
        server: str,
        *,
        ca_data: bytes | None = None,
        cert: bytes | None = None,
        key: bytes | None = None,
        token: str | None = None,
        connection: kubeconfig.Connection | None = None,
        user_agent: str | None = None,
        token_source: TokenSource | None = None,
    ) -> None:
        self.connection = connection or kubeconfig.Connection(
            server.rstrip("/"), ca_data=ca_data, cert=cert, key=key, token=token
        )
        self.user_agent = user_agent or default_user_agent()
        self._token_source = token_source
        self._session: _Session | None = None

    @classmethod
    def from_kubeconfig(
        cls, path: str | os.PathLike[str] | None = None, context: str | None = None, user_agent: str | None = None
    ) -> "Client":
        """A client for what the kubeconfig names."""
        connection = kubeconfig.load(path, context)
        return cls(connection.server, connection=connection, user_agent=user_agent)

    def acting_as(self, token_source: TokenSource, user_agent: str | None = None) -> "Client":
        """A client of the same server that is somebody else: who, the tokens say."""
        anonymous = replace(self.connection, cert=None, key=None, token=None, token_file=None)
        return Client(
            anonymous.server,
            connection=anonymous,
            user_agent=user_agent or self.user_agent,
            token_source=token_source,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; watches end."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.http.close()

    # Reading

    async def get(
        self,
        rt: ResourceType | str,
        name: str,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        metadata_only: bool = False,
    ) -> Obj:
        """One object; StatusError 404 if there is none."""
        accept = METADATA if metadata_only else _JSON
        answer = await self._request("GET", resource_of(rt).path(namespace, name, subresource), accept=accept)
        return _decode(answer.body)

    async def list(
        self,
        rt: ResourceType | str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = None,
        continue_token: str | None = None,
        resource_version: str | None = None,
        metadata_only: bool = False,
    ) -> ObjList:
        """Objects of one kind: all of them, or one page of `limit` with the token of the next."""
        rt = resource_of(rt)
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=limit,
            resourceVersion=resource_version,
            **{"continue": continue_token},
        )
        accept = METADATA_LIST if metadata_only else _JSON
        answer = await self._request("GET", rt.path(namespace), query=query, accept=accept)
        body = _decode_list(answer.body)
        items = body.items or []
        for item in items:
            item["apiVersion"] = rt.api_version
            item["kind"] = rt.kind
        meta = body.metadata
        return ObjList(items, meta.resource_version, meta.continue_, meta.remaining_item_count)

    async def watch(
        self,
        rt: ResourceType | str,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_seconds: int | None = None,
        allow_bookmarks: bool = False,
        metadata_only: bool = False,
    ) -> AsyncGenerator[tuple[str, Obj], None]:
        """Changes since `resource_version` as `(type, object)` until the server ends the watch.

        An ERROR event is raised as StatusError (410 when the revision is too old).
        """
        rt = resource_of(rt)
        query = _query(
            watch="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=timeout_seconds,
            allowWatchBookmarks="true" if allow_bookmarks else None,
        )
        accept = METADATA if metadata_only else _JSON
        async with self.stream("GET", rt.path(namespace), query=query, accept=accept) as response:
            async for line in _lines(response):
                frame = _decode_frame(line)
                if frame.type == "ERROR":
                    raise errors.from_status(frame.object)
                yield frame.type, frame.object

    # Writing

    async def create(
        self,
        rt: ResourceType | str,
        obj: Obj,
        namespace: str | None = None,
        *,
        name: str | None = None,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Obj:
        """Create `obj`, or with `subresource` post `obj` to that of the object `name` (as `binding`, `eviction`)."""
        rt = resource_of(rt)
        metadata = obj.get("metadata") or {}
        space = namespace or metadata.get("namespace")
        target = (name or metadata.get("name")) if subresource else None
        body = obj if subresource else {"apiVersion": rt.api_version, "kind": rt.kind, **obj}
        query = _query(dryRun="All" if dry_run else None)
        return await self._object("POST", rt.path(space, target, subresource), body, query=query)

    async def update(
        self, rt: ResourceType | str, obj: Obj, *, name: str | None = None, subresource: str | None = None
    ) -> Obj:
        """Replace the object (or its `subresource`); a stale resourceVersion raises StatusError 409."""
        rt = resource_of(rt)
        metadata = obj["metadata"]
        path = rt.path(metadata.get("namespace"), name or metadata["name"], subresource)
        return await self._object("PUT", path, {"apiVersion": rt.api_version, "kind": rt.kind, **obj})

    async def patch(
        self,
        rt: ResourceType | str,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        type: PatchType = "merge",
        subresource: str | None = None,
        field_manager: str | None = None,
        force: bool = False,
    ) -> Obj:
        """Patch the object; `apply` needs a `field_manager`."""
        query = _query(fieldManager=field_manager, force="true" if force else None)
        path = resource_of(rt).path(namespace, name, subresource)
        return await self._object("PATCH", path, patch, query=query, content_type=_PATCH_CONTENT[type])

    async def delete(
        self,
        rt: ResourceType | str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> Obj:
        """Delete the object; preconditions that fail raise StatusError 409."""
        preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        options = _delete_options(preconditions, grace_period_seconds, propagation_policy)
        return await self._object("DELETE", resource_of(rt).path(namespace, name), options)

    async def delete_collection(
        self,
        rt: ResourceType | str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> Obj:
        """Delete every object that the selectors choose."""
        options = _delete_options({}, grace_period_seconds, propagation_policy)
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        return await self._object("DELETE", resource_of(rt).path(namespace), options, query=query)

    # Anything else

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawResponse:
        """Any request at all; answers of 400 and above raise like every other call."""
        given = {k.lower(): v for k, v in (headers or {}).items()}
        accept, content = given.pop("accept", _JSON), given.pop("content-type", _JSON)
        return await self._request(method, path, body, query=query, accept=accept, content_type=content, headers=given)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer to be read as it comes, for as long as it comes."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=None)
        headers = self._headers(await self._token()) | {"Accept": accept}
        try:
            async with self._http().http.request(
                method, self._url(path, query), headers=headers, timeout=timeout, **self._tls_name()
            ) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.read())
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error

    async def _object(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = _JSON,
    ) -> Obj:
        data = None if body is None else _encode(body)
        answer = await self._request(method, path, data, query=query, content_type=content_type)
        return _decode(answer.body) if answer.body else {}

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
        headers: Mapping[str, str] | None = None,
    ) -> RawResponse:
        token = await self._token()
        sent = self._headers(token) | {"Accept": accept} | dict(headers or {})
        if body is not None:
            sent["Content-Type"] = content_type
        session = self._http()
        try:
            async with (
                session.slots,
                session.http.request(
                    method, self._url(path, query), data=body, headers=sent, **self._tls_name()
                ) as response,
            ):
                data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error
        if response.status == 401 and self._token_source is not None and token:
            self._token_source.reject(token)
        if response.status >= 400:
            raise _refusal(response.status, data)
        return RawResponse(response.status, response.headers, data)

    def _http(self) -> _Session:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS, sock_connect=_CONNECT_SECONDS)
            connector = aiohttp.TCPConnector(
                limit=0,
                ssl=self.connection.ssl_context() or False,
                keepalive_timeout=30,
                socket_factory=_socket,
            )
            self._session = _Session(
                aiohttp.ClientSession(
                    connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
                )
            )
        return self._session

    async def _token(self) -> str | None:
        return await self._token_source() if self._token_source else self.connection.bearer()

    def _headers(self, token: str | None) -> dict[str, str]:
        headers = {"User-Agent": self.user_agent, "Accept-Encoding": "identity"}
        return headers | {"Authorization": f"Bearer {token}"} if token else headers

    def _tls_name(self) -> dict[str, Any]:
        name = self.connection.server_name
        return {"server_hostname": name} if name else {}

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        text = self.connection.server + path + (f"?{urlencode(query)}" if query else "")
        return URL(text, encoded=True)


def _socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for aiohttp that sends small requests at once and notices a silent peer."""
    family, kind, proto, *_ = info
    made = socket.socket(family=family, type=kind, proto=proto)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)
    return made


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a streamed body; a line may be any length and come in any number of pieces."""
    pending: list[bytes] = []
    async for chunk in response.content.iter_any():
        first, *rest = chunk.split(b"\n")
        pending.append(first)
        for piece in rest:
            line = b"".join(pending)
            if line:
                yield line
            pending = [piece]


def _query(**parameters: Any) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items() if value is not None and value != ""}


def _delete_options(preconditions: Obj, grace: int | None, policy: str | None) -> Obj | None:
    options: Obj = {}
    if preconditions:
        options["preconditions"] = preconditions
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    if policy is not None:
        options["propagationPolicy"] = policy
    return {"apiVersion": "v1", "kind": "DeleteOptions", **options} if options else None


def _refusal(status: int, body: bytes) -> StatusError:
    """The server's Status as an error; answers that are no Status (a proxy's page) become one."""
    try:
        decoded = _decode(body)
    except msgspec.DecodeError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        return errors.from_status(decoded)
    text = body[:2048].decode(errors="replace").strip() or f"the server answered {status}"
    return errors.from_status(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": "", "message": text}
    )
