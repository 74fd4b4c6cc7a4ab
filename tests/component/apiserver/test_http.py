"""HTTP itself: connections, bodies in pieces, broken requests, stopping; and the paths that are no resources."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from pynetes.testing.apiserver import RunningApiServer, running_apiserver
from tests.component.apiserver.conftest import Http, configmap

pytestmark = pytest.mark.asyncio(loop_scope="module")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest_asyncio.fixture(loop_scope="module")
async def raw(server: RunningApiServer) -> AsyncIterator[Streams]:
    reader, writer = await _connect(server)
    yield reader, writer
    writer.close()


async def _connect(server: RunningApiServer) -> Streams:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    context.load_cert_chain(
        *server.authority.ensure("client-kubernetes-admin", "kubernetes-admin", ("system:masters",))
    )
    return await asyncio.open_connection("127.0.0.1", server.server.port, ssl=context)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(status.split()[1]), headers, body


async def test_a_connection_serves_many_requests(raw: Streams) -> None:
    reader, writer = raw
    for _ in range(3):
        writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await _answer(reader))[0] == 200


async def test_pipelined_requests_are_answered_in_order(raw: Streams) -> None:
    reader, writer = raw
    for path in (b"/version", b"/nothing", b"/livez"):
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    answers = [await _answer(reader) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 404, 200]
    assert answers[2][2] == b"ok"


async def test_health_has_the_checks_that_upstream_names(http: Http) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        lines = (await http("GET", f"{path}?verbose=1")).body.decode().splitlines()
        assert lines[:3] == ["[+]ping ok", "[+]log ok", "[+]etcd ok"]
        assert {
            "[+]poststarthook/start-apiserver-admission-initializer ok",
            "[+]poststarthook/crd-informer-synced ok",
            "[+]poststarthook/rbac/bootstrap-roles ok",
            "[+]autoregister-completion ok",
        } <= set(lines)
        assert ("[+]informer-sync ok" in lines) == (path == "/readyz")
        assert lines[-1] == f"{path[1:]} check passed"
    assert (await http("GET", "/livez/poststarthook/rbac/bootstrap-roles")).body == b"ok"


async def test_health_checks_are_counted(http: Http) -> None:
    assert (await http("GET", "/readyz")).status == 200
    text = (await http("GET", "/metrics/slis")).body.decode()
    assert 'kubernetes_healthcheck{name="etcd",type="readyz"} 1\n' in text
    assert 'kubernetes_healthchecks_total{name="etcd",status="success",type="readyz"} ' in text


async def test_the_pages_for_people_who_look_for_a_fault(http: Http) -> None:
    for path, kind, line in (
        ("/statusz", "Statusz", "Up: 0 hr 00 min "),
        ("/flagz", "Flagz", "request-timeout=1m0s\n"),
    ):
        page = await http("GET", path, headers={"Accept": "*/*"})
        text = page.body.decode()
        assert page.headers["Content-Type"].startswith("text/plain")
        assert text.startswith("\nkube-apiserver ") and "Warning: This endpoint is not meant" in text and line in text
        assert (await http("GET", path, headers={"Accept": "application/json"})).status == 406
        accept = f"application/json;v=v1beta1;g=config.k8s.io;as={kind}"
        said = (await http("GET", path, headers={"Accept": accept})).json
        assert (said["kind"], said["apiVersion"]) == (kind, "config.k8s.io/v1beta1")
        assert said["metadata"] == {"name": "kube-apiserver"}
        if kind == "Statusz":
            assert "/readyz" in said["paths"] and said["emulationVersion"] == "1.37"
        else:
            assert said["flags"]["anonymous-auth"] == "true"


async def test_a_timeout_that_is_none_is_refused_for_reads_too(http: Http, configmaps: str) -> None:
    for path in ("/version", configmaps, f"{configmaps}/none"):
        refused = await http("GET", f"{path}?timeout=invalid")
        assert refused.status == 400
        assert refused.message.startswith("invalid timeout specified in the request URL")
        assert (await http("GET", f"{path}?timeout=1h")).status in (200, 404)


async def test_a_body_may_come_in_pieces(raw: Streams, configmaps: str) -> None:
    reader, writer = raw
    body = json.dumps(configmap("slow")).encode()
    writer.write(
        f"POST {configmaps} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
    )
    for index in range(0, len(body), 20):
        writer.write(body[index : index + 20])
        await asyncio.sleep(0.001)
    assert (await _answer(reader))[0] == 201


async def test_a_chunked_body_after_100_continue(raw: Streams, configmaps: str) -> None:
    reader, writer = raw
    writer.write(
        f"POST {configmaps} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    body = json.dumps(configmap("chunked")).encode()
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert (await _answer(reader))[0] == 201


async def test_nonsense_is_400_and_closes(server: RunningApiServer) -> None:
    reader, writer = await _connect(server)
    writer.write(b"NONSENSE\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400 Bad Request")
    writer.close()


async def test_a_client_may_ask_to_close(raw: Streams) -> None:
    reader, writer = raw
    writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    status, headers, _ = await _answer(reader)
    assert (status, headers["connection"]) == (200, "close")
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_answers_are_traceable_and_not_cached(http: Http) -> None:
    answer = await http("GET", "/version", headers={"Audit-ID": "mine"})
    assert answer.headers["Audit-Id"] == "mine"
    answer = await http("GET", "/version")
    assert len(answer.headers["Audit-Id"]) == 36
    assert answer.headers["Cache-Control"] == "no-cache, private"


async def test_anonymous_users_see_only_health_and_version(server: RunningApiServer) -> None:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.server.port, ssl=context)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await _answer(reader))[0] == 200
    writer.write(b"GET /api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n")
    status, _, body = await _answer(reader)
    assert status == 403
    assert json.loads(body)["message"] == (
        'secrets is forbidden: User "system:anonymous" cannot list resource "secrets" in API group "" at the cluster '
        "scope"
    )
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bogus\r\n\r\n")
    status, _, body = await _answer(reader)
    assert (status, json.loads(body)["reason"]) == (401, "Unauthorized")
    writer.close()


async def test_a_request_in_progress_is_finished_when_the_server_stops() -> None:
    async with running_apiserver() as running:
        reader, writer = await _connect(running)
        body = json.dumps(configmap("late")).encode()
        writer.write(
            b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(running.server.stop())
        await asyncio.sleep(0.1)
        writer.write(body)
        assert (await _answer(reader))[0] == 201
        await stopping
        writer.close()


async def test_a_write_outlives_the_client_that_asked_for_it(
    server: RunningApiServer, http: Http, namespace: str
) -> None:
    """Whatever was allocated for it must not be given back."""
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    for _ in range(20):
        _, writer = await _connect(server)
        service["metadata"] = {"generateName": "s-"}
        body = json.dumps(service).encode()
        writer.write(
            f"POST /api/v1/namespaces/{namespace}/services HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.transport.abort()
    await asyncio.sleep(0.3)
    services = (await http("GET", f"/api/v1/namespaces/{namespace}/services")).json["items"]
    addresses = (await http("GET", "/apis/networking.k8s.io/v1/ipaddresses")).json["items"]
    held = {item["metadata"]["name"] for item in addresses}
    assert {item["spec"]["clusterIP"] for item in services} <= held
    assert len(held) == len((await http("GET", "/api/v1/services")).json["items"])


async def test_too_many_requests_are_turned_away() -> None:
    async with running_apiserver(max_mutating_requests_inflight=1, max_requests_inflight=1) as running:
        flow = running.server.flow
        assert flow.reading.try_take() and not flow.reading.try_take()
        flow.reading.leave()
        assert flow.reading.taken == 0


# Paths that are no resources.


async def test_health(http: Http) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        answer = await http("GET", path)
        assert (answer.status, answer.body) == (200, b"ok")
    verbose = (await http("GET", "/readyz?verbose")).body.decode()
    assert "[+]ping ok\n" in verbose and "[+]etcd ok\n" in verbose and verbose.endswith("readyz check passed\n")
    assert (await http("GET", "/livez/ping")).body == b"ok"
    assert (await http("GET", "/livez/nothing")).status == 404
    assert "[+]etcd excluded: ok" in (await http("GET", "/readyz?verbose&exclude=etcd")).body.decode()


async def test_version(http: Http) -> None:
    found = (await http("GET", "/version")).json
    assert (found["major"], found["minor"]) == ("1", "37")
    assert found["gitVersion"].startswith("v1.37.0")


async def test_metrics_count_requests(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    text = (await http("GET", "/metrics")).body.decode()
    assert 'apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="configmaps"' in text
    assert "# TYPE apiserver_request_duration_seconds histogram" in text
    assert 'apiserver_storage_objects{resource="namespaces"}' in text
    assert "process_resident_memory_bytes" in text


async def test_the_index_lists_paths(http: Http) -> None:
    paths = (await http("GET", "/")).json["paths"]
    assert {"/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3"} <= set(paths)


async def test_discovery_level_by_level(http: Http) -> None:
    assert (await http("GET", "/api")).json["versions"] == ["v1"]
    groups = {group["name"]: group for group in (await http("GET", "/apis")).json["groups"]}
    assert groups["autoscaling"]["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert (await http("GET", "/apis/apps")).json["kind"] == "APIGroup"
    resources = {each["name"]: each for each in (await http("GET", "/api/v1")).json["resources"]}
    assert resources["pods"]["shortNames"] == ["po"] and resources["pods"]["categories"] == ["all"]
    assert resources["pods/exec"]["kind"] == "PodExecOptions"
    assert resources["pods/eviction"] | {"verbs": []} == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": [],
    }
    assert (await http("GET", "/apis/nothing.example.com")).status == 404
    assert (await http("GET", "/apis/apps/v9")).status == 404


async def test_aggregated_discovery(http: Http) -> None:
    for version in ("v2", "v2beta1"):
        accept = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList,application/json"
        answer = await http("GET", "/apis", accept=accept)
        assert (
            answer.headers["Content-Type"]
            == f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        )
        apps = next(item for item in answer.json["items"] if item["metadata"]["name"] == "apps")
        deployments = next(r for r in apps["versions"][0]["resources"] if r["resource"] == "deployments")
        assert deployments["responseKind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
        assert {"status", "scale"} == {sub["subresource"] for sub in deployments["subresources"]}
        again = await http("GET", "/apis", accept=accept, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status == 304


async def test_openapi(http: Http) -> None:
    index = (await http("GET", "/openapi/v3")).json["paths"]
    answer = await http("GET", index["apis/apps/v1"]["serverRelativeURL"])
    assert answer.status == 200 and "immutable" in answer.headers["Cache-Control"]
    assert "io.k8s.api.apps.v1.Deployment" in answer.json["components"]["schemas"]
    assert (await http("GET", "/openapi/v3/apis/nothing/v1")).status == 404
    v2 = await http("GET", "/openapi/v2")
    assert "io.k8s.api.core.v1.Pod" in v2.json["definitions"]
    again = await http("GET", "/openapi/v2", headers={"If-None-Match": v2.headers["ETag"]})
    assert again.status == 304
    protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = await http("GET", "/openapi/v2", accept=protobuf)
    assert answer.headers["Content-Type"].startswith("application/com.github.proto-openapi.spec.v2")


# What every cluster starts from.


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/kube-system",
        "/api/v1/namespaces/kube-public",
        "/api/v1/namespaces/kube-node-lease",
        "/api/v1/namespaces/default/services/kubernetes",
        "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/catch-all",
        "/apis/networking.k8s.io/v1/servicecidrs/kubernetes",
        "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
    ],
)
async def test_bootstrap_objects(http: Http, path: str) -> None:
    assert (await http("GET", path)).status == 200


async def test_the_kubernetes_service_has_the_first_address(http: Http) -> None:
    spec = (await http("GET", "/api/v1/namespaces/default/services/kubernetes")).json["spec"]
    assert spec["clusterIP"] == "10.96.0.1" and spec["ports"][0]["port"] == 443
    assert (await http("GET", "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1")).status == 200


async def test_system_namespaces_cannot_be_deleted(http: Http) -> None:
    answer = await http("DELETE", "/api/v1/namespaces/default")
    assert answer.status == 403
    assert answer.message == 'namespaces "default" is forbidden: this namespace may not be deleted'
