"""`pynetes delete`: remove a cluster and every trace of it."""

import argparse
import asyncio

from pynetes.cli.common import Commands, Progress, add_name, command
from pynetes.cluster import config, lifecycle


def register(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "delete", "remove the cluster: processes, containers, network, files, context", run)
    add_name(parser)
    parser.add_argument("--all", action="store_true", help="remove every cluster of this user")


def run(arguments: argparse.Namespace) -> int:
    """Remove one cluster, or all; a cluster that is not there is no error with --all."""
    names = config.names() if arguments.all else [arguments.name]
    for cluster in map(config.for_removal, names):
        progress = Progress()
        asyncio.run(lifecycle.delete(cluster))
        progress.note(f"cluster {cluster.name} is gone")
    return 0
