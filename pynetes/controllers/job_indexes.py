"""Sets of completion indexes, as an Indexed Job writes them: `1,3-5,7`. Pure functions."""

from collections.abc import Iterable

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

INDEX = "batch.kubernetes.io/job-completion-index"


def parse(text: str | None, completions: int) -> set[int]:
    """The indexes in `text` below `completions`; what cannot be read is no index."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), min(int(last or first) + 1, completions)))
    return {index for index in found if index < completions}


def render(indexes: Iterable[int]) -> str:
    """`1,3-5,7`."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] + 1 == index:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    parts = []
    for first, last in runs:
        if first == last:
            parts.append(str(first))
        else:
            parts.append(f"{first},{last}" if last == first + 1 else f"{first}-{last}")
    return ",".join(parts)


def index_of(pod: Obj) -> int | None:
    """The pod's completion index."""
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def first_missing(taken: set[int], count: int, completions: int) -> list[int]:
    """The lowest `count` indexes that are not taken."""
    found: list[int] = []
    index = 0
    while len(found) < count and index < completions:
        if index not in taken:
            found.append(index)
        index += 1
    return found
