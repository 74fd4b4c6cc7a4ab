"""HTTP through the server: to nodes, pods and services, and back."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from pynetes.testing.apiserver import RunningApiServer
from pynetes.testing.rest import Rest
from tests.component.tunnels.fake_kubelet import FakeKubelet

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = "/api/v1/namespaces/default"


def own_address() -> str:
    """An address of this machine that is not loopback (nothing is sent: a datagram socket only picks its source)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


async def echo(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/redirect":
            return web.Response(status=302, headers={"Location": "/elsewhere?a=b"})
        case "/away":
            return web.Response(status=302, headers={"Location": "http://example.com/x"})
        case "/page":
            page = '<a href="/x" id=1><img src="y.png"></a><a class="/no" href=\'/z\'>/text</a>'
            body = (
                gzip.compress(page.encode()) if "gzip" in request.headers.get("Accept-Encoding", "") else page.encode()
            )
            headers = {"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
            return web.Response(body=body, content_type="text/html", headers=headers)
        case "/cookies":
            answer = web.Response(text="ok")
            answer.headers.add("Set-Cookie", "a=1")
            answer.headers.add("Set-Cookie", "b=2")
            return answer
        case "/socket":
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            async for message in ws:
                await ws.send_str(message.data.upper())
            return ws
        case "/slow":
            stream = web.StreamResponse()
            await stream.prepare(request)
            await stream.write(b"first")
            await asyncio.sleep(0.3)
            await stream.write(b"second")
            return stream
    found = {
        "method": request.method,
        "path": request.raw_path,
        "body": (await request.read()).decode(),
        "headers": {key.lower(): value for key, value in request.headers.items()},
    }
    return web.json_response(found, status=int(request.query.get("status", 200)))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def backend(admin: Rest, kubelet: FakeKubelet) -> AsyncIterator[tuple[str, int]]:
    """A server behind a pod and a service: `web` with the named port `http` (80) and another without endpoints."""
    host = own_address()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # aiohttp has no other way to say it
    container = {"name": "c", "image": "i", "ports": [{"containerPort": port}]}
    await admin.make(f"{BASE}/pods", {"metadata": {"name": "web"}, "spec": {"containers": [container]}})
    status = {"podIP": host, "podIPs": [{"ip": host}], "phase": "Running"}
    await admin.patch(f"{BASE}/pods/web/status", {"status": status})
    ports = [{"name": "http", "port": 80}, {"name": "other", "port": 81}]
    await admin.make(f"{BASE}/services", {"metadata": {"name": "web"}, "spec": {"ports": ports}})
    await admin.make(f"{BASE}/services", {"metadata": {"name": "plain"}, "spec": {"ports": [{"port": 80}]}})
    for service, name in (("web", "http"), ("plain", "")):
        piece = {
            "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
            "ports": [{"name": name, "port": port, "protocol": "TCP"}],
        }
        await admin.make("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", piece)
    yield host, port
    await runner.cleanup()


@pytest.mark.parametrize(
    "target",
    [
        "pods/web/proxy",
        "pods/web:{port}/proxy",
        "pods/http:web:{port}/proxy",
        "services/web:http/proxy",
        "services/web:80/proxy",
        "services/http:web:http/proxy",
        "services/plain/proxy",
        "services/plain:80/proxy",
    ],
)
async def test_every_way_to_name_a_target(admin: Rest, backend: tuple[str, int], target: str) -> None:
    path = f"{BASE}/{target.format(port=backend[1])}"
    answer = await admin("GET", f"{path}/a%20b/c?x=1&x=2")
    assert answer.status == 200, answer.body
    assert answer.json["path"] == "/a%20b/c?x=1&x=2"
    assert answer.json["headers"]["x-forwarded-uri"] == f"{path}/a%20b/c"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_every_method_carries_its_body(admin: Rest, backend: tuple[str, int], method: str) -> None:
    answer = await admin(method, f"{BASE}/pods/web/proxy/x?status=418", b"payload", content_type="text/weird")
    assert answer.status == 418
    assert (answer.json["method"], answer.json["body"]) == (method, "payload")
    assert answer.json["headers"]["content-type"] == "text/weird"


async def test_credentials_stay_here(admin: Rest, backend: tuple[str, int]) -> None:
    path = f"{BASE}/serviceaccounts/default/token"
    token = (await admin.make(path, {"spec": {}}))["status"]["token"]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]
    bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    await admin.make(bindings, {"metadata": {"name": "p"}, "roleRef": reference, "subjects": subjects})
    answer = await admin.with_token(token)("GET", f"{BASE}/pods/web/proxy/")
    assert answer.status == 200
    assert "authorization" not in answer.json["headers"]


async def test_the_bare_proxy_path_is_redirected_to_its_root(admin: Rest, backend: tuple[str, int]) -> None:
    answer = await admin("GET", f"{BASE}/services/web:http/proxy?a=b")
    assert (answer.status, answer.headers["Location"]) == (301, f"{BASE}/services/web:http/proxy/?a=b")
    assert (await admin("POST", f"{BASE}/services/web:http/proxy", b"x")).json["path"] == "/"


async def test_redirects_and_links_stay_inside_the_proxy(admin: Rest, backend: tuple[str, int]) -> None:
    prefix = f"{BASE}/services/web:http/proxy"
    answer = await admin("GET", f"{prefix}/redirect")
    assert (answer.status, answer.headers["Location"]) == (302, f"{prefix}/elsewhere?a=b")
    assert (await admin("GET", f"{prefix}/away")).headers["Location"] == "http://example.com/x"
    wanted = f'<a href="{prefix}/x" id=1><img src="y.png"></a><a class="/no" href=\'{prefix}/z\'>/text</a>'
    for encoding in ("identity", "gzip"):
        page = await admin("GET", f"{prefix}/page", headers={"Accept-Encoding": encoding})
        assert page.body.decode() == wanted, encoding


async def test_repeated_headers_come_back_repeated(
    admin: Rest, backend: tuple[str, int], server: RunningApiServer
) -> None:
    url = f"{server.url}{BASE}/pods/web/proxy/cookies"
    async with admin.session.get(url) as answer:
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]


async def test_answers_are_passed_on_as_they_come(
    admin: Rest, backend: tuple[str, int], server: RunningApiServer
) -> None:
    async with admin.session.get(f"{server.url}{BASE}/pods/web/proxy/slow") as answer:
        async with asyncio.timeout(0.25):
            assert await answer.content.readany() == b"first"
        assert await answer.content.read() == b"second"


async def test_websockets_go_through(admin: Rest, backend: tuple[str, int], server: RunningApiServer) -> None:
    url = f"{server.url}{BASE}/services/web:http/proxy/socket"
    async with asyncio.timeout(10), admin.session.ws_connect(url) as ws:
        await ws.send_str("hello")
        assert (await ws.receive()).data == "HELLO"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("services/none/proxy/", 404, 'services "none" not found'),
        ("services/web:nope/proxy/", 503, 'no endpoints available for service "web:nope"'),
        ("services/web:other/proxy/", 503, 'no endpoints available for service "web:other"'),
        ("services/web/proxy/", 503, 'no endpoints available for service "web"'),
        ("services/web:99/proxy/", 503, 'no service port 99 found for service "web"'),
        ("services/ftp:web:80/proxy/", 400, 'invalid service request "ftp:web:80"'),
        ("pods/none/proxy/", 404, 'pods "none" not found'),
        ("pods/a:b:c:d/proxy/", 400, 'invalid pod request "a:b:c:d"'),
    ],
)
async def test_targets_that_are_not_there(
    admin: Rest, backend: tuple[str, int], path: str, status: int, message: str
) -> None:
    answer = await admin("GET", f"{BASE}/{path}")
    assert (answer.status, answer.message) == (status, message)


async def test_nothing_listens(admin: Rest, backend: tuple[str, int]) -> None:
    answer = await admin("GET", f"{BASE}/pods/web:1/proxy/")
    assert answer.status == 503
    assert answer.message == f"error trying to reach service: dial tcp {backend[0]}:1: connect: connection refused"


async def test_a_server_that_does_not_speak_tls(admin: Rest, backend: tuple[str, int]) -> None:
    answer = await admin("GET", f"{BASE}/pods/https:web:{backend[1]}/proxy/")
    assert answer.status == 503
    assert answer.message == "error trying to reach service: http: server gave HTTP response to HTTPS client"


async def test_loopback_and_link_local_addresses_are_out_of_bounds(admin: Rest, kubelet: FakeKubelet) -> None:
    for number, address in enumerate(("127.0.0.1", "169.254.169.254")):
        name = f"odd-{number}"
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await admin.make(f"{BASE}/pods", {"metadata": {"name": name}, "spec": spec})
        await admin.patch(f"{BASE}/pods/{name}/status", {"status": {"podIP": address, "podIPs": [{"ip": address}]}})
        answer = await admin("GET", f"{BASE}/pods/{name}/proxy/")
        assert (answer.status, answer.message) == (400, "address not allowed")


async def test_a_node_is_its_kubelet(admin: Rest, kubelet: FakeKubelet) -> None:
    answer = await admin("GET", "/api/v1/nodes/n1/proxy/stats/summary?only=1")
    assert answer.json["target"] == "/stats/summary?only=1"
    assert (await admin("GET", f"/api/v1/nodes/n1:{kubelet.port}/proxy/pods")).json["target"] == "/pods"
    assert (await admin("GET", "/api/v1/nodes/none/proxy/")).status == 404
