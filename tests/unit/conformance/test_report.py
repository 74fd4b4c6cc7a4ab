"""What a conformance run amounts to."""

from pathlib import Path

from conformance import report
from conformance.report import Run
from conformance.run import Result, read_junit

JUNIT = """<testsuite>
  <testcase name="[sig-a] works" time="2.5"></testcase>
  <testcase name="[sig-a] fails" time="1"><failure>/a/file.go:1
Expected error:
    timed out | waiting
</failure></testcase>
  <testcase name="[sig-b] lacks a cloud" time="0.1"><skipped></skipped></testcase>
  <testcase name="[sig-b] is out of focus" time="0"><skipped></skipped></testcase>
  <testcase name="[BeforeSuite]" time="1"></testcase>
</testsuite>"""


def results(folder: Path) -> list[Result]:
    file = folder / "junit_01.xml"
    file.write_text(JUNIT)
    return read_junit([file])


def test_what_was_begun_counts_and_nothing_else(tmp_path: Path) -> None:
    found = {result.name: result.outcome for result in results(tmp_path)}
    assert found == {"[sig-a] works": "passed", "[sig-a] fails": "failed", "[sig-b] lacks a cloud": "skipped"}


def test_two_workers_reports_are_one(tmp_path: Path) -> None:
    first, second = tmp_path / "junit_01.xml", tmp_path / "junit_02.xml"
    first.write_text('<testsuite><testcase name="[sig-a] x" time="0"><skipped/></testcase></testsuite>')
    second.write_text('<testsuite><testcase name="[sig-a] x" time="3"></testcase></testsuite>')
    assert read_junit([first, second]) == [Result("[sig-a] x", "passed", 3.0)]


def test_the_table_adds_up(tmp_path: Path) -> None:
    assert report.by_area(results(tmp_path)) == [
        ("[sig-a]", 1, 1, 0, 2),
        ("[sig-b]", 0, 0, 1, 1),
        ("total", 1, 1, 1, 3),
    ]
    shown = report.text(results(tmp_path))
    assert "[sig-a] fails\n      timed out | waiting" in shown


def test_the_page_tells_of_each_run_and_of_each_failure(tmp_path: Path) -> None:
    run = Run("2026-01-02", 600.0, 4, {"parallel": 300.0, "serial": 290.0}, results(tmp_path))
    page = report.markdown([run, run])
    assert page.count("| 2026-01-02, 4 at once | 1 | 10.0 | 5.0 | 4.8 |") == 2
    assert "| [sig-a] fails | not looked into: timed out \\| waiting |" in page
