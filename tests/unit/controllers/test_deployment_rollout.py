"""The arithmetic of Deployments."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pynetes.controllers import deployment_rollout as rollout
from pynetes.controllers.deployment import history_to_delete, new_annotations, same_template, template_hash
from pynetes.machinery.meta import Obj


def deployment(replicas: int = 10, surge: Any = "25%", unavailable: Any = "25%", **spec: Any) -> Obj:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "strategy": rolling, "template": {}, **spec},
    }


def rs(name: str, size: int, available: int | None = None, created: int = 0, **annotations: str) -> Obj:
    keys = {"desired": rollout.DESIRED_REPLICAS, "max": rollout.MAX_REPLICAS, "revision": rollout.REVISION}
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": f"2026-01-01T00:00:{created:02}Z",
            "annotations": {keys[k]: v for k, v in annotations.items()},
        },
        "spec": {"replicas": size},
        "status": {"replicas": size, "availableReplicas": size if available is None else available},
    }


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (10, 0, 0, (0, 1)),
        (10, "0%", "5%", (0, 1)),
        (4, 2, "50%", (2, 2)),
    ],
)
def test_surge_rounds_up_and_unavailable_down_but_something_may_move(
    replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]
) -> None:
    assert rollout.fence(deployment(replicas, surge, unavailable)) == expected


def test_the_new_set_grows_only_into_the_room_above() -> None:
    d = deployment(10, 2, 0)
    old, new = rs("old", 10), rs("new", 0)
    assert rollout.grow_new(d, [old, new], new) == 2
    assert rollout.grow_new(d, [rs("old", 12), new], new) == 0


def test_a_new_set_that_is_too_large_shrinks_at_once() -> None:
    assert rollout.grow_new(deployment(3), [], rs("new", 7)) == 3


def test_recreate_takes_all_at_once() -> None:
    d = deployment(5)
    d["spec"]["strategy"] = {"type": "Recreate"}
    assert rollout.new_set_size(d, [], 0) == 5
    assert rollout.max_unavailable(d) == 0


def test_old_sets_shrink_by_what_the_fence_leaves() -> None:
    d = deployment(10, 2, 2)
    old, new = rs("old", 10), rs("new", 2, available=0)
    assert rollout.shrink_old(d, [old, new], [old], new) == {"old": 8}


def test_broken_old_pods_go_first_and_do_not_count_as_loss() -> None:
    d = deployment(10, 2, 2)
    sick, well, new = rs("sick", 4, available=0, created=1), rs("well", 6, created=0), rs("new", 2, available=2)
    sizes = rollout.shrink_old(d, [sick, well, new], [sick, well], new)
    assert sizes == {"sick": 0}


def test_nothing_shrinks_while_the_new_pods_are_not_available() -> None:
    d = deployment(3, 1, 0)
    old, new = rs("old", 3), rs("new", 1, available=0)
    assert rollout.shrink_old(d, [old, new], [old], new) == {}


@given(
    replicas=st.integers(1, 30),
    surge=st.integers(0, 10),
    unavailable=st.integers(0, 10),
    steps=st.lists(st.booleans(), max_size=60),
)
def test_a_rollout_stays_inside_its_fence_and_ends(
    replicas: int, surge: int, unavailable: int, steps: list[bool]
) -> None:
    d = deployment(replicas, surge, unavailable)
    surge, unavailable = rollout.fence(d)
    unavailable = min(unavailable, replicas)
    old, new = rs("old", replicas), rs("new", 0, available=0)
    for all_ready in [*steps, *[True] * (3 * replicas + 5)]:
        every = [old, new]
        size = rollout.grow_new(d, every, new)
        if size != new["spec"]["replicas"]:
            new["spec"]["replicas"] = size
        else:
            sizes = rollout.shrink_old(d, every, [old] if old["spec"]["replicas"] else [], new)
            old["spec"]["replicas"] = sizes.get("old", old["spec"]["replicas"])
        for each in every:
            wanted = each["spec"]["replicas"]
            status = each["status"]
            status["replicas"] = wanted
            if all_ready or status["availableReplicas"] > wanted:
                status["availableReplicas"] = wanted
        total = old["spec"]["replicas"] + new["spec"]["replicas"]
        available = old["status"]["availableReplicas"] + new["status"]["availableReplicas"]
        assert total <= replicas + surge
        assert available >= replicas - unavailable
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, replicas)


def test_a_scaling_in_mid_rollout_is_shared_in_proportion() -> None:
    # The example of the documentation: 10 → 15 with surge 3, sets of 8 and 5.
    d = deployment(15, 3, 2)
    big = rs("big", 8, desired="10", max="13")
    small = rs("small", 5, desired="10", max="13", created=1)
    assert rollout.proportional(d, [big, small]) == {"big": 11, "small": 7}


def test_scaling_to_zero_empties_all_sets() -> None:
    d = deployment(0, 3, 2)
    sets = [rs("a", 8, desired="10", max="13"), rs("b", 5, desired="10", max="13")]
    assert rollout.proportional(d, sets) == {"a": 0, "b": 0}


@example(sizes=[1, 1, 1, 1], desired=1, surge=1)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    desired=st.integers(0, 100),
    surge=st.integers(0, 10),
)
def test_proportional_scaling_adds_up(sizes: list[int], desired: int, surge: int) -> None:
    d = deployment(desired, surge, 1)
    before = sum(sizes)
    sets = [rs(f"rs{i}", size, max=str(before), created=i) for i, size in enumerate(sizes)]
    result = rollout.proportional(d, sets)
    assert all(size >= 0 for size in result.values())
    allowed = desired + surge if desired else 0
    # What rounding leaves is the largest set's; it can give no more than it has, the rest waits for the next pass.
    largest = result[f"rs{sizes.index(max(sizes))}"]  # the oldest of the largest
    assert sum(result.values()) == allowed or (sum(result.values()) > allowed and largest == 0)


def test_a_change_of_replicas_is_seen_by_the_annotation() -> None:
    assert rollout.is_scaling_event(deployment(5), [rs("a", 3, desired="3")])
    assert not rollout.is_scaling_event(deployment(3), [rs("a", 3, desired="3")])
    assert not rollout.is_scaling_event(deployment(5), [rs("a", 0, desired="3")])


def test_a_saturated_set_is_all_the_deployment_wants() -> None:
    assert rollout.is_saturated(deployment(3), rs("a", 3, desired="3"))
    assert not rollout.is_saturated(deployment(3), rs("a", 3, available=2, desired="3"))
    assert not rollout.is_saturated(deployment(3), None)


def test_the_only_active_set_else_the_newest_is_scaled() -> None:
    new, old = rs("new", 0, created=2), rs("old", 3, created=1)
    assert rollout.active_or_latest(new, [old]) is old
    assert rollout.active_or_latest(new, [rs("older", 0)]) is new
    assert rollout.active_or_latest(rs("new", 1), [old]) is None
    assert rollout.active_or_latest(None, []) is None


def test_the_hash_is_stable_and_collisions_make_another() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}
    assert template_hash(template) == template_hash(dict(reversed(template.items())))
    assert template_hash(template) != template_hash(template, 1)
    assert set(template_hash(template)) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_templates_are_compared_without_their_hash_label() -> None:
    plain = {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}
    hashed = {"metadata": {"labels": {"a": "b", "pod-template-hash": "z"}, "creationTimestamp": None}, "spec": {"x": 1}}
    assert same_template(plain, hashed)
    assert not same_template(plain, {**hashed, "spec": {"x": 2}})


def test_annotations_are_copied_but_the_controllers_own() -> None:
    d = deployment(3)
    d["metadata"]["annotations"] = {"note": "x", rollout.REVISION: "9"}
    made = new_annotations(d, rs("a", 0), 2, exists=False)
    assert made == {
        "note": "x",
        rollout.REVISION: "2",
        rollout.DESIRED_REPLICAS: "3",
        rollout.MAX_REPLICAS: "4",
    }


def test_a_renewed_revision_remembers_its_old_numbers() -> None:
    first = new_annotations(deployment(), rs("a", 0, revision="1"), 3, exists=True)
    assert first[rollout.REVISION] == "3"
    assert first[rollout.REVISION_HISTORY] == "1"
    renewed = rs("a", 0)
    renewed["metadata"]["annotations"] = first
    assert new_annotations(deployment(), renewed, 5, exists=True)[rollout.REVISION_HISTORY] == "1,3"
    assert new_annotations(deployment(), renewed, 2, exists=True)[rollout.REVISION] == "3"


def test_history_beyond_the_limit_goes_oldest_first_but_never_with_pods() -> None:
    sets = [rs(f"r{i}", 0, revision=str(i)) for i in (3, 1, 2)]
    doomed = history_to_delete(deployment(revisionHistoryLimit=1), sets)
    assert [r["metadata"]["name"] for r in doomed] == ["r1", "r2"]
    sets[1]["spec"]["replicas"] = 1
    assert [r["metadata"]["name"] for r in history_to_delete(deployment(revisionHistoryLimit=1), sets)] == ["r2"]
    assert history_to_delete(deployment(), sets) == []
