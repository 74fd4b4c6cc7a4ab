"""Versions that differ in more than their name are converted by a webhook."""

import base64
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from pynetes.testing.apiserver import RunningApiServer
from tests.component.apiserver.conftest import Http
from tests.component.crd.kinds import Kind, Obj, version

pytestmark = pytest.mark.asyncio(loop_scope="module")

V1: Obj = {"type": "object", "properties": {"hostPort": {"type": "string"}}}
V2: Obj = {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "string"}}}


class Converter:
    """`hostPort` in v1 is `host` and `port` in v2, as in upstream's documentation."""

    def __init__(self) -> None:
        self.asked = 0
        self.refusal = ""
        self.config: Obj = {}

    async def answer(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.asked += 1
        asked = review["request"]
        response: Obj = {"uid": asked["uid"], "result": {"status": "Success"}}
        if self.refusal:
            response["result"] = {"status": "Failure", "message": self.refusal}
        else:
            response["convertedObjects"] = [self.convert(each, asked["desiredAPIVersion"]) for each in asked["objects"]]
        return web.json_response({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response})

    @staticmethod
    def convert(obj: Obj, api_version: str) -> Obj:
        made = obj | {"apiVersion": api_version}
        if api_version.endswith("/v2"):
            made["host"], _, made["port"] = made.pop("hostPort").partition(":")
        else:
            made["hostPort"] = f"{made.pop('host')}:{made.pop('port')}"
        return made


@pytest_asyncio.fixture(loop_scope="module")
async def converter(server: RunningApiServer) -> AsyncIterator[Converter]:
    certificate, key = server.authority.ensure("hooks", "hooks", addresses=("127.0.0.1",), server=True, client=False)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    made = Converter()
    application = web.Application()
    application.router.add_post("/convert", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # aiohttp has no other way to say it
    bundle = base64.b64encode(server.ca_file.read_bytes()).decode()
    made.config = {"url": f"https://127.0.0.1:{port}/convert", "caBundle": bundle}
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def kind(http: Http, converter: Converter) -> Kind:
    webhook = {"clientConfig": converter.config, "conversionReviewVersions": ["v1"]}
    versions = version("v1", schema=V1), version("v2", schema=V2, storage=False)
    return await Kind(http, *versions, conversion={"strategy": "Webhook", "webhook": webhook}).establish()


def v1(kind: Kind, name: str = "a", **fields: Any) -> Obj:
    return kind.object(name) | {"hostPort": "example.com:80"} | fields


async def test_each_version_selects_by_its_own_fields(http: Http, converter: Converter) -> None:
    webhook = {"clientConfig": converter.config, "conversionReviewVersions": ["v1"]}
    first = version("v1", schema=V1, selectableFields=[{"jsonPath": ".hostPort"}])
    fields = [{"jsonPath": ".host"}, {"jsonPath": ".port"}]
    second = version("v2", schema=V2, storage=False, selectableFields=fields)
    kind = await Kind(http, first, second, conversion={"strategy": "Webhook", "webhook": webhook}).establish()

    async def named(version: str, selector: str) -> list[str]:
        found = (await http("GET", f"{kind.path(version=version)}?fieldSelector={selector}")).json["items"]
        return [each["metadata"]["name"] for each in found]

    revision = (await http("GET", kind.path())).json["metadata"]["resourceVersion"]
    for name, host, port in (("a", "one", "80"), ("b", "one", "8080"), ("c", "two", "80")):
        sent = kind.object(name, "v2") | {"host": host, "port": port}
        assert (await http("POST", kind.path(version="v2"), sent)).status == 201
    assert await named("v2", "host%3Done") == ["a", "b"]
    assert await named("v2", "host%3Done,port%3D80") == ["a"]
    assert await named("v1", "hostPort%3Done:8080") == ["b"]
    await http("DELETE", f"{kind.path(version='v2')}?fieldSelector=host%3Done,port%3D80")
    await http.patch(kind.path("b"), {"hostPort": "two:8080"})
    for served, selector in (("v2", "host%3Done,port%3D8080"), ("v1", "hostPort%3Done:8080")):
        query = f"watch=1&resourceVersion={revision}&fieldSelector={selector}"
        lines = await http.watch(f"{kind.path(version=served)}?{query}", 2)
        assert [(each["type"], each["object"]["metadata"]["name"]) for each in lines] == [
            ("ADDED", "b"),
            ("DELETED", "b"),
        ]


async def test_an_object_is_read_in_both_versions(http: Http, kind: Kind) -> None:
    assert (await http("POST", kind.path(), v1(kind))).json["hostPort"] == "example.com:80"
    found = (await http("GET", kind.path("a", "v2"))).json
    assert (found["host"], found["port"], "hostPort" in found) == ("example.com", "80", False)
    assert found["apiVersion"].endswith("/v2")
    patched = await http.patch(kind.path("a", "v2"), {"port": "81"})
    assert patched.json["port"] == "81"
    assert (await http("GET", kind.path("a"))).json["hostPort"] == "example.com:81"


async def test_a_list_of_objects_stored_in_different_versions(http: Http, kind: Kind) -> None:
    await http("POST", kind.path(), v1(kind, "a"))

    def swap(spec: Obj) -> None:
        for each in spec["versions"]:
            each["storage"] = each["name"] == "v2"

    await kind.change(swap)
    sent = kind.object("b", "v2") | {"host": "example.org", "port": "443"}
    assert (await http("POST", kind.path(version="v2"), sent)).status == 201
    first = (await http("GET", kind.path())).json["items"]
    assert [each["hostPort"] for each in first] == ["example.com:80", "example.org:443"]
    second = (await http("GET", kind.path(version="v2"))).json["items"]
    assert [each["port"] for each in second] == ["80", "443"]


async def test_watchers_of_every_version_see_a_write(http: Http, kind: Kind) -> None:
    await http("POST", kind.path(), v1(kind))
    (line,) = await http.watch(f"{kind.path(version='v2')}?watch=1", 1)
    assert (line["type"], line["object"]["host"]) == ("ADDED", "example.com")


async def test_an_object_is_converted_once(http: Http, kind: Kind, converter: Converter) -> None:
    await http("POST", kind.path(), v1(kind))
    before = converter.asked
    for _ in range(3):
        await http("GET", kind.path("a", "v2"))
        await http("GET", kind.path(version="v2"))
    assert converter.asked == before


async def test_what_the_webhook_refuses_is_an_error(http: Http, kind: Kind, converter: Converter) -> None:
    converter.refusal = "no such thing"
    answer = await http("POST", kind.path(version="v2"), kind.object("b", "v2") | {"host": "h", "port": "1"})
    assert answer.status == 500
    assert answer.message == f"conversion webhook for {kind.group}/v2, Kind=CronTab failed: no such thing"
