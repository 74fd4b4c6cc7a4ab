"""Files that change all at once: the `..data` symlink.

A volume's files live in a directory named for the moment it was written; `..data` points at it, and each visible name
points through `..data`. A change writes a whole new directory and renames one symlink over the other, so a reader
sees either all of the old or all of the new. Nothing is written when nothing changed.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pynetes.machinery import clock

DATA = "..data"
NEW_DATA = "..data_tmp"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a volume."""

    content: bytes
    mode: int
    uid: int | None = None
    gid: int | None = None


def write(directory: Path, entries: Mapping[str, Entry], group: int | None = None) -> bool:
    """Make the visible files of `directory` be exactly `entries`; returns whether anything was written."""
    current = directory / DATA
    if _same(current, entries):
        return False
    moment = clock.now().strftime("..%Y_%m_%d_%H_%M_%S")
    fresh = directory / f"{moment}.{os.urandom(5).hex()}"
    fresh.mkdir(mode=0o755)
    fresh.chmod(0o755)
    for name, entry in entries.items():
        path = fresh / name
        for parent in reversed(path.relative_to(fresh).parents[:-1]):
            _make_directory(fresh / parent, group)
        path.write_bytes(entry.content)
        os.chown(path, -1 if entry.uid is None else entry.uid, -1 if entry.gid is None else entry.gid)
        path.chmod(entry.mode)
    if group is not None:
        _own_directory(fresh, group)
    old = _target(current)
    link = directory / NEW_DATA
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(current)
    _show(directory, entries)
    if old and (directory / old).is_dir():
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def _make_directory(path: Path, group: int | None) -> None:
    if not path.is_dir():
        path.mkdir()
        path.chmod(0o755)
        if group is not None:
            _own_directory(path, group)


def _own_directory(path: Path, group: int) -> None:
    os.chown(path, -1, group)
    path.chmod((path.stat().st_mode & 0o7777) | 0o2000 | 0o550)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _same(current: Path, entries: Mapping[str, Entry]) -> bool:
    if not current.is_dir():
        return False
    root = current.resolve()
    present = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    if present != set(entries):
        return False
    return all(
        (root / name).read_bytes() == entry.content and (root / name).stat().st_mode & 0o777 == entry.mode & 0o777
        for name, entry in entries.items()
    )


def _show(directory: Path, entries: Mapping[str, Entry]) -> None:
    """One symlink per first path element; those of vanished entries go."""
    wanted = {name.split("/", 1)[0] for name in entries}
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
    for path in directory.iterdir():
        if path.name not in wanted and not path.name.startswith("..") and path.is_symlink():
            path.unlink()
