"""Which changes of a node's conditions are told as events."""

from pathlib import Path
from typing import Any

import pytest

from pynetes.kubelet.node import NodeReporter, _diff, turned
from pynetes.kubelet.options import Options
from pynetes.machinery.meta import Obj


def status(**conditions: bool) -> Obj:
    return {"conditions": [{"type": kind, "status": str(value)} for kind, value in conditions.items()]}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (status(), status(Ready=False, MemoryPressure=False), ["NodeHasSufficientMemory"]),
        (status(), status(Ready=True, DiskPressure=False), ["NodeHasNoDiskPressure"]),
        (status(Ready=False), status(Ready=True), ["NodeReady"]),
        (status(Ready=True), status(Ready=False), ["NodeNotReady"]),
        (status(Ready=True, PIDPressure=False), status(Ready=True, PIDPressure=True), ["NodeHasInsufficientPID"]),
        (status(Ready=True, PIDPressure=True), status(Ready=True, PIDPressure=True), []),
    ],
)
def test_only_what_changed_is_told(old: Obj, new: Obj, told: list[str]) -> None:
    assert turned(old, new) == told


def agent(root: Path) -> NodeReporter:
    """A node's agent that speaks to nobody."""
    nobody: Any = None
    return NodeReporter(Options(root_dir=root), nobody, nobody, nobody, ["10.0.0.1"], set, lambda: None)


def test_an_extended_resource_in_the_capacity_is_all_for_pods(tmp_path: Path) -> None:
    status = agent(tmp_path).make_status({"capacity": {"example.com/device": "5"}})
    assert status["capacity"]["example.com/device"] == status["allocatable"]["example.com/device"] == "5"


def test_an_extended_resource_that_went_is_taken_out(tmp_path: Path) -> None:
    node = agent(tmp_path)
    old = node.make_status({"capacity": {"example.com/device": "5"}})
    del old["capacity"]["example.com/device"]
    patch = _diff(old, node.make_status(old))
    assert patch["allocatable"]["example.com/device"] is None
    assert "example.com/device" not in node.allocatable
