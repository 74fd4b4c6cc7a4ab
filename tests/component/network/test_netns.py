"""Nodes as network namespaces: made twice, removed after a crash, with a way out and no trace left."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pynetes.cluster import netns
from tests.component.network.lab import ip, open_in, private_host

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A host of our own; gives the name of a cluster."""
    if os.geteuid():
        pytest.skip("makes network namespaces: needs root")
    monkeypatch.setattr(netns, "_REMEMBERED", tmp_path / "ip_forward")
    cluster = f"n{os.getpid()}"
    with private_host():
        FORWARDING.write_text("0")
        yield cluster
        netns.remove(cluster)


def state() -> list[str]:
    return [ip("-o", "link"), ip("-o", "-4", "address"), ip("route", "show", "table", "all"), FORWARDING.read_text()]


def test_making_twice_changes_nothing_and_removing_leaves_nothing(host: str) -> None:
    before = state()
    network = netns.choose(host)
    for _ in range(2):
        netns.create(network)
        places = [netns.add_node(network, number, f"node-{number}") for number in (1, 2)]
    assert [place.address for place in places] == [network.node_address(1), network.node_address(2)]
    assert netns.choose(host) == network, "an existing cluster keeps its ranges"
    assert netns.choose("another").index != network.index
    assert FORWARDING.read_text().strip() == "1"
    made = {network.bridge, network.veth("node-1"), network.veth("node-2"), f"table {network.bridge}"}
    assert made | {place.namespace for place in places} <= set(netns.leftovers())
    netns.remove(host)
    assert state() == before
    assert not (made | {place.namespace for place in places}) & set(netns.leftovers())


def test_a_node_can_go_and_come_back(host: str) -> None:
    network = netns.choose(host)
    netns.create(network, egress=False)
    place = netns.add_node(network, 1, "node-1")
    sleeper = subprocess.Popen(["nsenter", f"--net={place.path}", "sleep", "60"])
    try:
        while sleeper.pid not in netns.processes(network, "node-1"):
            pass
        netns.remove_node(network, "node-1")
        assert not Path(place.path).exists() and network.veth("node-1") not in ip("-o", "link")
        netns.add_node(network, 1, "node-1")
        assert sleeper.pid not in netns.processes(network, "node-1"), "a new namespace, not the old one"
    finally:
        sleeper.kill()
        sleeper.wait()


def test_half_made_and_crashed_is_repaired_and_removed(host: str) -> None:
    network = netns.choose(host)
    netns.create(network, egress=False)
    netns.add_node(network, 1, "node-1")
    ip("link", "delete", network.veth("node-1"))
    netns.add_node(network, 1, "node-1")
    assert network.node_address(1) in ip("-4", "address", "show", "dev", "eth0", namespace=network.namespace("node-1"))
    ip("link", "delete", network.bridge)
    netns.remove(host)
    assert not [name for name in netns.leftovers() if host in name]


async def test_nodes_and_their_pods_reach_the_world_as_the_host(host: str) -> None:
    """The world is a namespace behind the host that has no route back to nodes or pods."""
    network = netns.choose(host)
    netns.create(network)
    place = netns.add_node(network, 1, "node-1")
    world = f"world-{host}"
    ip("netns", "add", world)
    try:
        ip("link", "add", "out", "type", "veth", "peer", "name", "eth0", "netns", world)
        ip("address", "add", "198.51.100.1/24", "dev", "out")
        ip("link", "set", "out", "up")
        ip("address", "add", "198.51.100.2/24", "dev", "eth0", namespace=world)
        ip("link", "set", "eth0", "up", namespace=world)
        pod = network.pods.replace("0.0/16", "1.5")
        ip("address", "add", f"{pod}/32", "dev", "lo", namespace=place.namespace)
        server = open_in(f"/run/netns/{world}", bind=("0.0.0.0", 80))
        server.listen(5)
        for source in (place.address, pod):
            client = open_in(place.path, bind=(source, 0))
            with client:
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(2):
                    await loop.sock_connect(client, ("198.51.100.2", 80))
                    connection, (seen, _) = await loop.sock_accept(server)
                connection.close()
                assert seen == "198.51.100.1"
        server.close()
    finally:
        ip("netns", "delete", world)
