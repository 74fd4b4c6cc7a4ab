"""Running the suite: ginkgo over e2e.test, its results read from JUnit, what a failure needs kept beside it.

With several workers the suite is run twice, as upstream does: everything that may share the cluster in parallel, then
what is marked [Serial] alone. While it runs, its output is followed; when a test fails, the last lines of every
component's log are copied at that moment. A run ends by itself: each test has upstream's own time limits, and the
whole has one too.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from conformance.build import Build, BuildError
from conformance.images import Images, environment
from pynetes.machinery import clock

CONFORMANCE = r"\[Conformance\]"
SERIAL = r"\[Serial\]|\[Disruptive\]"
WHOLE_RUN_SECONDS = 4 * 3600
LOG_LINES = 200
_FAILED = re.compile(r"^(\x1b\[[0-9;]*m)*• Failure|^\x1b\[[0-9;]*m• Failure|• Failure \[")
_AREA = re.compile(r"\[(sig-[a-z-]+|k8s\.io)\]")


@dataclass
class Result:
    """One test: its outcome is `passed`, `failed` or `skipped` (by itself, for the cluster lacks something)."""

    name: str
    outcome: str
    seconds: float
    error: str = ""

    @property
    def area(self) -> str:
        """The interest group in the test's name."""
        match = _AREA.search(self.name)
        return f"[{match[1]}]" if match else "[other]"


@dataclass
class Settings:
    """What to run, against what, and where to put what comes out."""

    kubeconfig: Path
    output: Path
    focus: str = CONFORMANCE
    skip: str = ""
    parallel: int = 1
    component_logs: Path | None = None


def clean_up(kubeconfig: Path, build: Build) -> None:
    """Remove the namespaces that an interrupted run left."""
    kubectl = [str(build.binary("kubectl")), "--kubeconfig", str(kubeconfig)]
    subprocess.run(
        [*kubectl, "delete", "namespace", "-l", "e2e-run", "--ignore-not-found", "--timeout=120s"],
        check=False,
        capture_output=True,
    )


def run(build: Build, images: Images, settings: Settings) -> list[Result]:
    """Run the suite; returns every test that was begun."""
    shutil.rmtree(settings.output, ignore_errors=True)
    settings.output.mkdir(parents=True)
    clean_up(settings.kubeconfig, build)
    began = clock.monotonic()
    results: dict[str, Result] = {}
    phases: dict[str, float] = {}
    try:
        for name, workers, focus, skip in _passes(settings):
            folder = settings.output / name
            folder.mkdir()
            phase_began = clock.monotonic()
            _ginkgo(build, images, settings, folder, workers, focus, skip)
            phases[name] = clock.monotonic() - phase_began
            results |= {result.name: result for result in read_junit(folder.glob("junit*.xml"))}
    finally:
        clean_up(settings.kubeconfig, build)
    found = sorted(results.values(), key=lambda result: (result.area, result.name))
    summary = {
        "seconds": clock.monotonic() - began,
        "parallel": settings.parallel,
        "phases": phases,
        "date": f"{clock.now():%Y-%m-%d}",
        "results": [asdict(result) for result in found],
    }
    (settings.output / "results.json").write_text(json.dumps(summary, indent=1))
    return found


def _passes(settings: Settings) -> Iterable[tuple[str, int, str, str]]:
    if settings.parallel <= 1:
        return [("all", 1, settings.focus, settings.skip)]
    both = f"{SERIAL}|{settings.skip}" if settings.skip else SERIAL
    serial = f"(?:{settings.focus}).*(?:{SERIAL})|(?:{SERIAL}).*(?:{settings.focus})"
    return [("parallel", settings.parallel, settings.focus, both), ("serial", 1, serial, settings.skip)]


def _ginkgo(
    build: Build, images: Images, settings: Settings, folder: Path, workers: int, focus: str, skip: str
) -> None:
    command = [
        str(build.binary("ginkgo")),
        f"-nodes={workers}",
        f"-focus={focus}",
        "-noColor",
        "-slowSpecThreshold=120",
        *([f"-skip={skip}"] if skip else []),
        str(build.binary("e2e.test")),
        "--",
        f"--kubeconfig={settings.kubeconfig}",
        f"--kubectl-path={build.binary('kubectl')}",
        "--provider=skeleton",
        "--kube-api-content-type=application/json",
        f"--report-dir={folder}",
        f"--repo-root={build.tree}",
        "--disable-log-dump=true",
        "--allowed-not-ready-nodes=0",
        "--dump-logs-on-failure=true",
    ]
    failures = 0
    with (folder / "e2e.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(images) | {"KUBECONFIG": str(settings.kubeconfig)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert process.stdout is not None
        deadline = clock.monotonic() + WHOLE_RUN_SECONDS
        try:
            for line in process.stdout:
                log.write(line)
                if _FAILED.search(line):
                    failures += 1
                    _keep_logs(settings, folder / f"failure-{failures:03d}")
                if line.startswith("•"):
                    print(line.rstrip()[:120], flush=True)
                if clock.monotonic() > deadline:
                    raise BuildError(f"the suite did not end within {WHOLE_RUN_SECONDS / 3600:.0f} hours")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _keep_logs(settings: Settings, folder: Path) -> None:
    """Copy the end of each component's log, as it is now."""
    if settings.component_logs is None:
        return
    folder.mkdir(exist_ok=True)
    for file in settings.component_logs.glob("*.log"):
        lines = file.read_text(errors="replace").splitlines()[-LOG_LINES:]
        (folder / file.name).write_text("\n".join(lines) + "\n")


def read_junit(files: Iterable[Path]) -> list[Result]:
    """The tests in JUnit files that were begun.

    A test that the focus leaves out is reported too, as skipped in no time; one that skips itself took some.
    """
    found: dict[str, Result] = {}
    for file in sorted(files):
        for case in ElementTree.parse(file).getroot().iter("testcase"):
            name = case.get("name", "")
            failure, skipped = case.find("failure"), case.find("skipped")
            outcome = "failed" if failure is not None else "skipped" if skipped is not None else "passed"
            error = first_error_line(failure.text or "") if failure is not None else ""
            seconds = float(case.get("time", 0))
            if outcome != "skipped" or seconds:
                found[name] = Result(name, outcome, seconds, error)
    return [result for result in found.values() if "[BeforeSuite]" not in result.name]


def first_error_line(text: str) -> str:
    """The line of a failure that says most: what was unexpected."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("/") and "goroutine" not in line]
    telling = [line for line in lines if not re.match(r"^(\w{3} +\d+ [\d:.]+: FAIL|Unexpected error|Expected)", line)]
    return (telling or lines or ["no message"])[0][:300]
