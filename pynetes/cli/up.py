"""`pynetes up`: start a cluster, and point kubectl at it."""

import argparse
import asyncio
import os

from pynetes.cli.common import Commands, Progress, add_name, command
from pynetes.cluster import config, kubeconfig, lifecycle, nodes, units
from pynetes.cluster.config import ClusterError

EPILOG = """\
examples:
  pynetes up                          one node, named "default"
  pynetes up --name ci --nodes 3      another cluster beside it, with three nodes
  pynetes up --control-plane-only     the API, controllers and scheduler alone: no root, no containers

Each cluster adds a context pynetes-N to your kubeconfig. On a running cluster `up` changes nothing.
"""


def register(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "up", "start a cluster and point kubectl at it", run, epilog=EPILOG)
    add_name(parser)
    parser.add_argument("--nodes", type=_count, metavar="K", help="how many nodes (default: 1, or as many as it had)")
    parser.add_argument(
        "--control-plane-only",
        action="store_true",
        help="no nodes: runs without root and without containerd; pods stay Pending",
    )
    parser.add_argument(
        "--upstream-dns",
        action="append",
        metavar="ADDRESS",
        help="where pods' questions about other domains go (repeatable; 'none' for nowhere; default: the host's)",
    )
    parser.add_argument(
        "--feature-gates",
        type=_gates,
        metavar="NAME=BOOL,…",
        help="upstream's feature gates; known: LegacyServiceAccountTokenNoAutoGeneration",
    )
    parser.add_argument(
        "--extra-config",
        type=_flag,
        action="append",
        metavar="COMPONENT.FLAG=VALUE",
        help="a flag for a component, e.g. controller-manager.node-monitor-grace-period=20s or kubelet.max-pods=30 "
        f"(repeatable; components: {', '.join(units.COMPONENTS)})",
    )


def _flag(text: str) -> str:
    component, _, flag = text.partition(".")
    if component not in units.COMPONENTS or "=" not in flag:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form COMPONENT.FLAG=VALUE")
    return text


def _gates(text: str) -> list[str]:
    gates = [gate for gate in text.split(",") if gate]
    for gate in gates:
        name, _, value = gate.partition("=")
        if not name or value not in ("true", "false"):
            raise argparse.ArgumentTypeError(f"{gate!r} is not of the form Name=true or Name=false")
    return gates


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= nodes.MOST_NODES:
        raise argparse.ArgumentTypeError(f"a cluster on one machine has 1 to {nodes.MOST_NODES} nodes")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Start the cluster and say how to use it."""
    if arguments.control_plane_only and arguments.nodes:
        raise ClusterError("--nodes and --control-plane-only exclude each other")
    existing = config.load(arguments.name)
    if arguments.control_plane_only:
        count = 0
    else:
        count = arguments.nodes or (existing.node_count if existing else 1)
    if count:
        lacking = lifecycle.missing_programs()
        if os.geteuid() != 0:
            raise ClusterError("nodes need root; as another user: pynetes up --control-plane-only")
        if lacking:
            raise ClusterError(f"this machine lacks what nodes need:\n{lacking}")
    progress = Progress()
    with lifecycle.one_at_a_time():
        cluster = lifecycle.prepare(
            arguments.name, count, arguments.upstream_dns, arguments.feature_gates, arguments.extra_config
        )
        asyncio.run(lifecycle.up(cluster, progress.note))
    file = kubeconfig.merge(cluster)
    progress.note(f"kubectl uses context {cluster.context} ({file})")
    return 0
