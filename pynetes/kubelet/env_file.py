"""Variables that a container left in a file of a volume: `fileKeyRef` (KEP-3721).

The file is a small part of shell syntax: `NAME='value'`, one after the other, values in single quotes and taken
literally, over several lines if need be; comments and blank lines between them. Whoever wrote it may have put links
into the volume, so a path is followed as if the volume were the whole file system.
"""

from collections.abc import Iterator
from pathlib import Path

MAX_LINKS = 255
BLANK = " \t"


class EnvFileError(Exception):
    """The file cannot be read or is not written as it should be."""


def read(root: Path, path: str, key: str) -> str:
    """The value of `key` in the file at `path` below `root`; empty if it is not there; raises EnvFileError."""
    try:
        return parse(within(root, path).read_text(errors="surrogateescape"), key)
    except OSError as error:
        raise EnvFileError(str(error)) from None


def parse(text: str, key: str) -> str:
    """The value of `key`; what follows it in the file does not matter any more."""
    lines = iter(text.splitlines())
    for line in lines:
        line = line.lstrip(BLANK)
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name or name != name.rstrip(BLANK):
            raise EnvFileError(f"not an assignment: {line}")
        if value[:1] in (" ", "\t"):  # as in a shell, the assignment ends here
            if name == key:
                return ""
            continue
        value = _quoted(value, lines)
        if name == key:
            return value
    return ""


def _quoted(value: str, lines: Iterator[str]) -> str:
    """What stands between the quotes; takes further lines until they close."""
    if not value.startswith("'"):
        raise EnvFileError("value must be enclosed in single quotes")
    value = value[1:]
    while "'" not in value:
        more = next(lines, None)
        if more is None:
            raise EnvFileError("unclosed single quote")
        value += f"\n{more}"
    inside, _, rest = value.partition("'")
    rest = rest.lstrip(BLANK)
    if rest and not rest.startswith("#"):
        raise EnvFileError("unexpected content after closing quote")
    return inside


def within(root: Path, path: str) -> Path:
    """`path` below `root`, no link and no `..` leading out of it."""
    pending, here, links = [*Path(path).parts], Path(), 0
    while pending:
        part = pending.pop(0)
        if part in ("/", "."):
            here = Path() if part == "/" else here
            continue
        if part == "..":
            here = here.parent
            continue
        step = root / here / part
        if not step.is_symlink():
            here = here / part
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(40, "Too many levels of symbolic links", str(step))
        pending = [*step.readlink().parts, *pending]
    return root / here
