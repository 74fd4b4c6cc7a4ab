"""Ingress end to end: a real nginx on the node, reached by the host at the cluster's address for Ingresses."""

import asyncio
import base64
import ssl
from collections import Counter
from typing import Any

from pynetes.cluster.pki import Authority
from tests.component.network.lab import Lab, Node, Pod, open_in

Obj = dict[str, Any]
PORTS = [{"name": "http", "port": 80, "targetPort": 8080}]


def backend(name: str, port: int | str = 80) -> Obj:
    return {"service": {"name": name, "port": {"number": port} if isinstance(port, int) else {"name": port}}}


def path(name: str, text: str = "/", kind: str = "Prefix", port: int | str = 80) -> Obj:
    return {"path": text, "pathType": kind, "backend": backend(name, port)}


async def ingress(lab: Lab, name: str, host: str, *paths: Obj, annotations: Obj | None = None, **spec: Any) -> None:
    rule: Obj = {"http": {"paths": list(paths)}} | ({"host": host} if host else {})
    prefix = "nginx.ingress.kubernetes.io/"
    metadata = {"name": name, "annotations": {prefix + key: value for key, value in (annotations or {}).items()}}
    body = {"metadata": metadata, "spec": {"ingressClassName": "nginx", "rules": [rule] if paths else []} | spec}
    await lab.api.client().create("ingresses", body, "default")


async def start(lab: Lab, *services: str) -> tuple[Node, dict[str, Pod], str]:
    """A node with an ingress controller and a pod per service; the address for Ingresses."""
    node = await lab.add_node(1, flags=(f"--ingress-dir={lab.directory / 'ingress'}",))
    pods = {name: lab.add_pod(node) for name in services}
    for name, pod in pods.items():
        lab.serve(pod, 8080, name)
        await lab.service(name, PORTS, [pod])
    return node, pods, "10.89.0.254"


def answers(lab: Lab, address: str, host: str, text: str, status: int, server: str = "") -> Any:
    async def condition() -> bool:
        try:
            found, body = await lab.http(address, 80, text, host=host)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
        return found == status and (not server or body.split()[0] == server)

    return lab.until(condition)


async def test_hosts_and_paths_lead_to_their_services(lab: Lab) -> None:
    _, _, address = await start(lab, "one", "two", "three")
    await ingress(
        lab,
        "main",
        "a.example.com",
        path("one"),
        path("two", "/two"),
        path("three", "/two/exact", "Exact", "http"),
        path("missing", "/missing"),
    )
    await ingress(lab, "wild", "*.example.org", path("two"))
    await answers(lab, address, "a.example.com", "/", 200, "one")
    for text, server in (
        ("/other", "one"),
        ("/two", "two"),
        ("/two/", "two"),
        ("/two/deep", "two"),
        ("/twofold", "one"),
        ("/two/exact", "three"),
        ("/two/exact/not", "two"),
    ):
        status, body = await lab.http(address, 80, text, host="a.example.com")
        assert (status, body.split()[0], body.split()[2]) == (200, server, text)
    await answers(lab, address, "x.example.org", "/", 200, "two")
    assert (await lab.http(address, 80, host="x.y.example.org"))[0] == 404, "a wildcard is one label"
    assert (await lab.http(address, 80, host="b.example.com"))[0] == 404
    assert (await lab.http(address, 80, "/missing", host="a.example.com"))[0] == 503

    async def published() -> bool:
        found = await lab.api.client().get("ingresses", "main", "default")
        return found.get("status", {}).get("loadBalancer", {}).get("ingress") == [{"ip": address}]

    await lab.until(published)
    found = await lab.api.client().get("ingressclasses", "nginx")
    assert found["spec"]["controller"] == "k8s.io/ingress-nginx"


async def test_a_default_backend_takes_the_rest_and_rewrites_work(lab: Lab) -> None:
    _, _, address = await start(lab, "one", "two")
    await ingress(lab, "fallback", "", defaultBackend=backend("one"))
    rewrite = {"rewrite-target": "/$2", "use-regex": "true"}
    await ingress(
        lab, "api", "a.example.com", path("two", "/api(/|$)(.*)", "ImplementationSpecific"), annotations=rewrite
    )
    await answers(lab, address, "anything", "/", 200, "one")
    await answers(lab, address, "a.example.com", "/api/v1/x", 200, "two")
    assert (await lab.http(address, 80, "/api/v1/x", host="a.example.com"))[1].split()[2] == "/v1/x"


async def test_tls_serves_the_hosts_certificate_and_redirects(lab: Lab) -> None:
    _, _, address = await start(lab, "one")
    authority = Authority(lab.directory / "pki", "ca", "test")
    certificate, key = authority.ensure("site", "site", dns=("a.example.com",), server=True, client=False)
    data = {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes()}
    secret = {
        "metadata": {"name": "site"},
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(text).decode() for name, text in data.items()},
    }
    await lab.api.client().create("secrets", secret, "default")
    await ingress(lab, "main", "a.example.com", path("one"), tls=[{"hosts": ["a.example.com"], "secretName": "site"}])
    await answers(lab, address, "a.example.com", "/", 308)
    context = ssl.create_default_context(cafile=str(authority.certificate_file))
    connection = open_in("")
    async with asyncio.timeout(5):
        await asyncio.get_running_loop().sock_connect(connection, (address, 443))
        reader, writer = await asyncio.open_connection(sock=connection, ssl=context, server_hostname="a.example.com")
        writer.write(b"GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in await reader.readline()
        writer.close()


async def test_a_rollout_behind_an_ingress_loses_no_request(lab: Lab) -> None:
    node, pods, address = await start(lab, "one")
    more = [lab.add_pod(node) for _ in range(3)]
    for pod in more:
        lab.serve(pod, 8080, "one")
    await ingress(lab, "main", "a.example.com", path("one"))
    await answers(lab, address, "a.example.com", "/", 200, "one")
    outcomes: Counter[int] = Counter()
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            outcomes[(await lab.http(address, 80, host="a.example.com"))[0]] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(load())
        for chosen in (more[:1], more[1:], [pods["one"]], more):
            await lab.endpoints("one", PORTS, chosen)
            await asyncio.sleep(0.4)
        stop.set()
    assert set(outcomes) == {200} and outcomes[200] > 50


async def test_nginx_ends_with_its_agent(lab: Lab) -> None:
    node, _, address = await start(lab, "one")
    await ingress(lab, "main", "a.example.com", path("one"))
    await answers(lab, address, "a.example.com", "/", 200, "one")
    await lab.stop_agent(node, kill=True)

    async def refused() -> bool:
        return await lab.get(node.address, 10080) == "refused"

    await lab.until(refused)
    lab.start_agent(node, f"--ingress-dir={lab.directory / 'ingress'}")
    await answers(lab, address, "a.example.com", "/", 200, "one")


async def test_an_ingress_that_nginx_refuses_does_not_hinder_others(lab: Lab) -> None:
    _, _, address = await start(lab, "one")
    broken = {"use-regex": "true"}
    await ingress(lab, "bad", "b.example.com", path("one", "/(", "ImplementationSpecific"), annotations=broken)
    await ingress(lab, "good", "a.example.com", path("one"))
    await answers(lab, address, "a.example.com", "/", 200, "one")
    assert (await lab.http(address, 80, host="b.example.com"))[0] == 404
