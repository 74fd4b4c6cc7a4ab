"""Pulling images from a registry of the test's own, with credentials; and volumes that outlive their pods."""

import base64
import json
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from pynetes.cluster import oci
from pynetes.machinery.meta import Obj
from pynetes.testing.node import Node, busybox_files, is_ready, make_pod, state

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

PORT = 15000
IMAGE = f"127.0.0.1:{PORT}/private/app:1"
LOGIN = "Basic " + base64.b64encode(b"me:secret").decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(node: Node, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[str]]:
    """Serves one image to those who know the password; yields the names that asked."""
    archive = tmp_path_factory.mktemp("registry") / "app.tar"
    digest = oci.write_image(
        archive, IMAGE, busybox_files(), oci.ImageConfig(command=["sleep", "3600"], env={"PATH": "/bin"})
    )
    blobs = _blobs(archive)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != LOGIN:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="test"'})
        asked.append(request.path)
        name = request.path.rpartition("/")[2]
        wanted = digest if "/manifests/" in request.path else name
        if wanted not in blobs:
            return web.Response(status=200 if request.path == "/v2/" else 404)
        kind = oci.MANIFEST if wanted == digest else "application/octet-stream"
        headers = {"Docker-Content-Digest": wanted, "Content-Type": kind}
        return web.Response(body=blobs[wanted], headers=headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    yield asked
    await runner.cleanup()


def _blobs(archive: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if member.name.startswith("blobs/sha256/") and file is not None:
                found[f"sha256:{member.name.rpartition('/')[2]}"] = file.read()
    return found


async def test_a_private_image_needs_its_secret(node: Node, registry: list[str]) -> None:
    container = {"image": IMAGE, "imagePullPolicy": "Always"}
    await node.create(make_pod("anonymous", "sleep", "1", container=container))
    pod = await node.wait("anonymous", lambda pod: state(pod).get("waiting", {}).get("reason") == "ImagePullBackOff")
    assert "401" in state(pod)["waiting"]["message"] or "authorization" in state(pod)["waiting"]["message"]
    await node.delete("anonymous")
    auths = {"auths": {f"127.0.0.1:{PORT}": {"username": "me", "password": "secret"}}}
    secret = {
        "metadata": {"name": "pull", "namespace": "default"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(auths)},
    }
    await node.client.create("secrets", secret)
    await node.create(make_pod("known", "sleep", "3600", container=container, imagePullSecrets=[{"name": "pull"}]))
    pod = await node.wait("known", is_ready)
    assert pod["status"]["containerStatuses"][0]["image"] == IMAGE
    assert pod["status"]["containerStatuses"][0]["imageID"].startswith(f"127.0.0.1:{PORT}/private/app@sha256:")
    events = dict(await node.events("known"))
    assert events["Pulling"] == f'Pulling image "{IMAGE}"'
    assert events["Pulled"].startswith(f'Successfully pulled image "{IMAGE}" in ')
    assert " including waiting). Image size: " in events["Pulled"]
    assert registry
    await node.delete("known")


async def test_a_secret_that_is_missing_is_told(node: Node, registry: list[str]) -> None:
    container = {"image": IMAGE, "imagePullPolicy": "IfNotPresent"}
    await node.create(make_pod("present", "sleep", "3600", container=container, imagePullSecrets=[{"name": "nope"}]))
    await node.wait("present", is_ready)
    await node.delete("present")
    container["imagePullPolicy"] = "Always"
    await node.create(make_pod("missing", "sleep", "3600", container=container, imagePullSecrets=[{"name": "nope"}]))
    await node.wait("missing", lambda pod: state(pod).get("waiting", {}).get("reason") == "ImagePullBackOff")
    text = "Unable to retrieve some image pull secrets (nope); attempting to pull the image may not succeed."
    assert ("FailedToRetrieveImagePullSecret", text) in await node.events("missing")
    await node.delete("missing")


async def test_a_claim_keeps_its_data(node: Node) -> None:
    directory = node.options.root_dir.parent / "data"
    volume: Obj = {
        "metadata": {"name": "pv"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"},
            "claimRef": {"namespace": "default", "name": "pvc"},
        },
    }
    claim: Obj = {
        "metadata": {"name": "pvc", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": "pv",
            "storageClassName": "",
        },
    }
    await node.client.create("persistentvolumes", volume)
    await node.client.create("persistentvolumeclaims", claim)
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "pvc"}}]
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = "echo x >> /v/f; sleep 3600"
    await node.create(make_pod("claim-1", "sh", "-c", script, container=mounts, volumes=volumes))
    await node.wait("claim-1", lambda pod: state(pod).get("waiting", {}).get("reason") == "ContainerCreating")
    bound = {"status": {"phase": "Bound"}}
    await node.client.patch("persistentvolumeclaims", "pvc", bound, "default", subresource="status")
    await node.wait("claim-1", is_ready)
    await node.delete("claim-1")
    await node.create(make_pod("claim-2", "sh", "-c", script, container=mounts, volumes=volumes))
    pod = await node.wait("claim-2", is_ready)
    assert await node.exec(pod, "cat", "/v/f") == "x\nx\n"
    await node.delete("claim-2")


@pytest.mark.parametrize(("policy", "group"), [("OnRootMismatch", 0), ("Always", 4321)])
async def test_a_volume_whose_root_is_right_may_be_spared(node: Node, policy: str, group: int) -> None:
    name = f"owned-{policy.lower()}"
    directory = node.options.root_dir.parent / name
    directory.mkdir()
    (directory / "file").touch()
    os.chown(directory, -1, 4321)
    directory.chmod(0o2770)
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}
    spec: Obj = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": str(directory)},
        "claimRef": {"namespace": "default", "name": name},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
    }
    await node.client.create("persistentvolumes", {"metadata": {"name": name}, "spec": spec})
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim |= {"volumeName": name, "storageClassName": ""}
    metadata = {"name": name, "namespace": "default"}
    await node.client.create("persistentvolumeclaims", {"metadata": metadata, "spec": claim})
    bound = {"status": {"phase": "Bound"}}
    await node.client.patch("persistentvolumeclaims", name, bound, "default", subresource="status")
    pod = make_pod(
        name, "sleep", "3600",
        container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": name}}],
        securityContext={"fsGroup": 4321, "fsGroupChangePolicy": policy},
    )  # fmt: skip
    await node.create(pod)
    await node.wait(name, is_ready)
    assert (directory / "file").stat().st_gid == group
    await node.delete(name)
