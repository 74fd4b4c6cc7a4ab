"""Namespaces that hold their pods to the Pod Security Standards."""

from typing import Any

import pytest

from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = "pod-security.kubernetes.io/"
FOUND = 'host namespaces (hostNetwork=true), privileged (container "c" must not set securityContext.privileged=true)'


def spec(bad: bool = True) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": "i"}
    if not bad:
        return {"containers": [container]}
    return {"containers": [container | {"securityContext": {"privileged": True}}], "hostNetwork": True}


def deployment() -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec()}
    return {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


async def test_enforce_refuses_pods_and_warns_about_templates(admin: Rest) -> None:
    namespace = await admin.make_namespace({f"{PREFIX}enforce": "baseline"})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    refused = await admin("POST", pods, {"metadata": {"name": "p"}, "spec": spec()})
    assert refused.status == 403
    assert refused.message == f'pods "p" is forbidden: violates PodSecurity "baseline:latest": {FOUND}'
    assert (await admin("POST", pods, {"metadata": {"name": "p"}, "spec": spec(bad=False)})).status == 201
    answer = await admin("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment())
    assert answer.status == 201
    assert len(answer.warnings) == 1
    assert "would violate PodSecurity" in answer.warnings[0]


async def test_warn_warns_about_pods_and_templates(admin: Rest) -> None:
    namespace = await admin.make_namespace({f"{PREFIX}warn": "baseline", f"{PREFIX}warn-version": "v1.30"})
    escaped = FOUND.replace('"', '\\"')
    wanted = f'299 - "would violate PodSecurity \\"baseline:v1.30\\": {escaped}"'
    pod = {"metadata": {"name": "p"}, "spec": spec()}
    answer = await admin("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert answer.status == 201
    assert wanted in answer.warnings
    answer = await admin("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment())
    assert wanted in answer.warnings


async def test_a_stricter_label_warns_about_pods_that_are_there(admin: Rest) -> None:
    namespace = await admin.make_namespace()
    for name in ("a", "b", "c"):
        pod = {"metadata": {"name": name}, "spec": spec(bad=name != "c")}
        await admin.make(f"/api/v1/namespaces/{namespace}/pods", pod)
    labels = {"metadata": {"labels": {f"{PREFIX}enforce": "baseline"}}}
    answer = await admin.patch(f"/api/v1/namespaces/{namespace}?dryRun=All", labels)
    assert answer.status == 200
    assert answer.warnings == [
        f'299 - "existing pods in namespace \\"{namespace}\\" violate the new PodSecurity enforce level '
        '\\"baseline:latest\\""',
        '299 - "a (and 1 other pod): host namespaces, privileged"',
    ]


async def test_labels_that_make_no_sense_are_invalid(admin: Rest) -> None:
    labels = {f"{PREFIX}enforce": "strict", f"{PREFIX}audit-version": "1.2"}
    answer = await admin("POST", "/api/v1/namespaces", {"metadata": {"name": "odd", "labels": labels}})
    assert answer.status == 422
    assert answer.message == (
        'Namespace "odd" is invalid: '
        f'[metadata.labels[{PREFIX}enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted, '
        f'metadata.labels[{PREFIX}audit-version]: Invalid value: "1.2": must be "latest" or "v1.x"]'
    )
