"""inotify for asyncio: files tell us when they change, nobody polls.

A small wrapper over the kernel's interface. `Watcher` hands out `(watch descriptor, mask, name)` records; closing it
ends every watch. Only what the kubelet needs: appended log files, replaced directories, sockets that appear.
"""

import asyncio
import ctypes
import os
import struct
from pathlib import Path
from typing import NamedTuple

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF = 0x400, 0x800

_HEADER = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Change(NamedTuple):
    """One record: which watch, what happened, to which entry of the watched directory (empty for a file)."""

    watch: int
    mask: int
    name: str


class Watcher:
    """An inotify instance; use as a context manager inside a running event loop."""

    def __init__(self) -> None:
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._changed.set)

    def add(self, path: str | Path, mask: int) -> int:
        """Watch `path`; raises OSError if it cannot be watched."""
        watch = _libc.inotify_add_watch(self._fd, os.fsencode(path), mask)
        if watch < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
        return watch

    async def changes(self) -> list[Change]:
        """Wait for at least one change; returns all that are there."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            records = self._read()
            if records:
                return records

    def _read(self) -> list[Change]:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return []
        records, offset = [], 0
        while offset < len(data):
            watch, mask, _, length = _HEADER.unpack_from(data, offset)
            start = offset + _HEADER.size
            records.append(Change(watch, mask, data[start : start + length].rstrip(b"\0").decode(errors="replace")))
            offset = start + length
        return records

    def close(self) -> None:
        """End all watches."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
