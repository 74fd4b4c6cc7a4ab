"""Deleting over HTTP: preconditions, finalizers, propagation, graceful deletion, collections."""

import pytest

from tests.component.apiserver.conftest import Http, configmap, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_delete_answers_with_a_status(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json
    answer = await http("DELETE", configmaps + "/a")
    assert answer.status == 200
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "kind": "configmaps", "uid": created["metadata"]["uid"]}
    assert (await http("DELETE", configmaps + "/a")).status == 404


async def test_delete_preconditions(http: Http, configmaps: str) -> None:
    created = (await http("POST", configmaps, configmap("a"))).json["metadata"]
    answer = await http("DELETE", configmaps + "/a", {"preconditions": {"uid": "other"}})
    assert answer.status == 409
    assert answer.message == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match the UID '
        f"in record ({created['uid']}). The object might have been deleted and then recreated"
    )
    answer = await http("DELETE", configmaps + "/a", {"preconditions": {"resourceVersion": "1"}})
    assert answer.status == 409
    good = {"uid": created["uid"], "resourceVersion": created["resourceVersion"]}
    assert (await http("DELETE", configmaps + "/a", {"preconditions": good})).status == 200


async def test_finalizers_hold_an_object(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a", finalizers=["example.com/hold"]))
    answer = await http("DELETE", configmaps + "/a")
    assert answer.status == 200
    metadata = answer.json["metadata"]
    assert metadata["deletionTimestamp"] and metadata["deletionGracePeriodSeconds"] == 0
    added = await http.patch(configmaps + "/a", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})
    assert added.status == 422
    assert "no new finalizers can be added if the object is being deleted" in added.message
    assert (await http("GET", configmaps + "/a")).status == 200
    assert (await http.patch(configmaps + "/a", {"metadata": {"finalizers": None}})).status == 200
    assert (await http("GET", configmaps + "/a")).status == 404


@pytest.mark.parametrize(
    ("options", "finalizers", "status"),
    [
        ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"], 202),
        ({"propagationPolicy": "Orphan"}, ["orphan"], 200),
        ({"orphanDependents": True}, ["orphan"], 200),
    ],
)
async def test_propagation_policies_become_finalizers(
    http: Http, configmaps: str, options: dict[str, object], finalizers: list[str], status: int
) -> None:
    await http("POST", configmaps, configmap("a"))
    answer = await http("DELETE", configmaps + "/a", options)
    assert (answer.status, answer.json["metadata"]["finalizers"]) == (status, finalizers)
    background = await http("DELETE", configmaps + "/a", {"propagationPolicy": "Background"})
    assert background.status == 200
    assert (await http("GET", configmaps + "/a")).status == 404


async def test_policies_that_contradict_are_refused(http: Http, configmaps: str) -> None:
    answer = await http("DELETE", configmaps + "/a", {"propagationPolicy": "Foreground", "orphanDependents": True})
    assert answer.status == 422
    assert "orphanDependents and deletionPropagation cannot be both set" in answer.message
    answer = await http("DELETE", configmaps + "/a?propagationPolicy=Sideways")
    assert 'propagationPolicy: Unsupported value: "Sideways"' in answer.message


async def test_a_running_pod_is_deleted_gracefully(http: Http, pods: str) -> None:
    await http("POST", pods, pod(nodeName="n"))
    answer = await http("DELETE", pods + "/p")
    assert answer.status == 200
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 30
    longer = await http("DELETE", pods + "/p", {"gracePeriodSeconds": 60})
    assert longer.json["metadata"]["deletionGracePeriodSeconds"] == 30, "a second delete may only shorten it"
    shorter = await http("DELETE", pods + "/p?gracePeriodSeconds=5")
    assert shorter.json["metadata"]["deletionGracePeriodSeconds"] == 5
    assert (await http("GET", pods + "/p")).status == 200
    assert (await http("DELETE", pods + "/p", {"gracePeriodSeconds": 0})).status == 200
    assert (await http("GET", pods + "/p")).status == 404


async def test_a_pod_without_a_node_goes_at_once(http: Http, pods: str) -> None:
    await http("POST", pods, pod())
    answer = await http("DELETE", pods + "/p")
    assert answer.json["kind"] == "Pod"
    assert (await http("GET", pods + "/p")).status == 404


async def test_delete_collection_takes_a_selector(http: Http, configmaps: str) -> None:
    for name in ("a", "b", "c"):
        await http("POST", configmaps, configmap(name, labels={"keep": str(name == "b").lower()}))
    answer = await http("DELETE", configmaps + "?labelSelector=keep=false")
    assert answer.status == 200 and answer.json["kind"] == "ConfigMapList"
    left = [item["metadata"]["name"] for item in (await http("GET", configmaps)).json["items"]]
    assert left == ["b"]
