"""Cluster DNS as pods see it: on every node, over UDP and TCP, from the real API."""

import asyncio
import socket

import dnslib

from tests.component.network.lab import Lab, Node, Pod


async def ask(lab: Lab, where: Pod | Node | None, name: str, kind: str = "A") -> dnslib.DNSRecord:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if where is None else _udp(where)
    loop = asyncio.get_running_loop()
    with sender:
        sender.setblocking(False)
        async with asyncio.timeout(2):
            await loop.sock_connect(sender, (lab.network.dns, 53))
            await loop.sock_sendall(sender, dnslib.DNSRecord.question(name, kind).pack())
            return dnslib.DNSRecord.parse(await loop.sock_recv(sender, 4096))


def _udp(where: Pod | Node) -> socket.socket:
    from tests.component.network.lab import open_in

    return open_in(where.path, socket.SOCK_DGRAM)


async def test_pods_nodes_and_the_host_resolve_services_as_they_come_and_go(lab: Lab) -> None:
    one, two = await lab.add_node(1), await lab.add_node(2)
    pods = [lab.add_pod(one), lab.add_pod(two)]
    made = await lab.service("web", [{"name": "http", "port": 80}], [])
    await lab.service("db", [{"name": "sql", "port": 5432}], pods, clusterIP="None")
    address = made["spec"]["clusterIP"]

    async def resolves(where: Pod | Node | None) -> bool:
        answer = await ask(lab, where, "web.default.svc.cluster.local")
        return [str(r.rdata) for r in answer.rr] == [address]

    for where in (*pods, one, two, None):
        await lab.until(lambda where=where: resolves(where))
    answer = await ask(lab, pods[1], "db.default.svc.cluster.local")
    assert {str(r.rdata) for r in answer.rr} == {pod.address for pod in pods}

    connection = pods[0].socket()
    async with asyncio.timeout(2):
        await asyncio.get_running_loop().sock_connect(connection, (lab.network.dns, 53))
        reader, writer = await asyncio.open_connection(sock=connection)
        wire = dnslib.DNSRecord.question("_http._tcp.web.default.svc.cluster.local", "SRV").pack()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        reply = dnslib.DNSRecord.parse(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
        writer.close()
    assert reply.rr[0].rdata.port == 80

    await lab.api.client().delete("services", "web", "default")

    async def gone() -> bool:
        return (await ask(lab, pods[0], "web.default.svc.cluster.local")).header.rcode == dnslib.RCODE.NXDOMAIN

    await lab.until(gone)


async def test_the_kube_dns_service_is_answered_here_and_lists_every_node(lab: Lab) -> None:
    one, two = await lab.add_node(1), await lab.add_node(2)
    client = lab.api.client()

    async def made() -> bool:
        found = await client.list("services", "kube-system", field_selector="metadata.name=kube-dns")
        return [service["spec"]["clusterIP"] for service in found.items] == [lab.network.dns]

    await lab.until(made)
    await client.delete("services", "kube-dns", "kube-system")
    await lab.until(made)

    async def listed() -> bool:
        found = await client.list("endpoints", "kube-system")
        addresses = [a["ip"] for e in found.items for s in e.get("subsets") or [] for a in s["addresses"]]
        return sorted(addresses) == [one.address, two.address]

    await lab.until(listed)
    pod = lab.add_pod(two)
    answer = await ask(lab, pod, "kube-dns.kube-system.svc.cluster.local")
    assert [str(r.rdata) for r in answer.rr] == [lab.network.dns]
