"""Bytes from one connection to another, both ways, untouched."""

import asyncio
from dataclasses import dataclass

from pynetes.apiserver.request import Stream

_CHUNK = 1 << 17


@dataclass(frozen=True, slots=True)
class Backend:
    """The connection to whoever the request is carried on to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        """The next bytes, or b"" at the end."""
        return await self.reader.read(_CHUNK)

    async def write(self, data: bytes) -> None:
        """Send, waiting while the other side is slow."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Close both directions."""
        self.writer.close()


async def _pump(source: Stream | Backend, target: Stream | Backend) -> None:
    while data := await source.read():
        await target.write(data)


async def relay(client: Stream, backend: Backend) -> None:
    """Carry bytes until one side closes; then close the other. Nothing is cut off: what was read is sent first."""
    upwards = asyncio.create_task(_pump(client, backend))
    downwards = asyncio.create_task(_pump(backend, client))
    try:
        await asyncio.wait({upwards, downwards}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (upwards, downwards):
            task.cancel()
        await asyncio.gather(upwards, downwards, return_exceptions=True)
        backend.close()
