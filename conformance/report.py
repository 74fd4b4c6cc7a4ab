"""What a run amounts to: a table by area, and the list of what failed."""

import json
from collections import defaultdict
from pathlib import Path

from conformance.run import Result
from pynetes.machinery import clock

TOTAL_IN_SUITE = 311
CAUSES = Path(__file__).with_name("causes.json")


def by_area(results: list[Result]) -> list[tuple[str, int, int, int]]:
    """Area, passed, failed, of how many; the last row is the total."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for result in results:
        counts[result.area][result.outcome == "failed"] += 1
    rows = [(area, good, bad, good + bad) for area, (good, bad) in sorted(counts.items())]
    return [*rows, ("total", sum(r[1] for r in rows), sum(r[2] for r in rows), len(results))]


def text(results: list[Result]) -> str:
    """The table and the failures, for a terminal."""
    lines = [f"{'area':<26}{'passed':>8}{'failed':>8}{'of':>6}"]
    lines += [f"{area:<26}{good:>8}{bad:>8}{all_:>6}" for area, good, bad, all_ in by_area(results)]
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


def markdown(results: list[Result], seconds: float, parallel: int) -> str:
    """The text of docs/conformance.md."""
    passed = sum(result.outcome == "passed" for result in results)
    lines = [
        "# Conformance",
        "",
        "Upstream's conformance suite, version 1.20, built from Debian's source package and run by `make conformance`",
        "against `pynetes up --nodes 2`. This page is written by `make conformance-report` from the last whole run.",
        "",
        f"**{passed} of {TOTAL_IN_SUITE}** on {clock.now():%Y-%m-%d}, {seconds / 60:.0f} minutes, {parallel} at once.",
        "",
        "| area | passed | failed | of |",
        "|---|---|---|---|",
    ]
    lines += [f"| {area} | {good} | {bad} | {all_} |" for area, good, bad, all_ in by_area(results)]
    failed = [result for result in results if result.outcome == "failed"]
    if failed:
        lines += ["", "## Failing, and why", "", "| test | cause |", "|---|---|"]
        lines += [f"| {_cell(result.name)} | {_cell(cause_of(result))} |" for result in failed]
    return "\n".join(lines) + "\n"


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
