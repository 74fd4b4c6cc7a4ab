"""Time as the API writes it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import clock

ANY_TIME = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC))


@given(ANY_TIME)
def test_what_is_written_is_read_again(moment: datetime) -> None:
    assert clock.parse_time(clock.format_micro_time(moment)) == moment
    assert clock.parse_time(clock.format_time(moment)) == moment.replace(microsecond=0)


def test_the_first_years_have_four_digits_too() -> None:
    assert clock.format_micro_time(datetime(1, 1, 1, 0, 0, 2, tzinfo=UTC)) == "0001-01-01T00:00:02.000000Z"


def test_times_are_written_in_utc() -> None:
    zone = timezone(timedelta(hours=2))
    assert clock.format_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)) == "2026-01-02T01:04:05Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1h2m3s", 3723), ("1.5s", 1.5), ("300ms", 0.3), ("-5m", -300), ("1us", 1e-6), (".5h", 1800)],
)
def test_go_durations_are_read(text: str, seconds: float) -> None:
    assert clock.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "1x", "1h2"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        clock.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "1m30s"), (3600, "1h0m0s"), (1.5, "1.5s"), (0.3, "300ms"), (-60, "-1m0s")]
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert clock.format_duration(seconds) == text
