"""`pynetes down`: stop a cluster; what it holds stays."""

import argparse
import asyncio

from pynetes.cli.common import Commands, Progress, add_name, command
from pynetes.cluster import config, lifecycle


def register(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands, "down", "stop the cluster; its objects, images and volumes stay", run, epilog="`up` starts it again."
    )
    add_name(parser)


def run(arguments: argparse.Namespace) -> int:
    """Stop it."""
    cluster = config.require(arguments.name)
    progress = Progress()
    asyncio.run(lifecycle.down(cluster))
    progress.note(f"cluster {cluster.name} is down; its state is in {cluster.directory}")
    return 0
