"""A server for each module, and a plain HTTP client that shows answers as they are."""

import asyncio
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from pynetes.testing.apiserver import RunningApiServer

Obj = dict[str, Any]


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    warnings: list[str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return self.json["message"]

    @property
    def reason(self) -> str:
        return self.json["reason"]


class Http:
    """Requests to one server as its administrator."""

    def __init__(self, server: RunningApiServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        accept: str = "application/json",
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"Accept": accept, **({"Content-Type": content_type} if data is not None else {}), **(headers or {})}
        async with self.session.request(method, self.server.url + path, data=data, headers=given) as answer:
            return Answer(
                answer.status,
                answer.headers,
                await answer.read(),
                answer.headers.getall("Warning", []),
            )

    async def patch(self, path: str, body: Any, kind: str = "merge") -> Answer:
        types = {
            "json": "application/json-patch+json",
            "merge": "application/merge-patch+json",
            "strategic": "application/strategic-merge-patch+json",
            "apply": "application/apply-patch+yaml",
        }
        return await self("PATCH", path, body, content_type=types[kind])

    async def watch(self, path: str, count: int, timeout: float = 5.0, accept: str = "application/json") -> list[Obj]:
        """The first `count` lines of a watch."""
        lines: list[Obj] = []
        async with (
            asyncio.timeout(timeout),
            self.session.get(self.server.url + path, headers={"Accept": accept}) as answer,
        ):
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                lines.append(json.loads(line))
                if len(lines) == count:
                    break
        return lines


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(server: RunningApiServer) -> AsyncIterator[Http]:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    certificate, key = server.authority.ensure("client-kubernetes-admin", "kubernetes-admin", ("system:masters",))
    context.load_cert_chain(certificate, key)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Http(server, session)


@pytest_asyncio.fixture(loop_scope="module")
async def namespace(http: Http) -> str:
    """A fresh namespace."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    created = await http("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert created.status == 201, created.body
    account = await http("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    assert account.status == 201, account.body
    return name


@pytest.fixture
def configmaps(namespace: str) -> str:
    """The path of the ConfigMaps of a fresh namespace."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def pods(namespace: str) -> str:
    """The path of the pods of a fresh namespace."""
    return f"/api/v1/namespaces/{namespace}/pods"


def configmap(name: str = "", data: Obj | None = None, **metadata: Any) -> Obj:
    """A ConfigMap."""
    named = {"name": name} if name else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": named | metadata, "data": data or {"a": "1"}}


def pod(name: str = "p", **spec: Any) -> Obj:
    """A pod of one container."""
    container = {"name": "c", "image": "busybox"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]} | spec}
