"""Admission webhooks, against real HTTPS servers."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from pynetes.testing.apiserver import RunningApiServer
from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")

Review = dict[str, Any]
BASE = "/apis/admissionregistration.k8s.io/v1"


def allow(**more: Any) -> Callable[[Review], Review]:
    return lambda request: {"uid": request["uid"], "allowed": True, **more}


def patch(*operations: dict[str, Any]) -> Callable[[Review], Review]:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return allow(patch=encoded, patchType="JSONPatch")


def deny(**status: Any) -> Callable[[Review], Review]:
    return lambda request: {"uid": request["uid"], "allowed": False, **({"status": status} if status else {})}


@dataclass
class Hooks:
    """One HTTPS server; each path answers as it is told and remembers what it was asked."""

    port: int = 0
    bundle: str = ""
    answers: dict[str, Callable[[Review], Any]] = field(default_factory=dict)
    asked: dict[str, list[Review]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        review = await request.json()
        name = request.path.strip("/")
        self.asked.setdefault(name, []).append(review["request"] | {"__query": request.query_string})
        response = self.answers[name](review["request"])
        if asyncio.iscoroutine(response):
            response = await response
        if isinstance(response, web.Response):
            return response
        return web.json_response({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response})


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def hooks(server: RunningApiServer) -> AsyncIterator[Hooks]:
    certificate, key = server.authority.ensure("hooks", "hooks", addresses=("127.0.0.1",), server=True, client=False)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    made = Hooks(bundle=base64.b64encode(server.ca_file.read_bytes()).decode())
    application = web.Application()
    application.router.add_post("/{tail:.*}", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    made.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # aiohttp has no other way to say it
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def install(admin: Rest, hooks: Hooks, namespace: str) -> AsyncIterator[Callable[..., Any]]:
    """Installs webhooks that hear of ConfigMaps in this test's namespace; they are gone after the test."""
    made: list[str] = []

    async def one(kind: str, name: str, answer: Callable[[Review], Any], **more: Any) -> None:
        hooks.answers[name], hooks.asked[name] = answer, []
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
        webhook = {
            "name": f"{name}.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{hooks.port}/{name}", "caBundle": hooks.bundle},
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 2,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            **more,
        }
        path = f"{BASE}/{kind}webhookconfigurations"
        await admin.make(path, {"metadata": {"name": f"{len(made)}-{name}-{namespace}"}, "webhooks": [webhook]})
        made.append(f"{path}/{len(made)}-{name}-{namespace}")

    yield one
    for path in made:
        await admin("DELETE", path)


def config(name: str = "c", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


async def test_a_validating_webhook_sees_the_whole_request(
    admin: Rest, hooks: Hooks, install: Any, namespace: str
) -> None:
    await install("validating", "see", allow(warnings=["mind the gap"], auditAnnotations={"a": "b"}))
    answer = await admin.as_user("jane", "system:masters")("POST", maps(namespace), config(key="value"))
    assert answer.status == 201
    assert answer.warnings == ['299 - "mind the gap"']
    (asked,) = hooks.asked["see"]
    assert asked["__query"] == "timeout=2s"
    assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert asked["resource"] == asked["requestResource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (asked["operation"], asked["name"], asked["namespace"]) == ("CREATE", "c", namespace)
    assert (asked["userInfo"]["username"], asked["dryRun"], asked["oldObject"]) == ("jane", False, None)
    assert asked["object"]["data"] == {"key": "value"}
    assert asked["object"]["kind"] == "ConfigMap"
    assert asked["options"]["kind"] == "CreateOptions"


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({}, 400, "without explanation"),
        ({"message": "no thanks"}, 400, ": no thanks"),
        ({"reason": "Forbidden", "code": 403}, 403, ": Forbidden"),
        ({"message": "odd", "code": 200}, 400, ": odd"),
    ],
)
async def test_a_refusal_is_passed_on(
    admin: Rest, install: Any, namespace: str, status: dict[str, Any], code: int, message: str
) -> None:
    await install("validating", "deny", deny(**status))
    answer = await admin("POST", maps(namespace), config())
    assert answer.status == code
    joint = "" if message.startswith(":") else " "
    assert answer.message == f'admission webhook "deny.example.com" denied the request{joint}{message}'


async def test_mutating_webhooks_build_on_each_other_in_order(
    admin: Rest, hooks: Hooks, install: Any, namespace: str
) -> None:
    await install("mutating", "first", patch({"op": "add", "path": "/data/a", "value": "1"}))
    await install("mutating", "second", patch({"op": "copy", "from": "/data/a", "path": "/data/b"}))
    await install("validating", "last", allow())
    made = await admin.make(maps(namespace), config(x="y"))
    assert made["data"] == {"x": "y", "a": "1", "b": "1"}
    assert hooks.asked["second"][0]["object"]["data"] == {"x": "y", "a": "1"}
    assert hooks.asked["last"][0]["object"]["data"] == made["data"]
    assert (await admin("GET", f"{maps(namespace)}/c")).json["data"] == made["data"]


async def test_a_webhook_is_asked_again_if_it_wants_to_and_the_object_changed(
    admin: Rest, hooks: Hooks, install: Any, namespace: str
) -> None:
    await install("mutating", "again", allow(), reinvocationPolicy="IfNeeded")
    await install("mutating", "never", allow())
    await install("mutating", "change", patch({"op": "add", "path": "/data/z", "value": "1"}))
    await admin.make(maps(namespace), config(x="y"))
    assert [len(hooks.asked[name]) for name in ("again", "never", "change")] == [2, 1, 1]
    assert hooks.asked["again"][1]["object"]["data"] == {"x": "y", "z": "1"}


async def test_a_pod_changed_by_a_webhook_is_defaulted_and_gets_its_token_everywhere(
    admin: Rest, install: Any, namespace: str
) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["*"], "resources": ["pods"], "operations": ["*"]}
    sidecar = {"op": "add", "path": "/spec/containers/-", "value": {"name": "sidecar", "image": "s:1"}}
    await install("mutating", "sidecar", patch(sidecar), rules=[rule])
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await admin.make(f"/api/v1/namespaces/{namespace}/pods", pod)
    added = made["spec"]["containers"][1]
    assert added["name"] == "sidecar"
    assert added["terminationMessagePath"] == "/dev/termination-log"
    assert added["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda request: web.Response(status=500, text="on fire"),
            'failed to call webhook: an error on the server ("on fire") has prevented the request from succeeding',
        ),
        (
            lambda request: web.Response(status=404),
            "failed to call webhook: the server could not find the requested resource",
        ),
        (
            lambda request: web.Response(text="not json"),
            "failed to call webhook: couldn't get version/kind; json parse error: invalid character 'o'",
        ),
        (
            lambda request: {"uid": "other", "allowed": True},
            "received invalid webhook response: expected response.uid=",
        ),
        (lambda request: asyncio.sleep(5), "context deadline exceeded"),
    ],
)
async def test_a_webhook_that_fails_refuses_or_is_ignored_as_its_policy_says(
    admin: Rest, install: Any, namespace: str, answer: Any, said: str
) -> None:
    await install("validating", "broken", answer, failurePolicy="Fail", timeoutSeconds=1)
    refused = await admin("POST", maps(namespace), config())
    assert (refused.status, refused.json["reason"]) == (500, "InternalError")
    assert refused.message.startswith('Internal error occurred: failed calling webhook "broken.example.com": ')
    assert said in refused.message
    path = f"{BASE}/validatingwebhookconfigurations/0-broken-{namespace}"
    current = (await admin("GET", path)).json
    current["webhooks"][0]["failurePolicy"] = "Ignore"
    assert (await admin("PUT", path, current)).status == 200
    assert (await admin("POST", maps(namespace), config())).status == 201


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            patch({"op": "remove", "path": "/nothing"}),
            "error in remove for path: '/nothing': Unable to remove nonexistent key: nothing: missing value",
        ),
        (patch({"op": "test", "path": "/data/x", "value": "other"}), "testing value /data/x failed: test failed"),
        (
            lambda request: {"uid": request["uid"], "allowed": True, "patch": "e30=", "patchType": "Merge"},
            'failed calling webhook "broken.example.com": unsupported patch type "Merge"',
        ),
        (
            lambda request: {"uid": request["uid"], "allowed": True, "patch": "e30="},
            'failed calling webhook "broken.example.com": received invalid webhook response: '
            "webhook returned response.patch but not response.patchType",
        ),
    ],
)
async def test_a_patch_that_cannot_be_applied_refuses_the_write(
    admin: Rest, install: Any, namespace: str, answer: Any, said: str
) -> None:
    await install("mutating", "broken", answer)
    refused = await admin("POST", maps(namespace), config(x="y"))
    assert (refused.status, refused.message) == (500, f"Internal error occurred: {said}")


async def test_a_webhook_cannot_change_what_is_deleted(admin: Rest, install: Any, namespace: str) -> None:
    await admin.make(maps(namespace), config("gone"))
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["DELETE"]}
    await install("mutating", "late", patch({"op": "add", "path": "/data", "value": {}}), rules=[rule])
    refused = await admin("DELETE", f"{maps(namespace)}/gone")
    assert refused.message == (
        'Internal error occurred: admission webhook "late.example.com" attempted to modify the object, '
        "which is not supported for this operation"
    )


async def test_a_webhook_nobody_vouches_for_or_listens_at_fails(
    admin: Rest, hooks: Hooks, install: Any, namespace: str
) -> None:
    untrusted = {"url": f"https://127.0.0.1:{hooks.port}/x"}
    await install("validating", "untrusted", allow(), clientConfig=untrusted)
    untrusted_message = (await admin("POST", maps(namespace), config())).message
    assert "tls: failed to verify certificate: x509: certificate signed by unknown authority" in untrusted_message
    await install("mutating", "absent", allow(), clientConfig={"service": {"namespace": namespace, "name": "none"}})
    refused = await admin("POST", maps(namespace), config())
    assert refused.message == (
        'Internal error occurred: failed calling webhook "absent.example.com": failed to call webhook: '
        f'Post "https://none.{namespace}.svc:443/?timeout=2s": service "none" not found'
    )


async def test_rules_and_selectors_choose_what_a_webhook_hears_of(
    admin: Rest, hooks: Hooks, install: Any, namespace: str
) -> None:
    await install("validating", "labelled", allow(), objectSelector={"matchLabels": {"watch": "me"}})
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["UPDATE", "DELETE"]}
    await install("validating", "changes", allow(), rules=[everything])
    path = maps(namespace)
    await admin.make(path, config("plain"))
    await admin.make(path, config("marked") | {"metadata": {"name": "marked", "labels": {"watch": "me"}}})
    assert [asked["name"] for asked in hooks.asked["labelled"]] == ["marked"]
    await admin.patch(f"{path}/plain", {"data": {"a": "b"}})
    await admin("DELETE", f"{path}/plain")
    assert [(asked["operation"], asked["object"] is None) for asked in hooks.asked["changes"]] == [
        ("UPDATE", False),
        ("DELETE", True),
    ]
    assert hooks.asked["changes"][1]["oldObject"]["data"] == {"a": "b"}
    other = await admin.make_namespace()
    await admin.make(maps(other), config())
    assert len(hooks.asked["labelled"]) == 1


async def test_an_equivalent_version_is_converted_for_the_webhook(
    admin: Rest, hooks: Hooks, install: Any, namespace: str
) -> None:
    rule = {
        "apiGroups": ["autoscaling"],
        "apiVersions": ["v1"],
        "resources": ["horizontalpodautoscalers"],
        "operations": ["CREATE"],
    }
    await install("validating", "old", allow(), rules=[rule])
    await install("validating", "exact", allow(), rules=[rule], matchPolicy="Exact")
    body = {
        "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                }
            ],
        },
    }
    await admin.make(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers", body)
    (asked,) = hooks.asked["old"]
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v1", "v2")
    assert asked["object"]["apiVersion"] == "autoscaling/v1"
    assert asked["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
    assert hooks.asked["exact"] == []


async def test_a_dry_run_is_only_shown_to_webhooks_without_side_effects(
    admin: Rest, hooks: Hooks, install: Any, namespace: str
) -> None:
    await install("validating", "pure", allow())
    answer = await admin("POST", f"{maps(namespace)}?dryRun=All", config())
    assert answer.status == 201
    assert hooks.asked["pure"][0]["dryRun"] is True
    assert (await admin("GET", f"{maps(namespace)}/c")).status == 404


async def test_webhook_configurations_themselves_are_out_of_reach(
    admin: Rest, hooks: Hooks, install: Any, namespace: str
) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}
    await install("validating", "lock", deny(), rules=[everything], namespaceSelector={})
    try:
        assert (await admin("POST", maps(namespace), config())).status == 400
        # Nor are questions that the cluster's own parts ask.
        assert (await admin("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})).status == 201
        asked = {"spec": {"user": "x", "nonResourceAttributes": {"path": "/", "verb": "get"}}}
        assert (await admin("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", asked)).status == 201
    finally:
        path = f"{BASE}/validatingwebhookconfigurations/0-lock-{namespace}"
        assert (await admin("DELETE", path)).status == 200
    assert (await admin("POST", maps(namespace), config())).status == 201
