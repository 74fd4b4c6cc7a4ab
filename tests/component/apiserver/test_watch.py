"""Watches: where they begin, what they show under selectors, bookmarks, forms, and how they end."""

import asyncio
import json

import pytest

from pynetes.apiserver import watch
from pynetes.testing.apiserver import running_apiserver
from tests.component.apiserver.conftest import Http, Obj, configmap, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")


def seen(lines: list[Obj]) -> list[tuple[str, str]]:
    return [(line["type"], line["object"]["metadata"]["name"]) for line in lines]


async def test_a_watch_from_a_revision_shows_what_came_after(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("before"))
    version = (await http("GET", configmaps)).json["metadata"]["resourceVersion"]
    await http("POST", configmaps, configmap("a"))
    await http.patch(configmaps + "/a", {"data": {"a": "2"}})
    deleted = await http("DELETE", configmaps + "/a")
    assert deleted.status == 200
    lines = await http.watch(f"{configmaps}?watch=1&resourceVersion={version}", 3)
    assert seen(lines) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(line["object"]["metadata"]["resourceVersion"]) for line in lines]
    assert versions == sorted(set(versions)) and versions[0] > int(version), "a delete has a revision of its own"
    assert lines[2]["object"]["data"] == {"a": "2"}


@pytest.mark.parametrize("version", ["", "&resourceVersion=0"])
async def test_a_watch_without_a_revision_begins_with_what_is_there(http: Http, configmaps: str, version: str) -> None:
    for name in ("a", "b"):
        await http("POST", configmaps, configmap(name))
    assert seen(await http.watch(f"{configmaps}?watch=true{version}", 2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_the_old_watch_paths_work(http: Http, configmaps: str, namespace: str) -> None:
    await http("POST", configmaps, configmap("a"))
    path = f"/api/v1/watch/namespaces/{namespace}/configmaps"
    assert seen(await http.watch(path, 1)) == [("ADDED", "a")]
    await http("POST", configmaps, configmap("b"))
    assert seen(await http.watch(f"{path}/b", 1)) == [("ADDED", "b")]


async def test_an_object_that_leaves_the_selector_is_deleted(http: Http, configmaps: str) -> None:
    version = (await http("GET", configmaps)).json["metadata"]["resourceVersion"]
    await http("POST", configmaps, configmap("a", labels={"in": "yes"}))
    await http("POST", configmaps, configmap("never"))
    await http.patch(configmaps + "/a", {"data": {"a": "2"}})
    left = (await http.patch(configmaps + "/a", {"metadata": {"labels": {"in": "no"}}})).json
    await http.patch(configmaps + "/a", {"data": {"a": "3"}})
    await http.patch(configmaps + "/a", {"metadata": {"labels": {"in": "yes"}}})
    lines = await http.watch(f"{configmaps}?watch=1&resourceVersion={version}&labelSelector=in=yes", 4)
    assert [line["type"] for line in lines] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    shown = lines[2]["object"]["metadata"]
    assert shown["labels"] == {"in": "yes"}, "as it last matched"
    assert shown["resourceVersion"] == left["metadata"]["resourceVersion"], "at the revision at which it left"


async def test_a_kubelet_sees_its_own_pods(http: Http, pods: str) -> None:
    version = (await http("GET", pods)).json["metadata"]["resourceVersion"]
    await http("POST", pods, pod("other", nodeName="n2"))
    await http("POST", pods, pod("mine", nodeName="n1"))
    lines = await http.watch(f"{pods}?watch=1&resourceVersion={version}&fieldSelector=spec.nodeName=n1", 1)
    assert seen(lines) == [("ADDED", "mine")]


async def test_a_watch_of_one_object(http: Http, configmaps: str) -> None:
    for name in ("a", "b"):
        await http("POST", configmaps, configmap(name))
    assert seen(await http.watch(f"{configmaps}?watch=1&fieldSelector=metadata.name=b", 1)) == [("ADDED", "b")]


async def test_a_watch_ends_after_its_timeout(http: Http, configmaps: str) -> None:
    async with asyncio.timeout(3):
        answer = await http("GET", f"{configmaps}?watch=1&timeoutSeconds=1")
    assert (answer.status, answer.body) == (200, b"")


async def test_a_revision_that_was_compacted_is_an_error_event(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    store = http.server.server.store
    await store.compact(store.revision)
    lines = await http.watch(f"{configmaps}?watch=1&resourceVersion=1", 1)
    assert lines[0]["type"] == "ERROR"
    status = lines[0]["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


async def test_bookmarks_tell_how_far_the_watch_has_come(
    http: Http, configmaps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BOOKMARK_INTERVAL", 0.2)
    lines = await http.watch(f"{configmaps}?watch=1&allowWatchBookmarks=true", 1)
    assert lines[0]["type"] == "BOOKMARK"
    assert lines[0]["object"]["kind"] == "ConfigMap"
    assert int(lines[0]["object"]["metadata"]["resourceVersion"]) == http.server.server.store.revision


async def test_bookmarks_of_tables(http: Http, pods: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BOOKMARK_INTERVAL", 0.2)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    lines = await http.watch(f"{pods}?watch=1&allowWatchBookmarks=true", 1, accept=accept)
    table = lines[0]["object"]
    assert (lines[0]["type"], table["kind"]) == ("BOOKMARK", "Table")
    assert table["metadata"]["resourceVersion"] == table["rows"][0]["object"]["metadata"]["resourceVersion"]


async def test_a_watch_list_says_when_the_initial_events_end(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    lines = await http.watch(f"{configmaps}?{query}", 2)
    assert [line["type"] for line in lines] == ["ADDED", "BOOKMARK"]
    metadata = lines[1]["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) >= int(lines[0]["object"]["metadata"]["resourceVersion"])


async def test_a_list_that_is_streamed_comes_in_no_table(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    refused = await http("GET", f"{configmaps}?{query}", headers={"Accept": table})
    assert (refused.status, refused.json["reason"]) == (406, "NotAcceptable")
    lines = await http.watch(f"{configmaps}?{query}", 2, accept=f"{table},application/json")
    assert [line["object"]["kind"] for line in lines] == ["ConfigMap", "ConfigMap"]
    metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    lines = await http.watch(f"{configmaps}?{query}", 2, accept=f"{table},{metadata}")
    assert lines[1]["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("resourceVersionMatch=NotOlderThan", "is forbidden for watch unless sendInitialEvents is provided"),
        ("sendInitialEvents=true", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    ],
)
async def test_watch_options_that_contradict_are_refused(http: Http, configmaps: str, query: str, message: str) -> None:
    answer = await http("GET", f"{configmaps}?watch=1&{query}")
    assert answer.status == 422 and message in answer.message


async def test_tables_come_with_headers_once(http: Http, configmaps: str) -> None:
    for name in ("a", "b"):
        await http("POST", configmaps, configmap(name))
    lines = await http.watch(
        f"{configmaps}?watch=1", 2, accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    )
    first, second = (line["object"] for line in lines)
    assert first["kind"] == second["kind"] == "Table"
    assert len(first["columnDefinitions"]) == 3 and second["columnDefinitions"] is None
    assert second["rows"][0]["cells"][0] == "b"


async def test_metadata_only(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    lines = await http.watch(f"{configmaps}?watch=1", 1, accept=accept)
    assert lines[0]["object"]["kind"] == "PartialObjectMetadata" and "data" not in lines[0]["object"]


async def test_events_are_watched_in_either_version(http: Http, namespace: str) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p"},
        "reason": "Because",
        "message": "text",
        "type": "Normal",
    }
    await http("POST", f"/api/v1/namespaces/{namespace}/events", event)
    lines = await http.watch(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events?watch=1", 1)
    assert lines[0]["object"]["note"] == "text"


async def test_many_watchers_see_one_write(http: Http, configmaps: str) -> None:
    version = (await http("GET", configmaps)).json["metadata"]["resourceVersion"]
    path = f"{configmaps}?watch=1&resourceVersion={version}"
    watches = [asyncio.create_task(http.watch(path, 1)) for _ in range(100)]
    await http("POST", configmaps, configmap("a"))
    assert all(seen(lines) == [("ADDED", "a")] for lines in await asyncio.gather(*watches))


async def test_watches_end_well_when_the_server_stops() -> None:
    async with running_apiserver() as running:
        client = running.client()
        events = client.watch("configmaps", "default")
        following = asyncio.create_task(anext(events, None))
        await asyncio.sleep(0.2)
        assert not following.done()
        await running.server.stop()
        async with asyncio.timeout(5):
            assert await following is None, "a clean end, no broken connection"


async def test_a_client_that_leaves_ends_its_watch(http: Http, configmaps: str) -> None:
    open_before = len(http.server.server.registry.watches)
    answer = await http.session.get(f"{http.server.url}{configmaps}?watch=1")
    assert len(http.server.server.registry.watches) == open_before + 1
    answer.close()
    for _ in range(100):
        if len(http.server.server.registry.watches) == open_before:
            break
        await asyncio.sleep(0.01)
    assert len(http.server.server.registry.watches) == open_before


async def test_lines_are_chunks_of_json(http: Http, configmaps: str) -> None:
    await http("POST", configmaps, configmap("a"))
    async with http.session.get(f"{http.server.url}{configmaps}?watch=1") as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Type"] == "application/json"
        line = await answer.content.readline()
        assert line.endswith(b"\n") and json.loads(line)["type"] == "ADDED"
