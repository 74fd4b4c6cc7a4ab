"""Pods set up by the real CNI plugins from the configuration that the agent writes."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.component.network.lab import Lab, Node, Pod, ip

PLUGINS = Path("/usr/lib/cni")
pytestmark = pytest.mark.skipif(not (PLUGINS / "bridge").exists(), reason="needs the CNI plugins")


def cni(node: Node, command: str, container: str, namespace: str, configuration: Path, **capabilities: Any) -> Any:
    """Run a network list as a container runtime does."""
    network = json.loads(configuration.read_text())
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": f"/run/netns/{namespace}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(PLUGINS),
    }
    result: Any = None
    plugins = network["plugins"] if command == "ADD" else reversed(network["plugins"])
    for plugin in plugins:
        given = plugin | {"cniVersion": network["cniVersion"], "name": network["name"]}
        runtime = {name: capabilities[name] for name in plugin.get("capabilities", {}) if name in capabilities}
        given |= {"runtimeConfig": runtime} if runtime else {}
        given |= {"prevResult": result} if result else {}
        done = subprocess.run(
            ["nsenter", f"--net={node.path}", str(PLUGINS / plugin["type"])],
            input=json.dumps(given),
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(done.stdout) if done.stdout.strip() else result
    return result


async def test_pods_of_the_real_plugins_reach_each_other_services_and_host_ports(lab: Lab) -> None:
    nodes = [await lab.add_node(1), await lab.add_node(2)]
    pods: list[Pod] = []
    mappings = [{"hostPort": 8888, "containerPort": 8080, "protocol": "tcp", "hostIP": ""}]
    for index, node in enumerate([nodes[0], nodes[0], nodes[1]]):
        ip("link", "delete", "cni0", namespace=node.namespace) if index != 1 else None
        [configuration] = (lab.directory / node.name).glob("*.conflist")
        namespace = f"{node.namespace}-cni{index}"
        ip("netns", "add", namespace)
        ports = {"portMappings": mappings} if index == 0 else {}
        result = cni(node, "ADD", f"container-{index}", namespace, configuration, **ports)
        address = result["ips"][0]["address"].split("/")[0]
        pods.append(Pod(address, namespace, node.name))
        lab.pods.append(pods[-1])
        lab.serve(pods[-1], 8080, f"server-{index}")
    first, neighbour, distant = pods
    assert first.address.startswith("10.244.1.") and distant.address.startswith("10.244.2.")

    for source, target in ((first, neighbour), (first, distant), (distant, neighbour)):
        answer = await lab.get(target.address, 8080, source)
        assert answer.split()[1] == source.address, "every pod sees the other's own address"
    assert (await lab.get(distant.address, 8080)).startswith("server-2"), "the host, by route"

    service = await lab.service("web", [{"name": "http", "port": 80, "targetPort": 8080}], [first])
    address = service["spec"]["clusterIP"]

    async def serves(where: Pod) -> bool:
        return await lab.get(address, 80, where) == f"server-0 {where.address} /"

    await lab.until(lambda: serves(neighbour))
    await lab.until(lambda: serves(distant))
    assert (await lab.get(address, 80, first)).startswith("server-0"), "a pod through its service to itself"
    assert (await lab.get(nodes[0].address, 8888)).startswith("server-0"), "a host port, from outside"
    assert (await lab.get(nodes[0].address, 8888, neighbour)).startswith("server-0"), "a host port, from a pod"
    assert (await lab.get("127.0.0.1", 8888, nodes[0])).startswith("server-0"), "a host port, from the node itself"

    [configuration] = (lab.directory / nodes[0].name).glob("*.conflist")
    cni(nodes[0], "DEL", "container-0", first.namespace, configuration, portMappings=mappings)
    assert await lab.get(nodes[0].address, 8888) == "refused"
