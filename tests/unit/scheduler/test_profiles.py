"""What a KubeSchedulerConfiguration can say."""

from pathlib import Path

import pytest

from pynetes.machinery.meta import Obj
from pynetes.scheduler import profiles
from tests.unit.scheduler.conftest import Listing, World, node, pod

ZONE = "topology.kubernetes.io/zone"


def plugin(name: str, **arguments: object) -> Obj:
    return {"pluginConfig": [{"name": name, "args": arguments}]}


def in_zone(zone: str) -> Obj:
    return {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}


def test_a_plugin_can_be_switched_off_for_one_point_or_for_all() -> None:
    world = World(node("one", unschedulable=True))
    for point in ("filter", "multiPoint"):
        world.use({"plugins": {point: {"disabled": [{"name": "NodeUnschedulable"}]}}})
        assert world.fits(pod()) == {"one"}
    world.use(
        {"plugins": {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality", "weight": 7}]}}}
    )
    assert [(each.name, weight) for each, weight in world.scorers] == [("ImageLocality", 7)]


def test_added_affinity_is_the_schedulers_own(zones: World) -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [in_zone("a")]}}
    zones.use(plugin("NodeAffinity", addedAffinity=required))
    assert zones.fits(pod()) == {"a1", "a2"}
    assert zones.message(pod(nodeSelector={"no": "where"})) == (
        "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, "
        "2 node(s) didn't match scheduler-enforced node affinity."
    )


def test_preferred_added_affinity_scores(zones: World) -> None:
    preferred = [{"weight": 50, "preference": in_zone("b")}]
    zones.use(plugin("NodeAffinity", addedAffinity={"preferredDuringSchedulingIgnoredDuringExecution": preferred}))
    assert zones.best(pod()) == {"b1", "b2"}


@pytest.mark.parametrize(
    ("strategy", "best"),
    [
        ({"type": "LeastAllocated"}, "empty"),
        ({"type": "MostAllocated"}, "full"),
        (
            {
                "type": "RequestedToCapacityRatio",
                "requestedToCapacityRatio": {
                    "shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]
                },
            },
            "full",
        ),
    ],
)
def test_the_strategy_says_which_node_is_better(strategy: Obj, best: str) -> None:
    world = World(node("empty"), node("full"))
    world.put(pod(cpu="2", memory="4Gi"), on="full")
    config = plugin("NodeResourcesFit", scoringStrategy=strategy)
    world.use(config | {"plugins": {"score": {"disabled": [{"name": "NodeResourcesBalancedAllocation"}]}}})
    assert world.best(pod(cpu="1", memory="2Gi")) == {best}


def test_ignored_resources_are_no_reason_to_refuse() -> None:
    asks = pod()
    asks.requests["example.com/gpu"] = 1
    world = World(node("one"))
    world.use(plugin("NodeResourcesFit", ignoredResourceGroups=["example.com"]))
    assert world.fits(asks) == {"one"}


def test_default_constraints_are_those_of_pods_without_their_own(zones: World) -> None:
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "x"}}}
    zones.cluster.listers["services"] = Listing({"default/s": service})
    hard = {"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    zones.use(plugin("PodTopologySpread", defaultingType="List", defaultConstraints=[hard]))
    zones.put(pod(labels={"app": "x"}), on="a1")
    assert zones.fits(pod(labels={"app": "x"})) == {"b1", "b2"}
    assert len(zones.fits(pod(labels={"app": "y"}))) == 4


def test_each_profile_is_for_one_scheduler_name() -> None:
    both = profiles.profiles({"profiles": [{"schedulerName": "a"}, {"schedulerName": "b"}]})
    assert sorted(both) == ["a", "b"]
    assert sorted(profiles.profiles({}, ["x", "y"])) == ["x", "y"]
    with pytest.raises(profiles.BadConfiguration, match="Duplicate"):
        profiles.profiles({"profiles": [{}, {}]})


def test_what_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(profiles.BadConfiguration, match="'Nonsense' does not exist"):
        profiles.profiles({"profiles": [{"plugins": {"filter": {"enabled": [{"name": "Nonsense"}]}}}]})
    file = tmp_path / "config.yaml"
    file.write_text("kind: Pod")
    with pytest.raises(profiles.BadConfiguration, match="expected a KubeSchedulerConfiguration"):
        profiles.load(str(file))
