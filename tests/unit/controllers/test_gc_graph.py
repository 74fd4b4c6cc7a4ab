"""The graph of owners."""

from typing import Any

import pytest

from pynetes.controllers.gc_graph import FOREGROUND, ORPHAN, Graph, Owners, Verdict, judge
from pynetes.machinery import resources
from pynetes.machinery.meta import Obj

CONFIG = resources.lookup("configmaps")


def obj(uid: str, *owners: str, blocks: bool = True, finalizers: tuple[str, ...] = (), deleting: bool = False) -> Obj:
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner, "blockOwnerDeletion": blocks}
        for owner in owners
    ]
    metadata: dict[str, Any] = {"name": uid, "uid": uid, "namespace": "d", "ownerReferences": references}
    if finalizers:
        metadata["finalizers"] = [*finalizers]
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata}


def graph(*objects: Obj) -> Graph:
    made = Graph()
    for each in objects:
        made.upsert(CONFIG, each)
    return made


def test_an_owner_never_seen_is_looked_for_once() -> None:
    made = Graph()
    assert made.upsert(CONFIG, obj("child", "owner")) == [("look", "owner")]
    assert made.upsert(CONFIG, obj("other", "owner")) == []
    assert made.upsert(CONFIG, obj("owner")) == []
    owner = made.get("owner")
    assert owner is not None
    assert not owner.is_virtual
    assert owner.dependents == {"child", "other"}


def test_when_an_object_goes_its_dependents_are_looked_at() -> None:
    made = graph(obj("owner"), obj("child", "owner"))
    assert made.remove("owner") == [("delete", "child")]
    assert made.remove("owner") == []


def test_a_foreground_deletion_takes_the_dependents_first() -> None:
    made = graph(obj("owner"), obj("child", "owner"))
    work = made.upsert(CONFIG, obj("owner", finalizers=(FOREGROUND,), deleting=True))
    assert work == [("delete", "child"), ("delete", "owner")]
    assert made.upsert(CONFIG, obj("owner", finalizers=(FOREGROUND,), deleting=True)) == []
    assert made.remove("child") == [("delete", "owner")]


def test_a_dependent_that_stops_blocking_wakes_its_owner() -> None:
    made = graph(obj("owner", finalizers=(FOREGROUND,), deleting=True), obj("child", "owner"))
    owner = made.get("owner")
    assert owner is not None
    assert len(made.blocking(owner)) == 1
    assert made.upsert(CONFIG, obj("child", "owner", blocks=False)) == [("delete", "owner")]
    assert made.blocking(owner) == []


def test_a_newcomer_goes_with_an_owner_that_is_on_its_way() -> None:
    made = graph(obj("owner", finalizers=(FOREGROUND,), deleting=True))
    assert made.upsert(CONFIG, obj("late", "owner")) == [("delete", "late")]


def test_a_reference_that_leads_elsewhere_than_its_uid_is_looked_into() -> None:
    made = graph(obj("owner"))
    stranger = obj("stranger", "owner")
    stranger["metadata"]["namespace"] = "other"
    assert made.upsert(CONFIG, stranger) == [("delete", "stranger")]
    misnamed = obj("misnamed", "owner")
    misnamed["metadata"]["ownerReferences"][0]["name"] = "else"
    assert made.upsert(CONFIG, misnamed) == [("delete", "misnamed")]
    assert made.upsert(CONFIG, obj("child", "owner")) == []
    late = graph(stranger, obj("child", "owner"))
    assert late.upsert(CONFIG, obj("owner")) == [("delete", "stranger")]


def test_orphaning_is_work_once() -> None:
    made = graph(obj("owner"))
    orphaning = obj("owner", finalizers=(ORPHAN,), deleting=True)
    assert made.upsert(CONFIG, orphaning) == [("orphan", "owner")]
    assert made.upsert(CONFIG, orphaning) == []


def test_losing_an_owner_is_a_reason_to_look_again_while_others_remain() -> None:
    made = graph(obj("a"), obj("b"), obj("child", "a", "b"))
    assert made.upsert(CONFIG, obj("child", "b")) == [("delete", "child")]
    assert made.upsert(CONFIG, obj("child")) == []


def test_a_virtual_owner_without_dependents_is_forgotten() -> None:
    made = graph(obj("child", "ghost"))
    made.upsert(CONFIG, obj("child"))
    assert made.get("ghost") is None


REFERENCE = {"uid": "o"}
OTHER = {"uid": "p"}


@pytest.mark.parametrize(
    ("owners", "finalizers", "expected"),
    [
        (Owners(solid=[REFERENCE]), (), Verdict()),
        (Owners(solid=[REFERENCE], dangling=[OTHER]), (), Verdict(release=("p",))),
        (Owners(solid=[REFERENCE], waiting=[OTHER]), (), Verdict(release=("p",))),
        (Owners(dangling=[REFERENCE]), (), Verdict(policy="Background")),
        (Owners(dangling=[REFERENCE]), (ORPHAN,), Verdict(policy="Orphan")),
        (Owners(dangling=[REFERENCE]), (FOREGROUND,), Verdict(policy="Foreground")),
        (Owners(waiting=[REFERENCE]), (), Verdict(policy="Background")),
        (Owners(), (), Verdict()),
    ],
)
def test_the_fate_of_an_object(owners: Owners, finalizers: tuple[str, ...], expected: Verdict) -> None:
    assert judge(obj("x", finalizers=finalizers), owners, []) == expected


def test_an_object_with_dependents_goes_in_the_foreground_when_its_owner_waits() -> None:
    made = graph(obj("x"), obj("child", "x"))
    node = made.get("x")
    assert node is not None
    verdict = judge(obj("x"), Owners(waiting=[REFERENCE]), made.dependents(node))
    assert verdict == Verdict(policy="Foreground")


def test_a_circle_is_broken_by_no_longer_blocking() -> None:
    made = graph(obj("x"), obj("child", "x", finalizers=(FOREGROUND,), deleting=True))
    node = made.get("x")
    assert node is not None
    verdict = judge(obj("x"), Owners(waiting=[REFERENCE]), made.dependents(node))
    assert verdict == Verdict(policy="Foreground", unblock=True)
