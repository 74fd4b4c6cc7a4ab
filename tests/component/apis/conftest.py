"""A real server for each module, and a namespace of its own for each test."""

import json
from typing import Any

import pytest_asyncio

from pynetes.client.client import Client
from pynetes.machinery.errors import StatusError
from pynetes.testing.apiserver import RunningApiServer

Obj = dict[str, Any]


class Api:
    """The client, bound to one namespace, with errors as values where a test wants them."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    async def create(self, resource: str, name: str, **fields: Any) -> Obj:
        obj = {"metadata": {"name": name}, **fields}
        return await self.client.create(resource, obj, namespace=self.namespace)

    async def get(self, resource: str, name: str) -> Obj:
        return await self.client.get(resource, name, namespace=self.namespace)

    async def update(self, resource: str, obj: Obj, subresource: str = "") -> Obj:
        return await self.client.update(resource, obj, **({"subresource": subresource} if subresource else {}))

    async def delete(self, resource: str, name: str) -> None:
        await self.client.delete(resource, name, namespace=self.namespace)

    async def post(self, path: str, body: Obj) -> Obj:
        """POST to a path below the namespace: `pods/p/binding`."""
        answer = await self.client.raw("POST", f"/api/v1/namespaces/{self.namespace}/{path}", json.dumps(body).encode())
        return json.loads(answer.body)


async def refused(call: Any) -> StatusError:
    """The error of a call that must fail."""
    try:
        answer = await call
    except StatusError as error:
        return error
    raise AssertionError(f"was not refused: {answer}")


@pytest_asyncio.fixture(loop_scope="module")
async def api(server: RunningApiServer) -> Api:
    client = server.client()
    made = await client.create("namespaces", {"metadata": {"generateName": "test-"}})
    name = made["metadata"]["name"]
    await client.create("serviceaccounts", {"metadata": {"name": "default"}}, namespace=name)
    return Api(client, name)
