"""Controllers against a real API server, in this process, with nodes that are played.

`world` is a server, all controllers and a `Nodes` that does what kubelets and the scheduler would: it places pods,
reports them running (or whatever a test's script says) and ends those that are deleted.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pynetes.client.client import Client
from pynetes.client.informer import Informer
from pynetes.controllers.main import run
from pynetes.controllers.options import Options
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.testing.apiserver import running_apiserver

Script = Callable[[Obj], str]
"""What becomes of a pod: `Running` (and ready), `NotReady`, `Pending`, `Succeeded` or `Failed`."""


def finished(exit_code: int) -> dict[str, Any]:
    now = clock.timestamp()
    return {"terminated": {"exitCode": exit_code, "finishedAt": now, "startedAt": now}}


class Nodes:
    """Plays scheduler and kubelets."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.script: Script = lambda pod: "Running"
        self.keep_deleted = False
        self.names = ["node-1"]
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        informer = Informer(self.client, "pods")
        informer.on_change(self._changed)
        await informer.run()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            task = asyncio.get_running_loop().create_task(self.tend(new))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def tend(self, pod: Obj) -> None:
        with contextlib.suppress(StatusError, ConnectionError):
            if meta.is_deleting(pod):
                if not self.keep_deleted:
                    await self.client.delete(
                        "pods", meta.name(pod), meta.namespace(pod), uid=meta.uid(pod), grace_period_seconds=0
                    )
                return
            if not pod["spec"].get("nodeName"):
                await self._bind(pod)
                return
            wanted = self.script(pod)
            if pod.get("status", {}).get("phase") in ("Succeeded", "Failed") or wanted == "Pending":
                return
            status = self.status(wanted)
            if self._shows(pod) == wanted:
                return
            await self.client.patch(
                "pods",
                meta.name(pod),
                {"metadata": {"uid": meta.uid(pod)}, "status": status},
                meta.namespace(pod),
                type="strategic",
                subresource="status",
            )

    async def _bind(self, pod: Obj) -> None:
        target = self.names[0]
        terms = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
        required = terms.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
        for term in required.get("nodeSelectorTerms") or []:
            for requirement in term.get("matchFields") or []:
                target = requirement["values"][0]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta.name(pod), "namespace": meta.namespace(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": target},
        }
        await self.client.create("pods", body, meta.namespace(pod), name=meta.name(pod), subresource="binding")

    @staticmethod
    def _shows(pod: Obj) -> str:
        status = pod.get("status", {})
        if status.get("phase") == "Running":
            return "Running" if meta.is_condition_true(pod, "Ready") else "NotReady"
        return status.get("phase", "")

    def status(self, wanted: str) -> Obj:
        self._count += 1
        ready = wanted == "Running"
        phase = "Running" if wanted == "NotReady" else wanted
        address = f"10.244.{self._count // 250}.{self._count % 250 + 1}"
        state = {"Succeeded": finished(0), "Failed": finished(1)}.get(
            phase, {"running": {"startedAt": clock.timestamp()}}
        )
        container = {
            "name": "app",
            "ready": ready,
            "restartCount": 0,
            "image": "app",
            "imageID": "",
            "state": state,
        }
        return {
            "phase": phase,
            "startTime": clock.timestamp(),
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "lastTransitionTime": clock.timestamp(),
                }
            ],
            "containerStatuses": [container],
        }

    async def retend(self) -> None:
        """Look at every pod again, after the script has changed."""
        for pod in (await self.client.list("pods")).items:
            await self.tend(pod)


@dataclass
class World:
    """The server, seen by an administrator."""

    client: Client
    nodes: Nodes
    server: Any
    namespace: str = "default"
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def eventually(self, check: Callable[[], Awaitable[Any]], seconds: float = 15.0) -> Any:
        """Wait until `check` returns something true; what is not there yet may raise.

        The patience is with this machine, so it is counted in its time, however fast the test's clock runs.
        """
        now = asyncio.get_running_loop().time
        end = now() + seconds
        last: Any = None
        while True:
            try:
                last = await check()
                if last:
                    return last
            except (StatusError, ConnectionError, AssertionError, ValueError, KeyError) as error:
                last = error
            if now() > end:
                raise AssertionError(f"still not so after {seconds} s: {last!r}")
            await asyncio.sleep(0.05)

    async def create(self, resource: str, obj: Obj) -> Obj:
        return await self.client.create(resource, obj, None if "namespace" in obj["metadata"] else self.namespace)

    async def get(self, resource: str, name: str) -> Obj:
        return await self.client.get(
            resource, name, None if resource in ("namespaces", "nodes", "persistentvolumes") else self.namespace
        )

    async def patch(self, resource: str, name: str, patch: Obj) -> Obj:
        return await self.client.patch(resource, name, patch, self.namespace)

    async def names(self, resource: str, **selection: Any) -> list[str]:
        found = await self.client.list(resource, self.namespace, **selection)
        return sorted(meta.name(obj) for obj in found.items)

    async def items(self, resource: str, **selection: Any) -> list[Obj]:
        return (await self.client.list(resource, self.namespace, **selection)).items

    async def events(self, reason: str) -> list[str]:
        return [e["message"] for e in await self.items("events") if e["reason"] == reason]

    async def gone(self, resource: str, name: str) -> bool:
        try:
            await self.get(resource, name)
        except StatusError as error:
            return error.code == 404
        return False

    async def add_node(self, name: str, **spec: Any) -> Obj:
        node = {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": spec}
        made = await self.client.create("nodes", node)
        await self.report_node(name)
        return made

    async def report_node(self, name: str, ready: str = "True") -> None:
        now = clock.timestamp()
        condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": now, "lastTransitionTime": now}
        await self.client.patch(
            "nodes", name, {"status": {"conditions": [condition]}}, type="strategic", subresource="status"
        )


@pytest.fixture
async def world(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    marker = request.node.get_closest_marker("options")
    options = Options(leader_elect=False, cluster_cidr=["10.244.0.0/16"], use_service_account_credentials=True)
    for name, value in (marker.kwargs if marker else {}).items():
        setattr(options, name, value(request) if callable(value) else value)
    async with running_apiserver() as server:
        client = server.client()
        stop = asyncio.Event()
        nodes = Nodes(client)
        caplog.set_level(logging.DEBUG, logger="pynetes.controllers")
        controllers = asyncio.create_task(run(options, stop, server.client("system:kube-controller-manager", ())))
        player = asyncio.create_task(nodes.run())
        made = World(client, nodes, server)
        try:
            await made.add_node("node-1")
            await made.eventually(lambda: client.get("serviceaccounts", "default", "default"))
            yield made
        finally:
            player.cancel()
            await asyncio.gather(player, return_exceptions=True)
            stop.set()
            await controllers
            forbidden = {r.getMessage() for r in caplog.records if "is forbidden: User" in r.getMessage()}
            assert not forbidden, forbidden


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "speed(factor): how fast the clock runs")
    config.addinivalue_line("markers", "options(**values): settings of the controllers in `world`")


def template(labels: dict[str, str], **spec: Any) -> Obj:
    """A pod template with one container named app."""
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}], **spec}}


@pytest.fixture
def deployment() -> Callable[..., Obj]:
    def make(name: str = "web", replicas: int = 3, **spec: Any) -> Obj:
        labels = {"app": name}
        return {
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(labels), **spec},
        }

    return make
