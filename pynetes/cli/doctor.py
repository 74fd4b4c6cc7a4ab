"""`pynetes doctor`: what this machine lacks, and how to cure it."""

import argparse

from pynetes.cli.common import Commands, command
from pynetes.cluster import doctor


def register(commands: Commands) -> None:
    """Add the command."""
    command(commands, "doctor", "check what this machine has and lacks, and say how to cure it", run)


def run(arguments: argparse.Namespace) -> int:
    """Print every check; exit 1 if nodes cannot run here."""
    for check in doctor.CHECKS:
        if check.found():
            print(f"  ok       {check.what}")
        elif check.needed_for == "nodes":
            print(f"  MISSING  {check.what}\n           cure: {check.cure}")
        else:
            print(f"  without  {check.what} (needed for {check.needed_for})\n           cure: {check.cure}")
    lacking = doctor.missing_for_nodes()
    if lacking:
        print("\nNodes cannot run here yet; a control plane alone can: pynetes up --control-plane-only")
    else:
        print("\nThis machine can run nodes.")
    return 1 if lacking else 0
