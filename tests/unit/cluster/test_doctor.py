"""What the machine lacks is named with a cure, and a missing convenience stops nothing."""

from pathlib import Path

import pytest

from pynetes.cluster import doctor


def test_every_check_has_a_cure_and_looks_without_changing() -> None:
    assert len({check.what for check in doctor.CHECKS}) == len(doctor.CHECKS)
    for check in doctor.CHECKS:
        assert check.cure
        assert check.found() == check.found()


def test_what_nodes_need_is_told_apart_from_conveniences(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = (
        doctor.Check("needed", lambda: False, "get it"),
        doctor.Check("there", lambda: True, "get it"),
        doctor.Check("nice", lambda: False, "get it", "comfort"),
    )
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert [check.what for check in doctor.missing_for_nodes()] == ["needed"]


def test_programs_are_found_where_the_administrators_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "tool"
    tool.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._program("tool")()
    assert not doctor._program("no-such-tool")()
    monkeypatch.delenv("PATH")
    assert not doctor._program("tool")()
