"""Memory and SQLite stores behave as one simple model, whatever is done to them, restarts and crashes included."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pynetes.storage.interface import (
    Compacted,
    Draft,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    Record,
    RevisionConflict,
    Store,
)
from pynetes.storage.memory import MemoryStore
from pynetes.storage.sqlite import SqliteStore

KEYS = [
    *(f"/core/pods/{space}/{name}" for space in ("a", "a-b", "b") for name in ("x", "x-1", "y")),
    "/core/nodes/x",
    "/core/nodes/y",
    "/apps/deployments/a/x",
]
PREFIXES = ["/", "/core/", "/core/pods/", "/core/pods/a/", "/core/pods/b/", "/core/nodes/", "/apps/", "/core/pods/a/x"]

keys = st.sampled_from(KEYS)
prefixes = st.sampled_from(PREFIXES)
contents = st.binary(max_size=8)


def draft(content: bytes) -> Draft:
    tail = b'","content":"' + content.hex().encode() + b'"}'
    return Draft(b'{"resourceVersion":"', tail, {"content": content.hex()}, {"size": str(len(content))})


def value(content: bytes, revision: int) -> bytes:
    return b'{"resourceVersion":"%d","content":"%b"}' % (revision, content.hex().encode())


def under(key: str, prefix: str) -> bool:
    return key.startswith(prefix) if prefix.endswith("/") else key == prefix


class StoresAgree(RuleBasedStateMachine):
    """The model: the state at every revision, and the write that led to it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.sqlite = SqliteStore(self.folder / "0.db")
        self.memory = MemoryStore()
        self.generation = 0
        self.states: dict[int, dict[str, tuple[bytes, int]]] = {1: {}}
        self.writes: dict[int, tuple[str, str, bytes]] = {}
        self.compacted = 0

    @property
    def stores(self) -> list[Store]:
        return [self.memory, self.sqlite]

    @property
    def now(self) -> dict[str, tuple[bytes, int]]:
        return self.states[self.revision]

    @property
    def revision(self) -> int:
        return max(self.states)

    def run(self, work: Any) -> Any:
        """The result of a coroutine, or the exception it raised, as a comparable pair."""

        async def outcome() -> Any:
            try:
                return await work
            except (KeyExists, KeyNotFound, RevisionConflict) as error:
                return type(error)

        return self.loop.run_until_complete(outcome())

    def written(self, kind: str, key: str, content: bytes) -> None:
        state = dict(self.now)
        revision = self.revision + 1
        if kind == "DELETED":
            del state[key]
        else:
            state[key] = (content, revision)
        self.states[revision] = state
        self.writes[revision] = (kind, key, content)

    @initialize(seed=st.lists(st.tuples(keys, contents), max_size=6))
    def fill(self, seed: list[tuple[str, bytes]]) -> None:
        for key, content in seed:
            self.create(key, content)

    @rule(key=keys, content=contents)
    def create(self, key: str, content: bytes) -> None:
        results = [self.run(store.create(key, draft(content))) for store in self.stores]
        if key in self.now:
            assert results == [KeyExists, KeyExists]
        else:
            self.written("ADDED", key, content)
            assert [r.value for r in results] == [value(content, self.revision)] * 2

    @rule(key=keys, content=contents, stale=st.booleans())
    def update(self, key: str, content: bytes, stale: bool) -> None:
        known = self.now.get(key, (b"", 1))[1] - (1 if stale else 0)
        results = [self.run(store.update(key, draft(content), known)) for store in self.stores]
        if key not in self.now:
            assert results == [KeyNotFound] * 2
        elif stale:
            assert results == [RevisionConflict] * 2
        else:
            self.written("MODIFIED", key, content)
            assert [r.value for r in results] == [value(content, self.revision)] * 2

    @rule(key=keys, content=contents, stale=st.booleans())
    def delete(self, key: str, content: bytes, stale: bool) -> None:
        known = self.now.get(key, (b"", 1))[1] - (1 if stale else 0)
        results = [self.run(store.delete(key, known, draft(content))) for store in self.stores]
        if key not in self.now:
            assert results == [KeyNotFound] * 2
        elif stale:
            assert results == [RevisionConflict] * 2
        else:
            self.written("DELETED", key, content)
            assert [r.value for r in results] == [value(content, self.revision)] * 2

    @rule(back=st.integers(0, 6))
    def compact(self, back: int) -> None:
        at = max(self.revision - back, self.compacted, 1)
        for store in self.stores:
            self.loop.run_until_complete(store.compact(at))
        self.compacted = at

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.sqlite.close())
        self.sqlite = SqliteStore(self.folder / f"{self.generation}.db")

    @rule()
    def crash(self) -> None:
        """Open what is on disk at this moment; compaction not yet written may be undone."""
        before, self.generation = self.generation, self.generation + 1
        for suffix in ("", "-wal"):
            source = self.folder / f"{before}.db{suffix}"
            if source.exists():
                shutil.copy(source, self.folder / f"{self.generation}.db{suffix}")
        abandoned, self.sqlite = self.sqlite, SqliteStore(self.folder / f"{self.generation}.db")
        self.loop.run_until_complete(abandoned.close())
        if self.sqlite.compacted < self.compacted:
            self.loop.run_until_complete(self.sqlite.compact(self.compacted))

    @rule(prefix=prefixes, back=st.integers(-1, 8), limit=st.integers(0, 4))
    def list_in_pages(self, prefix: str, back: int, limit: int) -> None:
        at = self.revision - back
        for store in self.stores:
            if at > self.revision:
                assert isinstance(self.listing_error(store, prefix, at), FutureRevision)
                continue
            if at < max(self.compacted, 1):
                if at < self.compacted:
                    assert isinstance(self.listing_error(store, prefix, at), Compacted)
                continue
            found: list[Record] = []
            start_after = ""
            while True:
                page = store.list(prefix, at=at, start_after=start_after, limit=limit)
                found += page.records
                expected = [key for key in sorted(self.states[at]) if under(key, prefix)]
                assert page.remaining == len(expected) - len(found)
                assert page.revision == at
                start_after = page.continue_key
                if not start_after:
                    break
                assert len(page.records) == limit
            assert [(r.key, r.value) for r in found] == [
                (key, value(*self.states[at][key])) for key in sorted(self.states[at]) if under(key, prefix)
            ]

    def listing_error(self, store: Store, prefix: str, at: int) -> Exception | None:
        try:
            store.list(prefix, at=at)
        except (Compacted, FutureRevision) as error:
            return error
        return None

    @rule(prefix=prefixes, back=st.integers(0, 8))
    def watch_from(self, prefix: str, back: int) -> None:
        """Replaying a watch over the state it began from gives the present state."""
        since = max(self.revision - back, 1)
        for store in self.stores:
            if since < self.compacted:
                try:
                    store.watch(prefix, since)
                except Compacted:
                    continue
                raise AssertionError("a watch from a compacted revision was accepted")
            watch = store.watch(prefix, since)
            watch.close()
            events = list(self.loop.run_until_complete(watch.batch()))
            expected = [
                (kind, key, value(content, revision))
                for revision, (kind, key, content) in sorted(self.writes.items())
                if revision > since and under(key, prefix)
            ]
            assert [(e.type, e.record.key, e.record.value) for e in events] == expected
            replayed = dict(self.states[since])
            for event in events:
                previous = replayed.pop(event.record.key, None)
                assert (event.previous and event.previous.value) == (previous and value(*previous))
                if event.type != "DELETED":
                    replayed[event.record.key] = (bytes.fromhex(event.record.labels["content"]), event.revision)
            assert {k: v for k, v in replayed.items() if under(k, prefix)} == {
                k: v for k, v in self.now.items() if under(k, prefix)
            }

    @invariant()
    def same_state(self) -> None:
        for store in self.stores:
            assert store.revision == self.revision
            assert store.count("/") == len(self.now)
            for key in KEYS:
                record = store.get(key)
                assert store.head(key) is record
                assert (record and (record.value, record.revision)) == (
                    (value(*self.now[key]), self.now[key][1]) if key in self.now else None
                )

    def teardown(self) -> None:
        self.loop.run_until_complete(self.sqlite.close())
        self.loop.close()
        shutil.rmtree(self.folder)


TestStoresAgree = StoresAgree.TestCase
TestStoresAgree.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
