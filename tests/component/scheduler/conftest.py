"""The scheduler against a real API server, in this process, with nodes that are only objects."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pynetes.client.client import Client
from pynetes.client.informer import Informer
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.scheduler.main import run
from pynetes.scheduler.options import Options
from pynetes.testing.apiserver import RunningApiServer, running_apiserver


@dataclass
class World:
    """A server, a scheduler, and short ways to make what it works on."""

    server: RunningApiServer
    client: Client
    stop: asyncio.Event

    async def node(self, name: str, cpu: str = "4", **metadata: Any) -> Obj:
        await self.client.create(
            "nodes", {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, **metadata}, "spec": {}}
        )
        amounts = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
        await self.client.patch("nodes", name, {"status": status}, subresource="status")
        return await self.client.patch("nodes", name, {"spec": {"taints": None}})

    async def pod(self, name: str, *, cpu: str | None = None, labels: Obj | None = None, **spec: Any) -> Obj:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu} if cpu else {}}}
        body = {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"containers": [container], "automountServiceAccountToken": False, **spec},
        }
        return await self.client.create("pods", body, namespace="default")

    async def until(self, name: str, wanted: Callable[[Obj], Any], resource: str = "pods") -> Obj:
        """The object once it is as wanted; without a name, any object of the resource."""
        informer = Informer(self.client, resource)
        found: asyncio.Future[Obj] = asyncio.get_running_loop().create_future()

        def look(old: Obj | None, new: Obj | None) -> None:
            if new is not None and (not name or meta.name(new) == name) and not found.done() and wanted(new):
                found.set_result(new)

        informer.on_change(look)
        task = asyncio.create_task(informer.run())
        try:
            return await asyncio.wait_for(found, 20)
        finally:
            task.cancel()

    async def placed(self, name: str) -> str:
        """The node the pod gets."""
        node: str = (await self.until(name, lambda pod: pod["spec"].get("nodeName")))["spec"]["nodeName"]
        return node

    async def refused(self, name: str, reason: str = "Unschedulable") -> str:
        """What its status says of why it has no node."""

        def condition(pod: Obj) -> Obj | None:
            found = meta.get_condition(pod, "PodScheduled")
            return found if found and found["status"] == "False" and found.get("reason") == reason else None

        said = condition(await self.until(name, condition))
        assert said is not None
        message: str = said["message"]
        return message


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_apiserver(disable_admission_plugins=["ServiceAccount"]) as server:
        stop = asyncio.Event()
        options = Options(
            kubeconfig=str(server.kubeconfig_for("system:kube-scheduler", ("system:authenticated",))),
            leader_elect=False,
        )
        task = asyncio.create_task(run(options, stop))
        yield World(server, server.client(), stop)
        stop.set()
        await task
