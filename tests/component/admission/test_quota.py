"""A namespace uses no more than its quotas say."""

import asyncio
from typing import Any

import pytest

from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def quota(admin: Rest, namespace: str, hard: dict[str, str], name: str = "q", **spec: Any) -> str:
    """A quota whose status is filled in, as the controller does."""
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    await admin.make(path, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    status = {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}
    answer = await admin.patch(f"{path}/{name}/status", status)
    assert answer.status == 200, answer.body
    return f"{path}/{name}"


def pod(name: str, requests: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": "i"}
    if requests:
        container["resources"] = {"requests": requests}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


async def used(admin: Rest, path: str) -> dict[str, str]:
    found: dict[str, str] = (await admin("GET", path)).json["status"]["used"]
    return found


async def test_creation_is_counted_and_refused_beyond_the_limit(admin: Rest, namespace: str) -> None:
    path = await quota(admin, namespace, {"pods": "2", "requests.cpu": "1", "count/configmaps": "1"})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    await admin.make(pods, pod("a", {"cpu": "600m"}))
    assert await used(admin, path) == {"pods": "1", "requests.cpu": "600m", "count/configmaps": "0"}
    refused = await admin("POST", pods, pod("b", {"cpu": "500m"}))
    assert refused.status == 403
    assert refused.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    await admin.make(pods, pod("b", {"cpu": "400m"}))
    refused = await admin("POST", pods, pod("c", {"cpu": "1m"}))
    assert refused.message == (
        'pods "c" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=1m, used: pods=2,requests.cpu=1, '
        "limited: pods=2,requests.cpu=1"
    )
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    await admin.make(maps, {"metadata": {"name": "one"}})
    assert (await admin("POST", maps, {"metadata": {"name": "two"}})).message == (
        'configmaps "two" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, '
        "limited: count/configmaps=1"
    )


async def test_a_pod_must_say_what_a_quota_limits(admin: Rest, namespace: str) -> None:
    await quota(admin, namespace, {"limits.cpu": "2", "requests.memory": "1Gi"})
    answer = await admin("POST", f"/api/v1/namespaces/{namespace}/pods", pod("a"))
    assert answer.message == (
        'pods "a" is forbidden: failed quota: q: must specify limits.cpu for: c; requests.memory for: c'
    )


async def test_two_at_once_do_not_both_take_the_last_unit(admin: Rest, namespace: str) -> None:
    path = await quota(admin, namespace, {"count/configmaps": "5"})
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    answers = await asyncio.gather(*(admin("POST", maps, {"metadata": {"name": f"c{i}"}}) for i in range(20)))
    assert sorted(answer.status for answer in answers) == [201] * 5 + [403] * 15
    assert await used(admin, path) == {"count/configmaps": "5"}


async def test_a_dry_run_counts_nothing(admin: Rest, namespace: str) -> None:
    path = await quota(admin, namespace, {"count/configmaps": "1"})
    answer = await admin("POST", f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All", {"metadata": {"name": "x"}})
    assert answer.status == 201
    assert await used(admin, path) == {"count/configmaps": "0"}


async def test_services_count_when_they_change(admin: Rest, namespace: str) -> None:
    path = await quota(admin, namespace, {"services": "5", "services.nodeports": "1"})
    services = f"/api/v1/namespaces/{namespace}/services"
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    await admin.make(services, {"metadata": {"name": "s"}, "spec": {"ports": ports}})
    refused = await admin.patch(f"{services}/s", {"spec": {"type": "NodePort"}})
    assert refused.message == (
        'services "s" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, '
        "limited: services.nodeports=1"
    )
    await admin.patch(f"{services}/s", {"spec": {"ports": ports[:1]}})
    assert (await admin.patch(f"{services}/s", {"spec": {"type": "NodePort"}})).status == 200
    assert await used(admin, path) == {"services": "1", "services.nodeports": "1"}


@pytest.mark.parametrize(
    ("scopes", "counted"),
    [
        ({"scopes": ["BestEffort"]}, ["plain"]),
        ({"scopes": ["NotBestEffort"]}, ["asking"]),
        ({"scopes": ["Terminating"]}, ["ending"]),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
                    ]
                }
            },
            ["critical"],
        ),
    ],
)
async def test_a_scoped_quota_counts_only_what_is_in_its_scope(
    admin: Rest, namespace: str, scopes: dict[str, Any], counted: list[str]
) -> None:
    path = await quota(admin, namespace, {"pods": "9"}, **scopes)
    bodies = {
        "plain": pod("plain"),
        "asking": pod("asking", {"cpu": "1m"}),
        "ending": pod("ending", activeDeadlineSeconds=5),
        "critical": pod("critical", priorityClassName="system-node-critical"),
    }
    for name in ("plain", "asking", "ending", "critical"):
        before = int((await used(admin, path))["pods"])
        await admin.make(f"/api/v1/namespaces/{namespace}/pods", bodies[name])
        after = int((await used(admin, path))["pods"])
        expected = name in counted or (scopes == {"scopes": ["BestEffort"]} and name in ("ending", "critical"))
        assert (after - before == 1) is expected, name
