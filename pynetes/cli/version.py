"""`pynetes version`: of pynetes, of the Kubernetes API it speaks, and of the parts it stands on."""

import argparse
import platform

from pynetes import KUBERNETES_VERSION, __version__
from pynetes.cli.common import Commands, command


def register(commands: Commands) -> None:
    """Add the command."""
    command(commands, "version", "print the versions of pynetes and of the Kubernetes API it serves", run)


def run(arguments: argparse.Namespace) -> int:
    """Print the versions."""
    print(f"pynetes {__version__}")
    print(f"Kubernetes {KUBERNETES_VERSION}")
    print(f"Python {platform.python_version()}")
    return 0
