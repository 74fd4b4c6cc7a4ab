"""Requests to a running API server as any user, with the answers as they are: for tests of the server itself."""

import json
import ssl
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp

from pynetes.testing.apiserver import ADMIN, RunningApiServer

Obj = dict[str, Any]

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    warnings: list[str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What a Status says."""
        message: str = self.json["message"]
        return message


@dataclass
class Rest:
    """One user of one server. `as_user` makes others; all are closed with the first."""

    server: RunningApiServer
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)
    _others: "list[Rest]" = field(default_factory=list)

    @classmethod
    def open(cls, server: RunningApiServer, user: str = ADMIN[0], groups: tuple[str, ...] = ADMIN[1]) -> "Rest":
        """A user with a client certificate."""
        name = "".join(letter if letter.isalnum() else "-" for letter in f"{user}-{'-'.join(groups)}")
        certificate, key = server.authority.ensure(f"client-{name}", user, groups)
        return cls(server, _session(server, str(certificate), str(key)))

    async def __aenter__(self) -> "Rest":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (*self._others, self):
            await each.session.close()

    def as_user(self, user: str, *groups: str) -> "Rest":
        """Another user, by certificate."""
        other = Rest.open(self.server, user, groups)
        self._others.append(other)
        return other

    def with_token(self, token: str) -> "Rest":
        """Whoever a bearer token stands for; nobody, if it is empty."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        other = Rest(self.server, _session(self.server), headers)
        self._others.append(other)
        return other

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {**self.headers, **({"Content-Type": content_type} if data is not None else {}), **(headers or {})}
        url = self.server.url + path
        async with self.session.request(method, url, data=data, headers=given, allow_redirects=False) as answer:
            body_bytes, warnings = await answer.read(), answer.headers.getall("Warning", [])
            return Answer(answer.status, dict(answer.headers), body_bytes, warnings)

    async def make(self, path: str, obj: Obj) -> Obj:
        """Create an object; anything but success is an error of the test."""
        answer = await self("POST", path, obj)
        assert answer.status == 201, answer.body
        created: Obj = answer.json
        return created

    async def patch(self, path: str, body: Any, kind: str = "merge") -> Answer:
        """Patch an object."""
        return await self("PATCH", path, body, content_type=PATCH_TYPES[kind])

    async def make_namespace(self, labels: dict[str, str] | None = None, **annotations: str) -> str:
        """A fresh namespace with its default account, which otherwise a controller makes."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        metadata = {"name": name, "labels": labels or {}, "annotations": annotations}
        await self.make("/api/v1/namespaces", {"metadata": metadata})
        await self.make(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
        return name


def _session(server: RunningApiServer, certificate: str = "", key: str = "") -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    if certificate:
        context.load_cert_chain(certificate, key)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0))
