"""The client, its informers, events and leader election against a real API server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pynetes.client.client import Client, Unreachable
from pynetes.client.discovery import discover
from pynetes.client.events import EventRecorder
from pynetes.client.informer import Informer, InformerFactory
from pynetes.client.leader import LeaderConfig, LeaderElector, LeadershipLost
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.testing.apiserver import RunningApiServer, running_apiserver


@pytest.fixture
async def server() -> AsyncIterator[RunningApiServer]:
    async with running_apiserver() as made:
        yield made


@pytest.fixture
async def client(server: RunningApiServer) -> Client:
    return server.client()


@contextlib.asynccontextmanager
async def running(informer: Informer | InformerFactory) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(check: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    for _ in range(int(seconds / 0.02)):
        result = check()
        if await result if isinstance(result, Awaitable) else result:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not so after {seconds} s")


def config(name: str, **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


async def test_the_verbs(client: Client) -> None:
    made = await client.create("configmaps", config("a", k="1"), "default")
    assert made["kind"] == "ConfigMap"
    made["data"] = {"k": "2"}
    assert (await client.update("configmaps", made))["data"] == {"k": "2"}
    assert (await client.patch("configmaps", "a", {"data": {"x": "y"}}, "default"))["data"] == {"k": "2", "x": "y"}
    operations: list[Obj] = [{"op": "remove", "path": "/data/k"}]
    patched = await client.patch("configmaps", "a", operations, "default", type="json")
    assert patched["data"] == {"x": "y"}
    assert (await client.get("configmaps", "a", "default"))["data"] == {"x": "y"}
    (found,) = (await client.list("configmaps", "default")).items
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")
    with pytest.raises(StatusError) as stale:
        await client.update("configmaps", made)
    assert stale.value.reason == "Conflict"
    with pytest.raises(StatusError) as other:
        await client.delete("configmaps", "a", "default", uid=meta.new_uid())
    assert other.value.code == 409
    await client.delete("configmaps", "a", "default", uid=meta.uid(found))
    with pytest.raises(StatusError) as gone:
        await client.get("configmaps", "a", "default")
    assert (gone.value.code, gone.value.message) == (404, 'configmaps "a" not found')


async def test_lists_come_in_pages_and_as_metadata(client: Client) -> None:
    for number in range(5):
        await client.create("configmaps", config(f"c{number}", k="v"), "default")
    page = await client.list("configmaps", "default", limit=2)
    assert [meta.name(obj) for obj in page.items] == ["c0", "c1"]
    assert page.remaining == 3
    rest = await client.list("configmaps", "default", continue_token=page.continue_token)
    assert [meta.name(obj) for obj in rest.items] == ["c2", "c3", "c4"]
    (first, *_) = (await client.list("configmaps", "default", metadata_only=True)).items
    assert "data" not in first
    assert meta.name(first) == "c0"


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(Unreachable):
            await client.get("nodes", "n")


async def test_discovery_names_what_is_served(client: Client) -> None:
    found = await discover(client)
    assert not found.failed
    by_name = {rt.group_resource: rt for rt in found.resources}
    assert by_name["deployments.apps"].kind == "Deployment"
    assert by_name["pods"].namespaced
    assert not by_name["nodes"].namespaced
    assert "watch" in by_name["pods"].verbs


async def test_an_informer_follows_and_indexes(client: Client) -> None:
    await client.create("configmaps", config("before"), "default")
    informer = Informer(client, "configmaps", "default", indexers={"kind": lambda obj: [*(obj.get("data") or {})]})
    seen: list[tuple[str, str]] = []
    informer.on_change(lambda old, new: seen.append((meta.name(old or {}), meta.name(new or {}))))
    async with running(informer):
        await informer.synced()
        await client.create("configmaps", config("a", red="1"), "default")
        await until(lambda: informer.get("default/a") is not None)
        assert [meta.name(o) for o in informer.by_index("kind", "red")] == ["a"]
        await client.patch("configmaps", "a", {"data": {"red": None, "blue": "1"}}, "default")
        await until(lambda: bool(informer.by_index("kind", "blue")))
        assert informer.by_index("kind", "red") == []
        await client.delete("configmaps", "a", "default")
        await until(lambda: informer.get("default/a") is None)
    assert informer.by_index("kind", "blue") == []
    assert seen == [("", "before"), ("", "a"), ("a", "a"), ("a", "")]
    cached = informer.get("default/before")
    assert cached is not None
    assert "managedFields" not in cached["metadata"]


async def test_a_late_listener_is_told_what_is_there(client: Client) -> None:
    await client.create("configmaps", config("a"), "default")
    informer = Informer(client, "configmaps", "default")
    async with running(informer):
        await informer.synced()
        told: list[str] = []
        informer.on_change(lambda old, new: told.append(meta.name(new or {})))
        assert told == ["a"]


class Cuttable:
    """A TCP relay whose connections can be cut, to play a server that goes away."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, up_writer}

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def test_an_informer_resumes_after_a_lost_connection_without_listing_again(server: RunningApiServer) -> None:
    relay = Cuttable(server.server.port)
    await relay.start()
    direct = server.client()
    through = Client.from_kubeconfig(server.admin_kubeconfig)
    url = f"https://127.0.0.1:{relay.port}"
    cut_off = Client(url, ca_data=through.connection.ca_data, cert=through.connection.cert, key=through.connection.key)
    informer = Informer(cut_off, "configmaps", "default")
    events: list[str] = []
    informer.on_change(lambda old, new: events.append(f"{meta.name(old or {})}>{meta.name(new or {})}"))
    try:
        async with running(informer):
            await informer.synced()
            await direct.create("configmaps", config("a"), "default")
            await until(lambda: informer.get("default/a") is not None)
            await relay.cut()
            await direct.create("configmaps", config("b"), "default")
            await direct.delete("configmaps", "a", "default")
            await asyncio.sleep(0.3)
            await relay.start()
            await until(lambda: informer.get("default/b") is not None and informer.get("default/a") is None)
        assert informer.lists == 1
        assert events == [">a", ">b", "a>"]
    finally:
        await relay.cut()
        await cut_off.close()


async def test_an_informer_lists_again_when_its_revision_is_gone(client: Client) -> None:
    informer = Informer(client, "configmaps", "default")
    changes: list[str] = []
    informer.on_change(lambda old, new: changes.append(f"{meta.name(old or {})}>{meta.name(new or {})}"))
    async with running(informer):
        await informer.synced()
        await client.create("configmaps", config("a"), "default")
        await until(lambda: informer.get("default/a") is not None)
    original = client.watch
    calls = 0

    async def expired(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StatusError(410, "Expired", "too old resource version")
        async for item in original(*arguments, **more):
            yield item

    client.watch = expired  # type: ignore[method-assign]  # play a server that has forgotten
    await client.delete("configmaps", "a", "default")
    await client.create("configmaps", config("b"), "default")
    async with running(informer):
        await until(lambda: informer.get("default/b") is not None)
    assert informer.lists == 2
    assert informer.get("default/a") is None
    assert changes == [">a", "a>", ">b"]


async def test_a_factory_shares_informers_and_starts_late_ones(client: Client) -> None:
    factory = InformerFactory(client)
    first = factory.get("configmaps")
    assert factory.get("configmaps") is first
    assert factory.get("configmaps", metadata_only=True) is first
    async with running(factory):
        await factory.wait_synced()
        late = factory.get("secrets", metadata_only=True)
        await asyncio.wait_for(late.synced(), 5)
        assert late is not first


async def test_the_same_event_again_is_counted(client: Client) -> None:
    recorder = EventRecorder(client, "tester", host="h")
    subject = await client.create("configmaps", config("a"), "default")
    for _ in range(3):
        recorder.event(subject, "Normal", "Tested", "it works")
    await recorder.flush()
    (event,) = (await client.list("events", "default")).items
    assert (event["count"], event["reason"], event["message"], event["type"]) == (3, "Tested", "it works", "Normal")
    assert event["source"] == {"component": "tester", "host": "h"}
    assert event["reportingComponent"] == "tester"
    assert event["involvedObject"]["uid"] == meta.uid(subject)
    assert meta.name(event).startswith("a.")


async def test_an_instance_tells_of_a_series(client: Client) -> None:
    recorder = EventRecorder(client, "tester", instance="tester-h")
    subject = await client.create("configmaps", config("a"), "default")
    for _ in range(3):
        recorder.event(subject, "Normal", "Tested", "it works", action="Testing")
    await recorder.flush()
    (event,) = (await client.list("events", "default")).items
    assert (event["reportingComponent"], event["reportingInstance"], event["action"]) == (
        "tester",
        "tester-h",
        "Testing",
    )
    assert event["series"]["count"] == 3 and event["eventTime"] and "count" not in event


async def test_many_similar_events_are_combined(client: Client) -> None:
    recorder = EventRecorder(client, "tester")
    subject = await client.create("configmaps", config("a"), "default")
    for number in range(14):
        recorder.event(subject, "Warning", "Failed", f"attempt {number}")
    await recorder.flush()
    events = (await client.list("events", "default")).items
    combined = [e for e in events if e["message"].startswith("(combined from similar events): ")]
    assert len(events) == 11
    assert [e["count"] for e in combined] == [4]


async def test_one_source_may_not_flood_one_object(client: Client) -> None:
    recorder = EventRecorder(client, "tester")
    subject = await client.create("configmaps", config("a"), "default")
    for number in range(40):
        recorder.event(subject, "Normal", f"Reason{number}", "x")
    await recorder.flush()
    assert len((await client.list("events", "default")).items) == 25


async def test_one_candidate_leads_and_the_next_follows_at_once_when_it_leaves(client: Client) -> None:
    leading: list[str] = []

    async def candidate(name: str, done: asyncio.Event) -> None:
        async def lead() -> None:
            leading.append(name)
            await done.wait()

        settings = LeaderConfig("lock", name, lease_duration=30, renew_deadline=20, retry_period=0.05)
        await LeaderElector(client, settings).run(lead)

    first_done, second_done = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(candidate("one", first_done))
    await until(lambda: leading == ["one"])
    second = asyncio.create_task(candidate("two", second_done))
    await asyncio.sleep(0.3)
    assert leading == ["one"]
    lease = await client.get("leases.coordination.k8s.io", "lock", "kube-system")
    assert lease["spec"]["holderIdentity"] == "one"
    first_done.set()
    await first
    await until(lambda: leading == ["one", "two"])
    lease = await client.get("leases.coordination.k8s.io", "lock", "kube-system")
    assert lease["spec"]["leaseTransitions"] >= 1
    second_done.set()
    await second


async def test_a_leader_that_cannot_renew_stops(client: Client) -> None:
    settings = LeaderConfig("lock", "one", lease_duration=2, renew_deadline=0.3, retry_period=0.05)
    stopped = asyncio.Event()

    async def lead() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    task = asyncio.create_task(LeaderElector(client, settings).run(lead))
    await asyncio.sleep(0.2)
    lease = await client.get("leases.coordination.k8s.io", "lock", "kube-system")
    lease["spec"] |= {"holderIdentity": "thief", "leaseDurationSeconds": 60}
    await client.update("leases.coordination.k8s.io", lease)
    with pytest.raises(LeadershipLost):
        await asyncio.wait_for(task, 5)
    assert stopped.is_set()
