"""What a run amounts to: a table by area, and the list of what failed."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from conformance.run import Result

TOTAL_IN_SUITE = 311
OUTCOMES = ("passed", "failed", "skipped")
WAITS = (
    "The ten slowest tests. They wait by design: for five minutes that nothing happens, for four that a healthy",
    "container is left alone, for back-off, for taints to take effect, for a minute that others' add-ons come up.",
)
CAUSES = Path(__file__).with_name("causes.json")


@dataclass
class Run:
    """A run as it was written down."""

    date: str
    seconds: float
    parallel: int
    phases: dict[str, float]
    results: list[Result]

    @property
    def passed(self) -> int:
        """How many tests passed."""
        return sum(result.outcome == "passed" for result in self.results)

    @property
    def failed(self) -> list[Result]:
        """The tests that failed."""
        return [result for result in self.results if result.outcome == "failed"]


def read(file: Path) -> Run:
    """A run's `results.json`."""
    summary = json.loads(file.read_text())
    results = [Result(**each) for each in summary["results"]]
    return Run(summary["date"], summary["seconds"], summary["parallel"], summary["phases"], results)


Row = tuple[str, int, int, int, int]


def by_area(results: list[Result]) -> list[Row]:
    """Area, passed, failed, skipped, of how many; the last row is the total."""
    counts = Counter((result.area, result.outcome) for result in results)
    areas = sorted({area for area, _ in counts})
    rows = [(area, *(counts[area, outcome] for outcome in OUTCOMES)) for area in areas]
    total = ("total", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True)))
    return [(name, *numbers, sum(numbers)) for name, *numbers in [*rows, total]]


def text(results: list[Result]) -> str:
    """The table and the failures, for a terminal."""
    lines = [f"{'area':<26}{'passed':>8}{'failed':>8}{'skipped':>9}{'of':>6}"]
    lines += [
        f"{area:<26}{good:>8}{bad:>8}{skipped:>9}{all_:>6}" for area, good, bad, skipped, all_ in by_area(results)
    ]
    failed = [result for result in results if result.outcome == "failed"]
    if failed:
        lines += ["", "failed:"]
        lines += [f"  {result.name}\n      {result.error}" for result in failed]
    return "\n".join(lines)


def causes() -> dict[str, str]:
    """What is known of why a test fails: its name (or the part that tells it) to one line."""
    return dict(json.loads(CAUSES.read_text())) if CAUSES.exists() else {}


def cause_of(result: Result) -> str:
    """The known cause of a failure, or its own first line."""
    return next((cause for part, cause in causes().items() if part in result.name), f"not looked into: {result.error}")


def markdown(runs: list[Run]) -> str:
    """The text of docs/conformance.md: the last of the whole runs, and that those before it said the same."""
    run = runs[-1]
    lines = [
        "# Conformance",
        "",
        "Upstream's conformance suite, version 1.20, built from Debian's source package and run by `make conformance`",
        "against `pynetes up --nodes 2`. This page is written by `make conformance-report` from the last whole runs.",
        "",
        f"**{run.passed} of {TOTAL_IN_SUITE}**",
        "",
        "| run | passed | minutes | of them in parallel | of them one by one |",
        "|---|---|---|---|---|",
    ]
    lines += [_run_row(each) for each in runs]
    lines += ["", "| area | passed | failed | skipped | of |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in by_area(run.results)]
    if run.failed:
        lines += ["", "## Failing, and why", "", "| test | cause |", "|---|---|"]
        lines += [f"| {_cell(result.name)} | {_cell(cause_of(result))} |" for result in run.failed]
    lines += ["", "## Where the time goes", "", *WAITS, "", "| test | seconds |", "|---|---|"]
    slowest = sorted(run.results, key=lambda result: -result.seconds)[:10]
    lines += [f"| {_cell(result.name)} | {result.seconds:.0f} |" for result in slowest]
    return "\n".join(lines) + "\n"


def _run_row(run: Run) -> str:
    parallel, serial = (run.phases.get(name, 0.0) / 60 for name in ("parallel", "serial"))
    how = f"{run.date}, {run.parallel} at once"
    return f"| {how} | {run.passed} | {run.seconds / 60:.1f} | {parallel:.1f} | {serial:.1f} |"


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
