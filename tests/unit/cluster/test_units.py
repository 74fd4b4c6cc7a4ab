"""The table of processes: which there are, and what they are told."""

from dataclasses import replace

from pynetes.cluster import nodes, units
from pynetes.cluster.config import Cluster
from pynetes.cluster.units import Unit


def named(cluster: Cluster) -> dict[str, Unit]:
    return {unit.name: unit for unit in units.all_units(cluster)}


def test_a_node_has_three_processes_and_each_is_its_own(cluster: Cluster) -> None:
    found = named(cluster)
    assert {name for name, unit in found.items() if unit.node == "node-2"} == {
        "containerd-node-2", "network-node-2", "kubelet-node-2",
    }  # fmt: skip
    assert [name for name, unit in found.items() if not unit.node] == ["apiserver", "controller-manager", "scheduler"]
    one, two = (set(found[f"kubelet-node-{number}"].arguments) for number in (1, 2))
    shared = {argument.partition("=")[0] for argument in one & two}
    for flag in (
        "--root-dir",
        "--container-runtime-endpoint",
        "--pod-logs-dir",
        "--pod-manifest-path",
        "--cgroup-root",
        "--node-ip",
    ):
        assert flag not in shared


def test_extra_flags_come_last_and_reach_their_component_on_every_node(cluster: Cluster) -> None:
    extra = ["kubelet.max-pods=30", "controller-manager.node-monitor-grace-period=20s"]
    plain, told = named(cluster), named(replace(cluster, extra_config=extra))
    for number in (1, 2):
        kubelet = f"kubelet-node-{number}"
        assert told[kubelet].arguments == [*plain[kubelet].arguments, "--max-pods=30"]
    assert told["controller-manager"].arguments[-1] == "--node-monitor-grace-period=20s"
    for name in ("apiserver", "scheduler", "network-node-1", "containerd-node-1"):
        assert told[name] == plain[name]


def test_nodes_of_a_cluster_that_is_down_are_off(cluster: Cluster) -> None:
    assert nodes.states(cluster) == {"node-1": "stopped", "node-2": "stopped"}
    assert nodes.on(cluster) == []


def test_a_node_has_the_same_ethernet_address_after_every_start_and_no_other_has_it(cluster: Cluster) -> None:
    network = cluster.network
    addresses = [network.hardware_address(number) for number in (1, 2)]
    assert addresses == ["02:59:0a:59:03:02", "02:59:0a:59:03:03"]
