"""The API server alone: reads, writes, a large list, one write seen by many watchers."""

import asyncio
import json

from bench.http import Connection, Run, Target, connect, load
from bench.report import Report
from pynetes.client.client import Client
from pynetes.machinery import clock

NAMESPACE = "pynetes-bench"
CONNECTIONS = 16
GETS, CREATES, OBJECTS, WATCHERS = 30_000, 10_000, 17_000, 1_000
BASE = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


def config_map(name: str, size: int = 400) -> bytes:
    """A ConfigMap of about 750 bytes once stored: 17,000 of them make a list of 12.8 MB."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"app": "bench"}},
            "data": {"value": "x" * size},
        }
    ).encode()


async def with_namespace(kubeconfig: str, target: Target, parts: list[str], scale: int, report: Report) -> None:
    """Run the chosen parts in a namespace that is removed afterwards."""
    async with Client.from_kubeconfig(kubeconfig) as client:
        await client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        try:
            if "api" in parts:
                await reads_and_writes(target, scale, report)
            if "list" in parts:
                await large_list(target, scale, report)
            if "watch" in parts:
                await fan_out(target, scale, report)
        finally:
            await client.delete("namespaces", NAMESPACE)


def _tell(report: Report, what: str, run: Run) -> None:
    report.add(f"{what}, {CONNECTIONS} connections", run.per_second, "per second")
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        report.add(f"{what} latency {name}", run.percentile(share), "ms")


async def reads_and_writes(target: Target, scale: int, report: Report) -> None:
    """GET of one object and CREATE of many, both through TLS."""
    await load(target, 1, 1, lambda _: target.request("POST", BASE, config_map("one")), 201)
    get = target.request("GET", f"{BASE}/one")
    await load(target, 500, CONNECTIONS, lambda _: get, 200)
    _tell(report, "GET", await load(target, GETS // scale, CONNECTIONS, lambda _: get, 200))
    run = await load(
        target, CREATES // scale, CONNECTIONS, lambda n: target.request("POST", BASE, config_map(f"c{n}")), 201
    )
    _tell(report, "CREATE (durable)", run)


async def large_list(target: Target, scale: int, report: Report) -> None:
    """LIST of all ConfigMaps of the namespace, filled up to 17,000."""
    connection = await connect(target)
    connection.keep_body = True
    await connection.ask(target.request("GET", BASE))
    have = len(json.loads(bytes(connection.body))["items"])
    connection.keep_body = False
    wanted = OBJECTS // scale
    if have < wanted:
        await load(
            target,
            wanted - have,
            CONNECTIONS,
            lambda n: target.request("POST", BASE, config_map(f"l{n}")),
            201,
        )
    times, size = [], 0
    for _ in range(10):
        began = clock.monotonic()
        status, size = await connection.ask(target.request("GET", BASE))
        times.append(clock.monotonic() - began)
        assert status == 200
    connection.transport.close()
    report.add(f"LIST of {max(have, wanted):,} ConfigMaps ({size / 1e6:.1f} MB), median", sorted(times)[5] * 1000, "ms")


async def fan_out(target: Target, scale: int, report: Report) -> None:
    """One write until the last of many watchers has it; the median of ten writes."""
    count = WATCHERS // scale
    waiting = {"left": 0}
    done = asyncio.Event()
    needle = b'"marker"'

    def watcher() -> "asyncio.Task[Connection]":
        return asyncio.ensure_future(connect(target))

    connections: list[Connection] = []
    for _ in range(0, count, 50):
        connections += await asyncio.gather(*(watcher() for _ in range(min(50, count - len(connections)))))

    def receive(data: bytes) -> None:
        if needle in data:
            waiting["left"] -= 1
            if waiting["left"] == 0:
                done.set()

    path = f"{BASE}?watch=1&fieldSelector=metadata.name%3Dmarker"
    for connection in connections:
        connection.stream(target.request("GET", path), receive)
    writer = await connect(target)
    times = []
    waiting["left"] = count
    await writer.ask(target.request("POST", BASE, config_map("marker", 10)))
    await clock.wait_for(done.wait(), 60)
    for number in range(10):
        done.clear()
        waiting["left"] = count
        began = clock.monotonic()
        await writer.ask(target.request("PUT", f"{BASE}/marker", config_map("marker", 10 + number + 1)))
        await clock.wait_for(done.wait(), 60)
        times.append(clock.monotonic() - began)
    for connection in [*connections, writer]:
        connection.transport.close()
    report.add(f"one write to the last of {count:,} watchers, median", sorted(times)[5] * 1000, "ms")
