"""`pynetes`: the way in. Parses the command line, runs one command, prints its errors without a traceback."""

import argparse
import importlib
import sys

import shtab

from pynetes import KUBERNETES_VERSION, __version__
from pynetes.cluster.config import ClusterError

# In the order in which `--help` lists them.
COMMANDS = (
    "up", "down", "delete", "status", "kubeconfig", "logs", "node", "image", "doctor", "server", "agent", "version",
)  # fmt: skip

DESCRIPTION = f"""\
Kubernetes {KUBERNETES_VERSION}, whole, in Python: real kubectl, real containers, no Docker, no VM.

  pynetes up                       start a one-node cluster and point kubectl at it
  kubectl get pods -A              … then use it as any other
  pynetes image build -t app .     build an image straight into the cluster's nodes
  pynetes status                   what runs, and what it uses
  pynetes down                     stop it; its state stays
  pynetes delete                   remove every trace of it
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line, as argparse sees it; shell completion is made from the same."""
    root = argparse.ArgumentParser(
        prog="pynetes", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root.add_argument("--version", action="version", version=f"pynetes {__version__}")
    shtab.add_argument_to(
        root,
        "--print-completion",
        help="print a completion script, e.g. for bash: source <(pynetes --print-completion bash)",
    )
    commands = root.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for name in COMMANDS:
        importlib.import_module(f"pynetes.cli.{name}").register(commands)
    return root


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ClusterError as error:
        print(f"pynetes: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; do not let the interpreter complain about it at exit.
        sys.stderr.close()
        return 141
