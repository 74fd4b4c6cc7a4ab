"""Cron schedules: five fields, names, ranges, lists, steps, `@daily` and its like, and `@every 5m`. Pure.

`Schedule.after` gives the next moment in the schedule's own time zone. A wall-clock time that a change to summer time
skips does not happen; one that a change back repeats happens once.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pynetes.machinery import clock

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_YEARS_AHEAD = 5


class ScheduleError(ValueError):
    """The text is not a schedule; the message says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    every: float = 0.0
    zone: tzinfo = UTC

    def _day_matches(self, moment: datetime) -> bool:
        day = moment.day in self.days
        weekday = (moment.weekday() + 1) % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return day and weekday
        return day or weekday

    def after(self, moment: datetime) -> datetime | None:
        """The first due time later than `moment`, in UTC; None if there is none in five years."""
        if self.every:
            return (moment + timedelta(seconds=self.every)).replace(microsecond=0)
        local = moment.astimezone(self.zone).replace(second=0, microsecond=0, tzinfo=None) + timedelta(minutes=1)
        last_year = local.year + _YEARS_AHEAD
        while local.year <= last_year:
            if local.month not in self.months:
                local = _next_month(local)
            elif not self._day_matches(local):
                local = local.replace(hour=0, minute=0) + timedelta(days=1)
            elif local.hour not in self.hours:
                local = local.replace(minute=0) + timedelta(hours=1)
            elif local.minute not in self.minutes:
                local += timedelta(minutes=1)
            else:
                found = local.replace(tzinfo=self.zone).astimezone(UTC)
                exists = found.astimezone(self.zone).replace(tzinfo=None) == local
                if exists and found > moment:
                    return found
                local += timedelta(minutes=1)
        return None


def _next_month(moment: datetime) -> datetime:
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return moment.replace(year=year, month=month, day=1, hour=0, minute=0)


def parse(text: str, zone: str | None = None) -> Schedule:
    """The schedule that `text` describes, in the time zone of that name."""
    place = _zone(zone)
    for prefix in ("TZ=", "CRON_TZ="):
        if text.startswith(prefix):
            name, _, text = text.removeprefix(prefix).partition(" ")
            place = _zone(name)
    text = text.strip()
    if text.startswith("@every "):
        return _every(text.removeprefix("@every "), place)
    if text.startswith("@"):
        if text not in _SHORTHANDS:
            raise ScheduleError(f"unrecognized descriptor: {text}")
        text = _SHORTHANDS[text]
    words = text.split()
    if len(words) != 5:
        raise ScheduleError(f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]")
    fields = [_field(word, *rule) for word, rule in zip(words, _FIELDS, strict=True)]
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = fields
    return Schedule(minutes, hours, days, months, weekdays, any_day, any_weekday, zone=place)


def _zone(name: str | None) -> tzinfo:
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as error:
        raise ScheduleError(f"unknown time zone {name}") from error


def _every(text: str, place: tzinfo) -> Schedule:
    try:
        seconds = clock.parse_duration(text)
    except ValueError as error:
        raise ScheduleError(f"failed to parse duration @every {text}: {error}") from error
    nothing: frozenset[int] = frozenset()
    return Schedule(nothing, nothing, nothing, nothing, nothing, True, True, max(1.0, float(int(seconds))), place)


def _field(text: str, low: int, high: int, names: dict[str, int]) -> tuple[frozenset[int], bool]:
    """The values of one field, and whether it says "any"."""
    values: set[int] = set()
    anything = False
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        first_text, dash, last_text = span.partition("-")
        if first_text in ("*", "?"):
            first, last = low, high
            anything = anything or not slash
        else:
            first = _number(first_text, names)
            last = _number(last_text, names) if dash else (high if slash else first)
        step = _number(step_text, {}) if slash else 1
        if step == 0:
            raise ScheduleError(f"step of range should be a positive number: {part}")
        if first < low:
            raise ScheduleError(f"beginning of range ({first}) below minimum ({low}): {part}")
        if last > high:
            raise ScheduleError(f"end of range ({last}) above maximum ({high}): {part}")
        if first > last:
            raise ScheduleError(f"beginning of range ({first}) beyond end of range ({last}): {part}")
        values.update(range(first, last + 1, step))
    return frozenset(values), anything


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdigit():
        raise ScheduleError(f"failed to parse int from {text}")
    return int(text)
