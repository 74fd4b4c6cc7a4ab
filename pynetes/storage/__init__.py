"""A revisioned key-value store: one interface (`interface`), kept in memory (`memory`) or on disk (`sqlite`)."""

from pynetes.storage.interface import Store
from pynetes.storage.memory import MemoryStore
from pynetes.storage.sqlite import SqliteStore


def open_store(url: str) -> Store:
    """The store that a `--storage` flag names: `memory:` or `sqlite:///path/to/file`."""
    scheme, _, rest = url.partition(":")
    if url == "memory:":
        return MemoryStore()
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > 3:
        return SqliteStore(rest[2:])
    raise ValueError(f"unknown storage {url!r}: want memory: or sqlite:///path")
