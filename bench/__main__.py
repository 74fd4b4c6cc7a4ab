"""`python -m bench`: measure a cluster and print a table.

Without KUBECONFIG a cluster is started for it and removed at the end, and starting is measured too. With one, the same
client measures whatever API server it names; pods and processes are measured only where that makes sense. Every figure
is one run on a machine that does other things too: compare ratios taken in one run.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import uvloop

from bench import api, pods, processes
from bench.http import Target
from bench.report import Report
from pynetes.machinery import clock

NAME = "bench"


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--kubeconfig", default=os.environ.get("KUBECONFIG"), help="measure this cluster instead")
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests, and no minute of idling")
    parser.add_argument(
        "--only", action="append", choices=("api", "list", "watch", "pods", "idle"), help="some parts only"
    )
    arguments = parser.parse_args()
    parts = arguments.only or ["api", "list", "watch", "pods", "idle"]
    scale = 10 if arguments.quick else 1
    report = Report()
    if arguments.kubeconfig:
        asyncio.run(measure(arguments.kubeconfig, parts, scale, report, None))
    else:
        with tempfile.TemporaryDirectory(prefix="pynetes-bench-", dir="/tmp") as directory:
            own_cluster(Path(directory), parts, scale, report)
    print(report.table())
    return 0


def own_cluster(directory: Path, parts: list[str], scale: int, report: Report) -> None:
    """Start a cluster of our own, measure its start and everything else, remove it."""
    environment = os.environ | {"PYNETES_STATE_DIR": str(directory), "KUBECONFIG": str(directory / "kubeconfig")}
    pynetes = [sys.executable, "-m", "pynetes"]
    try:
        for attempt in ("first start", "second start"):
            began = clock.monotonic()
            process = subprocess.Popen(
                [*pynetes, "up", "--name", NAME, "--upstream-dns", "none"],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert process.stderr is not None
            for line in process.stderr:
                for words, what in (("API server ready", "API ready"), ("is Ready", "node Ready")):
                    if words in line:
                        report.add(f"up: {what}, {attempt}", clock.monotonic() - began, "s")
            if process.wait() != 0:
                raise RuntimeError("`pynetes up` failed")
            if attempt == "first start":
                pods.load_image(directory, environment, NAME)
            kubeconfig = directory / NAME / "kubeconfig" / "admin.conf"
            asyncio.run(pods.first_pod(str(kubeconfig), attempt, began, report))
            if attempt == "first start":
                subprocess.run([*pynetes, "down", "--name", NAME], env=environment, check=True, capture_output=True)
        uvloop.run(measure(str(kubeconfig), parts, scale, report, directory / NAME))
    finally:
        subprocess.run([*pynetes, "delete", "--name", NAME], env=environment, check=False, capture_output=True)


async def measure(kubeconfig: str, parts: list[str], scale: int, report: Report, state: Path | None) -> None:
    """Everything that needs only a kubeconfig, and what needs the processes if they are ours."""
    target = Target.from_kubeconfig(kubeconfig)
    if "idle" in parts and state is not None:
        await processes.idle(state, 60 / scale, report)
    await api.with_namespace(kubeconfig, target, parts, scale, report)
    if "pods" in parts and state is not None:
        await pods.create_to_running(kubeconfig, 50 // min(scale, 5), report)


if __name__ == "__main__":
    raise SystemExit(main())
