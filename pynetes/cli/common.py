"""What several commands share: the options that name a cluster, and how progress is shown."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pynetes.cluster import config
from pynetes.machinery import clock

Commands = Any  # argparse does not export the type of a sub-parser collection
Run = Callable[[argparse.Namespace], int]


def command(commands: Commands, name: str, summary: str, run: Run, *, epilog: str = "") -> argparse.ArgumentParser:
    """Add a command with its one-line summary, and return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_name(parser: argparse.ArgumentParser) -> None:
    """`--name`: which cluster."""
    parser.add_argument(
        "--name", default=config.DEFAULT_NAME, metavar="N", help=f"the cluster's name (default: {config.DEFAULT_NAME})"
    )


class Progress:
    """Tells what is being waited for and how long it took: one line a step, on standard error."""

    def __init__(self) -> None:
        self._began = clock.monotonic()

    def note(self, text: str) -> None:
        """A step that is done, with the seconds since the command began."""
        print(f"  {clock.monotonic() - self._began:6.1f} s  {text}", file=sys.stderr, flush=True)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Rows under a header, in columns as kubectl prints them."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join(line.rstrip() for line in lines)
