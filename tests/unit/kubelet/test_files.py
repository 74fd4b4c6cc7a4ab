"""Logs, atomically replaced files, sub paths, OCI images."""

import asyncio
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.cluster import oci
from pynetes.kubelet import logs
from pynetes.kubelet.housekeeping import _tidy
from pynetes.kubelet.logs import LogOptions
from pynetes.kubelet.volumes import atomic
from pynetes.kubelet.volumes.atomic import Entry
from pynetes.machinery import clock


def line(text: str, second: int = 0, stream: str = "stdout", tag: str = "F") -> str:
    return f"2026-01-01T00:00:{second:02}.123456789Z {stream} {tag} {text}\n"


async def collect(path: Path, options: LogOptions, ended: asyncio.Event | None = None) -> bytes:
    over = ended or asyncio.Event()
    if ended is None:
        over.set()
    return b"".join([block async for block in logs.read(path, options, over)])


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    parts = [line("one", 1), line("two ", 2, tag="P"), line("joined", 2), line("err", 3, "stderr"), line("", 4)]
    path.write_text("".join(parts))
    return path


async def test_partial_records_are_joined(log_file: Path) -> None:
    assert await collect(log_file, LogOptions()) == b"one\ntwo joined\nerr\n\n"


async def test_options(log_file: Path) -> None:
    assert await collect(log_file, LogOptions(tail=2)) == b"err\n\n"
    assert await collect(log_file, LogOptions(stream="Stderr")) == b"err\n"
    assert await collect(log_file, LogOptions(limit_bytes=5)) == b"one\nt"
    since = clock.parse_time("2026-01-01T00:00:03Z")
    assert await collect(log_file, LogOptions(since=since)) == b"err\n\n"
    stamped = await collect(log_file, LogOptions(timestamps=True, tail=2))
    assert stamped.startswith(b"2026-01-01T00:00:03.123456789Z err\n2026-01-01T00:00:04.123456789Z \n")


async def test_following_sees_growth_rotation_and_the_end(log_file: Path) -> None:
    ended = asyncio.Event()
    reading = asyncio.ensure_future(collect(log_file, LogOptions(follow=True, tail=0), ended))
    await asyncio.sleep(0.05)
    with log_file.open("a") as file:
        file.write(line("grown", 5))
    await asyncio.sleep(0.05)
    log_file.rename(log_file.with_name("0.log.old"))
    log_file.write_text(line("fresh", 6))
    await asyncio.sleep(0.05)
    ended.set()
    assert await asyncio.wait_for(reading, 5) == b"grown\nfresh\n"


@given(
    texts=st.lists(
        st.text(alphabet=st.characters(exclude_characters="\n\r\x85\u2028\u2029", exclude_categories=("Cs",))),
        max_size=30,
    ),
    count=st.integers(0, 40),
)
def test_the_tail_is_the_last_lines(tmp_path_factory: pytest.TempPathFactory, texts: list[str], count: int) -> None:
    path = tmp_path_factory.mktemp("logs") / "0.log"
    path.write_bytes("".join(line(text) for text in texts).encode())
    expected = "".join(f"{text}\n" for text in texts[len(texts) - min(count, len(texts)) :])
    assert asyncio.run(collect(path, LogOptions(tail=count))).decode() == expected


def test_rotation_compresses_and_limits(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("now")
    for index in range(6):
        (tmp_path / f"0.log.2026010{index}-000000").write_text("old")
    _tidy(path, 5)
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert left == ["0.log", *(f"0.log.2026010{index}-000000.gz" for index in (3, 4, 5))]


def read_tree(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not str(path.relative_to(directory)).startswith("..")
    }


def test_files_are_visible_through_one_symlink(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {"a": Entry(b"1", 0o640), "d/e/f": Entry(b"2", 0o600)})
    assert (tmp_path / "a").readlink() == Path("..data/a") and (tmp_path / "d").readlink() == Path("..data/d")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "d/e/f").read_bytes() == b"2"


def test_an_unchanged_volume_is_not_written(tmp_path: Path) -> None:
    entries = {"a": Entry(b"1", 0o644)}
    atomic.write(tmp_path, entries)
    before = (tmp_path / "..data").readlink()
    assert not atomic.write(tmp_path, entries)
    assert (tmp_path / "..data").readlink() == before
    assert atomic.write(tmp_path, {"a": Entry(b"1", 0o600)})


def test_a_change_leaves_nothing_of_the_old_behind(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": Entry(b"1", 0o644), "b": Entry(b"2", 0o644)})
    atomic.write(tmp_path, {"b": Entry(b"3", 0o644), "c/x": Entry(b"4", 0o644)})
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["b", "c"]
    assert (tmp_path / "b").read_bytes() == b"3"
    assert len([path for path in tmp_path.iterdir() if path.name.startswith("..2")]) == 1


_part = st.from_regex(r"[a-z]{1,4}", fullmatch=True)


@given(st.lists(st.dictionaries(_part, st.binary(max_size=8), max_size=5), min_size=1, max_size=4))
def test_after_any_changes_the_files_are_the_last_ones(
    tmp_path_factory: pytest.TempPathFactory, versions: list[dict[str, bytes]]
) -> None:
    directory = tmp_path_factory.mktemp("volume")
    for version in versions:
        atomic.write(directory, {name: Entry(content, 0o644) for name, content in version.items()})
    visible = {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith("..")}
    assert visible == versions[-1]


def test_an_image_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    files = {"/bin/x": oci.File(b"#!", mode=0o755), "/etc/y": oci.File(link="/bin/x")}
    config = oci.ImageConfig(entrypoint=["/bin/x"], env={"A": "b"}, user="1000")
    digests = {oci.write_image(tmp_path / f"{i}.tar", "example.org/x:1", files, config) for i in range(2)}
    assert len(digests) == 1 and (tmp_path / "0.tar").read_bytes() == (tmp_path / "1.tar").read_bytes()
    with tarfile.open(tmp_path / "0.tar") as tar:
        member = tar.extractfile("index.json")
        assert member is not None
        index = json.load(member)
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "example.org/x:1"
