"""What is acknowledged survives: killed processes, full disks, two owners, restarts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pynetes.storage.interface import Draft, Event, StoreError, StoreLocked, StoreUnavailable
from pynetes.storage.memory import Retention
from pynetes.storage.sqlite import SqliteStore

WRITER = """
import asyncio, itertools, sys
from pynetes.storage.interface import Draft
from pynetes.storage.memory import Retention
from pynetes.storage.sqlite import SqliteStore

async def write(store, name):
    draft = Draft(b'{"resourceVersion":"', b'","padding":"' + b"x" * 1000 + b'"}', {}, {})
    for i in itertools.count():
        record = await store.create(f"/core/pods/{name}/p{i}", draft)
        print("+", record.key, record.revision, flush=True)
        if i % 3 == 0:
            record = await store.update(record.key, draft, record.revision)
            print("+", record.key, record.revision, flush=True)
        if i % 5 == 0:
            gone = await store.delete(record.key, record.revision, draft)
            print("-", record.key, gone.revision, flush=True)

async def main():
    store = SqliteStore(sys.argv[1], Retention(seconds=300, events=int(sys.argv[2])))
    await asyncio.gather(*(write(store, f"w{i}") for i in range(16)))

asyncio.run(main())
"""


def draft(text: str = "") -> Draft:
    return Draft(b'{"resourceVersion":"', b'","text":"' + text.encode() + b'"}', {"app": "x"}, {"node": "n"})


def killed_while_writing(path: Path, history: int, acknowledgements: int) -> list[tuple[str, str, int]]:
    """Run writers in a process of their own, kill it mid-write, return what they were told."""
    told = []
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(history)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line)
            if len(told) == acknowledgements:
                process.send_signal(signal.SIGKILL)
                break
        told += process.stdout
    complete = [line.split() for line in told if line.endswith("\n")]
    return [(sign, key, int(revision)) for sign, key, revision in complete]


@pytest.mark.parametrize("history", [100_000, 200])
async def test_every_acknowledged_write_survives_kill_9(tmp_path: Path, history: int) -> None:
    path = tmp_path / "store.db"
    for acknowledgements in (500, 1000, 37):
        told = sorted(killed_while_writing(path, history, acknowledgements), key=lambda line: line[2])
        assert len(told) >= acknowledgements
        expected: dict[str, int] = {}
        last_of_writer: dict[str, str] = {}
        for sign, key, revision in told:
            last_of_writer[key.split("/")[3]] = key
            if sign == "+":
                expected[key] = revision
            else:
                del expected[key]

        store = SqliteStore(path)
        assert store.revision >= told[-1][2]
        for key, revision in expected.items():
            record = store.get(key)
            if record is None or record.revision != revision:
                # Each writer had at most one more write under way; that one may have become durable, untold.
                assert key == last_of_writer[key.split("/")[3]]
                assert record is None or record.revision > revision
        untold = {record.key for record in store.list("/").records} - set(expected)
        assert len({key.split("/")[3] for key in untold}) == len(untold)
        for record in store.list("/").records:
            assert json.loads(record.value)["resourceVersion"] == str(record.revision)
            await store.delete(record.key, record.revision, draft())
        await store.close()


async def test_a_watch_resumes_after_kill_9_without_gap_or_repeat(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    told = killed_while_writing(path, 100_000, 800)
    store = SqliteStore(path)
    events = list(await store.watch("/core/pods/", 1).batch())
    assert [event.revision for event in events] == list(range(2, store.revision + 1))
    acknowledged = {(key, revision) for _, key, revision in told}
    assert acknowledged <= {(event.record.key, event.revision) for event in events}
    half = events[: len(events) // 2]
    rest = await store.watch("/core/pods/", half[-1].revision).batch()
    assert [e.revision for e in [*half, *rest]] == [e.revision for e in events]
    await store.close()


async def test_a_restart_keeps_labels_fields_and_history(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    first = await store.create("/core/pods/a/x", draft("one"))
    second = await store.update("/core/pods/a/x", draft("two"), first.revision)
    await store.close()
    store = SqliteStore(tmp_path / "store.db")
    assert store.get("/core/pods/a/x") == second
    assert list(store.list("/core/pods/", at=first.revision).records) == [first]
    assert list(await store.watch("/core/pods/", first.revision).batch()) == [Event("MODIFIED", second, first)]
    third = await store.create("/core/pods/a/y", draft())
    assert third.revision == second.revision + 1
    await store.close()


async def test_the_revision_never_goes_back_even_if_all_rows_are_compacted(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    record = await store.create("/core/pods/a/x", draft())
    gone = await store.delete(record.key, record.revision, draft())
    await store.compact(gone.revision)
    await store.close()
    store = SqliteStore(tmp_path / "store.db")
    assert (store.revision, store.compacted, store.count("/")) == (gone.revision, gone.revision, 0)
    await store.close()


async def test_compaction_keeps_the_file_from_growing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, Retention(events=200))
    record = await store.create("/core/pods/a/x", draft("x" * 2000))
    for _ in range(5000):
        record = await store.update(record.key, draft("x" * 2000), record.revision)
    await store.close()
    assert path.stat().st_size < 2_500_000  # 10 MB were written
    store = SqliteStore(path)
    assert store.get(record.key) == record
    await store.close()


async def test_a_full_disk_fails_the_writers_and_leaves_no_half_state(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    kept = await store.create("/core/pods/a/kept", draft())
    watch = store.watch("/", kept.revision)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 4}")
    big = "x" * 50_000
    results = await asyncio.gather(
        store.update(kept.key, draft(big), kept.revision),
        *(store.create(f"/core/pods/a/x{i}", draft(big)) for i in range(400)),
        return_exceptions=True,
    )
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert (store.revision, store.count("/"), store.head(kept.key)) == (kept.revision, 1, kept)
    store._db.execute("PRAGMA max_page_count = 1000000")
    after = await store.update(kept.key, draft("again"), kept.revision)
    assert after.revision == kept.revision + 1
    assert [event.record for event in await watch.batch()] == [after]
    await store.close()
    store = SqliteStore(tmp_path / "store.db")
    assert list(store.list("/").records) == [after]
    await store.close()


FULL_DISK = """
import asyncio, resource, signal, sys
from pynetes.storage.interface import Draft, StoreUnavailable
from pynetes.storage.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    draft = Draft(b'{"resourceVersion":"', b'","padding":"' + b"x" * 5000 + b'"}', {}, {})
    written = failed = 0
    for i in range(200):
        try:
            await store.create(f"/core/pods/a/x{i}", draft)
            written += 1
        except StoreUnavailable:
            failed += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.create("/core/pods/a/last", draft)
    print(written, failed, store.count("/"), store.revision)
    await store.close()

asyncio.run(main())
"""


def outcome_with_a_full_disk(path: Path) -> list[int]:
    """What the script saw: writes done, writes failed, keys, revision."""
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [int(word) for word in done.stdout.split()]


async def test_writes_go_on_when_the_disk_has_room_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    written, failed, count, revision = outcome_with_a_full_disk(path)
    assert failed > 0
    assert count == written + 1
    assert revision == written + 2
    store = SqliteStore(path)
    assert (store.count("/"), store.revision) == (count, revision)
    await store.close()


async def test_only_one_process_opens_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    with pytest.raises(StoreLocked, match=f"is in use by process {os.getpid()}"):
        SqliteStore(path)
    await store.close()
    await SqliteStore(path).close()


def test_what_is_not_a_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database, but somebody's file" * 100)
    with pytest.raises(StoreError, match="cannot open the store"):
        SqliteStore(path)
    assert path.read_bytes().startswith(b"not a database")


async def test_a_store_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store._db.execute("UPDATE meta SET value = 99 WHERE name = 'version'")
    await store.close()
    with pytest.raises(StoreError, match="format 99"):
        SqliteStore(path)


async def test_a_cancelled_writer_does_not_disturb_the_others(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    tasks = [asyncio.ensure_future(store.create(f"/core/pods/a/x{i}", draft())) for i in range(20)]
    await asyncio.sleep(0)
    tasks[7].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 1
    await store.create("/core/pods/a/last", draft())
    assert store.count("/") == 21
    await store.close()


async def test_a_busy_event_loop_does_not_starve_the_writers(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    busy = True

    async def other_work() -> None:
        while busy:
            sum(range(5000))
            await asyncio.sleep(0)

    work = asyncio.ensure_future(other_work())
    async with asyncio.timeout(20):
        for i in range(100):
            await asyncio.gather(*(store.create(f"/core/pods/a/x{i}-{j}", draft()) for j in range(4)))
    busy = False
    await work
    await store.close()
