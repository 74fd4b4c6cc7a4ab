"""How much of the disk a directory holds."""

import os
from pathlib import Path


def disk_usage(directory: Path) -> int:
    """Bytes on disk below a directory."""
    total = 0
    for root, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(f"{root}/{name}").st_blocks * 512
            except OSError:
                continue
    return total
