"""The one source of time.

Everything in pynetes reads time and sleeps through this module, so that a test can install a clock of its own with
`use` and run an hour in a moment. The default clock is the system's. Also here: the two forms in which the API
writes time (RFC 3339 in seconds for `metav1.Time`, in microseconds for `metav1.MicroTime`) and Go's durations.
"""

import asyncio
import contextlib
import re
import time as _time
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """What a clock must offer; `SystemClock` is the default, tests bring others."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's time."""
        ...

    def pause(self, seconds: float) -> None:
        """Block the thread for `seconds`: for commands that have no event loop."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        return _time.time()

    def monotonic(self) -> float:
        return _time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        _time.sleep(seconds)


_current: Clock = SystemClock()


@contextlib.contextmanager
def use(clock: Clock) -> Iterator[Clock]:
    """Install `clock` for the whole process until the block ends."""
    global _current
    before, _current = _current, clock
    try:
        yield clock
    finally:
        _current = before


def time() -> float:
    """Seconds since the epoch."""
    return _current.time()


def monotonic() -> float:
    """Seconds for measuring intervals."""
    return _current.monotonic()


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.fromtimestamp(_current.time(), UTC)


def from_timestamp(seconds: float) -> datetime:
    """The moment `seconds` after the epoch, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


async def sleep(seconds: float) -> None:
    """Sleep for `seconds`."""
    await _current.sleep(seconds)


def pause(seconds: float) -> None:
    """Block the thread for `seconds`; only where there is no event loop."""
    _current.pause(seconds)


async def wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:
    """Await `awaitable` for at most `timeout` seconds; raises TimeoutError and cancels it after that."""
    if timeout is None:
        return await awaitable
    work = asyncio.ensure_future(awaitable)
    alarm = asyncio.ensure_future(_current.sleep(timeout))
    try:
        await asyncio.wait({work, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise TimeoutError
    finally:
        alarm.cancel()
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


def format_time(moment: datetime) -> str:
    """`metav1.Time`: whole seconds, UTC, `2026-01-02T03:04:05Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_micro_time(moment: datetime) -> str:
    """`metav1.MicroTime`: six digits of fraction, `2026-01-02T03:04:05.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def timestamp() -> str:
    """The present moment as `metav1.Time`."""
    return format_time(now())


def micro_timestamp() -> str:
    """The present moment as `metav1.MicroTime`."""
    return format_micro_time(now())


_RFC3339 = re.compile(r"^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time with any fraction and offset; raises ValueError for anything else."""
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    day, clock_time, fraction, offset = match.groups()
    micros = ((fraction or ".")[1:] + "000000")[:6]
    zone = "+00:00" if offset in "Zz" else offset
    return datetime.fromisoformat(f"{day}T{clock_time}.{micros}{zone}")


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|h|m|s)")


def parse_duration(text: str) -> float:
    """Seconds in a Go duration such as `1h2m3.5s`, `-5ms` or `0`; raises ValueError for anything else."""
    body = text.lstrip("+-") if text[:1] in "+-" else text
    sign = -1.0 if text.startswith("-") else 1.0
    if body == "0":
        return 0.0
    parts = list(_DURATION_PART.finditer(body))
    if not parts or "".join(part.group() for part in parts) != body:
        raise ValueError(f"invalid duration {text!r}")
    return sign * sum(float(part.group(1)) * _UNITS[part.group(2)] for part in parts)


def format_duration(seconds: float) -> str:
    """A Go duration as Go prints it: `1h2m3s`, `1.5s`, `300ms`, `0s`."""
    if seconds == 0:
        return "0s"
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds < 1:
        for unit in ("ms", "µs", "ns"):
            value = seconds / _UNITS[unit]
            if value >= 1 or unit == "ns":
                return f"{sign}{round(value, 6):g}{unit}"
    minutes, rest = divmod(round(seconds, 9), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{round(rest, 9):.9f}".rstrip("0").rstrip(".") + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"
