"""`pynetes logs COMPONENT`: what a component of the cluster itself has written."""

import argparse
import subprocess

from pynetes.cli.common import Commands, add_name, command
from pynetes.cluster import config
from pynetes.cluster.config import ClusterError


def register(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "logs",
        "show the log of one component (apiserver, scheduler, kubelet-node-1, …)",
        run,
        epilog="Logs of pods come from `kubectl logs`; these are of pynetes itself.",
    )
    parser.add_argument("component", metavar="COMPONENT", nargs="?", help="without it, the components are listed")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    parser.add_argument(
        "--tail", type=int, default=200, metavar="LINES", help="how many lines to begin with (default: 200)"
    )
    add_name(parser)


def run(arguments: argparse.Namespace) -> int:
    """Leave it to tail(1), which follows a file through its rotation."""
    cluster = config.require(arguments.name)
    known = sorted(file.stem for file in cluster.path("logs").glob("*.log"))
    if arguments.component is None:
        print("\n".join(known))
        return 0
    matches = [name for name in known if name == arguments.component] or [
        name for name in known if name.startswith(arguments.component)
    ]
    if len(matches) != 1:
        raise ClusterError(f"no component {arguments.component!r}; there are: {', '.join(known)}")
    follow = ["-F"] if arguments.follow else []
    command_line = ["tail", "-n", str(arguments.tail), *follow, str(cluster.log(matches[0]))]
    return subprocess.run(command_line, check=False).returncode
