"""Packing endpoints into slices."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pynetes.controllers import slices
from pynetes.machinery.meta import Obj

PORTS: list[Obj] = [{"name": "http", "port": 80, "protocol": "TCP"}]
OTHER: list[Obj] = [{"name": "http", "port": 81, "protocol": "TCP"}]


def endpoint(name: str, **more: Any) -> Obj:
    return {"addresses": [f"10.0.0.{name}"], "targetRef": {"uid": name}, **more}


def existing(name: str, *endpoints: Obj, ports: list[Obj] = PORTS) -> Obj:
    return {"metadata": {"name": name}, "ports": ports, "endpoints": [*endpoints]}


def wanted(*endpoints: Obj, ports: list[Obj] = PORTS) -> dict[bytes, slices.Group]:
    return slices.group((ports, e) for e in endpoints)


def test_what_is_right_is_left_alone() -> None:
    a, b = endpoint("1"), endpoint("2")
    changes = slices.pack([existing("s", a, b)], wanted(a, b), 100)
    assert changes == slices.Changes()


def test_a_changed_endpoint_changes_only_its_slice() -> None:
    a, b = endpoint("1"), endpoint("2")
    ready = endpoint("1", nodeName="n")
    changes = slices.pack([existing("s", a), existing("t", b)], wanted(ready, b), 100)
    assert [u["metadata"]["name"] for u in changes.update] == ["s"]
    assert changes.update[0]["endpoints"] == [ready]
    assert not changes.create
    assert not changes.delete


def test_a_new_endpoint_goes_where_a_write_is_due_anyway() -> None:
    a, b, c = endpoint("1"), endpoint("2"), endpoint("3")
    changes = slices.pack([existing("s", a), existing("t", b, endpoint("9"))], wanted(a, b, c), 100)
    (update,) = changes.update
    assert update["metadata"]["name"] == "t"
    assert update["endpoints"] == [b, c]


def test_a_new_endpoint_fills_the_fullest_slice_that_has_room() -> None:
    full = [endpoint(str(i)) for i in range(3)]
    half = [endpoint(str(i)) for i in range(10, 12)]
    new = endpoint("99")
    changes = slices.pack(
        [existing("one", endpoint("50")), existing("half", *half), existing("full", *full)],
        wanted(*full, *half, endpoint("50"), new),
        3,
    )
    assert [u["metadata"]["name"] for u in changes.update] == ["half"]


def test_other_ports_make_other_slices_out_of_those_not_needed() -> None:
    a = endpoint("1")
    changes = slices.pack([existing("s", a)], wanted(a, ports=OTHER), 100)
    (update,) = changes.update
    assert update["metadata"]["name"] == "s"
    assert update["ports"] == OTHER
    assert not changes.delete


def test_the_last_endpoint_leaves_an_empty_slice_behind() -> None:
    found = [existing("s", endpoint("1"))]
    changes = slices.with_placeholder(found, slices.pack(found, {}, 100))
    assert changes.update == [{"metadata": {"name": "s"}, "ports": [], "endpoints": []}]
    assert not changes.delete
    again = slices.with_placeholder(changes.update, slices.pack(changes.update, {}, 100))
    assert again == slices.Changes()


def test_a_service_that_never_had_endpoints_gets_an_empty_slice() -> None:
    assert slices.with_placeholder([], slices.Changes()).create == [([], [])]


@given(
    before=st.lists(st.integers(0, 60), unique=True, max_size=40),
    after=st.lists(st.integers(0, 60), unique=True, max_size=60),
    limit=st.integers(1, 12),
    changed=st.sets(st.integers(0, 60)),
)
def test_after_packing_each_endpoint_is_in_exactly_one_slice(
    before: list[int], after: list[int], limit: int, changed: set[int]
) -> None:
    present = [
        existing(f"s{start}", *(endpoint(str(i)) for i in before[start : start + limit]))
        for start in range(0, len(before), limit)
    ]
    desired = [endpoint(str(i), **({"nodeName": "x"} if i in changed else {})) for i in after]
    changes = slices.pack(present, wanted(*desired), limit)
    named = {s["metadata"]["name"]: s["endpoints"] for s in present}
    for gone in changes.delete:
        del named[gone["metadata"]["name"]]
    named |= {u["metadata"]["name"]: u["endpoints"] for u in changes.update}
    contents = [*named.values(), *(members for _, members in changes.create)]
    assert all(0 < len(members) <= limit for members in contents)
    flat = [e for members in contents for e in members]
    assert sorted(flat, key=str) == sorted(desired, key=str)
