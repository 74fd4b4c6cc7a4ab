"""`pynetes agent`: this machine as a node of a server, in the foreground."""

import argparse
import os
from pathlib import Path

from pynetes.cli.common import Commands, command
from pynetes.cluster import config, join, lifecycle, supervisor
from pynetes.cluster.config import ClusterError


def register(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "agent",
        "run this machine as a node of a `pynetes server`, in the foreground",
        run,
        epilog="The join file comes from `pynetes server --join NODE=ADDRESS`. Later starts need no file.",
    )
    parser.add_argument("--join-file", type=Path, metavar="FILE", help="what the server wrote for this machine")
    parser.add_argument("--name", default="agent", metavar="N", help="what to call it on this machine (default: agent)")


def run(arguments: argparse.Namespace) -> int:
    """Run containerd, the kubelet and the network agent until stopped."""
    if os.geteuid() != 0:
        raise ClusterError("a node needs root")
    if lacking := lifecycle.missing_programs():
        raise ClusterError(f"this machine lacks what nodes need:\n{lacking}")
    if arguments.join_file:
        cluster = join.read_join_file(arguments.join_file, arguments.name)
    elif (known := config.load(arguments.name)) is not None:
        cluster = known
    else:
        raise ClusterError("the first start needs --join-file, which `pynetes server --join NODE=ADDRESS` writes")
    if cluster.role != "agent":
        raise ClusterError(f"{arguments.name!r} is no agent; choose another --name")
    lifecycle.refuse_second_supervisor(cluster)
    lifecycle.prepare_agent(cluster)
    lifecycle.load_sandbox_image_beside(cluster)
    print(f"node {cluster.node_name} of {cluster.node_server}; Ctrl-C stops it, its pods run on")
    return supervisor.become(cluster)
