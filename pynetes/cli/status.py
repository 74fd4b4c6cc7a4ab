"""`pynetes status`: what runs, since when, and how much memory it takes."""

import argparse
from pathlib import Path
from typing import Any

from pynetes.cli.common import Commands, add_name, command, table
from pynetes.cluster import config, control


def register(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "status", "show the cluster's components, their state and memory", run)
    add_name(parser)
    parser.add_argument("--all", action="store_true", help="list every cluster on this machine")


def memory_kib(pid: int) -> int:
    """A process's proportional share of memory in KiB (shared pages divided among those who share them)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Print the table; exit 1 if the cluster is down."""
    if arguments.all:
        rows = [
            (c.name, "running" if control.supervisor_pid(c) else "stopped", str(c.node_count), c.server)
            for c in config.list_all()
        ]
        print(table(("NAME", "STATE", "NODES", "SERVER"), rows))
        return 0
    cluster = config.require(arguments.name)
    supervisor = control.supervisor_pid(cluster)
    if supervisor is None:
        print(f"cluster {cluster.name} is stopped; {cluster.how_to_start}")
        return 1
    units = [{"name": "supervisor", "state": "running", "pid": supervisor, "restarts": 0}, *control.units(cluster)]
    print(table(("COMPONENT", "STATE", "PID", "RESTARTS", "MEMORY"), [_row(unit) for unit in units]))
    ours = sum(memory_kib(u["pid"]) for u in units if u["pid"] and not u["name"].startswith("containerd"))
    where = f"node {cluster.node_name}" if cluster.role == "agent" else f"context {cluster.context}"
    print(f"\n{cluster.server}, {where}, {ours / 1024:.0f} MiB without containerd")
    return 0


def _row(unit: dict[str, Any]) -> tuple[str, ...]:
    memory = f"{memory_kib(unit['pid']) / 1024:.0f} MiB" if unit["pid"] else "-"
    return unit["name"], unit["state"], str(unit["pid"] or "-"), str(unit["restarts"]), memory
