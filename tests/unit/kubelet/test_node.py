"""Which changes of a node's conditions are told as events."""

import pytest

from pynetes.kubelet.node import turned
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
