"""What this server says it is: the Kubernetes version whose API it serves, and its own."""

import functools
import platform
from pathlib import Path

from pynetes import KUBERNETES_VERSION, __version__
from pynetes.machinery.meta import Obj

MAJOR, MINOR = KUBERNETES_VERSION.lstrip("v").split(".")[:2]
OLDEST_MINOR = str(int(MINOR) - 1)
OLDEST = f"{MAJOR}.{OLDEST_MINOR}"  # the release whose clients and nodes this one still works with
GIT_VERSION = f"{KUBERNETES_VERSION}+pynetes-{__version__}"


def info() -> Obj:
    """The document at `/version`."""
    return {
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": OLDEST_MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": _commit(),
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation(),
        "platform": f"linux/{_ARCHITECTURES.get(platform.machine(), platform.machine())}",
    }


@functools.cache
def _commit() -> str:
    """The commit this was built from, as the build noted it."""
    noted = Path(__file__).parents[1] / "_generated" / "commit"
    return noted.read_text() if noted.exists() else "0" * 40


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
