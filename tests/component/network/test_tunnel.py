"""Nodes on two networks with a router between: their pods reach each other through the tunnel."""

from pathlib import Path

from tests.component.network.lab import Lab, ip


async def test_pods_of_nodes_behind_a_router_reach_each_other_at_their_own_addresses(lab: Lab) -> None:
    one, two = await lab.add_node(1, flags=("--mode=host",)), await lab.add_node(2, agent=False)
    # Move node 2 to a network of its own, with the host between the two as their router.
    router = "198.51.100.1"
    ip("address", "add", f"{router}/24", "dev", lab.network.bridge)
    ip("address", "flush", "dev", "eth0", namespace=two.namespace)
    two.address = "198.51.100.2"
    ip("address", "add", f"{two.address}/24", "dev", "eth0", namespace=two.namespace)
    ip("route", "add", "default", "via", router, namespace=two.namespace)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    status = {"status": {"addresses": [{"type": "InternalIP", "address": two.address}]}}
    await lab.api.client().patch("nodes", two.name, status, subresource="status")
    lab.start_agent(two, "--mode=host")
    await lab.until(lambda: lab.agent_ready(two))

    near, far = lab.add_pod(one), lab.add_pod(two)
    lab.serve(far, 8080, "server-far")
    lab.serve(near, 8080, "server-near")

    async def reaches() -> bool:
        return await lab.get(far.address, 8080, near) == f"server-far {near.address} /"

    await lab.until(reaches)
    assert await lab.get(near.address, 8080, far) == f"server-near {far.address} /"
    assert "pynetes-vxlan" in ip("route", "get", far.address, namespace=one.namespace)
    service = await lab.service("web", [{"name": "http", "port": 80, "targetPort": 8080}], [far])

    async def serves() -> bool:
        return await lab.get(service["spec"]["clusterIP"], 80, near) == f"server-far {near.address} /"

    await lab.until(serves)
