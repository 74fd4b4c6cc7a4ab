"""The scheduler's settings, with upstream's flag names."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Options:
    """See `--help`."""

    kubeconfig: str | None = None
    scheduler_names: list[str] = field(default_factory=lambda: ["default-scheduler"])
    scoring_strategy: str = ""
    config: str | None = None
    leader_elect: bool = True
    verbosity: int = 0


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pynetes.scheduler", description="Run the scheduler against an API server."
    )
    parser.add_argument("--kubeconfig", help="the kubeconfig that names the API server")
    parser.add_argument(
        "--scheduler-name",
        dest="scheduler_names",
        action="append",
        help="pods with this spec.schedulerName are ours (repeatable; default: default-scheduler)",
    )
    parser.add_argument(
        "--scoring-strategy",
        choices=("LeastAllocated", "MostAllocated"),
        default="",
        help="prefer the emptier (as by default) or the fuller node",
    )
    parser.add_argument("--config", metavar="FILE", help="a KubeSchedulerConfiguration, with the profiles in it")
    parser.add_argument(
        "--leader-elect",
        type=lambda text: text.lower() in ("true", "1", "t"),
        nargs="?",
        const=True,
        default=True,
        metavar="BOOL",
        help="work only while holding the Lease",
    )
    parser.add_argument("-v", "--v", dest="verbosity", type=int, default=0, help="log level")
    values = vars(parser.parse_args(arguments))
    values["scheduler_names"] = values["scheduler_names"] or ["default-scheduler"]
    return Options(**values)
