"""What a StatefulSet does next."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pynetes.controllers import statefulset_pods as identity
from pynetes.controllers.statefulset import claim_owners
from pynetes.controllers.statefulset_plan import Revisions, Step, calculate_status, plan, revision_for
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SAME = Revisions("r1", "r1")
ROLLING = Revisions("r1", "r2")


def owner(replicas: int = 3, **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "d", "uid": "s", "generation": 1},
        "spec": {"replicas": replicas, "serviceName": "db", **spec},
        "status": {},
    }


def pod(
    index: int,
    revision: str = "r1",
    phase: str = "Running",
    ready: bool = True,
    deleting: bool = False,
    since: float = 60,
) -> Obj:
    name = f"db-{index}"
    labels = {
        identity.POD_NAME_LABEL: name,
        identity.INDEX_LABEL: str(index),
        "controller-revision-hash": revision,
    }
    made: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "uid": name, "namespace": "d", "labels": labels},
        "spec": {"nodeName": "n"},
        "status": {"phase": phase},
    }
    if ready:
        moment = clock.format_time(NOW - timedelta(seconds=since))
        made["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": moment}]
    if deleting:
        made["metadata"]["deletionTimestamp"] = clock.format_time(NOW)
    return made


def steps(o: Obj, pods: list[Obj], revisions: Revisions = SAME) -> list[tuple[str, int]]:
    return [(step.verb, step.ordinal) for step in plan(o, pods, revisions, NOW).steps]


def test_pods_are_made_one_after_the_other() -> None:
    assert steps(owner(), []) == [("create", 0)]
    assert steps(owner(), [pod(0)]) == [("create", 1)]
    assert steps(owner(), [pod(0), pod(1), pod(2)]) == []


def test_the_next_waits_for_the_one_before() -> None:
    assert steps(owner(), [pod(0, ready=False)]) == []
    assert steps(owner(), [pod(0, deleting=True)]) == []
    assert steps(owner(minReadySeconds=100), [pod(0)]) == []


def test_parallel_sets_do_not_wait() -> None:
    parallel = owner(podManagementPolicy="Parallel")
    assert steps(parallel, [pod(1, ready=False)]) == [("create", 0), ("create", 2)]


def test_a_gap_is_filled_first() -> None:
    assert steps(owner(), [pod(0), pod(2)]) == [("create", 1)]


def test_ended_pods_are_made_anew() -> None:
    assert steps(owner(1), [pod(0, phase="Failed", ready=False)]) == [("recreate", 0)]
    assert steps(owner(1), [pod(0, phase="Succeeded", ready=False)]) == [("recreate", 0)]
    assert steps(owner(1), [pod(0, phase="Failed", ready=False, deleting=True)]) == []


def test_the_surplus_goes_from_the_top_one_by_one() -> None:
    assert steps(owner(1), [pod(0), pod(1), pod(2)]) == [("remove", 2)]
    assert steps(owner(1), [pod(0), pod(1), pod(2, deleting=True)]) == []
    assert steps(owner(1, podManagementPolicy="Parallel"), [pod(0), pod(1), pod(2)]) == [("remove", 2), ("remove", 1)]


def test_a_sick_pod_holds_up_the_removal_of_others_but_not_its_own() -> None:
    assert steps(owner(1), [pod(0), pod(1, ready=False), pod(2, ready=False)]) == []
    assert steps(owner(1), [pod(0), pod(1), pod(2, ready=False)]) == [("remove", 2)]


def test_ordinals_may_start_elsewhere() -> None:
    shifted = owner(2, ordinals={"start": 5})
    assert steps(shifted, []) == [("create", 5)]
    assert steps(shifted, [pod(5), pod(6), pod(0)]) == [("remove", 0)]


def test_an_update_replaces_from_the_top_and_waits_for_each() -> None:
    assert steps(owner(), [pod(0), pod(1), pod(2)], ROLLING) == [("replace", 2)]
    assert steps(owner(), [pod(0), pod(1), pod(2, "r2", ready=False)], ROLLING) == []
    assert steps(owner(), [pod(0), pod(1), pod(2, "r2")], ROLLING) == [("replace", 1)]


def test_an_update_stops_at_the_partition() -> None:
    o = owner(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    assert steps(o, [pod(0), pod(1), pod(2)], ROLLING) == [("replace", 2)]
    assert steps(o, [pod(0), pod(1), pod(2, "r2")], ROLLING) == []
    assert revision_for(o, ROLLING, 1) == "r1"
    assert revision_for(o, ROLLING, 2) == "r2"


def test_on_delete_replaces_nothing() -> None:
    assert steps(owner(updateStrategy={"type": "OnDelete"}), [pod(0), pod(1), pod(2)], ROLLING) == []


def test_max_unavailable_lets_several_go_at_once() -> None:
    o = owner(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}})
    assert steps(o, [pod(0), pod(1), pod(2)], ROLLING) == [("replace", 2), ("replace", 1)]


def test_an_ordered_update_waits_for_a_broken_pod_to_be_removed_by_hand() -> None:
    # Upstream's documented limitation (kubernetes/kubernetes#67250).
    assert steps(owner(), [pod(0), pod(1), pod(2, ready=False)], ROLLING) == []


def test_a_set_that_is_deleted_does_nothing() -> None:
    going = owner()
    going["metadata"]["deletionTimestamp"] = clock.format_time(NOW)
    assert steps(going, []) == []


def test_a_pod_without_its_labels_gets_them() -> None:
    stray = pod(0)
    del stray["metadata"]["labels"][identity.POD_NAME_LABEL]
    assert plan(owner(1), [stray], SAME, NOW).steps == [Step("fix", 0, stray)]


def test_the_status_completes_a_rolling_update() -> None:
    mid = calculate_status(owner(), [pod(0), pod(1), pod(2, "r2")], ROLLING, None, NOW)
    assert (mid["currentReplicas"], mid["updatedReplicas"], mid["currentRevision"]) == (2, 1, "r1")
    done = calculate_status(owner(), [pod(i, "r2") for i in range(3)], ROLLING, None, NOW)
    assert (done["currentReplicas"], done["currentRevision"], done["updateRevision"]) == (3, "r2", "r2")
    assert calculate_status(owner(), [], SAME, None, NOW)["replicas"] == 0


def test_a_pod_is_bound_to_claims_of_its_own() -> None:
    o = owner(volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}])
    o["spec"]["selector"] = {"matchLabels": {"app": "db"}}
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"volumes": volumes}}
    made = identity.new_pod(o, template, "r1", 2)
    assert made["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-2"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == ("db-2", "db")
    assert identity.has_storage(o, made)
    assert identity.has_identity(o, made)
    (claim,) = identity.claims(o, 2)
    assert (meta.name(claim), meta.labels(claim)) == ("data-db-2", {"app": "db"})


def test_names_tell_set_and_ordinal() -> None:
    assert identity.parent_and_ordinal("my-db-12") == ("my-db", 12)
    assert identity.parent_and_ordinal("my-db") == ("", -1)
    assert not identity.is_member(owner(), {"metadata": {"name": "db-x-1"}})


def test_claims_belong_to_the_set_or_the_scaled_pod_as_the_policy_says() -> None:
    both = owner(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete", "whenScaled": "Delete"})
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other"}

    def owners(of: Obj, *references: Obj, condemned: bool = False) -> list[str]:
        claim = {"metadata": {"ownerReferences": [*references]}}
        return [r["uid"] for r in claim_owners(of, pod(5), claim, condemned=condemned)]

    assert owners(both, other) == ["other", "s"]
    assert owners(both, other, condemned=True) == ["other", "db-5"]
    assert owners(owner(), other, meta.owner_reference(both), condemned=True) == ["other"]


def test_a_claim_that_another_controls_is_left_to_it() -> None:
    deleted = owner(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"})
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other", "controller": True}
    claim = {"metadata": {"ownerReferences": [other]}}
    assert claim_owners(deleted, pod(5), claim, condemned=False) == [other]
    former = {**meta.owner_reference(deleted), "uid": "former"}
    claim = {"metadata": {"ownerReferences": [former]}}
    assert claim_owners(deleted, pod(5), claim, condemned=False) == []
