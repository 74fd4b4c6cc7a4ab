"""Logs, exec and WebSockets as clients other than kubectl ask for them."""

import asyncio
import base64
import json
import ssl
from typing import Any

import aiohttp
import pytest

from pynetes.testing.apiserver import RunningApiServer
from pynetes.testing.rest import Rest
from tests.component.tunnels.fake_kubelet import FakeKubelet, websocket_frame

pytestmark = pytest.mark.asyncio(loop_scope="module")

POD = "/api/v1/namespaces/default/pods/p"


async def make_pod(admin: Rest, name: str, **spec: Any) -> None:
    body = {"containers": [{"name": "c", "image": "i"}], **spec}
    await admin.make("/api/v1/namespaces/default/pods", {"metadata": {"name": name}, "spec": body})


async def test_the_kubelet_is_shown_our_certificate_and_the_options(kubelet: FakeKubelet, admin: Rest) -> None:
    answer = await admin("GET", f"{POD}/log?tailLines=5&timestamps=true&limitBytes=9&sinceSeconds=7&container=c")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"hello\n", "text/plain")
    method, target, headers = kubelet.requests[-1]
    assert method == "GET"
    path, _, query = target.partition("?")
    assert path == "/containerLogs/default/p/c"
    assert set(query.split("&")) == {"tailLines=5", "timestamps=true", "limitBytes=9", "sinceSeconds=7"}
    assert kubelet.peer_names[-1] == "kube-apiserver-kubelet-client"
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("container=none", 400, "container none is not valid for pod p"),
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of `sinceTime` or `sinceSeconds`"),
        ("previous=true", 400, 'previous terminated container "c" in pod "p" not found'),
        ("stream=Both", 422, 'stream: Unsupported value: "Both"'),
    ],
)
async def test_logs_that_cannot_be_had(
    kubelet: FakeKubelet, admin: Rest, query: str, status: int, message: str
) -> None:
    answer = await admin("GET", f"{POD}/log?{query}")
    assert answer.status == status
    assert message in answer.message


async def test_a_container_must_be_chosen_where_there_are_several(kubelet: FakeKubelet, admin: Rest) -> None:
    both = [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}]
    await make_pod(admin, "several", nodeName="n1", containers=both, initContainers=[{"name": "first", "image": "i"}])
    answer = await admin("GET", "/api/v1/namespaces/default/pods/several/log")
    assert (answer.status, answer.message) == (
        400,
        "a container name must be specified for pod several, choose one of: [one two] "
        "or one of the init containers: [first]",
    )


async def test_a_pod_without_a_node_has_no_logs_and_runs_no_commands(kubelet: FakeKubelet, admin: Rest) -> None:
    await make_pod(admin, "waiting")
    assert (await admin("GET", "/api/v1/namespaces/default/pods/waiting/log")).status == 204
    answer = await admin("POST", "/api/v1/namespaces/default/pods/waiting/exec?command=x&stdout=true")
    assert (answer.status, answer.message) == (400, "pod waiting does not have a host assigned")


async def test_a_node_that_does_not_answer(kubelet: FakeKubelet, admin: Rest, server: RunningApiServer) -> None:
    await admin.make("/api/v1/nodes", {"metadata": {"name": "dead"}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},
    }
    await admin.patch("/api/v1/nodes/dead/status", {"status": status})
    await make_pod(admin, "lost", nodeName="dead")
    path = "/api/v1/namespaces/default/pods/lost"
    answer = await admin("GET", f"{path}/log")
    assert answer.status == 500
    assert answer.message == (
        'Get "https://127.0.0.1:1/containerLogs/default/lost/c": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    answer = await admin("POST", f"{path}/exec?command=x&stdout=true", headers=upgrade)
    assert answer.message == "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused"
    url = f"{server.url}{path}/exec?command=x&stdout=true"
    async with asyncio.timeout(10), admin.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
        status = json.loads((await channels(socket))[3])
    assert (status["code"], status["reason"]) == (500, "InternalError")
    assert status["message"].startswith(
        'Internal error occurred: error sending request: Post "https://127.0.0.1:1/exec/default/lost/c?'
    )
    assert status["message"].endswith('": dial tcp 127.0.0.1:1: connect: connection refused')


async def test_an_exec_without_a_command_or_streams_is_invalid(kubelet: FakeKubelet, admin: Rest) -> None:
    answer = await admin("POST", f"{POD}/exec?stdout=true")
    assert (answer.status, answer.json["reason"]) == (422, "Invalid")
    assert "command: Required value" in answer.message
    answer = await admin("POST", f"{POD}/exec?command=x")
    assert "must specify at least one of stdin, stdout, stderr" in answer.message
    answer = await admin("POST", f"{POD}/exec?command=x&stdout=true")
    assert (answer.status, answer.message) == (400, "Upgrade request required")


async def test_exec_by_websocket_needs_the_right_to_create(kubelet: FakeKubelet, admin: Rest) -> None:
    base = "/apis/rbac.authorization.k8s.io/v1"
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods/exec"]}]
    await admin.make(f"{base}/clusterroles", {"metadata": {"name": "looker"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "looker"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]
    binding = {"metadata": {"name": "looker"}, "roleRef": reference, "subjects": subjects}
    await admin.make(f"{base}/clusterrolebindings", binding)
    answer = await admin.as_user("jane")("GET", f"{POD}/exec?command=x&stdout=true")
    assert answer.status == 403
    assert answer.message == (
        'pods "p" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" '
        'in the namespace "default"'
    )


async def channels(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    async for message in socket:
        assert message.type is aiohttp.WSMsgType.BINARY
        found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
    return found


async def test_version_5_multiplexes_and_closes_single_channels(
    kubelet: FakeKubelet, admin: Rest, server: RunningApiServer
) -> None:
    url = f"{server.url}{POD}/exec?command=cat&stdin=true&stdout=true"
    async with asyncio.timeout(10), admin.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        await socket.send_bytes(b"\x00hello ")
        await socket.ping()
        await socket.send_bytes(b"\x00world")
        await socket.send_bytes(b"\xff\x00")
        found = await channels(socket)
        assert socket.close_code == 1000
    assert found[1] == b"hello world"
    assert b'"status": "Success"' in found[3]


async def test_terminal_sizes_reach_the_command(kubelet: FakeKubelet, admin: Rest, server: RunningApiServer) -> None:
    url = f"{server.url}{POD}/exec?command=size&stdin=true&stdout=true&tty=true"
    async with asyncio.timeout(10), admin.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
        await socket.send_bytes(b'\x04{"Width":80,"Height":24}')
        assert (await channels(socket))[1] == b'{"Width":80,"Height":24}'


async def test_a_kubelet_that_vanishes_is_a_failure(
    kubelet: FakeKubelet, admin: Rest, server: RunningApiServer
) -> None:
    url = f"{server.url}{POD}/exec?command=vanish&stdout=true"
    async with asyncio.timeout(10), admin.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
        found = await channels(socket)
    assert b'"status":"Failure"' in found[3]


async def test_older_websocket_protocols_are_tunnelled_as_they_are(
    kubelet: FakeKubelet, server: RunningApiServer
) -> None:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    certificate, key = server.authority.ensure("client-kubernetes-admin", "kubernetes-admin", ("system:masters",))
    context.load_cert_chain(certificate, key)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.server.port, ssl=context)
    head = (
        f"GET {POD}/exec?command=x&stdout=true HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
    )
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert answer.startswith(b"HTTP/1.1 101")
    assert b"Sec-WebSocket-Protocol: v4.channel.k8s.io" in answer
    sent = websocket_frame(b"\x00any bytes")
    writer.write(sent)
    assert await asyncio.wait_for(reader.readexactly(len(sent)), 10) == sent
    writer.close()


async def test_a_browser_may_bring_its_token_as_a_protocol(
    kubelet: FakeKubelet, admin: Rest, server: RunningApiServer
) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    token = (await admin.make(path, {"spec": {}}))["status"]["token"]
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    nobody = admin.with_token("")
    protocols = [f"base64url.bearer.authorization.k8s.io.{encoded}", "v5.channel.k8s.io"]
    url = f"{server.url}{POD}/exec?command=x&stdout=true"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await nobody.session.ws_connect(url, protocols=protocols)
    assert refused.value.status == 403  # known, but not allowed: without the token it is 403 for the anonymous user
    base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]
    await admin.make(base, {"metadata": {"name": "sa"}, "roleRef": reference, "subjects": subjects})
    async with asyncio.timeout(10), nobody.session.ws_connect(url, protocols=protocols) as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        assert (await channels(socket))[1] == b"x\n"
    older = [protocols[0], "v4.channel.k8s.io"]
    with pytest.raises(aiohttp.WSServerHandshakeError):  # the fake's handshake has no Sec-WebSocket-Accept
        await nobody.session.ws_connect(url, protocols=older)
    assert kubelet.requests[-1][2]["sec-websocket-protocol"] == "v4.channel.k8s.io"
    assert encoded not in str(kubelet.requests)


@pytest.mark.parametrize(("protocols", "expected"), [((), b"hello\n"), (("binary.k8s.io",), b"hello\n")])
async def test_logs_are_read_over_a_websocket(
    kubelet: FakeKubelet, admin: Rest, server: RunningApiServer, protocols: tuple[str, ...], expected: bytes
) -> None:
    async with asyncio.timeout(10), admin.session.ws_connect(f"{server.url}{POD}/log", protocols=protocols) as socket:
        messages = [message.data async for message in socket]
    assert b"".join(messages) == expected


async def test_logs_over_a_websocket_may_be_text(kubelet: FakeKubelet, admin: Rest, server: RunningApiServer) -> None:
    url = f"{server.url}{POD}/log"
    protocols = ["base64.binary.k8s.io"]
    async with asyncio.timeout(10), admin.session.ws_connect(url, protocols=protocols) as socket:
        messages = [base64.b64decode(message.data) async for message in socket]
    assert b"".join(messages) == b"hello\n"
