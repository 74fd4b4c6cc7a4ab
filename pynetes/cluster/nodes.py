"""One node of a running cluster: off as by a power cut, and on again.

What a power cut takes is what is not on disk. Nothing is asked and nothing says goodbye: the link goes first, so that
no last word gets out; then every process of the node dies at once, with everything that was only in memory (network
namespaces, mounts, the runtime's state). Files stay. The rest of the cluster finds out by itself, as it would of a real
machine: the node's Lease is not renewed, its pods become unready, are evicted, and wait for their kubelet to confirm
it. `power_on` is the boot: the kubelet and containerd find what was on disk and go on from there.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pynetes.client.client import Client, Unreachable
from pynetes.cluster import config, control, netns, units
from pynetes.cluster.config import Cluster, ClusterError
from pynetes.cluster.containerd import ContainerdError, unmount_below
from pynetes.kubelet.cgroups import Cgroups
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

READY_SECONDS = 60.0
MOST_NODES = 100


def states(cluster: Cluster) -> dict[str, str]:
    """Each node: `running`, `stopped`, or `starting` while the supervisor has not got all of it to run."""
    found: dict[str, set[str]] = {node: set() for node in cluster.nodes}
    for unit in control.units(cluster):
        if unit["node"]:
            found[unit["node"]].add(unit["state"])
    return {node: _state(parts) for node, parts in found.items()}


def _state(parts: set[str]) -> str:
    if parts <= {"stopped"}:
        return "stopped"
    return "running" if parts == {"running"} else "starting"


def stopped(cluster: Cluster) -> list[str]:
    """The nodes that are off."""
    return [node for node, state in states(cluster).items() if state == "stopped"]


def on(cluster: Cluster) -> list[str]:
    """The nodes that are not off."""
    off = stopped(cluster)
    return [node for node in cluster.nodes if node not in off]


def _parts(cluster: Cluster, node: str) -> list[str]:
    """The names of the node's units, in the order in which to start them."""
    return [unit.name for unit in units.all_units(cluster) if unit.node == node]


# -- off ------------------------------------------------------------------------------------------------------------


async def power_off(cluster: Cluster, node: str) -> None:
    """Cut the node's power; one that is off stays off."""
    network = cluster.network
    netns.cut(network, node)
    _go_round(cluster, without=node)
    for part in _parts(cluster, node):
        await asyncio.to_thread(control.request, cluster, "kill", part)
    kill_users_of(cluster.node_path(node, "containerd"))
    for pid in netns.processes(network, node):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await Cgroups(f"/pynetes/{cluster.name}/{node}").remove_all()
    unmount_below(cluster.node_path(node))
    netns.remove_node(network, node)
    state = units.runtime(cluster, node).state_dir
    await asyncio.to_thread(shutil.rmtree, state, ignore_errors=True)


def _go_round(cluster: Cluster, without: str = "") -> None:
    """Let the host's way to pods and services lead through a node that runs."""
    for node in on(cluster):
        if node != without:
            netns.route_through(cluster.network, cluster.nodes.index(node) + 1)
            return


def kill_users_of(directory: Path) -> None:
    """Kill the containerd and the shims whose command line names the directory or its socket: they are one node's."""
    needles = (f"{directory}/".encode(), f"{directory}.sock".encode())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(int(entry.name))
            try:
                arguments = (entry / "cmdline").read_bytes()
                if b"containerd" in (entry / "comm").read_bytes() and any(each in arguments for each in needles):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)


# -- on -------------------------------------------------------------------------------------------------------------


async def power_on(cluster: Cluster, node: str) -> None:
    """Boot the node; one that runs stays as it is. `ready` waits until the cluster has it back."""
    try:
        netns.add_node(cluster.network, cluster.nodes.index(node) + 1, node)
    except netns.NetworkError as error:
        raise ClusterError(f"cannot make the network of {node}: {error}") from error
    units.runtime(cluster, node).write_config()
    for part in _parts(cluster, node):
        await asyncio.to_thread(control.request, cluster, "start", part)
    _go_round(cluster)


async def load_sandbox_image(cluster: Cluster, node: str) -> None:
    """Give the node's containerd the one image that every pod needs, unless it has it."""
    runtime = units.runtime(cluster, node)
    try:
        await runtime.wait_ready()
        if units.SANDBOX_IMAGE not in await runtime.ctr("images", "ls", "-q"):
            await runtime.import_image(cluster.path("pause.tar"))
    except ContainerdError as error:
        raise ClusterError(f"{node}: {error}; {see(cluster, f'containerd-{node}')}") from error


async def ready(cluster: Cluster, client: Client, node: str, since: datetime | None = None) -> None:
    """Wait until the node is Ready; with `since`, until its kubelet has said so after that moment."""
    moment = since and since - timedelta(microseconds=since.microsecond)  # timestamps have whole seconds

    def is_ready(found: Obj) -> bool:
        condition = meta.get_condition(found, "Ready") or {}
        heard = condition.get("lastHeartbeatTime", "")
        return condition.get("status") == "True" and (moment is None or clock.parse_time(heard) >= moment)

    try:
        await clock.wait_for(_node_until(client, node, is_ready), READY_SECONDS)
    except (Unreachable, StatusError) as error:
        raise ClusterError(f"cannot ask the API server whether {node} is Ready: {error}") from error
    except TimeoutError as error:
        raise ClusterError(
            f"{node} is not Ready after {READY_SECONDS:.0f} s; {see(cluster, f'kubelet-{node}')}"
        ) from error


async def forget_removed(cluster: Cluster, client: Client) -> None:
    """Delete the Node objects of nodes that the cluster had and has no more; their pods go with them.

    A node of ours has the address that follows from its number; what others registered here is theirs.
    """
    for node in (await client.list("nodes")).items:
        name = meta.name(node)
        number = name.removeprefix("node-")
        if name in cluster.nodes or not number.isdecimal() or not 1 <= int(number) <= MOST_NODES:
            continue
        addresses = [entry.get("address") for entry in node.get("status", {}).get("addresses") or []]
        if cluster.network.node_address(int(number)) in addresses:
            with contextlib.suppress(StatusError):  # somebody else was faster
                await client.delete("nodes", name)


async def _node_until(client: Client, node: str, wanted: Callable[[Obj], bool]) -> None:
    """Return once the Node object is as wanted."""
    listed = await client.list("nodes", field_selector=f"metadata.name={node}")
    if any(map(wanted, listed.items)):
        return
    events = client.watch("nodes", field_selector=f"metadata.name={node}", resource_version=listed.resource_version)
    async with contextlib.aclosing(events):
        async for _, found in events:
            if wanted(found):
                return


def see(cluster: Cluster, component: str) -> str:
    """Where a component says more."""
    name = "" if cluster.name == config.DEFAULT_NAME else f" --name {cluster.name}"
    return f"see: pynetes logs {component}{name}"
