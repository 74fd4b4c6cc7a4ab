"""Cron schedules."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.controllers.cron_schedule import ScheduleError, parse


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-01-01 00:00:30", "2026-01-01 00:01"),
        ("*/15 * * * *", "2026-01-01 00:46", "2026-01-01 01:00"),
        ("0 3 * * *", "2026-01-01 03:00", "2026-01-02 03:00"),
        ("30 2 1 jan,JUL ?", "2026-01-02 00:00", "2026-07-01 02:30"),
        ("0 0 * * mon-fri", "2026-01-02 12:00", "2026-01-05 00:00"),
        ("0 12 29 2 *", "2026-01-01 00:00", "2028-02-29 12:00"),
        ("0 0 13 * 5", "2026-01-01 00:00", "2026-01-02 00:00"),
        ("5-10/5 0 * * *", "2026-01-01 00:05", "2026-01-01 00:10"),
        ("50/5 0 * * *", "2026-01-01 00:50", "2026-01-01 00:55"),
        ("@hourly", "2026-01-01 00:00", "2026-01-01 01:00"),
        ("@weekly", "2026-01-01 00:00", "2026-01-04 00:00"),
        ("@yearly", "2026-01-01 00:00", "2027-01-01 00:00"),
    ],
)
def test_the_next_time(schedule: str, after: str, expected: str) -> None:
    assert parse(schedule).after(utc(after)) == utc(expected)


def test_every_counts_from_the_moment() -> None:
    assert parse("@every 90s").after(utc("2026-01-01 00:00")) == utc("2026-01-01 00:01:30")


def test_a_time_zone_moves_the_clock() -> None:
    found = parse("0 9 * * *", "Europe/Berlin").after(utc("2026-07-01 00:00"))
    assert found == utc("2026-07-01 07:00")


def test_a_wall_clock_time_that_does_not_exist_is_left_out() -> None:
    # Berlin skips 02:30 on 29 March 2026.
    found = parse("30 2 * * *", "Europe/Berlin").after(utc("2026-03-28 12:00"))
    assert found == utc("2026-03-30 00:30")


def test_a_date_that_never_comes_has_no_next_time() -> None:
    assert parse("0 0 31 2 *").after(utc("2026-01-01 00:00")) is None


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("60 * * * *", r"end of range \(60\) above maximum \(59\)"),
        ("* * 0 * *", r"beginning of range \(0\) below minimum \(1\)"),
        ("10-5 * * * *", "beyond end of range"),
        ("*/0 * * * *", "step of range should be a positive number"),
        ("x * * * *", "failed to parse int from x"),
        ("@never", "unrecognized descriptor"),
    ],
)
def test_what_is_no_schedule_says_why(schedule: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        parse(schedule)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ScheduleError, match="unknown time zone Mars/Olympus"):
        parse("* * * * *", "Mars/Olympus")


@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_a_daily_time_comes_within_a_day_and_later(minute: int, hour: int, moment: datetime) -> None:
    found = parse(f"{minute} {hour} * * *").after(moment)
    assert found is not None
    assert moment < found <= moment + timedelta(days=1)
    assert (found.hour, found.minute, found.second) == (hour, minute, 0)
