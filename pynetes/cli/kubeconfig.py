"""`pynetes kubeconfig`: print the administrator's kubeconfig, or merge it into the user's."""

import argparse
import sys

from pynetes.cli.common import Commands, add_name, command
from pynetes.cluster import config, kubeconfig


def register(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "kubeconfig",
        "print a kubeconfig for the cluster",
        run,
        epilog="example:\n  pynetes kubeconfig > /tmp/kc && kubectl --kubeconfig /tmp/kc get nodes",
    )
    add_name(parser)
    parser.add_argument("--merge", action="store_true", help="put it into your own kubeconfig instead, as `up` does")


def run(arguments: argparse.Namespace) -> int:
    """Print or merge."""
    cluster = config.require(arguments.name)
    if arguments.merge:
        print(f"context {cluster.context} is in {kubeconfig.merge(cluster)}")
    else:
        sys.stdout.write(cluster.kubeconfig("admin").read_text())
    return 0
