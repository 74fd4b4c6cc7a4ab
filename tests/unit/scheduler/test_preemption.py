"""Who has to go for a more important pod, and on which node."""

from pynetes.scheduler import preemption
from pynetes.scheduler.framework import run_filters
from pynetes.scheduler.podinfo import PodInfo
from tests.unit.scheduler.conftest import Listing, World, node, pod


def look(world: World, info: PodInfo) -> preemption.Preemption:
    state = world.state(info)
    return preemption.preempt(state, run_filters(state, world.filters), world.filters)


def test_the_node_with_the_least_important_victim_is_chosen() -> None:
    world = World(node("one", cpu="1"), node("two", cpu="1"))
    world.put(pod("important", cpu="1", priority=50), on="one")
    world.put(pod("unimportant", cpu="1", priority=10), on="two")
    found = look(world, pod(cpu="1", priority=100)).candidate
    assert found is not None
    assert (found.node, [victim.key for victim in found.victims]) == ("two", ["default/unimportant"])


def test_no_more_pods_end_than_must() -> None:
    world = World(node("one", cpu="3"))
    for name, priority in (("low", 1), ("lower", 0), ("high", 2)):
        world.put(pod(name, cpu="1", priority=priority), on="one")
    found = look(world, pod(cpu="1", priority=100)).candidate
    assert found is not None and [victim.key for victim in found.victims] == ["default/lower"]


def test_looking_changes_nothing() -> None:
    world = World(node("one", cpu="1"))
    world.put(pod(cpu="1", priority=1), on="one")
    before = world.nodes.used.copy()
    look(world, pod(cpu="1", priority=100))
    assert (world.nodes.used == before).all()
    assert len(world.nodes.pods_on("one")) == 1


def test_without_nodes_there_is_nothing_to_say() -> None:
    assert look(World(), pod(cpu="1", priority=5)).message == ""
    assert preemption.not_helpful(0) == ""


def test_equal_priority_is_no_victim() -> None:
    world = World(node("one", cpu="1"))
    world.put(pod(cpu="1", priority=5), on="one")
    found = look(world, pod(cpu="1", priority=5))
    assert found.candidate is None
    assert found.message == "0/1 nodes are available: 1 No preemption victims found for incoming pod."


def test_what_removing_pods_cannot_cure_is_not_helpful() -> None:
    world = World(node("one", cpu="1", unschedulable=True))
    world.put(pod(cpu="1"), on="one")
    found = look(world, pod(cpu="1", priority=5))
    assert found.message == "0/1 nodes are available: 1 Preemption is not helpful for scheduling."


def test_a_pod_that_must_not_preempt_does_not() -> None:
    world = World(node("one", cpu="1"))
    world.put(pod(cpu="1"), on="one")
    assert look(world, pod(cpu="1", priority=5, preemptionPolicy="Never")).candidate is None


def test_a_node_where_no_disruption_budget_breaks_is_preferred() -> None:
    budget = {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "kept"}}},
        "status": {"disruptionsAllowed": 0},
    }
    world = World(node("one", cpu="1"), node("two", cpu="1"), poddisruptionbudgets=Listing({"default/b": budget}))
    world.put(pod(cpu="1", priority=0, labels={"app": "kept"}), on="one")
    world.put(pod(cpu="1", priority=9, labels={"app": "free"}), on="two")
    found = look(world, pod(cpu="1", priority=100)).candidate
    assert found is not None and found.node == "two"


def test_the_whole_explanation_tells_what_each_way_to_make_room_found() -> None:
    verdict = "0/1 nodes are available: 1 Insufficient cpu."
    assert preemption.explain(verdict, "") == verdict
    assert preemption.explain(verdict, "0/1 nodes are available: 1 Preemption is not helpful for scheduling.") == (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_where_no_removal_is_enough_the_filters_say_why() -> None:
    world = World(node("one", cpu="2"), node("two", cpu="2"))
    world.put(pod(cpu="1", priority=9), on="one")
    world.put(pod(cpu="1", priority=1), on="one")
    world.put(pod(cpu="1", priority=9), on="two")
    assert look(world, pod(cpu="2", priority=5)).message == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod."
    )
