"""Tables, and durations as they stand in them."""

from datetime import UTC, datetime

import pytest

from pynetes.machinery import clock, tables

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 86400 * 365


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (-1.9, "0s"),
        (0, "0s"),
        (119, "119s"),
        (2 * MINUTE, "2m"),
        (2 * MINUTE + 5, "2m5s"),
        (10 * MINUTE + 5, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 5 * MINUTE, "3h5m"),
        (8 * HOUR + 5 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + 3 * HOUR, "2d3h"),
        (8 * DAY + 3 * HOUR, "8d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 3 * DAY, "2y3d"),
        (8 * YEAR + 3 * DAY, "8y"),
    ],
)
def test_durations_are_coarser_the_longer_they_are(seconds: float, shown: str) -> None:
    assert tables.human_duration(seconds) == shown


def test_ages_count_from_now() -> None:
    started = clock.format_time(datetime.fromtimestamp(clock.time() - 300, UTC))
    assert tables.age(started) in ("5m", "5m1s")
    assert tables.age(None) == "<unknown>"
    assert tables.age("x") == "<invalid>"


def test_a_table_holds_as_much_of_each_object_as_was_asked_for() -> None:
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {}}
    rows = [tables.Row(["a", 1], pod)]
    columns = [tables.NAME, tables.Column("Restarts", "integer", "How often.", 1)]
    made = tables.table(columns, rows, {"resourceVersion": "5"})
    assert (made["kind"], made["apiVersion"], made["metadata"]) == ("Table", "meta.k8s.io/v1", {"resourceVersion": "5"})
    assert made["columnDefinitions"][1] == {
        "name": "Restarts",
        "type": "integer",
        "format": "",
        "description": "How often.",
        "priority": 1,
    }
    assert made["rows"] == [
        {
            "cells": ["a", 1],
            "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}},
        }
    ]
    assert tables.table(columns, rows, include="Object")["rows"][0]["object"] is pod
    assert tables.table(columns, rows, include="None")["rows"][0]["object"] is None
    assert tables.table(columns, rows, headers=False)["columnDefinitions"] is None
