"""Reading container logs as containerd writes them: one line per record, `time stream tag text`.

A record whose tag is `P` continues in the next one. `read` yields the bytes that `kubectl logs` shows, honouring
every option, and follows a growing file by inotify until the container has ended and all is read.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pynetes.kubelet import inotify
from pynetes.machinery import clock

BLOCK = 65536


@dataclass(slots=True)
class LogOptions:
    """What `kubectl logs` can ask for."""

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None
    stream: str = "All"


@dataclass(slots=True)
class Record:
    """One line of the file."""

    time: str
    stream: str
    partial: bool
    text: bytes


def parse(line: bytes) -> Record | None:
    """One record; None for what is no CRI log line."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3:
        return None
    text = parts[3] if len(parts) > 3 else b""
    partial = parts[2].split(b":")[0] == b"P"
    return Record(parts[0].decode(errors="replace"), parts[1].decode(errors="replace"), partial, text)


def tail(path: Path, lines: int, limit: int) -> str:
    """The last `lines` lines of a log, at most `limit` bytes: for termination messages."""
    try:
        with path.open("rb") as file:
            start = _tail_offset(file.fileno(), lines)
            file.seek(start)
            records = [record for line in file if (record := parse(line))]
    except OSError:
        return ""
    text = b"".join(record.text + (b"" if record.partial else b"\n") for record in records)
    return text[-limit:].decode(errors="replace")


def _tail_offset(descriptor: int, lines: int) -> int:
    """Where the last `lines` lines begin."""
    size = os.fstat(descriptor).st_size
    if lines <= 0:
        return size
    position, found = size, 0
    while position > 0:
        start = max(0, position - BLOCK)
        block = os.pread(descriptor, position - start, start)
        if position == size and block.endswith(b"\n"):
            block = block[:-1]
        cut = len(block)
        while (cut := block.rfind(b"\n", 0, cut)) >= 0:
            found += 1
            if found == lines:
                return start + cut + 1
        position = start
    return 0


class _Writer:
    """Applies the options to records one after the other."""

    def __init__(self, options: LogOptions) -> None:
        self.options = options
        self.left = options.limit_bytes
        self._continued: dict[str, bool] = {}

    @property
    def full(self) -> bool:
        return self.left is not None and self.left <= 0

    def render(self, record: Record) -> bytes:
        options = self.options
        if options.stream != "All" and record.stream != options.stream.lower():
            return b""
        if options.since is not None and clock.parse_time(record.time) < options.since:
            return b""
        out = record.text if record.partial else record.text + b"\n"
        if options.timestamps and not self._continued.get(record.stream):
            out = record.time.encode() + b" " + out
        self._continued[record.stream] = record.partial
        if self.left is not None:
            out = out[: self.left]
            self.left -= len(out)
        return out


async def read(path: Path, options: LogOptions, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """The log from where the options say, in blocks, until its end or, following, until the container has ended."""
    writer = _Writer(options)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        position = 0 if options.tail is None else _tail_offset(descriptor, options.tail)
        if not options.follow:
            async for block, _ in _blocks(descriptor, position, writer):
                yield block
            return
        with inotify.Watcher() as watcher:
            watcher.add(path.parent, inotify.CREATE | inotify.MOVED_FROM | inotify.MODIFY | inotify.DELETE)
            while not writer.full:
                over = ended.is_set()
                async for block, end in _blocks(descriptor, position, writer):
                    position = end
                    if block:
                        yield block
                if over or writer.full:
                    return
                if await _rotated(watcher, path, ended):
                    async for block, _ in _blocks(descriptor, position, writer):
                        yield block
                    os.close(descriptor)
                    descriptor, position = os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0
    finally:
        os.close(descriptor)


async def _rotated(watcher: inotify.Watcher, path: Path, ended: asyncio.Event) -> bool:
    """Wait until the file grew or the container ended; returns whether the file is a new one."""
    grown, over = asyncio.ensure_future(watcher.changes()), asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({grown, over}, return_when=asyncio.FIRST_COMPLETED)
        if not grown.done():
            return False
        return any(change.name == path.name and change.mask & inotify.CREATE for change in grown.result())
    finally:
        grown.cancel()
        over.cancel()


async def _blocks(descriptor: int, position: int, writer: _Writer) -> AsyncIterator[tuple[bytes, int]]:
    """Rendered whole lines from `position` on, with the position after each block."""
    while not writer.full:
        data = os.pread(descriptor, BLOCK, position)
        end = data.rfind(b"\n") + 1
        while data and not end and len(data) % BLOCK == 0:
            more = os.pread(descriptor, BLOCK, position + len(data))
            if not more:
                break
            data += more
            end = data.rfind(b"\n") + 1
        if not end:
            return
        position += end
        records = (parse(line) for line in data[:end].split(b"\n") if line)
        yield b"".join(writer.render(record) for record in records if record is not None), position
