"""What both stores promise their readers, writers and watchers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pynetes.machinery import clock
from pynetes.storage import open_store
from pynetes.storage.interface import (
    Compacted,
    Draft,
    FutureRevision,
    KeyExists,
    RevisionConflict,
    Store,
    StoreUnavailable,
)
from pynetes.storage.memory import MemoryStore, Retention
from pynetes.storage.sqlite import SqliteStore

SMALL = Retention(seconds=60, events=100, mark_every=1)


def draft(text: str = "", **fields: str) -> Draft:
    tail = b'"},"text":' + json.dumps(text).encode() + b"}"
    return Draft(b'{"metadata":{"resourceVersion":"', tail, {}, fields)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened: Store
    if request.param == "memory":
        opened = MemoryStore(SMALL, watch_buffer=50)
    else:
        opened = SqliteStore(tmp_path / "store.db", SMALL, watch_buffer=50)
    yield opened
    await opened.close()


async def test_a_value_carries_its_revision(store: Store) -> None:
    record = await store.create("/core/pods/a/x", draft("one"))
    assert json.loads(record.value) == {"metadata": {"resourceVersion": str(record.revision)}, "text": "one"}
    assert store.get("/core/pods/a/x") is record


async def test_of_two_writers_from_one_revision_one_wins(store: Store) -> None:
    first = await store.create("/core/pods/a/x", draft())
    results = await asyncio.gather(
        *(store.update("/core/pods/a/x", draft(str(i)), first.revision) for i in range(5)), return_exceptions=True
    )
    lost = [r for r in results if isinstance(r, RevisionConflict)]
    assert len(lost) == 4
    assert all(error.current is store.get("/core/pods/a/x") for error in lost)


async def test_of_two_creators_one_wins(store: Store) -> None:
    results = await asyncio.gather(*(store.create("/core/pods/a/x", draft()) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(r, KeyExists) for r in results) == 4


async def test_what_a_writer_was_told_is_there_to_read_and_was_sent_to_watchers(store: Store) -> None:
    watch = store.watch("/core/pods/", store.revision)
    record = await store.create("/core/pods/a/x", draft())
    assert store.get("/core/pods/a/x") is record
    assert [e.record for e in await watch.batch()] == [record]


async def test_all_watchers_of_a_key_get_the_same_bytes(store: Store) -> None:
    record = await store.create("/core/pods/a/x", draft())
    watches = [store.watch("/core/pods/a/x", record.revision) for _ in range(1000)]
    await store.update("/core/pods/a/x", draft("two"), record.revision)
    frames = {id((await watch.__anext__()).frame()) for watch in watches}
    assert len(frames) == 1


async def test_a_frame_is_one_line_of_a_watch_response(store: Store) -> None:
    watch = store.watch("/core/pods/", store.revision)
    created = await store.create("/core/pods/a/x", draft("one"))
    updated = await store.update("/core/pods/a/x", draft("two"), created.revision)
    deleted = await store.delete("/core/pods/a/x", updated.revision, draft("last"))
    lines = [json.loads(event.frame()) for event in await watch.batch()]
    assert [(line["type"], line["object"]["text"]) for line in lines] == [
        ("ADDED", "one"),
        ("MODIFIED", "two"),
        ("DELETED", "last"),
    ]
    assert lines[2]["object"]["metadata"]["resourceVersion"] == str(deleted.revision)


async def test_an_object_that_ceases_to_match_is_shown_as_it_last_matched(store: Store) -> None:
    created = await store.create("/core/pods/a/x", draft("one"))
    watch = store.watch("/core/pods/", created.revision)
    updated = await store.update("/core/pods/a/x", draft("two"), created.revision)
    (event,) = await watch.batch()
    line = json.loads(event.frame("DELETED"))
    assert line["type"] == "DELETED"
    assert line["object"] == {"metadata": {"resourceVersion": str(updated.revision)}, "text": "one"}
    assert json.loads(event.frame())["object"]["text"] == "two"


async def test_a_watch_on_a_field_sees_records_that_have_or_had_its_value(store: Store) -> None:
    before = await store.create("/core/pods/a/x", draft(node="n1"))
    await store.create("/core/pods/a/y", draft(node="n2"))
    watch = store.watch("/core/pods/", 1, where=("node", "n1"))
    moved = await store.update("/core/pods/a/x", draft(node="n2"), before.revision)
    await store.update("/core/pods/a/x", draft(node="n3"), moved.revision)
    assert [(e.type, e.record.fields["node"]) for e in await watch.batch()] == [("ADDED", "n1"), ("MODIFIED", "n2")]


async def test_a_watch_of_a_namespace_sees_only_it(store: Store) -> None:
    watch = store.watch("/core/pods/a/", store.revision)
    for key in ("/core/pods/a-b/x", "/core/pods/a/x", "/core/services/a/x", "/core/pods/b/x"):
        await store.create(key, draft())
    assert [e.record.key for e in await watch.batch()] == ["/core/pods/a/x"]
    assert watch.progress == store.revision


async def test_progress_stays_behind_events_not_yet_read(store: Store) -> None:
    watch = store.watch("/core/pods/", store.revision)
    first = await store.create("/core/pods/a/x", draft())
    second = await store.create("/core/pods/a/y", draft())
    assert watch.progress == first.revision - 1
    await watch.__anext__()
    assert watch.progress == second.revision - 1
    await watch.__anext__()
    await store.create("/core/services/a/x", draft())
    assert watch.progress == store.revision == second.revision + 1


async def test_a_watch_cannot_begin_in_the_future(store: Store) -> None:
    with pytest.raises(FutureRevision):
        store.watch("/core/pods/", store.revision + 1)


async def test_a_watch_waits_for_what_comes(store: Store) -> None:
    watch = store.watch("/core/pods/", store.revision)
    reader = asyncio.ensure_future(watch.__anext__())
    await asyncio.sleep(0.01)
    assert not reader.done()
    record = await store.create("/core/pods/a/x", draft())
    assert (await reader).record is record


async def test_a_closed_watch_ends(store: Store) -> None:
    watch = store.watch("/core/pods/", store.revision)
    reader = asyncio.ensure_future(watch.batch())
    await asyncio.sleep(0)
    watch.close()
    assert await reader == []
    await store.create("/core/pods/a/x", draft())
    assert [event async for event in watch] == []
    assert not watch.overflowed


async def test_a_watch_that_is_not_read_is_cut_off_and_can_be_resumed(store: Store) -> None:
    watch = store.watch("/core/pods/", store.revision)
    first = await store.create("/core/pods/a/x0", draft())
    await watch.__anext__()
    for i in range(1, 60):
        await store.create(f"/core/pods/a/x{i}", draft())
    assert [event async for event in watch] == []
    assert watch.overflowed
    resumed = store.watch("/core/pods/", first.revision)
    assert len(await resumed.batch()) == 59


async def test_closing_the_store_ends_watches_and_refuses_writes(store: Store) -> None:
    watch = store.watch("/core/pods/", store.revision)
    await store.close()
    assert [event async for event in watch] == []
    with pytest.raises(StoreUnavailable):
        await store.create("/core/pods/a/x", draft())


async def test_history_beyond_the_limit_is_compacted(store: Store) -> None:
    record = await store.create("/core/pods/a/x", draft())
    start = record.revision
    for i in range(200):
        record = await store.update("/core/pods/a/x", draft(str(i)), record.revision)
    with pytest.raises(Compacted):
        store.watch("/core/pods/", start)
    with pytest.raises(Compacted):
        store.list("/core/pods/", at=start)
    kept = store.revision - store.compacted
    assert 80 <= kept <= 100
    assert len(await store.watch("/core/pods/", store.compacted).batch()) == kept


class HandClock(clock.SystemClock):
    """A clock that a test moves."""

    moment = 1000.0

    def monotonic(self) -> float:
        return self.moment


async def test_history_is_kept_for_its_time_and_then_compacted(store: Store) -> None:
    with clock.use(HandClock()) as hand:
        assert isinstance(hand, HandClock)
        first = await store.create("/core/pods/a/x", draft())
        hand.moment += 59
        second = await store.update("/core/pods/a/x", draft(), first.revision)
        assert len(store.list("/core/pods/", at=first.revision).records) == 1
        hand.moment += 2
        await store.update("/core/pods/a/x", draft(), second.revision)
        assert store.compacted == first.revision
        hand.moment += 3600
        last = await store.create("/core/pods/a/y", draft())
        assert store.compacted == last.revision - 1
        assert store.list("/core/pods/").remaining == 0


async def test_pages_of_one_revision_do_not_see_later_writes(store: Store) -> None:
    records = [await store.create(f"/core/pods/a/x{i}", draft("old")) for i in range(9)]
    first = store.list("/core/pods/", limit=4)
    assert (len(first.records), first.remaining) == (4, 5)
    await store.delete(records[6].key, records[6].revision, draft())
    await store.create("/core/pods/a/x4a", draft("new"))
    await store.update(records[8].key, draft("new"), records[8].revision)
    second = store.list("/core/pods/", at=first.revision, start_after=first.continue_key, limit=4)
    third = store.list("/core/pods/", at=first.revision, start_after=second.continue_key, limit=4)
    assert [*first.records, *second.records, *third.records] == records
    assert (second.remaining, third.remaining, third.continue_key) == (1, 0, "")


async def test_a_storage_url_names_the_store(tmp_path: Path) -> None:
    assert type(open_store("memory:")) is MemoryStore
    store = open_store(f"sqlite://{tmp_path}/below/store.db")
    assert isinstance(store, SqliteStore)
    await store.close()
    assert (tmp_path / "below" / "store.db").exists()
    for wrong in ("", "memory", "sqlite:", "sqlite:///", "postgres://x", "store.db"):
        with pytest.raises(ValueError, match="storage"):
            open_store(wrong)
