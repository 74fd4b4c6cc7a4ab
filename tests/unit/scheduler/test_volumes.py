"""Claims and volumes: where a pod can have them, and that two pods are not promised the same one."""

from typing import Any

from pynetes.machinery.meta import Obj
from tests.unit.scheduler.conftest import Listing, World, node, pod

ZONE = "topology.kubernetes.io/zone"


def claim(name: str, *, storage_class: str = "late", size: str = "1Gi", **metadata: Any) -> Obj:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"claim-{name}", **metadata},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
    }


def volume(name: str, *, on: str | None = None, size: str = "1Gi") -> Obj:
    spec: Obj = {"storageClassName": "late", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}}
    if on:
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    return {"metadata": {"name": name, "uid": f"volume-{name}"}, "spec": spec, "status": {"phase": "Available"}}


def storage_class(provisioner: str = "kubernetes.io/no-provisioner", **more: Any) -> Obj:
    metadata = {"name": "late"}
    return {
        "metadata": metadata,
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
        **more,
    }


def world(*nodes: Obj, claims: list[Obj], volumes: list[Obj] | None = None, late: Obj | None = None) -> World:
    return World(
        *nodes,
        persistentvolumeclaims=Listing({f"default/{each['metadata']['name']}": each for each in claims}),
        persistentvolumes=Listing({each["metadata"]["name"]: each for each in volumes or []}),
        storageclasses=Listing({"late": late or storage_class()}),
    )


def using(*claims: str, **spec: Any) -> Any:
    listed = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return pod(volumes=listed, **spec)


def test_two_claims_of_a_pod_need_two_volumes_on_its_node() -> None:
    nodes, claims = [node("one"), node("two")], [claim("a"), claim("b")]
    volumes = [volume("v1", on="one"), volume("v2", on="two"), volume("v3", on="two")]
    assert world(*nodes, claims=claims, volumes=volumes).fits(using("a", "b")) == {"two"}


def test_a_volume_promised_to_one_pod_is_not_offered_to_the_next() -> None:
    there = world(node("one"), node("two"), claims=[claim("a"), claim("b")], volumes=[volume("v1", on="one")])
    state = there.state(using("a"))
    for plugin in there.filters:
        plugin.filter(state)
    for plugin in there.filters:
        plugin.reserve(state, "one")
    assert there.message(using("b")) == (
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    )
    assert there.fits(using("a")) == {"one"}
    for plugin in there.filters:
        plugin.unreserve(state, "one")
    assert there.fits(using("b")) == {"one"}


def test_a_claim_being_provisioned_for_a_node_ties_others_to_it() -> None:
    there = world(node("one"), node("two"), claims=[claim("a")], late=storage_class("example.com/csi"))
    state = there.state(using("a"))
    assert there.fits(using("a")) == {"one", "two"}
    for plugin in there.filters:
        plugin.filter(state)
        plugin.reserve(state, "two")
    assert there.fits(using("a")) == {"two"}


def test_a_class_provisions_only_where_its_topologies_allow() -> None:
    nodes = [node(zone, labels={ZONE: zone}) for zone in ("a", "b")]
    late = storage_class(
        "example.com/csi", allowedTopologies=[{"matchLabelExpressions": [{"key": ZONE, "values": ["b"]}]}]
    )
    assert world(*nodes, claims=[claim("c")], late=late).fits(using("c")) == {"b"}


def test_nodes_without_enough_storage_are_refused_where_the_driver_tells() -> None:
    nodes = [node(zone, labels={ZONE: zone}) for zone in ("a", "b")]
    there = world(*nodes, claims=[claim("c", size="5Gi")], late=storage_class("example.com/csi"))
    there.cluster.listers["csidrivers"]["example.com/csi"] = {"spec": {"storageCapacity": True}}
    assert there.message(using("c")) == "0/2 nodes are available: 2 node(s) did not have enough free storage."
    there.cluster.listers["csistoragecapacities"]["default/x"] = {
        "storageClassName": "late",
        "nodeTopology": {"matchLabels": {ZONE: "a"}},
        "capacity": "10Gi",
    }
    assert there.fits(using("c")) == {"a"}


def test_an_ephemeral_claim_is_waited_for_and_must_be_the_pods_own() -> None:
    info = pod("p", volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}])
    waiting = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-scratch"'
    assert world(node("one"), claims=[]).message(info) == f"0/1 nodes are available: {waiting}."
    strange = "PVC default/p-scratch was not created for pod default/p (pod is not owner)"
    assert world(node("one"), claims=[claim("p-scratch")]).message(info) == f"0/1 nodes are available: {strange}."


def test_a_lost_claim_is_named_with_its_volume() -> None:
    lost = claim("c") | {"status": {"phase": "Lost"}}
    lost["spec"]["volumeName"] = "gone"
    assert world(node("one"), claims=[lost]).message(using("c")) == (
        '0/1 nodes are available: persistentvolumeclaim "c" bound to non-existent persistentvolume "gone".'
    )


def test_a_node_takes_no_more_volumes_than_its_driver_attaches() -> None:
    def bound(name: str) -> Obj:
        made = claim(name, annotations={"pv.kubernetes.io/bind-completed": "yes"})
        made["spec"]["volumeName"] = name
        return made

    def csi(name: str) -> Obj:
        made = volume(name)
        made["spec"]["csi"] = {"driver": "example.com/csi", "volumeHandle": name}
        return made

    there = world(node("one"), claims=[bound("a"), bound("b")], volumes=[csi("a"), csi("b")])
    drivers = [{"name": "example.com/csi", "nodeID": "one", "allocatable": {"count": 1}}]
    there.cluster.listers["csinodes"]["one"] = {"metadata": {"name": "one"}, "spec": {"drivers": drivers}}
    there.put(using("a"), on="one")
    assert there.fits(using("a")) == {"one"}
    assert there.message(using("b")) == "0/1 nodes are available: 1 node(s) exceed max volume count."
