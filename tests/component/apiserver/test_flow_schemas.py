"""Clients see the flow schema and the priority level of each of their requests."""

import json
from typing import Any

import pytest

from pynetes.apiserver.flow_schemas import LEVEL_HEADER, SCHEMA_HEADER
from pynetes.testing.apiserver import RunningApiServer
from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")

Obj = dict[str, Any]
API = "/apis/flowcontrol.apiserver.k8s.io/v1"


async def uids(admin: Rest, schema: str, level: str) -> tuple[str, str]:
    found = [
        (await admin("GET", f"{API}/{path}")).json["metadata"]["uid"]
        for path in (f"flowschemas/{schema}", f"prioritylevelconfigurations/{level}")
    ]
    return found[0], found[1]


async def seen(user: Rest, path: str) -> tuple[str, str]:
    headers = (await user("GET", path)).headers
    return headers[SCHEMA_HEADER], headers[LEVEL_HEADER]


def schema(level: str, **subject: Any) -> Obj:
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    rules = [{"subjects": [subject], "resourceRules": [rule]}]
    spec = {"matchingPrecedence": 500, "priorityLevelConfiguration": {"name": level}, "rules": rules}
    return {"metadata": {"generateName": "test-"}, "spec": spec}


async def conditions(admin: Rest, name: str, status: str) -> Obj:
    """The condition `Dangling` of a schema, once it has this status."""
    async with admin.session.get(
        f"{admin.server.url}{API}/flowschemas?watch=1&fieldSelector=metadata.name%3D{name}"
    ) as answer:
        async for line in answer.content:
            for each in json.loads(line)["object"].get("status", {}).get("conditions", []):
                if each["type"] == "Dangling" and each["status"] == status:
                    found: Obj = each
                    return found
    raise AssertionError("the watch ended")


async def test_requests_are_classified(server: RunningApiServer) -> None:
    async with Rest.open(server) as admin:
        assert await seen(admin, "/api/v1/namespaces") == await uids(admin, "exempt", "exempt")
        ann = admin.as_user("ann")
        assert await seen(ann, "/api/v1/namespaces") == await uids(admin, "global-default", "global-default")
        assert await seen(ann, "/healthz") == await uids(admin, "probes", "exempt")
        node = admin.as_user("system:node:n", "system:nodes")
        assert await seen(node, "/api/v1/nodes/n") == await uids(admin, "system-node-high", "node-high")
        assert await seen(node, "/api/v1/namespaces") == await uids(admin, "system-nodes", "system")


async def test_a_new_schema_counts_at_once(server: RunningApiServer) -> None:
    async with Rest.open(server) as admin:
        made = await admin.make(f"{API}/flowschemas", schema("workload-low", kind="User", user={"name": "bob"}))
        bob = admin.as_user("bob")
        condition = await conditions(admin, made["metadata"]["name"], "False")
        assert await seen(bob, "/api/v1/namespaces") == await uids(admin, made["metadata"]["name"], "workload-low")
        assert condition["reason"] == "Found"
        assert condition["message"] == (
            'This FlowSchema references the PriorityLevelConfiguration object named "workload-low" and it exists'
        )


async def test_a_schema_without_its_level_dangles_and_matches_nothing(server: RunningApiServer) -> None:
    async with Rest.open(server) as admin:
        made = await admin.make(f"{API}/flowschemas", schema("nowhere", kind="User", user={"name": "cid"}))
        condition = await conditions(admin, made["metadata"]["name"], "True")
        assert condition["reason"] == "NotFound"
        assert condition["message"].endswith('named "nowhere" but there is no such object')
        cid = admin.as_user("cid")
        assert await seen(cid, "/api/v1/namespaces") == await uids(admin, "global-default", "global-default")
