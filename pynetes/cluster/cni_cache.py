"""The notes that CNI keeps of every sandbox, in one place for the whole machine, wherever a cluster's files lie.

A sandbox that is removed in order takes its note with it. One whose node lost its power leaves it, and nobody asks for
it again once the cluster is deleted.
"""

import base64
import json
from pathlib import Path

CACHE = Path("/var/lib/cni/results")


def forget(directory: Path, cache: Path = CACHE) -> None:
    """Remove the notes of sandboxes whose network had its state below `directory`."""
    needle = f"{directory}/".encode()
    for file in cache.glob("*-eth0"):
        try:
            note = json.loads(file.read_bytes())
            sandbox, configuration = str(note["containerId"]), base64.b64decode(note["config"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # just removed, or somebody else's
        if needle in configuration:
            for part in cache.glob(f"*-{sandbox}-*"):
                part.unlink(missing_ok=True)
