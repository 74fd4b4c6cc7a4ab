"""Static bearer tokens from a CSV file: `token,user,uid,"group1,group2"`, the groups optional."""

import csv
from pathlib import Path

from pynetes.apiserver.request import UserInfo


def load(path: Path) -> dict[str, UserInfo]:
    """The users in a token file, by token. Raises ValueError for a line with fewer than three columns."""
    users: dict[str, UserInfo] = {}
    with path.open(newline="") as lines:
        for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
            if not row or row[0].lstrip().startswith("#"):
                continue
            if len(row) < 3:
                raise ValueError(f"{path.name}, line {number}: expected at least 3 columns, found {len(row)}")
            if not row[0]:
                continue  # an empty token never matches; upstream skips it too
            groups = tuple(group for group in row[3].split(",") if group) if len(row) > 3 else ()
            users.setdefault(row[0], UserInfo(row[1], row[2], groups))
    return users
