"""Group versions served by another server, behind a service."""

import asyncio
import base64
import ssl
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from pynetes.testing.apiserver import RunningApiServer
from tests.component.apiserver.conftest import Http

pytestmark = pytest.mark.asyncio(loop_scope="module")

Obj = dict[str, Any]
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
GROUP = "wardle.example.com"
NAME = f"v1.{GROUP}"
SAMPLE_PORT = 65000  # stands for the port that the sample server gets
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _schemas() -> Obj:
    """The sample server's OpenAPI v2: one kind, and an ObjectMeta of another release."""
    flunder = "com.example.wardle.v1.Flunder"
    answer = {"200": {"description": "OK", "schema": {"$ref": f"#/definitions/{flunder}"}}}
    kind = {"group": GROUP, "kind": "Flunder", "version": "v1"}
    return {
        "swagger": "2.0",
        "info": {"title": "sample", "version": "1"},
        "paths": {
            f"/apis/{GROUP}/v1/flunders": {
                "get": {"produces": ["application/json"], "responses": answer, "x-kubernetes-group-version-kind": kind}
            },
            "/version/": {"get": {"produces": ["application/json"], "responses": {}}},
        },
        "definitions": {
            flunder: {
                "type": "object",
                "properties": {
                    "metadata": {"$ref": f"#/definitions/{META}"},
                    "reference": {"type": "string", "description": "Who it is about."},
                },
                "x-kubernetes-group-version-kind": [kind],
            },
            META: {"type": "object", "properties": {"clusterName": {"type": "string"}}},
            "unused": {"type": "string"},
        },
    }


SCHEMAS = _schemas()


class Sample:
    """A server of one kind, which remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.path == f"/apis/{GROUP}/v1":
            flunders = {
                "name": "flunders",
                "singularName": "flunder",
                "namespaced": True,
                "kind": "Flunder",
                "verbs": ["create", "get", "list", "watch"],
                "shortNames": ["fl"],
            }
            status = flunders | {"name": "flunders/status", "singularName": "", "verbs": ["get"]}
            del status["shortNames"]
            listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1"}
            return web.json_response(listed | {"resources": [flunders, status]})
        if request.path == "/openapi/v3":
            path = f"apis/{GROUP}/v1"
            return web.json_response({"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=x"}}})
        if request.path == "/openapi/v2":
            if request.headers.get("If-None-Match") == '"1"':
                return web.Response(status=304)
            return web.json_response(SCHEMAS, headers={"ETag": '"1"'})
        if not request.path.startswith((f"/apis/{GROUP}/", "/openapi/v3/")):
            return web.Response(status=404)
        if request.headers.get("Upgrade") == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"heard {message.data}")
            return socket
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            await stream.write(b'{"type":"ADDED","object":{}}\n')
            return stream
        return web.json_response({"path": request.path, "sent": await request.text()})


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sample(server: RunningApiServer, http: Http) -> AsyncIterator[Sample]:
    host = "sample.default.svc"
    certificate, key = server.authority.ensure(
        "sample", "sample", dns=(host,), addresses=("127.0.0.1",), server=True, client=False
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    made = Sample()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    made.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # aiohttp has no other way to say it
    # Endpoints may not be on loopback addresses; the name of one is fine.
    elsewhere = {"type": "ExternalName", "externalName": "localhost"}
    named = {"ports": [{"name": "https", "port": 443}]}
    for name, spec in (("sample", elsewhere), ("refusing", elsewhere), ("empty", {}), ("unready", named)):
        service = {"metadata": {"name": name}, "spec": {"ports": [{"port": 443}]} | spec}
        assert (await http("POST", "/api/v1/namespaces/default/services", service)).status == 201
    unready = {
        "metadata": {"name": "unready", "labels": {"kubernetes.io/service-name": "unready"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": False}}],
        "ports": [{"name": "https", "port": 443}],
    }
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    assert (await http("POST", path, unready)).status == 201
    yield made
    await runner.cleanup()


async def available(http: Http, name: str, wanted: str) -> Obj:
    for _ in range(400):
        found = (await http("GET", f"{SERVICES}/{name}")).json
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == "Available" and condition["status"] == wanted:
                return dict(condition)
        await asyncio.sleep(0.01)
    raise AssertionError(found.get("status"))


@pytest_asyncio.fixture(loop_scope="module")
async def wardle(http: Http, server: RunningApiServer, sample: Sample) -> AsyncIterator[None]:
    bundle = base64.b64encode(server.ca_file.read_bytes()).decode()
    spec = {
        "group": GROUP,
        "version": "v1",
        "groupPriorityMinimum": 2000,
        "versionPriority": 200,
        "caBundle": bundle,
        "service": {"namespace": "default", "name": "sample", "port": sample.port},
    }
    assert (await http("POST", SERVICES, {"metadata": {"name": NAME}, "spec": spec})).status == 201
    await available(http, NAME, "True")
    yield
    await http("DELETE", f"{SERVICES}/{NAME}")


async def test_what_is_served_here_has_api_services(http: Http) -> None:
    found = await available(http, "v1.apps", "True")
    assert found["reason"] == "Local"
    names = {each["metadata"]["name"] for each in (await http("GET", SERVICES)).json["items"]}
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.rbac.authorization.k8s.io"} <= names
    assert "v1.apiregistration.k8s.io" not in names


async def test_requests_go_to_the_server_of_their_group(http: Http, wardle: None, sample: Sample) -> None:
    answer = await http("POST", f"/apis/{GROUP}/v1/namespaces/default/flunders?x=1", {"a": 1})
    assert answer.json == {"path": f"/apis/{GROUP}/v1/namespaces/default/flunders", "sent": '{"a": 1}'}


async def test_the_server_hears_who_asks_and_from_nobody_else(http: Http, wardle: None, sample: Sample) -> None:
    liar = {"X-Remote-User": "root", "X-Remote-Group": "system:masters", "X-Remote-Extra-A": "b"}
    await http("GET", f"/apis/{GROUP}/v1/namespaces/default/flunders", headers=liar)
    heard = sample.asked[-1].headers
    assert heard.getall("X-Remote-User") == ["kubernetes-admin"]
    assert set(heard.getall("X-Remote-Group")) == {"system:masters", "system:authenticated"}
    assert "X-Remote-Extra-A" not in heard and "Authorization" not in heard


async def test_watches_stream_through(http: Http, wardle: None) -> None:
    assert (await http.watch(f"/apis/{GROUP}/v1/flunders?watch=1", 1))[0]["type"] == "ADDED"


async def test_discovery_lists_it_with_the_rest(http: Http, wardle: None) -> None:
    groups = (await http("GET", "/apis")).json["groups"]
    (found,) = [each for each in groups if each["name"] == GROUP]
    assert found["preferredVersion"] == {"groupVersion": f"{GROUP}/v1", "version": "v1"}
    assert (await http("GET", f"/apis/{GROUP}")).json["name"] == GROUP
    assert (await http("GET", f"/apis/{GROUP}/v1")).json["resources"][0]["name"] == "flunders"
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    items = (await http("GET", "/apis", accept=accept)).json["items"]
    (group,) = [each for each in items if each["metadata"]["name"] == GROUP]
    (resource,) = group["versions"][0]["resources"]
    assert (resource["resource"], resource["scope"], resource["shortNames"]) == ("flunders", "Namespaced", ["fl"])
    assert [each["subresource"] for each in resource["subresources"]] == ["status"]
    assert group["versions"][0]["freshness"] == "Current"


async def test_its_schemas_are_its_own(http: Http, wardle: None) -> None:
    paths = (await http("GET", "/openapi/v3")).json["paths"]
    path = f"apis/{GROUP}/v1"
    assert paths[path]["serverRelativeURL"].endswith("?hash=x") and "apis/apps/v1" in paths
    assert (await http("GET", f"/openapi/v3/{path}")).json["path"] == f"/openapi/v3/{path}"


async def test_rights_are_asked_here_first(http: Http, server: RunningApiServer, wardle: None, sample: Sample) -> None:
    before = len(sample.asked)
    client = server.client("jane", ())
    status, _ = await _raw(client, f"/apis/{GROUP}/v1/namespaces/default/flunders")
    assert status == 403 and len(sample.asked) == before


async def _raw(client: Any, path: str) -> tuple[int, str]:
    from pynetes.machinery.errors import StatusError

    try:
        await client.raw("GET", path)
    except StatusError as error:
        return error.code, error.message
    return 200, ""


@pytest.mark.parametrize(
    ("service", "reason", "message"),
    [
        (
            {"namespace": "default", "name": "none"},
            "ServiceNotFound",
            'service/none in "default" is not present',
        ),
        (
            {"namespace": "default", "name": "empty", "port": 444},
            "ServicePortError",
            'service/empty in "default" is not listening on port 444',
        ),
        (
            {"namespace": "default", "name": "empty"},
            "EndpointsNotFound",
            'cannot find endpointslices for service/empty in "default"',
        ),
        (
            {"namespace": "default", "name": "unready"},
            "MissingEndpoints",
            'endpointslices for service/unready in "default" have no addresses with port name "https"',
        ),
        (
            {"namespace": "default", "name": "refusing", "port": 1},
            "FailedDiscoveryCheck",
            "failing or missing response from https://localhost:1/apis/GROUP/v1: "
            'Get "https://localhost:1/apis/GROUP/v1": dial tcp localhost:1: connect: connection refused',
        ),
        (
            {"namespace": "default", "name": "sample", "port": SAMPLE_PORT},
            "FailedDiscoveryCheck",
            "failing or missing response from https://localhost:PORT/apis/GROUP/v1: "
            "bad status from https://localhost:PORT/apis/GROUP/v1: 404",
        ),
    ],
)
async def test_why_it_is_not_available(http: Http, sample: Sample, service: Obj, reason: str, message: str) -> None:
    group = f"g{uuid.uuid4().hex[:8]}.example.com"
    name = f"v1.{group}"
    if service.get("port") == SAMPLE_PORT:
        service = service | {"port": sample.port}
    message = message.replace("GROUP", group).replace("PORT", str(sample.port))
    spec = {"group": group, "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 20, "service": service}
    spec["insecureSkipTLSVerify"] = True
    assert (await http("POST", SERVICES, {"metadata": {"name": name}, "spec": spec})).status == 201
    found = await available(http, name, "False")
    assert (found["reason"], found["message"]) == (reason, message)
    answer = await http("GET", f"/apis/{group}/v1/things")
    assert (answer.status, answer.body) == (503, b"service unavailable\n")
    await http("DELETE", f"{SERVICES}/{name}")
    assert (await http("GET", f"/apis/{group}/v1/things")).status == 404


async def test_its_schemas_stand_beside_ours(http: Http, wardle: None) -> None:
    document = (await http("GET", "/openapi/v2")).json
    definitions = document["definitions"]
    flunder = definitions["com.example.wardle.v1.Flunder"]
    assert flunder["properties"]["reference"]["description"] == "Who it is about."
    assert flunder["properties"]["metadata"] == {"$ref": f"#/definitions/{META}_v2"}
    assert "clusterName" in definitions[f"{META}_v2"]["properties"]
    assert "clusterName" not in definitions[META]["properties"]
    assert "unused" not in definitions
    assert f"/apis/{GROUP}/v1/flunders" in document["paths"]
    protobuf = await http("GET", "/openapi/v2", accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert protobuf.status == 200 and b"com.example.wardle.v1.Flunder" in protobuf.body


async def test_its_schemas_go_with_it(http: Http, sample: Sample) -> None:
    assert "com.example.wardle.v1.Flunder" not in (await http("GET", "/openapi/v2")).json["definitions"]
    assert f"apis/{GROUP}/v1" not in (await http("GET", "/openapi/v3")).json["paths"]
    assert GROUP not in [each["name"] for each in (await http("GET", "/apis")).json["groups"]]


async def test_an_upgraded_connection_is_carried_through(server: RunningApiServer, wardle: None) -> None:
    url = f"{server.url}/apis/{GROUP}/v1/namespaces/default/flunders/a/talk"
    context = ssl.create_default_context(cafile=str(server.ca_file))
    certificate, key = server.authority.ensure("talker", "talker", ("system:masters",))
    context.load_cert_chain(certificate, key)
    async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=context) as socket:
        await socket.send_str("you")
        assert await socket.receive_str() == "heard you"


async def test_an_unknown_authority_is_not_believed(http: Http, sample: Sample, server: RunningApiServer) -> None:
    # Whether it is available is asked of whoever answers there; requests go only to who can be verified.
    service = {"namespace": "default", "name": "sample", "port": sample.port}
    spec = {"group": GROUP, "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10, "service": service}
    assert (await http("POST", SERVICES, {"metadata": {"name": NAME}, "spec": spec})).status == 201
    await available(http, NAME, "True")
    before = len(sample.asked)
    answer = await http("GET", f"/apis/{GROUP}/v1/flunders")
    assert answer.status == 503 and answer.json["message"].startswith("error trying to reach service: ")
    assert len(sample.asked) == before
    await http("DELETE", f"{SERVICES}/{NAME}")


async def test_priorities_decide_the_order_of_groups_and_versions(http: Http, sample: Sample) -> None:
    service = {"namespace": "default", "name": "none"}
    made = []
    for group, version, group_priority, version_priority in (
        ("late.example.com", "v1", 900, 10),
        ("early.example.com", "v1", 1500, 10),
        ("early.example.com", "v2alpha1", 17850, 20),
    ):
        spec = {"group": group, "version": version, "service": service, "insecureSkipTLSVerify": True}
        spec |= {"groupPriorityMinimum": group_priority, "versionPriority": version_priority}
        made.append(f"{version}.{group}")
        assert (await http("POST", SERVICES, {"metadata": {"name": made[-1]}, "spec": spec})).status == 201
    for name in made:
        await available(http, name, "False")
    groups = (await http("GET", "/apis")).json["groups"]
    names = [each["name"] for each in groups]
    # The most that one of its versions asks for counts for a group.
    assert names[:3] == ["apiregistration.k8s.io", "early.example.com", "apps"]
    assert names[-1] == "late.example.com"
    assert [each["version"] for each in groups[1]["versions"]] == ["v2alpha1", "v1"]
    assert groups[1]["preferredVersion"]["version"] == "v2alpha1"
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    items = (await http("GET", "/apis", accept=accept)).json["items"]
    (found,) = [each for each in items if each["metadata"]["name"] == "late.example.com"]
    assert found["versions"] == [{"version": "v1", "resources": [], "freshness": "Stale"}]
    for name in made:
        await http("DELETE", f"{SERVICES}/{name}")


async def test_it_is_not_available_as_soon_as_its_service_is_gone(http: Http, sample: Sample) -> None:
    path = "/api/v1/namespaces/default/services"
    passing = {"metadata": {"name": "passing"}, "spec": {"type": "ExternalName", "externalName": "localhost"}}
    assert (await http("POST", path, passing)).status == 201
    service = {"namespace": "default", "name": "passing", "port": sample.port}
    spec = {"group": GROUP, "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10, "service": service}
    assert (await http("POST", SERVICES, {"metadata": {"name": NAME}, "spec": spec})).status == 201
    await available(http, NAME, "True")
    await http("DELETE", f"{path}/passing")
    assert (await available(http, NAME, "False"))["reason"] == "ServiceNotFound"
    assert (await http("GET", f"/apis/{GROUP}/v1/flunders")).status == 503
    assert (await http("POST", path, passing)).status == 201
    assert (await available(http, NAME, "True"))["reason"] == "Passed"
    await http("DELETE", f"{SERVICES}/{NAME}")


async def test_custom_resources_have_api_services_too(http: Http) -> None:
    from tests.component.crd.kinds import Kind

    kind = await Kind(http).establish()
    found = await available(http, f"v1.{kind.group}", "True")
    assert found["reason"] == "Local"
