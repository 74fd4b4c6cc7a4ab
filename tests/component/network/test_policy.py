"""NetworkPolicy end to end, between pods on one node and on two."""

import asyncio
from typing import Any

import dnslib

from tests.component.network.lab import Lab, Pod

Obj = dict[str, Any]


async def register(lab: Lab, name: str, pod: Pod, namespace: str = "default", **labels: str) -> None:
    """Make the Pod object of a pod that is there already."""
    client = lab.api.client()
    ports = [{"name": "http", "containerPort": 8080}]
    spec = {
        "nodeName": pod.node,
        "containers": [{"name": "c", "image": "i", "ports": ports}],
        "serviceAccountName": "default",
    }
    body = {"metadata": {"name": name, "labels": labels}, "spec": spec | {"automountServiceAccountToken": False}}
    await client.create("pods", body, namespace)
    status = {"phase": "Running", "podIP": pod.address, "podIPs": [{"ip": pod.address}]}
    await client.patch("pods", name, {"status": status}, namespace, subresource="status")


async def prepare(lab: Lab) -> dict[str, Pod]:
    """Three pods on two nodes: `server` and `near` on one, `far` on the other; all serve on 8080 and 9090."""
    one, two = await lab.add_node(1), await lab.add_node(2)
    pods = {"server": lab.add_pod(one), "near": lab.add_pod(one), "far": lab.add_pod(two)}
    client = lab.api.client()
    for namespace in ("default", "other"):
        if namespace != "default":
            await client.create("namespaces", {"metadata": {"name": namespace, "labels": {"team": "blue"}}})
        await client.create("serviceaccounts", {"metadata": {"name": "default"}}, namespace)
    for name, pod in pods.items():
        await register(lab, name, pod, "other" if name == "far" else "default", app=name)
        for port in (8080, 9090):
            lab.serve(pod, port, name)
    return pods


async def policy(lab: Lab, spec: Obj, name: str = "p") -> None:
    client = lab.api.client()
    await client.create("networkpolicies", {"metadata": {"name": name}, "spec": spec}, "default")


async def reaches(lab: Lab, source: Pod, target: Pod, port: int = 8080) -> bool:
    return await lab.get(target.address, port, source, timeout=0.25) != "timeout"


def expect(lab: Lab, source: Pod, target: Pod, answer: bool, port: int = 8080) -> Any:
    async def condition() -> bool:
        return await reaches(lab, source, target, port) is answer

    return lab.until(condition)


ALL: Obj = {"podSelector": {}}
SERVER: Obj = {"podSelector": {"matchLabels": {"app": "server"}}}


async def test_default_deny_isolates_and_deleting_it_opens_again(lab: Lab) -> None:
    pods = await prepare(lab)
    await expect(lab, pods["far"], pods["server"], True)
    await policy(lab, ALL | {"policyTypes": ["Ingress", "Egress"]})
    for source, target in (("near", "server"), ("far", "server"), ("server", "far"), ("near", "far")):
        await expect(lab, pods[source], pods[target], False)
    node = lab.nodes["node-1"]
    assert (await lab.get(pods["server"].address, 8080, node)).startswith("server"), "a node reaches its own pods"
    await lab.api.client().delete("networkpolicies", "p", "default")
    await expect(lab, pods["far"], pods["server"], True)
    await expect(lab, pods["server"], pods["far"], True)


async def test_peers_by_pod_and_by_namespace(lab: Lab) -> None:
    pods = await prepare(lab)
    await policy(lab, SERVER | {"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "near"}}}]}]})
    await expect(lab, pods["far"], pods["server"], False)
    await expect(lab, pods["near"], pods["server"], True)
    await policy(lab, SERVER | {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "blue"}}}]}]}, "q")
    await expect(lab, pods["far"], pods["server"], True)
    client = lab.api.client()
    await client.patch("namespaces", "other", {"metadata": {"labels": {"team": "red"}}})
    await expect(lab, pods["far"], pods["server"], False)
    await client.patch("pods", "near", {"metadata": {"labels": {"app": "stranger"}}}, "default")
    await expect(lab, pods["near"], pods["server"], False)


async def test_ports_by_number_range_and_name(lab: Lab) -> None:
    pods = await prepare(lab)
    near, server = pods["near"], pods["server"]
    await policy(lab, SERVER | {"ingress": [{"ports": [{"port": "http"}]}]})
    await expect(lab, near, server, False, 9090)
    await expect(lab, near, server, True, 8080)
    await policy(lab, SERVER | {"ingress": [{"ports": [{"port": 9000, "endPort": 9100}]}]}, "q")
    await expect(lab, near, server, True, 9090)


async def test_egress_to_blocks_with_exceptions(lab: Lab) -> None:
    pods = await prepare(lab)
    block = {"cidr": "10.244.0.0/16", "except": [f"{pods['far'].address}/32"]}
    near = {"podSelector": {"matchLabels": {"app": "near"}}}
    await policy(
        lab, near | {"policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": block}], "ports": [{"port": 8080}]}]}
    )
    await expect(lab, pods["near"], pods["far"], False)
    await expect(lab, pods["near"], pods["server"], False, 9090)
    await expect(lab, pods["near"], pods["server"], True, 8080)
    await expect(lab, pods["server"], pods["far"], True)


async def test_an_isolated_pod_still_answers_through_its_service_and_reaches_itself(lab: Lab) -> None:
    pods = await prepare(lab)
    service = await lab.service("web", [{"name": "http", "port": 80, "targetPort": 8080}], [pods["server"]])
    address = service["spec"]["clusterIP"]
    await policy(lab, SERVER | {"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "near"}}}]}]})
    await expect(lab, pods["far"], pods["server"], False)
    assert await lab.get(address, 80, pods["near"]) == f"server {pods['near'].address} /"
    assert (await lab.get(address, 80, pods["server"])).startswith("server")
    assert await lab.get(address, 80, pods["far"], timeout=0.3) == "timeout"


async def test_dns_is_allowed_as_the_pod_that_it_is_elsewhere(lab: Lab) -> None:
    pods = await prepare(lab)
    near = {"podSelector": {"matchLabels": {"app": "near"}}, "policyTypes": ["Egress"]}

    async def resolves() -> bool:
        with pods["near"].socket(2) as sender:
            wire = dnslib.DNSRecord.question("kubernetes.default.svc.cluster.local").pack()
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(0.25):
                    await loop.sock_connect(sender, (lab.network.dns, 53))
                    await loop.sock_sendall(sender, wire)
                    return bool(dnslib.DNSRecord.parse(await loop.sock_recv(sender, 2048)).rr)
            except TimeoutError:
                return False

    async def fails() -> bool:
        return not await resolves()

    await lab.until(resolves)
    await policy(lab, near | {"egress": []})
    await lab.until(fails)
    system = {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
    to = {"namespaceSelector": system, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    await policy(lab, near | {"egress": [{"to": [to], "ports": [{"port": 53, "protocol": "UDP"}]}]}, "dns")
    await lab.until(resolves)
