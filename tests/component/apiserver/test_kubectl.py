"""Real kubectls, the newest and the oldest there are, against the API server alone."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from pynetes.testing.apiserver import running_apiserver

ROOT = Path(__file__).resolve().parents[3]
BINARIES = {
    "installed": shutil.which("kubectl"),
    "oldest": str(ROOT / ".venv" / "kubectl-debian" / "usr" / "bin" / "kubectl"),
}
FOUND = {name: path for name, path in BINARIES.items() if path and Path(path).exists()}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not FOUND, reason="there is no kubectl on this machine"),
]

Kubectl = Callable[..., Coroutine[None, None, str]]


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=FOUND)
async def kubectl(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kubectl]:
    """Runs kubectl; fails with what it said, unless `fails=True` expects that."""
    home = tmp_path_factory.mktemp("home")
    async with running_apiserver() as server:
        environment = os.environ | {"KUBECONFIG": str(server.admin_kubeconfig), "HOME": str(home)}

        async def run(*arguments: str, stdin: str = "", fails: bool = False, **more: str) -> str:
            process = await asyncio.create_subprocess_exec(
                FOUND[request.param],
                *arguments,
                env=environment | more,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(30):
                out, err = await process.communicate(stdin.encode())
            said = out.decode() + err.decode() if fails else out.decode()
            assert bool(process.returncode) == fails, f"{arguments}: {out.decode()}{err.decode()}"
            return said

        await run("create", "serviceaccount", "default")
        yield run


def deployment(name: str, image: str = "nginx:1") -> dict[str, object]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
    }


async def test_version_and_discovery(kubectl: Kubectl) -> None:
    assert "v1.37.0" in await kubectl("version")
    assert "is running at" in await kubectl("cluster-info")
    assert "apps/v1\n" in await kubectl("api-versions")
    listed = await kubectl("api-resources", "--namespaced=true", "-o", "name")
    assert {"pods", "deployments.apps", "ingresses.networking.k8s.io"} <= set(listed.split())


async def test_apply_diff_and_delete(kubectl: Kubectl) -> None:
    manifest = json.dumps(deployment("apply"))
    assert "deployment.apps/apply created" in await kubectl("apply", "-f", "-", stdin=manifest)
    assert "deployment.apps/apply unchanged" in await kubectl("apply", "-f", "-", stdin=manifest)
    changed = json.dumps(deployment("apply", "nginx:2"))
    assert "+      - image: nginx:2" in await kubectl("diff", "-f", "-", stdin=changed, fails=True)
    assert "deployment.apps/apply configured" in await kubectl("apply", "-f", "-", stdin=changed)
    assert "nginx:2" in await kubectl("get", "deploy", "apply", "-o", "wide")
    assert 'deployment.apps "apply" deleted' in await kubectl("delete", "-f", "-", stdin=changed)
    assert "NotFound" in await kubectl("get", "deploy", "apply", fails=True)


async def test_server_side_apply_and_its_conflicts(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "ssa", "--image=nginx:1")
    manifest = yaml.safe_dump(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "ssa"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "ssa"}},
                "template": {
                    "metadata": {"labels": {"app": "ssa"}},
                    "spec": {"containers": [{"name": "nginx", "image": "nginx:2"}]},
                },
            },
        }
    )
    said = await kubectl("apply", "--server-side", "-f", "-", stdin=manifest, fails=True)
    assert 'Apply failed with 2 conflicts: conflicts with "kubectl-create"' in said
    assert "- .spec.replicas" in said
    assert "serverside-applied" in await kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest
    )
    assert await kubectl("get", "deploy", "ssa", "-o", "jsonpath={.spec.replicas}") == "3"


async def test_typed_creates(kubectl: Kubectl) -> None:
    """These speak protocol buffers in newer versions."""
    await kubectl("create", "configmap", "typed", "--from-literal=a=b")
    await kubectl("create", "secret", "generic", "typed", "--from-literal=a=b")
    await kubectl("create", "deployment", "typed", "--image=x", "--replicas=0", "--port=80")
    await kubectl("create", "job", "typed", "--image=x", "--", "echo", "hello")
    await kubectl("create", "ingress", "typed", "--rule=a.example/path=svc:80")
    await kubectl("create", "quota", "typed", "--hard=pods=9")
    await kubectl("create", "role", "typed", "--verb=get,list", "--resource=pods", "--resource-name=x")
    await kubectl("create", "rolebinding", "typed", "--role=typed", "--serviceaccount=default:default")
    await kubectl("create", "clusterrole", "typed", "--verb=get", "--non-resource-url=/logs")
    await kubectl("create", "priorityclass", "typed", "--value=0", "--description=d")
    await kubectl("create", "service", "nodeport", "typed", "--tcp=80:8080")
    assert await kubectl("get", "deploy", "typed", "-o", "jsonpath={.spec.replicas}") == "0"
    assert await kubectl("get", "priorityclass", "typed", "-o", "jsonpath={.value}") == "0"
    assert await kubectl("get", "secret", "typed", "-o", "jsonpath={.data.a}") == "Yg=="
    rules = json.loads(await kubectl("get", "role", "typed", "-o", "json"))["rules"]
    assert rules == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"], "resourceNames": ["x"]}]
    port = json.loads(await kubectl("get", "svc", "typed", "-o", "json"))["spec"]["ports"][0]
    assert (port["port"], port["targetPort"]) == (80, 8080) and 30000 <= port["nodePort"] <= 32767
    assert await kubectl("auth", "can-i", "get", "pods/x", "--as=system:serviceaccount:default:default") == "yes\n"


async def test_changing_in_place(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "change", "--image=nginx:1")
    await kubectl("label", "deploy", "change", "tier=front")
    await kubectl("annotate", "deploy", "change", "note=text")
    assert "change" in await kubectl("get", "deploy", "-l", "tier=front")
    await kubectl("scale", "deploy", "change", "--replicas=4", "--current-replicas=1")
    await kubectl("set", "image", "deploy/change", "nginx=nginx:2")
    await kubectl("set", "env", "deploy/change", "A=b")
    await kubectl("patch", "deploy", "change", "-p", '{"spec":{"template":{"metadata":{"labels":{"x":"y"}}}}}')
    await kubectl("rollout", "pause", "deploy/change")
    await kubectl("rollout", "resume", "deploy/change")
    await kubectl("rollout", "restart", "deploy/change")
    await kubectl("edit", "deploy", "change", KUBE_EDITOR="sed -i s/nginx:2/nginx:3/")
    found = json.loads(await kubectl("get", "deploy", "change", "-o", "json"))
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("nginx:3", [{"name": "A", "value": "b"}])
    assert (found["spec"]["replicas"], found["metadata"]["labels"]["tier"]) == (4, "front")
    found["spec"]["replicas"] = 5
    assert "replaced" in await kubectl("replace", "-f", "-", stdin=json.dumps(found))
    assert "Conflict" in await kubectl("replace", "-f", "-", stdin=json.dumps(found), fails=True)
    assert "autoscaled" in await kubectl("autoscale", "deploy", "change", "--min=1", "--max=3")
    assert "exposed" in await kubectl("expose", "deploy", "change", "--port=80")


async def test_output_forms(kubectl: Kubectl) -> None:
    await kubectl("run", "forms", "--image=busybox", "--restart=Never", "--", "sleep", "1")
    assert (await kubectl("get", "pod", "forms")).split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert "NOMINATED NODE" in await kubectl("get", "pod", "forms", "-o", "wide")
    assert await kubectl("get", "pod", "forms", "-o", "name") == "pod/forms\n"
    columns = "custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[0].image"
    assert "forms   busybox" in await kubectl("get", "pod", "forms", "-o", columns)
    by_phase = ("--sort-by=.metadata.name", "--field-selector=status.phase=Pending")
    assert "forms" in await kubectl("get", "pods", "-A", *by_phase)
    assert yaml.safe_load(await kubectl("get", "pod", "forms", "-o", "yaml"))["kind"] == "Pod"
    described = await kubectl("describe", "pod", "forms")
    assert "Status:       Pending" in described or "Status:           Pending" in described
    assert "NAMESPACE" in await kubectl("get", "pods", "--all-namespaces")
    await kubectl("delete", "pod", "forms", "--force", "--grace-period=0")


async def test_explain_reads_the_published_schemas(kubectl: Kubectl) -> None:
    said = await kubectl("explain", "deployment.spec.replicas")
    assert "integer" in said and "Number of desired pods" in said
    assert "containers" in await kubectl("explain", "pod.spec", "--recursive")


async def test_client_side_validation(kubectl: Kubectl) -> None:
    broken = json.dumps(deployment("broken") | {"bogus": 1})
    said = await kubectl("create", "-f", "-", stdin=broken, fails=True)
    assert 'unknown field "bogus"' in said
    assert "created" in await kubectl("create", "--validate=false", "-f", "-", stdin=broken)


async def test_dry_run_on_the_server(kubectl: Kubectl) -> None:
    manifest = json.dumps(deployment("dry"))
    said = await kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest)
    assert "created (server dry run)" in said
    assert "NotFound" in await kubectl("get", "deploy", "dry", fails=True)


async def test_wait_and_watch(kubectl: Kubectl) -> None:
    watching = asyncio.create_task(
        kubectl("get", "configmaps", "-l", "watched", "--watch-only", "-o", "name", "--request-timeout=4s")
    )
    await asyncio.sleep(1)
    watched = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w", "labels": {"watched": ""}}}
    await kubectl("create", "-f", "-", stdin=json.dumps(watched))
    deleting = asyncio.create_task(kubectl("wait", "--for=delete", "configmap/w", "--timeout=10s"))
    await asyncio.sleep(0.5)
    await kubectl("delete", "configmap", "w")
    await deleting
    assert "configmap/w" in await watching


async def test_namespaces_bring_their_own_words(kubectl: Kubectl) -> None:
    assert 'namespaces "nope" not found' in await kubectl("get", "namespace", "nope", fails=True)
    assert 'namespaces "default" is forbidden' in await kubectl("delete", "namespace", "default", fails=True)
