"""`python -m bench.store`: what the store alone does, without TLS, HTTP and JSON around it.

Commits per second at 1, 16 and 64 writers (an fsync is inside each), the list of 17,000 objects, its pages at an old
revision, one write to 1,000 watchers of one key, a replay at start, and what recording the ownership of a pod's fields
costs. The database lies under --dir, best on the disk that matters.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from bench.report import Report
from pynetes.machinery import wire
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import apply
from pynetes.storage.interface import Draft
from pynetes.storage.memory import MemoryStore
from pynetes.storage.sqlite import SqliteStore

WRITERS = (1, 16, 64)
OBJECTS = 17_000
WATCHERS = 1_000
PAGE = 500


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__.split("\n\n")[0])
    parser.add_argument("--dir", default=None, help="where the database is made (default: the temporary directory)")
    parser.add_argument("--writes", type=int, default=20_000, help="writes at each number of writers")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        uvloop.run(measure(Path(folder) / "store.db", options.writes, report))
    measure_ownership(report)
    print(report.table())


async def measure(path: Path, writes: int, report: Report) -> None:
    """Everything that needs a store, in one database."""
    store = SqliteStore(path)
    for writers in WRITERS:
        await measure_writes(store, writers, writes if writers > 1 else writes // 5, report)
    busy = asyncio.ensure_future(other_work())
    await measure_writes(store, 16, writes, report, " and a busy loop")
    busy.cancel()
    await measure_list(store, report)
    await measure_watchers(store, report)
    await store.close()
    begun = time.perf_counter()
    store = SqliteStore(path)
    report.add(f"replay of {store.revision:,} writes", (time.perf_counter() - begun) * 1e3, "ms")
    await store.close()


async def other_work() -> None:
    """What keeps the event loop of a loaded API server from ever being idle."""
    while True:
        sum(range(10_000))
        await asyncio.sleep(0)


async def measure_writes(store: MemoryStore, writers: int, writes: int, report: Report, aside: str = "") -> None:
    """Creates of a 1.4 kB object by concurrent writers; every one is durable when it returns."""
    numbers = iter(range(writes))
    waits: list[float] = []

    async def write() -> None:
        for number in numbers:
            begun = time.perf_counter()
            await store.create(f"/core/pods/bench-{writers}{aside}/pod-{number}", draft_of(1400))
            waits.append(time.perf_counter() - begun)

    begun, burned = time.perf_counter(), time.process_time()
    await asyncio.gather(*(write() for _ in range(writers)))
    elapsed, burned = time.perf_counter() - begun, time.process_time() - burned
    waits.sort()
    report.add(f"commits, {writers} writers{aside}", writes / elapsed, "per second")
    report.add(f"commits, {writers} writers{aside}: median wait", waits[len(waits) // 2] * 1e3, "ms")
    report.add(f"commits, {writers} writers{aside}: 99th percentile", waits[len(waits) * 99 // 100] * 1e3, "ms")
    report.add(f"commits, {writers} writers{aside}: processor time", burned / writes * 1e6, "µs each")


async def measure_list(store: MemoryStore, report: Report) -> None:
    """One list of 17,000 small objects as the server joins it, and its pages while others write."""
    prefix = "/core/configmaps/"
    await asyncio.gather(*(store.create(f"{prefix}ns-{i % 10}/map-{i}", draft_of(700)) for i in range(OBJECTS)))
    seconds = best_of(5, lambda: b",".join([record.value for record in store.list(prefix).records]))
    report.add(f"list of {OBJECTS:,} objects", seconds * 1e3, "ms")
    report.add("list of one namespace of ten", best_of(5, lambda: store.list(f"{prefix}ns-3/")) * 1e3, "ms")
    page = store.list(prefix, limit=PAGE)
    revision = page.revision
    pages: list[float] = []
    while page.continue_key:
        await store.create(f"{prefix}later/map-{len(pages)}", draft_of(700))
        begun = time.perf_counter()
        page = store.list(prefix, at=revision, start_after=page.continue_key, limit=PAGE)
        pages.append(time.perf_counter() - begun)
    report.add(f"page of {PAGE} at an old revision: the first", pages[0] * 1e3, "ms")
    report.add(f"page of {PAGE} at an old revision: the others", sum(pages[1:]) / (len(pages) - 1) * 1e3, "ms")


async def measure_watchers(store: MemoryStore, report: Report) -> None:
    """From the call of one write to the last watcher's holding the bytes."""
    key = "/core/configmaps/watched/map"
    record = await store.create(key, draft_of(700))
    waits = []
    for _ in range(10):
        watches = [store.watch(key, store.revision) for _ in range(WATCHERS)]
        readers = [asyncio.ensure_future(watch.batch()) for watch in watches]
        await asyncio.sleep(0)
        begun = time.perf_counter()
        record = await store.update(key, draft_of(700), record.revision)
        frames = {id(event.frame()) for events in await asyncio.gather(*readers) for event in events}
        waits.append(time.perf_counter() - begun)
        assert len(frames) == 1, "the watchers did not share one frame"
        for watch in watches:
            watch.close()
    report.add(f"one write to {WATCHERS:,} watchers", min(waits) * 1e3, "ms")


def measure_ownership(report: Report) -> None:
    """`managedFields` of a created pod, and of a status update to it."""
    pod = example_pod()
    definition, now = "io.k8s.api.core.v1.Pod", "2026-01-01T00:00:00Z"

    def create() -> Obj:
        new = {**pod, "metadata": dict(pod["metadata"])}
        apply.update_managed_fields(None, new, "bench", "Update", definition, now, "v1")
        return new

    created = create()
    created["metadata"]["uid"] = "u"
    running = wire.decode(wire.encode(created)) | {"status": {"phase": "Running", "podIP": "10.0.0.1"}}

    def update() -> None:
        new = {**running, "metadata": dict(running["metadata"])}
        apply.update_managed_fields(created, new, "kubelet", "Update", definition, now, "v1", "status")

    report.add(f"managed fields of a created pod of {len(wire.encode(pod)):,} B", best_of(2000, create) * 1e6, "µs")
    report.add("managed fields of a pod's status update", best_of(2000, update) * 1e6, "µs")


def best_of(times: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""

    def runs() -> Iterator[float]:
        for _ in range(times):
            begun = time.perf_counter()
            work()
            yield time.perf_counter() - begun

    return min(runs())


def draft_of(size: int) -> Draft:
    """A value of about `size` bytes, with labels and a field as pods have them."""
    padding = b'","padding":"' + b"x" * (size - 100) + b'"}'
    return Draft(b'{"kind":"Bench","metadata":{"resourceVersion":"', padding, {"app": "bench"}, {"spec.nodeName": "n"})


def example_pod() -> Obj:
    """A pod as a ReplicaSet's controller creates it and admission completes it."""
    token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    probe = {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10}
    mount = {"name": "api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    container = {
        "name": "web",
        "image": "nginx:1.25",
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "volumeMounts": [mount],
        "livenessProbe": probe,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9", "uid": "0", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-5d4f8c7b9-abcde",
            "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9"},
            "ownerReferences": [owner],
        },
        "spec": {
            "containers": [container],
            "volumes": [{"name": "api-access", "projected": {"sources": [token], "defaultMode": 420}}],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
    }


if __name__ == "__main__":
    main()
