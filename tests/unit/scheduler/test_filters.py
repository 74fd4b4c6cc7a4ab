"""Which nodes a pod fits on, and the words for why not."""

import pytest

from tests.unit.scheduler.conftest import Listing, World, node, pod

ZONE = "topology.kubernetes.io/zone"


def test_a_pod_goes_where_its_requests_fit() -> None:
    world = World(node("small", cpu="1"), node("large", cpu="4"))
    assert world.fits(pod(cpu="2")) == {"large"}


def test_what_runs_on_a_node_counts_against_it() -> None:
    world = World(node("one", cpu="2"))
    first = world.put(pod(cpu="1500m"), on="one")
    assert world.message(pod(cpu="1")) == "0/1 nodes are available: 1 Insufficient cpu."
    world.nodes.remove_pod(first, "one")
    assert world.fits(pod(cpu="1")) == {"one"}


def test_each_lacking_resource_is_counted_for_the_node() -> None:
    world = World(node("one", cpu="1", memory="1Gi"))
    assert world.message(pod(cpu="2", memory="2Gi")) == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
    )


def test_a_full_node_takes_no_more_pods() -> None:
    world = World(node("one", pods="1"))
    world.put(pod(), on="one")
    assert world.message(pod()) == "0/1 nodes are available: 1 Too many pods."


def test_an_extended_resource_no_node_has_is_insufficient() -> None:
    gpu = pod()
    gpu.requests["example.com/gpu"] = 1
    assert World(node("one")).message(gpu) == "0/1 nodes are available: 1 Insufficient example.com/gpu."


def test_without_nodes_the_message_says_so() -> None:
    assert World().message(pod()) == "no nodes available to schedule pods"


def test_a_cordoned_node_takes_only_pods_that_tolerate_it() -> None:
    world = World(node("one", unschedulable=True))
    assert world.message(pod()) == "0/1 nodes are available: 1 node(s) were unschedulable."
    assert world.fits(pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])) == {"one"}


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        (None, False),
        ({"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}, True),
        ({"key": "dedicated", "value": "db"}, True),
        ({"key": "dedicated", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "dedicated", "operator": "Equal", "value": "web"}, False),
        ({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_keeps_pods_away_that_do_not_tolerate_it(toleration: dict[str, str] | None, fits: bool) -> None:
    world = World(node("one", taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]))
    assert bool(world.fits(pod(tolerations=[toleration] if toleration else []))) is fits


def test_a_soft_taint_keeps_nobody_away_but_lowers_the_score() -> None:
    world = World(node("soft", taints=[{"key": "k", "effect": "PreferNoSchedule"}]), node("free"))
    assert world.fits(pod()) == {"soft", "free"}
    assert world.best(pod()) == {"free"}


def test_a_node_selector_wants_all_its_labels() -> None:
    world = World(node("one", labels={"disk": "ssd"}), node("two", labels={"disk": "ssd", "gpu": "yes"}))
    assert world.fits(pod(nodeSelector={"disk": "ssd", "gpu": "yes"})) == {"two"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"key": "n", "operator": "In", "values": ["1", "2"]}, {"one", "two"}),
        ({"key": "n", "operator": "NotIn", "values": ["1"]}, {"two", "none"}),
        ({"key": "n", "operator": "Exists"}, {"one", "two"}),
        ({"key": "n", "operator": "DoesNotExist"}, {"none"}),
        ({"key": "n", "operator": "Gt", "values": ["1"]}, {"two"}),
        ({"key": "n", "operator": "Lt", "values": ["2"]}, {"one"}),
        ({"key": "n", "operator": "Gt", "values": ["x"]}, set()),
    ],
)
def test_node_affinity_operators(expression: dict[str, object], expected: set[str]) -> None:
    world = World(node("one", labels={"n": "1"}), node("two", labels={"n": "2"}), node("none"))
    terms = [{"matchExpressions": [expression]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    assert world.fits(pod(affinity={"nodeAffinity": required})) == expected


def test_preferred_node_affinity_decides_between_nodes_that_fit() -> None:
    world = World(node("one"), node("two", labels={"disk": "ssd"}))
    preference = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    preferred = [{"weight": 50, "preference": preference}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    assert world.best(pod(affinity=affinity)) == {"two"}


def test_a_label_that_changes_is_seen() -> None:
    world = World(node("one"))
    assert world.fits(pod(nodeSelector={"late": "yes"})) == set()
    world.nodes.set_node(node("one", labels={"late": "yes"}))
    assert world.fits(pod(nodeSelector={"late": "yes"})) == {"one"}


def test_a_host_port_is_taken_once_per_address_and_protocol() -> None:
    world = World(node("one"), node("two"))
    world.put(pod(port=8080), on="one")
    assert world.fits(pod(port=8080)) == {"two"}
    assert world.fits(pod(port=8081)) == {"one", "two"}
    world.put(pod(port=8080), on="two")
    assert world.message(pod(port=8080)) == (
        "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."
    )


def _anti(label: str, key: str = "kubernetes.io/hostname") -> dict[str, object]:
    term = {"labelSelector": {"matchLabels": {"app": label}}, "topologyKey": key}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _near(label: str, key: str) -> dict[str, object]:
    term = {"labelSelector": {"matchLabels": {"app": label}}, "topologyKey": key}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_anti_affinity_keeps_a_pod_out_of_the_domain(zones: World) -> None:
    zones.put(pod(labels={"app": "web"}), on="a1")
    assert zones.fits(pod(affinity=_anti("web"))) == {"a2", "b1", "b2"}
    assert zones.fits(pod(affinity=_anti("web", ZONE))) == {"b1", "b2"}


def test_anti_affinity_of_a_running_pod_keeps_others_away(zones: World) -> None:
    zones.put(pod(labels={"app": "db"}, affinity=_anti("web", ZONE)), on="a1")
    assert zones.fits(pod(labels={"app": "web"})) == {"b1", "b2"}
    assert zones.fits(pod(labels={"app": "other"})) == {"a1", "a2", "b1", "b2"}


def test_affinity_puts_a_pod_into_the_domain_of_its_friend(zones: World) -> None:
    zones.put(pod(labels={"app": "cache"}), on="b2")
    assert zones.fits(pod(affinity=_near("cache", ZONE))) == {"b1", "b2"}
    assert zones.message(pod(affinity=_near("absent", ZONE))) == (
        "0/4 nodes are available: 4 node(s) didn't match pod affinity rules."
    )


def test_the_first_pod_of_a_group_that_wants_to_be_together_may_go_anywhere(zones: World) -> None:
    assert zones.fits(pod(labels={"app": "g"}, affinity=_near("g", ZONE))) == {"a1", "a2", "b1", "b2"}


def test_affinity_does_not_look_into_other_namespaces(zones: World) -> None:
    zones.put(pod(labels={"app": "web"}, namespace="other"), on="a1")
    assert zones.fits(pod(affinity=_anti("web"))) == {"a1", "a2", "b1", "b2"}


def _spread(skew: int, action: str = "DoNotSchedule") -> list[dict[str, object]]:
    return [
        {
            "maxSkew": skew,
            "topologyKey": ZONE,
            "whenUnsatisfiable": action,
            "labelSelector": {"matchLabels": {"app": "web"}},
        }
    ]


def test_spreading_keeps_the_skew_between_zones(zones: World) -> None:
    zones.put(pod(labels={"app": "web"}), on="a1")
    web = pod(labels={"app": "web"}, topologySpreadConstraints=_spread(1))
    assert zones.fits(web) == {"b1", "b2"}
    assert zones.fits(pod(labels={"app": "web"}, topologySpreadConstraints=_spread(2))) == {"a1", "a2", "b1", "b2"}


def test_a_node_without_the_topology_key_cannot_satisfy_a_spread(zones: World) -> None:
    zones.nodes.set_node(node("bare"))
    web = pod(labels={"app": "web"}, topologySpreadConstraints=_spread(1))
    assert "bare" not in zones.fits(web)
    reasons = zones.verdict(web).reasons
    assert reasons["node(s) didn't match pod topology spread constraints (missing required label)"] == 1


def test_soft_spreading_prefers_the_emptier_zone(zones: World) -> None:
    for name in ("a1", "a2"):
        zones.put(pod(labels={"app": "web"}), on=name)
    assert zones.best(pod(labels={"app": "web"}, topologySpreadConstraints=_spread(1, "ScheduleAnyway"))) == {
        "b1",
        "b2",
    }


def test_pods_of_one_service_spread_over_hosts_by_default(zones: World) -> None:
    service = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"app": "web"}}}
    zones.cluster.listers["services"]["default/web"] = service
    for name in ("a1", "a2", "b1"):
        zones.put(pod(labels={"app": "web"}), on=name)
    assert zones.best(pod(labels={"app": "web"})) == {"b2"}


def test_the_emptier_node_is_preferred() -> None:
    world = World(node("busy"), node("idle"))
    world.put(pod(cpu="2", memory="4Gi"), on="busy")
    assert world.best(pod(cpu="100m", memory="64Mi")) == {"idle"}


def test_a_pod_on_a_node_not_yet_known_counts_once_the_node_appears() -> None:
    world = World()
    world.put(pod(cpu="3"), on="late")
    world.nodes.set_node(node("late", cpu="4"))
    assert world.fits(pod(cpu="2")) == set()


def test_many_nodes_grow_the_arrays() -> None:
    world = World(*(node(f"n{i}", labels={"odd": str(i % 2)}) for i in range(100)))
    world.nodes.remove_node("n1")
    assert len(world.fits(pod(nodeSelector={"odd": "1"}))) == 49


def _claim(name: str, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec}


def _with_claim(name: str) -> list[dict[str, object]]:
    return [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]


def test_a_missing_claim_is_named() -> None:
    message = World(node("one")).message(pod(volumes=_with_claim("data")))
    assert message == '0/1 nodes are available: persistentvolumeclaim "data" not found.'


def test_an_unbound_immediate_claim_keeps_the_pod_waiting() -> None:
    world = World(node("one"), persistentvolumeclaims=Listing({"default/data": _claim("data")}))
    assert world.message(pod(volumes=_with_claim("data"))) == (
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    )


def test_a_bound_volume_ties_the_pod_to_the_nodes_it_reaches(zones: World) -> None:
    claim = _claim("data", volumeName="pv")
    claim["metadata"]["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    terms = [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["b"]}]}]
    volume = {"metadata": {"name": "pv"}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}}
    zones.cluster.listers["persistentvolumeclaims"]["default/data"] = claim
    zones.cluster.listers["persistentvolumes"]["pv"] = volume
    assert zones.fits(pod(volumes=_with_claim("data"))) == {"b1", "b2"}


def test_resources_not_heard_of_before_get_columns_of_their_own() -> None:
    new = node("one")
    new["status"]["allocatable"] |= {"hugepages-2Mi": "0", "example.com/a": "1", "example.com/b": "2"}
    world = World(new)
    wants = pod()
    wants.requests |= {"example.com/b": 2, "example.com/a": 1}
    assert world.fits(wants) == {"one"}
    world.put(wants, on="one")
    assert world.message(wants) == (
        "0/1 nodes are available: 1 Insufficient example.com/a, 1 Insufficient example.com/b."
    )


def test_a_pod_that_names_its_node_is_not_compared_with_others() -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["two"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    world = World(node("one", taints=[taint]), node("two", taints=[taint]), node("three"))
    assert world.message(pod(affinity={"nodeAffinity": required})) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), "
        "2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_affinity_gives_one_reason_for_a_node() -> None:
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    world = World(node("one"))
    world.put(pod(labels={"app": "x"}, affinity=affinity), on="one")
    assert world.message(pod(labels={"app": "x"}, affinity=affinity)) == (
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    )
