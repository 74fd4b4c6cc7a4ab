"""`python -m conformance`: build, run, report. `make conformance` and `make conformance-report` call it."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance import report
from conformance.build import Build, BuildError, default_cache
from conformance.images import Images
from conformance.run import CONFORMANCE, Settings, run
from pynetes.machinery import clock

NAME = "conformance"
PYNETES = [sys.executable, "-m", "pynetes"]
REPORT = Path(__file__).parents[1] / "docs" / "conformance.md"


def main() -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description="Run upstream's conformance suite.")
    parser.add_argument("what", choices=("build", "run", "report"), help="build only; build and run; write the report")
    parser.add_argument("--focus", default=os.environ.get("FOCUS") or CONFORMANCE, help="tests to run, a regex")
    parser.add_argument("--skip", default=os.environ.get("SKIP", ""), help="tests to leave out, a regex")
    parser.add_argument("--parallel", type=int, default=int(os.environ.get("PARALLEL") or 1), help="how many at once")
    parser.add_argument("--kubeconfig", default=os.environ.get("KUBECONFIG"), help="run against this cluster")
    parser.add_argument("--nodes", type=int, default=2, help="nodes of the cluster started without --kubeconfig")
    parser.add_argument(
        "--output", type=Path, help="where results go (default: a folder of the run's own in the cache)"
    )
    arguments = parser.parse_args()
    # So that a run that is told to stop removes what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    build = Build(default_cache(), tell=lambda text: print(f"==> {text}", flush=True))
    runs = build.cache / "results"
    try:
        if arguments.what == "report":
            return write_report(runs)
        output = arguments.output or runs / f"{clock.now():%Y%m%d-%H%M%S}-{os.getpid()}"
        build.all()
        images = Images(build)
        images.make()
        if arguments.what == "build":
            return 0
        if arguments.kubeconfig:
            return against(build, images, arguments, Path(arguments.kubeconfig), output, None)
        return against_own(build, images, arguments, output)
    except BuildError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2


def against_own(build: Build, images: Images, arguments: argparse.Namespace, output: Path) -> int:
    """Start a cluster for the run, and remove it."""
    with tempfile.TemporaryDirectory(prefix="pynetes-conformance-", dir="/tmp") as directory:
        environment = os.environ | {"PYNETES_STATE_DIR": directory, "KUBECONFIG": f"{directory}/kubeconfig"}
        try:
            # The suite of 1.20 waits for a token Secret in every service account before each test.
            gates = ["--feature-gates", "LegacyServiceAccountTokenNoAutoGeneration=false"]
            up = [*PYNETES, "up", "--name", NAME, "--nodes", str(arguments.nodes), "--upstream-dns", "none", *gates]
            subprocess.run(up, env=environment, check=True)
            load = [*PYNETES, "image", "load", "--name", NAME, str(images.archive)]
            subprocess.run(load, env=environment, check=True, stdout=subprocess.DEVNULL)
            logs = Path(directory, NAME, "logs")
            return against(build, images, arguments, Path(directory, "kubeconfig"), output, logs)
        finally:
            subprocess.run([*PYNETES, "delete", "--name", NAME], env=environment, check=False)


def against(
    build: Build, images: Images, arguments: argparse.Namespace, kubeconfig: Path, output: Path, logs: Path | None
) -> int:
    """Run against a cluster; 0 if something ran and nothing failed."""
    settings = Settings(kubeconfig, output, arguments.focus, arguments.skip, arguments.parallel, logs)
    results = run(build, images, settings)
    print(report.text(results))
    print(f"\nlogs and JUnit files: {output}")
    return 0 if results and all(result.outcome != "failed" for result in results) else 1


def write_report(runs: Path) -> int:
    """Write docs/conformance.md from the last two whole runs."""
    ended = [report.read(file) for file in sorted(runs.glob("*/results.json"))]
    whole = [run for run in ended if len(run.results) >= report.TOTAL_IN_SUITE]
    if not whole:
        print("conformance: there is no whole run to report; `make conformance` makes one", file=sys.stderr)
        return 2
    REPORT.write_text(report.markdown(whole[-2:]))
    print(f"wrote {REPORT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
