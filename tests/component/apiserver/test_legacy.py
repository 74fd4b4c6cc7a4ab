"""Manifests of past years, beside those of today: old API versions over HTTP and with kubectl."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pynetes.machinery import resources
from pynetes.testing.apiserver import running_apiserver
from tests.component.apiserver.conftest import Http

pytestmark = pytest.mark.asyncio(loop_scope="module")

Obj = dict[str, Any]
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
ROOT = Path(__file__).resolve().parents[3]
KUBECTLS = {
    "installed": shutil.which("kubectl"),
    "oldest": str(ROOT / ".venv" / "kubectl-debian" / "usr" / "bin" / "kubectl"),
}
FOUND = {name: path for name, path in KUBECTLS.items() if path and Path(path).exists()}

# One manifest of each kind, as people wrote them, and where its objects are today.
MANIFESTS = yaml.safe_load((Path(__file__).parent / "legacy_manifests.yaml").read_text())


def path_of(manifest: Obj, namespace: str = "default") -> str:
    """The collection that a manifest is posted to."""
    api_version, plural = manifest["apiVersion"], manifest["_plural"]
    space = f"namespaces/{namespace}/" if manifest["_namespaced"] else ""
    return f"{'/apis' if '/' in api_version else '/api'}/{api_version}/{space}{plural}"


def prepared() -> list[Obj]:
    found = []
    for entry in MANIFESTS:
        today = resources.by_kind(entry["today"], entry["manifest"]["kind"])
        plural = today.plural if today else "podsecuritypolicies"
        found.append(entry["manifest"] | {"_plural": plural, "_namespaced": bool(today and today.namespaced)})
    return found


def essence(obj: Obj) -> Obj:
    """An object without what the server's own controllers add in their own time."""
    changing = ("managedFields", "resourceVersion")
    metadata = {field: value for field, value in obj["metadata"].items() if field not in changing}
    return {field: value for field, value in obj.items() if field != "status"} | {"metadata": metadata}


def bare(manifest: Obj) -> Obj:
    return {field: value for field, value in manifest.items() if not field.startswith("_")}


@pytest.mark.parametrize("index", range(len(MANIFESTS)), ids=lambda index: MANIFESTS[index]["id"])
async def test_a_manifest_of_its_time(http: Http, index: int) -> None:
    manifest, today = prepared()[index], MANIFESTS[index]["today"]
    collection, name = path_of(manifest), manifest["metadata"]["name"]
    created = await http("POST", f"{collection}?fieldValidation=Strict", bare(manifest))
    assert created.status == 201, created.body
    assert f"{manifest['apiVersion']} {manifest['kind']} is deprecated in v1." in created.warnings[0]
    assert created.json["apiVersion"] == manifest["apiVersion"]
    got = await http("GET", f"{collection}/{name}")
    assert got.status == 200
    assert essence(got.json) == essence(created.json)
    current = await http("GET", f"{path_of(manifest | {'apiVersion': today})}/{name}")
    assert current.status == 200
    assert current.json["apiVersion"] == today
    assert current.json["metadata"]["uid"] == created.json["metadata"]["uid"]
    newest = (await http("GET", f"{collection}/{name}")).json
    replaced = await http("PUT", f"{collection}/{name}", newest)
    assert replaced.status == 200, replaced.body
    assert replaced.json["metadata"]["resourceVersion"] == newest["metadata"]["resourceVersion"]
    labelled = await http("PATCH", f"{collection}/{name}", {"metadata": {"labels": {"era": "old"}}}, content_type=MERGE)
    assert labelled.status == 200, labelled.body
    listed = await http("GET", f"{collection}?labelSelector=era%3Dold")
    assert [item["metadata"]["name"] for item in listed.json["items"]] == [name]
    assert listed.json["apiVersion"] == manifest["apiVersion"]
    table = await http("GET", collection, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert name in [row["object"]["metadata"]["name"] for row in table.json["rows"]]
    deleted = await http("DELETE", f"{collection}/{name}", {"propagationPolicy": "Background"})
    assert deleted.status == 200, deleted.body


async def test_what_was_made_today_is_read_as_then(http: Http) -> None:
    path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    made = await http(
        "POST", path, {"metadata": {"name": "both"}, "spec": {"defaultBackend": backend, "rules": [rule]}}
    )
    assert made.status == 201, made.body
    for old in ("extensions/v1beta1", "networking.k8s.io/v1beta1"):
        read = await http("GET", f"/apis/{old}/namespaces/default/ingresses/both")
        assert read.json["spec"]["backend"] == {"serviceName": "web", "servicePort": "http"}
        assert read.json["spec"]["rules"][0]["http"]["paths"][0]["pathType"] == "Prefix"
    patch = {"spec": {"backend": {"servicePort": 81}}}
    changed = await http(
        "PATCH", "/apis/extensions/v1beta1/namespaces/default/ingresses/both", patch, content_type=MERGE
    )
    assert changed.status == 200, changed.body
    now = await http("GET", f"{path}/both")
    assert now.json["spec"]["defaultBackend"] == {"service": {"name": "web", "port": {"number": 81}}}


def deployment(name: str, api_version: str = "extensions/v1beta1") -> Obj:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    return {
        "apiVersion": api_version,
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 2, "template": template},
    }


DEPLOYMENTS = "/apis/extensions/v1beta1/namespaces/default/deployments"


async def test_defaults_are_those_of_the_version_it_was_sent_in(http: Http) -> None:
    assert (await http("POST", DEPLOYMENTS, deployment("defaults"))).status == 201
    spec = (await http("GET", "/apis/apps/v1/namespaces/default/deployments/defaults")).json["spec"]
    assert spec["selector"] == {"matchLabels": {"app": "defaults"}}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    assert spec["progressDeadlineSeconds"] == 2147483647


async def test_errors_name_the_resource_that_was_asked_for(http: Http) -> None:
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"spec": {}})):
        missing = await http(method, f"{DEPLOYMENTS}/nobody", body, content_type=MERGE)
        assert missing.status == 404
        assert missing.message == 'deployments.extensions "nobody" not found'
        assert missing.json["details"] == {"name": "nobody", "group": "extensions", "kind": "deployments"}
    await http("POST", DEPLOYMENTS, deployment("twice"))
    again = await http("POST", DEPLOYMENTS, deployment("twice"))
    assert again.message == 'deployments.extensions "twice" already exists'


async def test_unknown_fields_are_those_of_the_old_version(http: Http) -> None:
    sent = deployment("strict")
    sent["spec"]["rollbackTo"] = {"revision": 1}
    sent["spec"]["bogus"] = 1
    refused = await http("POST", f"{DEPLOYMENTS}?fieldValidation=Strict", sent)
    assert refused.status == 400
    assert 'unknown field "spec.bogus"' in refused.message
    assert "rollbackTo" not in refused.message


async def test_a_watch_of_an_old_version_speaks_it(http: Http) -> None:
    start = (await http("GET", DEPLOYMENTS)).json["metadata"]["resourceVersion"]
    await http("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("watched", "apps/v1") | {
        "spec": deployment("watched")["spec"] | {"selector": {"matchLabels": {"app": "watched"}}}
    })  # fmt: skip
    await http("DELETE", f"{DEPLOYMENTS}/watched", {"propagationPolicy": "Background"})
    seen = await http("GET", f"{DEPLOYMENTS}?watch=1&resourceVersion={start}&timeoutSeconds=1")
    events = [json.loads(line) for line in seen.body.splitlines()]
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]
    assert {event["object"]["apiVersion"] for event in events} == {"extensions/v1beta1"}


async def test_server_side_apply_in_one_version_meets_the_other(http: Http) -> None:
    path = "/apis/extensions/v1beta1/namespaces/default/ingresses/applied"
    spec = {"backend": {"serviceName": "web", "servicePort": 80}}
    config = {"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "applied"}, "spec": spec}
    made = await http("PATCH", f"{path}?fieldManager=old", config, content_type=APPLY)
    assert made.status == 201, made.body
    assert made.json["spec"]["backend"] == spec["backend"]
    backend = {"service": {"name": "other", "port": {"number": 80}}}
    modern = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "applied"},
        "spec": {"defaultBackend": backend},
    }
    path = path.replace("extensions/v1beta1", "networking.k8s.io/v1")
    refused = await http("PATCH", f"{path}?fieldManager=new", modern, content_type=APPLY)
    assert refused.status == 409
    assert 'conflict with "old"' in refused.message
    forced = await http("PATCH", f"{path}?fieldManager=new&force=true", modern, content_type=APPLY)
    assert forced.json["spec"]["defaultBackend"] == backend


async def test_the_scale_of_an_old_deployment(http: Http) -> None:
    await http("POST", DEPLOYMENTS, deployment("scaled"))
    scale = (await http("GET", f"{DEPLOYMENTS}/scaled/scale")).json
    assert scale["spec"] == {"replicas": 2}
    scale["spec"]["replicas"] = 5
    assert (await http("PUT", f"{DEPLOYMENTS}/scaled/scale", scale)).status == 200
    assert (await http("GET", f"{DEPLOYMENTS}/scaled")).json["spec"]["replicas"] == 5


async def test_a_deletion_in_an_old_version_leaves_dependents_behind(http: Http) -> None:
    await http("POST", DEPLOYMENTS, deployment("parent"))
    left = await http("DELETE", f"{DEPLOYMENTS}/parent")
    assert left.status == 200
    found = (await http("GET", f"{DEPLOYMENTS}/parent")).json
    assert found["metadata"]["finalizers"] == ["orphan"]
    await http("POST", DEPLOYMENTS, deployment("other"))
    await http("DELETE", f"{DEPLOYMENTS}/other", {"propagationPolicy": "Background"})
    assert (await http("GET", f"{DEPLOYMENTS}/other")).status == 404
    today = "/apis/apps/v1/namespaces/default/deployments"
    await http("POST", DEPLOYMENTS, deployment("another"))
    await http("DELETE", f"{today}/another")
    assert (await http("GET", f"{today}/another")).status == 404


async def test_an_eviction_in_its_first_version(http: Http) -> None:
    await http("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "evicted"}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    made = await http("POST", "/api/v1/namespaces/default/pods", pod)
    assert made.status == 201, made.body
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "evicted"}}
    answer = await http("POST", "/api/v1/namespaces/default/pods/evicted/eviction", eviction)
    assert answer.status == 201, answer.body


async def test_a_rollback_as_clients_once_asked_for_it(http: Http) -> None:
    await http("POST", DEPLOYMENTS, deployment("back"))
    wish = {"kind": "DeploymentRollback", "name": "back", "rollbackTo": {"revision": 2}}
    wish["updatedAnnotations"] = {"why": "worse"}
    for api_version in ("extensions/v1beta1", "apps/v1beta1"):
        path = f"/apis/{api_version}/namespaces/default/deployments/back"
        asked = await http("POST", f"{path}/rollback", {"apiVersion": api_version, **wish})
        assert asked.status == 200, asked.body
        assert asked.message == 'rollback request for deployment "back" succeeded'
        found = (await http("GET", path)).json
        assert found["spec"]["rollbackTo"] == {"revision": 2}
        assert found["metadata"]["annotations"] == {"why": "worse"}
    today = "/apis/apps/v1/namespaces/default/deployments/back/rollback"
    assert (await http("POST", today, {"apiVersion": "apps/v1", **wish})).status == 404
    other = await http("POST", f"{DEPLOYMENTS}/back/rollback", {**wish, "name": "other"})
    assert other.status == 400


async def test_a_request_for_a_certificate_is_approved_as_then(http: Http) -> None:
    (manifest,) = [each for each in prepared() if each["kind"] == "CertificateSigningRequest"]
    requests = "/apis/certificates.k8s.io/v1beta1/certificatesigningrequests"
    made = await http("POST", requests, bare(manifest) | {"metadata": {"name": "approved"}})
    assert made.json["spec"]["signerName"] == "kubernetes.io/legacy-unknown"
    decided = made.json | {"status": {"conditions": [{"type": "Approved", "reason": "Fine", "message": "ok"}]}}
    answer = await http("PUT", f"{requests}/approved/approval", decided)
    assert answer.status == 200, answer.body
    assert answer.json["apiVersion"] == "certificates.k8s.io/v1beta1"
    (condition,) = answer.json["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Approved", "True")


async def test_a_webhook_that_names_an_old_version_hears_of_todays(http: Http) -> None:
    hook = {
        "name": "old.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "timeoutSeconds": 1,
        "rules": [
            {
                "apiGroups": ["extensions"],
                "apiVersions": ["v1beta1"],
                "operations": ["CREATE"],
                "resources": ["networkpolicies"],
            }
        ],
    }
    kind = "ValidatingWebhookConfiguration"
    configurations = "/apis/admissionregistration.k8s.io/v1beta1/validatingwebhookconfigurations"
    made = await http("POST", configurations, {"kind": kind, "metadata": {"name": "hears"}, "webhooks": [hook]})
    assert made.status == 201, made.body
    policy = {"metadata": {"name": "heard"}, "spec": {"podSelector": {}}}
    refused = await http("POST", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", policy)
    assert refused.status == 500
    assert 'failed calling webhook "old.example.com"' in refused.message
    await http("DELETE", f"{configurations}/hears")


async def test_a_status_in_an_old_version(http: Http) -> None:
    await http("POST", DEPLOYMENTS, deployment("status"))
    changed = await http("PATCH", f"{DEPLOYMENTS}/status/status", {"status": {"replicas": 2}}, content_type=MERGE)
    assert changed.status == 200, changed.body
    assert (await http("GET", "/apis/apps/v1/namespaces/default/deployments/status")).json["status"]["replicas"] == 2


async def test_reviews_of_old(http: Http) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    spec = {"user": "jane", "group": ["system:masters"], "resourceAttributes": attributes}
    answer = await http("POST", "/apis/authorization.k8s.io/v1beta1/subjectaccessreviews", {"spec": spec})
    assert answer.status == 201, answer.body
    assert answer.json["apiVersion"] == "authorization.k8s.io/v1beta1"
    assert answer.json["spec"] == spec
    assert answer.json["status"]["allowed"] is True
    spec = {"token": "nonsense"}
    answer = await http("POST", "/apis/authentication.k8s.io/v1beta1/tokenreviews", {"spec": spec})
    assert answer.json["apiVersion"] == "authentication.k8s.io/v1beta1"
    assert "authenticated" not in answer.json["status"]


async def test_discovery_prefers_what_is_current(http: Http) -> None:
    groups = {group["name"]: group for group in (await http("GET", "/apis")).json["groups"]}
    assert groups["extensions"]["preferredVersion"]["version"] == "v1beta1"
    for group, versions in (
        ("apps", ["v1", "v1beta2", "v1beta1"]),
        ("autoscaling", ["v2", "v1", "v2beta2", "v2beta1", "v2alpha1"]),
        ("batch", ["v1", "v1beta1", "v2alpha1"]),
        ("policy", ["v1", "v1beta1"]),
        ("rbac.authorization.k8s.io", ["v1", "v1beta1", "v1alpha1"]),
    ):
        assert [each["version"] for each in groups[group]["versions"]] == versions
        assert groups[group]["preferredVersion"]["version"] == versions[0]
    old = (await http("GET", "/apis/extensions/v1beta1")).json["resources"]
    assert all("categories" not in entry and "shortNames" not in entry for entry in old)
    hashes = {entry["name"]: entry.get("storageVersionHash") for entry in old}
    new = (await http("GET", "/apis/apps/v1")).json["resources"]
    assert hashes["deployments"] == {entry["name"]: entry.get("storageVersionHash") for entry in new}["deployments"]


async def test_schemas_are_published(http: Http) -> None:
    v3 = (await http("GET", "/openapi/v3/apis/networking.k8s.io/v1beta1")).json["components"]["schemas"]
    assert "servicePort" in v3["io.k8s.api.networking.v1beta1.IngressBackend"]["properties"]
    v2 = (await http("GET", "/openapi/v2")).json
    assert "backend" in v2["definitions"]["io.k8s.api.extensions.v1beta1.IngressSpec"]["properties"]
    assert "/apis/extensions/v1beta1/namespaces/{namespace}/ingresses" in v2["paths"]


async def test_an_old_custom_resource_keeps_unknown_fields(http: Http) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1beta1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "oldies.example.com"},
        "spec": {
            "group": "example.com",
            "version": "v1",
            "scope": "Namespaced",
            "names": {"plural": "oldies", "kind": "Oldie"},
            "validation": {"openAPIV3Schema": {"properties": {"spec": {"properties": {"size": {"type": "integer"}}}}}},
            "additionalPrinterColumns": [{"name": "Size", "type": "integer", "JSONPath": ".spec.size"}],
        },
    }
    made = await http("POST", "/apis/apiextensions.k8s.io/v1beta1/customresourcedefinitions", crd)
    assert made.status == 201, made.body
    assert made.json["spec"]["validation"] == crd["spec"]["validation"]
    path = "/apis/example.com/v1/namespaces/default/oldies"
    obj = {"apiVersion": "example.com/v1", "kind": "Oldie", "metadata": {"name": "o"}, "spec": {"size": 1, "more": "x"}}
    async with asyncio.timeout(5):
        while (answer := await http("POST", path, obj)).status == 404:
            await asyncio.sleep(0.02)
    assert answer.json["spec"] == {"size": 1, "more": "x"}
    obj["metadata"], obj["spec"] = {"name": "p"}, {"size": "big"}
    assert (await http("POST", path, obj)).status == 422


async def test_they_can_be_switched_off() -> None:
    switches = ["api/legacy=false", "policy/v1beta1=true"]
    async with running_apiserver(runtime_config=switches) as server:
        client = server.client()
        groups = (await client.raw("GET", "/apis")).json()["groups"]
        names = {group["name"]: [each["version"] for each in group["versions"]] for group in groups}
        assert "extensions" not in names
        assert names["apps"] == ["v1"]
        assert names["policy"] == ["v1", "v1beta1"]


# With kubectl.


@pytest.mark.parametrize("version", FOUND)
async def test_kubectl_with_old_manifests(http: Http, version: str, tmp_path: Path) -> None:
    environment = os.environ | {"KUBECONFIG": str(http.server.admin_kubeconfig), "HOME": str(tmp_path)}

    async def kubectl(*arguments: str, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            FOUND[version],
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        assert not process.returncode, f"{arguments}: {out.decode()}{err.decode()}"
        return out.decode() + err.decode()

    manifests = [bare(each) for each in prepared() if each["kind"] not in ("APIService",)]
    text = yaml.safe_dump_all(manifests)
    said = await kubectl("apply", "-f", "-", stdin=text)
    assert said.count(" created") == len(manifests), said
    assert "Warning: " in said
    said = await kubectl("apply", "-f", "-", stdin=text)
    # kubectl compares lists whole, so those in which the server filled something in count as changed, as upstream.
    assert said.count(" unchanged") + said.count(" configured") == len(manifests), said
    assert said.count(" unchanged") >= 30
    assert "servicePort" in await kubectl("explain", "ingress.spec.backend", "--api-version=extensions/v1beta1")
    assert "rollbackTo" in await kubectl("explain", "deployment.spec", "--api-version=apps/v1beta1")
    said = await kubectl("get", "deployments.v1beta1.extensions,psp,cronjobs.v1beta1.batch")
    assert "deployment.extensions/kubia-extensions" in said
    assert "deployment.apps/" in await kubectl("get", "deploy", "-o", "name")
    assert "deployment.extensions/" not in await kubectl("get", "all", "-o", "name")
    await kubectl("delete", "--wait=false", "-f", "-", stdin=text)
    await kubectl("create", "poddisruptionbudget", "budget", "--min-available=1", "--selector=app=web")
    assert "budget" in await kubectl("describe", "pdb", "budget")
    await kubectl("create", "cronjob", "tick", "--image=busybox", "--schedule=*/1 * * * *")
    assert "*/1 * * * *" in await kubectl("describe", "cronjob", "tick")
    await kubectl("create", "deployment", "web", "--image=nginx:1")
    await kubectl("autoscale", "deployment", "web", "--max=3")
    assert "web" in await kubectl("describe", "hpa", "web")
    await kubectl("delete", "pdb/budget", "cronjob/tick", "hpa/web", "deploy/web")


async def test_deprecated_apis_that_were_asked_for_are_counted(http: Http, namespace: str) -> None:
    await http("GET", f"/apis/policy/v1beta1/namespaces/{namespace}/poddisruptionbudgets")
    await http("GET", "/api/v1/componentstatuses")
    text = (await http("GET", "/metrics")).body.decode()
    for labels in (
        'group="policy",removed_release="1.25",resource="poddisruptionbudgets",subresource="",version="v1beta1"',
        'group="",removed_release="",resource="componentstatuses",subresource="",version="v1"',
    ):
        assert f"apiserver_requested_deprecated_apis{{{labels}}} 1" in text
