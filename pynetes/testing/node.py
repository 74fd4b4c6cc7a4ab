"""A node for tests: a real API server, a real containerd and our kubelet, in a network of their own.

The test process enters a fresh network namespace for the module, so nothing it does reaches the host's network. The
image is a static busybox, written by our own image writer.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetes.client.client import Client
from pynetes.cluster import oci
from pynetes.cluster.containerd import Containerd
from pynetes.kubelet import mounts
from pynetes.kubelet.kubelet import Kubelet
from pynetes.kubelet.options import Options
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.testing.apiserver import RunningApiServer, running_apiserver

CLONE_NEWNET = 0x40000000
BUSYBOX = "pynetes.local/busybox:1"
NON_ROOT = "pynetes.local/nonroot:1"
APPLETS = [
    "sh",
    "cat",
    "echo",
    "sleep",
    "ls",
    "id",
    "stat",
    "mount",
    "wget",
    "httpd",
    "nc",
    "true",
    "false",
    "test",
    "env",
    "touch",
    "mkdir",
    "rm",
    "ln",
    "grep",
    "hostname",
    "readlink",
    "date",
    "ps",
    "kill",
    "head",
    "dd",
    "seq",
    "printf",
    "nslookup",
    "sysctl",
    "tail",
]

CNI = """{
  "cniVersion": "0.4.0", "name": "test",
  "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
              "dataDir": "%s"}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}"""


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts, in a new network namespace with a loopback."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        libc.setns(before, CLONE_NEWNET)
        os.close(before)


def busybox_files() -> dict[str, oci.File]:
    files = {"/bin/busybox": oci.File(Path(shutil.which("busybox") or "/bin/busybox"), mode=0o755)}
    files |= {f"/bin/{name}": oci.File(link="busybox") for name in APPLETS}
    files |= {"/etc/passwd": oci.File(b"root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n")}
    files |= {"/etc/group": oci.File(b"root:x:0:\napp:x:1000:\n")}
    files |= {"/tmp": oci.File(mode=0o1777, directory=True), "/www": oci.File(mode=0o755, directory=True)}
    return files


@dataclass
class Node:
    """What tests talk to."""

    client: Client
    server: RunningApiServer
    containerd: Containerd
    options: Options
    kubelet_client: Client
    kubelet: Kubelet
    task: asyncio.Task[None]

    async def restart_kubelet(self) -> None:
        """As a crash would: everything in memory is lost, containers run on."""
        await self.stop_kubelet()
        self.kubelet = Kubelet(self.options, self.kubelet_client)
        self.task = asyncio.ensure_future(self.kubelet.run())

    async def stop_kubelet(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def create(self, pod: Obj) -> Obj:
        return await self.client.create("pods", pod)

    async def get(self, name: str) -> Obj:
        return await self.client.get("pods", name, "default")

    async def wait(self, name: str, condition: Callable[[Obj], Any], seconds: float = 20.0) -> Obj:
        """The pod once the condition holds; woken by a watch."""
        pod = await self.get(name)

        async def watch() -> Obj:
            nonlocal pod
            if condition(pod):
                return pod
            async for _, found in self.client.watch(
                "pods",
                "default",
                field_selector=f"metadata.name={name}",
                resource_version=pod["metadata"]["resourceVersion"],
            ):
                pod = found
                if condition(pod):
                    return pod
            raise AssertionError("the watch ended")

        try:
            return await clock.wait_for(watch(), seconds)
        except TimeoutError:
            raise AssertionError(f"not in time; status: {pod.get('status')}; {await self.events(name)}") from None

    async def delete(self, name: str, grace: int | None = None, seconds: float = 20.0) -> None:
        """Delete a pod and wait until it is gone."""
        with contextlib.suppress(StatusError):
            await self.client.delete("pods", name, "default", grace_period_seconds=grace)
        deadline = clock.monotonic() + seconds
        while clock.monotonic() < deadline:
            try:
                pod = await self.get(name)
            except StatusError:
                return
            await clock.sleep(0.05)
        raise AssertionError(f"{name} is still there: {pod}")

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of every event about the pod."""
        await self.kubelet.events.flush()
        found = await self.client.list("events", "default", field_selector=f"involvedObject.name={name}")
        return [(event["reason"], event["message"]) for event in found.items]

    async def exec(self, pod: Obj, *command: str, container: str | None = None) -> str:
        """Run a command in a running container."""
        name = container or pod["spec"]["containers"][0]["name"]
        statuses = [*pod["status"]["containerStatuses"], *pod["status"].get("initContainerStatuses", [])]
        container_id = next(s["containerID"] for s in statuses if s["name"] == name).rpartition("/")[2]
        result = await self.kubelet.runtime.exec_sync(container_id, list(command), 10)
        assert result.exit_code == 0, (result.stdout, result.stderr)
        return result.stdout.decode()


@contextlib.asynccontextmanager
async def running_node() -> AsyncIterator[Node]:
    """A cluster of one node, without controllers and scheduler: pods must name the node."""
    directory = Path(tempfile.mkdtemp(prefix="pynetes-kubelet-"))
    containerd = Containerd(directory / "containerd", directory / "c.sock", cni_conf_dir=directory / "cni")
    with own_network():
        await containerd.start()
        try:
            oci.write_pause_image(directory / "pause.tar", containerd.sandbox_image)
            config = oci.ImageConfig(command=["sleep", "3600"], env={"PATH": "/bin"})
            oci.write_image(directory / "busybox.tar", BUSYBOX, busybox_files(), config)
            config = oci.ImageConfig(command=["sleep", "3600"], env={"PATH": "/bin"}, user="app")
            oci.write_image(directory / "nonroot.tar", NON_ROOT, busybox_files(), config)
            for archive in ("pause", "busybox", "nonroot"):
                await containerd.import_image(directory / f"{archive}.tar")
            (directory / "cni" / "10-test.conflist").write_text(CNI % (directory / "ipam"))
            (directory / "resolv.conf").write_text("nameserver 192.0.2.53\nsearch example.org\noptions timeout:1\n")
            async with running_apiserver() as server:
                client = server.client()
                await client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
                root = {"metadata": {"name": "kube-root-ca.crt", "namespace": "default"}}
                await client.create("configmaps", {**root, "data": {"ca.crt": server.ca_file.read_text()}})
                certificate, key = server.authority.ensure(
                    "kubelet-test", "node-1", dns=("node-1",), addresses=("127.0.0.1",), server=True, client=False
                )
                options = Options(
                    hostname_override="node-1",
                    node_ip=["127.0.0.1"],
                    root_dir=directory / "kubelet",
                    container_runtime_endpoint=f"unix://{containerd.socket}",
                    cgroup_root=f"/pynetes-test-{os.getpid()}",
                    cluster_dns=["10.96.0.10"],
                    resolv_conf=str(directory / "resolv.conf"),
                    port=10250,
                    tls_cert_file=str(certificate),
                    tls_private_key_file=str(key),
                    client_ca_file=str(server.ca_file),
                )
                identity = server.client("system:node:node-1", ("system:nodes",))
                kubelet = Kubelet(options, identity)
                task = asyncio.ensure_future(kubelet.run())
                made = Node(client, server, containerd, options, identity, kubelet, task)
                await _ready(made)
                yield made
                await made.stop_kubelet()
                await containerd.remove_pods()
                await kubelet.context.cgroups.remove_all()
        finally:
            await containerd.delete()
            mounts.unmount_below(directory)
            shutil.rmtree(directory, ignore_errors=True)


async def _ready(node: Node) -> None:
    deadline = clock.monotonic() + 15
    while clock.monotonic() < deadline:
        if node.task.done():
            node.task.result()
        with contextlib.suppress(StatusError):
            if meta.is_condition_true(await node.client.get("nodes", "node-1"), "Ready"):
                return
        await clock.sleep(0.05)
    raise AssertionError(
        f"the node is not ready: {node.kubelet.node.runtime_problem} {node.kubelet.node.network_problem}"
    )


def make_pod(name: str, *command: str, **spec: Any) -> Obj:
    """A pod of one busybox container, bound to the node; `spec` overrides, `container` adds to the container."""
    container = {"name": "app", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", **spec.pop("container", {})}
    if command:
        container["command"] = list(command)
    metadata = {"name": name, "namespace": "default", **spec.pop("metadata", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeName": "node-1",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [container],
            **spec,
        },
    }


def state(pod: Obj, name: str = "app") -> Obj:
    """The state of a container."""
    statuses = [
        *pod.get("status", {}).get("containerStatuses", []),
        *pod.get("status", {}).get("initContainerStatuses", []),
    ]
    return next((status["state"] for status in statuses if status["name"] == name), {})


def is_ready(pod: Obj) -> bool:
    return meta.is_condition_true(pod, "Ready")
