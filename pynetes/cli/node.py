"""`pynetes node`: list the nodes of a cluster, cut one's power, and switch it on again."""

import argparse
import asyncio

from pynetes.cli.common import Commands, Progress, add_name, command, table
from pynetes.client.client import Client, Unreachable
from pynetes.cluster import config, control, nodes
from pynetes.cluster.config import Cluster, ClusterError
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError

EPILOG = """\
examples:
  pynetes node list                   the nodes, and whether they run
  pynetes node stop node-2            cut its power: what ran there is gone at once
  pynetes node start node-2           switch it on again, and wait until it is Ready

After 50 s without a sign of life a stopped node is NotReady; five minutes later its pods are evicted.
"""


def register(commands: Commands) -> None:
    """Add the command and its sub-commands."""
    parser = command(commands, "node", "list nodes, stop one as a power cut would, start it again", run_list)
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(title="what to do", metavar="VERB", required=True)
    listing = command(verbs, "list", "list the nodes and their state", run_list)
    stop = command(verbs, "stop", "stop a node as a power cut would; its files stay", run_stop)
    start = command(verbs, "start", "start a node that was stopped, and wait until it is Ready", run_start)
    for verb in (stop, start):
        verb.add_argument("node", metavar="NODE", help="its name, e.g. node-2")
    for verb in (listing, stop, start):
        add_name(verb)


def _running(arguments: argparse.Namespace) -> Cluster:
    cluster = config.require(arguments.name)
    if cluster.role != "machine" or not cluster.nodes:
        raise ClusterError(f"cluster {cluster.name} has no nodes on this machine")
    if control.supervisor_pid(cluster) is None:
        raise ClusterError(f"cluster {cluster.name} is stopped; {cluster.how_to_start}")
    return cluster


def _chosen(arguments: argparse.Namespace) -> tuple[Cluster, str]:
    cluster = _running(arguments)
    if arguments.node not in cluster.nodes:
        raise ClusterError(f"cluster {cluster.name} has no node {arguments.node!r}, only {', '.join(cluster.nodes)}")
    return cluster, arguments.node


def run_list(arguments: argparse.Namespace) -> int:
    """`node list`."""
    cluster = _running(arguments)
    known = asyncio.run(_ready_conditions(cluster))
    rows = [
        (node, state, known.get(node, "Unknown"), cluster.node_address(node))
        for node, state in nodes.states(cluster).items()
    ]
    print(table(("NAME", "STATE", "READY", "ADDRESS"), rows))
    return 0


async def _ready_conditions(cluster: Cluster) -> dict[str, str]:
    """What the API says of each node; nothing if it cannot be asked."""
    async with Client.from_kubeconfig(str(cluster.kubeconfig("admin"))) as client:
        try:
            listed = await client.list("nodes")
        except (Unreachable, StatusError):
            return {}
    return {
        meta.name(node): (meta.get_condition(node, "Ready") or {}).get("status", "Unknown") for node in listed.items
    }


def run_stop(arguments: argparse.Namespace) -> int:
    """`node stop NODE`."""
    cluster, node = _chosen(arguments)
    progress = Progress()
    asyncio.run(nodes.power_off(cluster, node))
    progress.note(f"{node} is stopped")
    return 0


def run_start(arguments: argparse.Namespace) -> int:
    """`node start NODE`."""
    cluster, node = _chosen(arguments)
    progress = Progress()
    asyncio.run(_start(cluster, node))
    progress.note(f"{node} is Ready")
    return 0


async def _start(cluster: Cluster, node: str) -> None:
    began = clock.now() if nodes.states(cluster)[node] == "stopped" else None
    await nodes.power_on(cluster, node)
    async with Client.from_kubeconfig(str(cluster.kubeconfig("admin"))) as client:
        await nodes.load_sandbox_image(cluster, node)
        await nodes.ready(cluster, client, node, since=began)
