"""Whether a node can give what a pod asks for now, and whose turn it is."""

from typing import Any

import pytest

from pynetes.kubelet import resize

ALLOCATABLE = {"cpu": "2", "memory": "1Gi"}


def pod(cpu: str, memory: str = "1Mi", **spec: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory}
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": amounts}}], **spec},
    }


@pytest.mark.parametrize(
    ("asked", "other", "verdict", "why"),
    [
        (pod("1"), pod("1"), "fits", ""),
        (
            pod("1500m"),
            pod("1"),
            "Deferred",
            "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
        ),
        (
            pod("1", "2Gi"),
            pod("1"),
            "Infeasible",
            "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824",
        ),
    ],
)
def test_a_resize_fits_now_or_later_or_never(asked: Any, other: Any, verdict: str, why: str) -> None:
    assert resize.feasible(asked, [other], ALLOCATABLE) == (verdict, why)


def test_who_is_tried_first() -> None:
    important = pod("1", priority=1000)
    guaranteed = pod("1")
    guaranteed["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "1", "memory": "1Mi"}
    plain = pod("1")
    waiting = {"new": (plain, 9.0), "first": (plain, 1.0), "guaranteed": (guaranteed, 5.0), "high": (important, 7.0)}
    order = sorted(waiting, key=lambda name: resize.rank(*waiting[name]))
    assert order == ["high", "guaranteed", "first", "new"]


def test_memory_is_not_taken_from_whom_uses_it() -> None:
    assert resize.too_low([("pod", 100, 50, 40), ('container "c"', None, 50, 40)]) == ""
    assert resize.too_low([("pod", 100, 200, 300)]) == ""  # more than before is never too little
    one = resize.too_low([("pod", 100, 50, 60), ('container "c"', 100, 50, 40)])
    assert one == "cannot decrease memory limits: attempting to set pod memory limit (50) below current usage (60)"
    both = resize.too_low([("pod", 100, 50, 60), ('container "c"', 100, 50, 60)])
    assert both == (
        "cannot decrease memory limits: [attempting to set pod memory limit (50) below current usage (60), "
        'attempting to set container "c" memory limit (50) below current usage (60)]'
    )
