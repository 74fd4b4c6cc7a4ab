"""The kubelet's own interface: logs, commands, streams, statistics; and who may use it."""

import asyncio
import ssl

import aiohttp
import pytest

from pynetes.machinery import clock
from pynetes.testing.node import Node, is_ready, make_pod, state

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


def context(node: Node, user: str = "kube-apiserver-kubelet-client", groups: tuple[str, ...] = ()) -> ssl.SSLContext:
    tls = ssl.create_default_context(cafile=str(node.server.ca_file))
    tls.check_hostname = False
    if user:
        tls.load_cert_chain(*node.server.authority.ensure(f"client-{user}", user, groups))
    return tls


async def get(node: Node, path: str, user: str = "kube-apiserver-kubelet-client", **query: str) -> tuple[int, str]:
    url = f"https://127.0.0.1:{node.kubelet.server.port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, params=query, ssl=context(node, user)) as response,
    ):
        return response.status, await response.text()


async def logs(node: Node, pod: str, **query: str) -> tuple[int, str]:
    return await get(node, f"/containerLogs/default/{pod}/app", **query)


async def test_logs_with_every_option(node: Node) -> None:
    script = "for i in $(seq 1 5); do echo line $i; done; sleep 0.2; echo problem >&2; sleep 3600"
    await node.create(make_pod("logs", "sh", "-c", script))
    await node.wait("logs", is_ready)
    await clock.sleep(0.5)
    everything = "".join(f"line {i}\n" for i in range(1, 6)) + "problem\n"
    assert await logs(node, "logs") == (200, everything)
    assert await logs(node, "logs", tailLines="2") == (200, "line 5\nproblem\n")
    assert await logs(node, "logs", tailLines="0") == (200, "")
    assert await logs(node, "logs", limitBytes="9") == (200, everything[:9])
    assert await logs(node, "logs", stream="Stderr") == (200, "problem\n")
    assert await logs(node, "logs", sinceSeconds="3600") == (200, everything)
    assert await logs(node, "logs", sinceTime="2100-01-01T00:00:00Z") == (200, "")
    _, text = await logs(node, "logs", timestamps="true", tailLines="1")
    stamp, _, rest = text.partition(" ")
    assert rest == "problem\n" and clock.parse_time(stamp)
    await node.delete("logs")


async def test_following_ends_with_the_container(node: Node) -> None:
    await node.create(
        make_pod("follow", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done", restartPolicy="Never")
    )
    await node.wait("follow", lambda pod: "running" in state(pod))
    assert await logs(node, "follow", follow="true") == (200, "1\n2\n3\n")
    await node.delete("follow")


async def test_previous_logs_and_their_absence(node: Node) -> None:
    await node.create(make_pod("previous", "sh", "-c", "echo run; test -e /d/f && sleep 3600; touch /d/f; exit 1",
                               volumes=[{"name": "d", "emptyDir": {}}],
                               container={"volumeMounts": [{"name": "d", "mountPath": "/d"}]}))  # fmt: skip
    await node.wait(
        "previous", lambda pod: is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    assert await logs(node, "previous", previous="true") == (200, "run\n")
    await node.delete("previous")
    await node.create(make_pod("fresh", "sleep", "3600"))
    await node.wait("fresh", is_ready)
    text = 'previous terminated container "app" in pod "fresh" not found'
    assert await logs(node, "fresh", previous="true") == (400, text)
    await node.delete("fresh")


async def test_logs_of_a_container_that_waits(node: Node) -> None:
    await node.create(make_pod("waits", "true", container={"image": "127.0.0.1:1/absent:1"}))
    await node.wait("waits", lambda pod: state(pod).get("waiting", {}).get("reason") == "ImagePullBackOff")
    text = 'container "app" in pod "waits" is waiting to start: trying and failing to pull image'
    assert await logs(node, "waits") == (400, text)
    await node.delete("waits")


async def test_exec_over_a_websocket(node: Node) -> None:
    await node.create(make_pod("exec", "sleep", "3600"))
    await node.wait("exec", is_ready)
    url = f"https://127.0.0.1:{node.kubelet.server.port}/exec/default/exec/app"
    query = [("command", "cat"), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url, params=query, ssl=context(node), protocols=["v4.channel.k8s.io"], autoclose=False
        ) as socket,
    ):
        await socket.send_bytes(b"\x00hello\n")
        received = b""
        while b"hello" not in received:
            message = await asyncio.wait_for(socket.receive(), 5)
            received += message.data if isinstance(message.data, bytes) else b""
        assert b"\x01hello\n" in received
    await node.delete("exec")


async def test_only_the_api_server_and_those_it_vouches_for_may_ask(node: Node) -> None:
    assert (await get(node, "/pods", user=""))[0] == 401
    assert (await get(node, "/pods", user="nobody"))[0] == 403
    assert (await get(node, "/pods"))[0] == 200
    assert await get(node, "/healthz", user="") == (200, "ok")
    assert (await get(node, "/healthz", user="nobody"))[0] == 403


async def test_a_request_may_be_as_long_as_the_command_it_carries(node: Node) -> None:
    assert await get(node, "/healthz", command="a" * 100_000) == (200, "ok")


@pytest.mark.parametrize("resource", ["nodes/pods", "nodes/proxy"])
async def test_a_right_to_part_of_the_interface(node: Node, resource: str) -> None:
    name = resource.replace("/", "-")
    role = {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]}
    await node.client.create("clusterroles", role)
    subject = {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
    await node.client.create("clusterrolebindings", binding)
    assert (await get(node, "/pods", user=name))[0] == 200
    assert (await get(node, "/runningpods/", user=name))[0] == 200
    status, text = await get(node, "/configz", user=name)
    if resource == "nodes/proxy":
        assert status == 200 and '"maxPods": 110' in text
    else:
        assert status == 403
        assert text == f"Forbidden (user={name}, verb=get, resource=nodes, subresource(s)=[configz proxy])"
    status, text = await get(node, "/metrics", user=name)
    assert (status, text) == (403, f"Forbidden (user={name}, verb=get, resource=nodes, subresource(s)=[metrics])")


async def test_statistics(node: Node) -> None:
    await node.create(make_pod("stats", "sh", "-c", "while true; do :; done"))
    await node.wait("stats", is_ready)
    await clock.sleep(0.3)
    import json

    status, text = await get(node, "/stats/summary")
    summary = json.loads(text)
    assert status == 200 and summary["node"]["nodeName"] == "node-1"
    (pod,) = [pod for pod in summary["pods"] if pod["podRef"]["name"] == "stats"]
    assert pod["containers"][0]["cpu"]["usageCoreNanoSeconds"] > 0
    assert pod["containers"][0]["memory"]["workingSetBytes"] > 0
    assert pod["cpu"]["usageCoreNanoSeconds"] > 0
    status, text = await get(node, "/metrics/resource")
    assert 'container_cpu_usage_seconds_total{container="app",namespace="default",pod="stats"}' in text
    assert "node_memory_working_set_bytes " in text
    status, text = await get(node, "/metrics/cadvisor")
    assert 'container_memory_working_set_bytes{container="app"' in text
    await node.delete("stats")
