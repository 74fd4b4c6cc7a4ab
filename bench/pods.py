"""Pods on real nodes: from the write of a pod to the moment its status says Running."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.report import Report
from pynetes.client.client import Client
from pynetes.cluster import oci
from pynetes.machinery import clock, meta

IMAGE = "pynetes.bench/busybox:1"
NAMESPACE = "default"


def load_image(directory: Path, environment: dict[str, str], name: str) -> None:
    """Put an image with BusyBox on the nodes."""
    archive = directory / "busybox.tar"
    files = {"/bin/busybox": oci.File(Path("/bin/busybox"), mode=0o755)}
    oci.write_image(archive, IMAGE, files, oci.ImageConfig(entrypoint=["/bin/busybox"]))
    command = [sys.executable, "-m", "pynetes", "image", "load", "--name", name, str(archive)]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def pod(name: str) -> dict[str, Any]:
    """A pod that does nothing."""
    container = {"name": "c", "image": IMAGE, "args": ["sleep", "3600"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


async def running(client: Client, names: set[str], since: str) -> dict[str, float]:
    """When each of the pods was first seen Running, by the monotonic clock."""
    seen: dict[str, float] = {}
    events = client.watch("pods", namespace=NAMESPACE, resource_version=since)
    async with contextlib.aclosing(events):
        async for _, found in events:
            if (found.get("status") or {}).get("phase") == "Running" and meta.name(found) in names:
                seen.setdefault(meta.name(found), clock.monotonic())
                if len(seen) == len(names):
                    return seen
    return seen


async def first_pod(kubeconfig: str, attempt: str, began: float, report: Report) -> None:
    """The first pod of a cluster that was just started."""
    async with Client.from_kubeconfig(kubeconfig) as client:
        name = attempt.replace(" ", "-")
        while True:
            with contextlib.suppress(Exception):
                await client.get("serviceaccounts", "default", NAMESPACE)
                break
            await clock.sleep(0.05)
        made = await client.create("pods", pod(name), namespace=NAMESPACE)
        seen = await clock.wait_for(running(client, {name}, made["metadata"]["resourceVersion"]), 60)
        report.add(f"up: first pod Running, {attempt}", seen[name] - began, "s")
        await client.delete("pods", name, NAMESPACE)


async def create_to_running(kubeconfig: str, count: int, report: Report) -> None:
    """`count` pods, one after the other, then all at once."""
    async with Client.from_kubeconfig(kubeconfig) as client:
        times = []
        for number in range(count):
            name = f"serial-{number}"
            began = clock.monotonic()
            made = await client.create("pods", pod(name), namespace=NAMESPACE)
            seen = await clock.wait_for(running(client, {name}, made["metadata"]["resourceVersion"]), 60)
            times.append(seen[name] - began)
            await client.delete("pods", name, NAMESPACE)
        times.sort()
        report.add(f"pod create → Running, {count} in turn, median", times[len(times) // 2], "s")
        report.add(f"pod create → Running, {count} in turn, p99", times[min(int(count * 0.99), count - 1)], "s")
        names = {f"together-{number}" for number in range(count)}
        listed = await client.list("pods", NAMESPACE)
        watching = asyncio.ensure_future(running(client, names, listed.resource_version))
        began = clock.monotonic()
        await asyncio.gather(*(client.create("pods", pod(name), namespace=NAMESPACE) for name in names))
        seen = await clock.wait_for(watching, 300)
        report.add(f"{count} pods at once: the last Running", max(seen.values()) - began, "s")
        await client.delete_collection("pods", NAMESPACE)
