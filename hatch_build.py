"""The build hook: makes what `pynetes/_generated` holds out of published packages, at install time.

Three things are made, none is committed: the compact API definitions (from `kubernetes-validate`), the CRI message
classes (from our `.proto` files), and a note of the commit. Editable installs run this too.
"""

import runpy
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
MAKERS = ("pynetes/machinery/build_definitions.py", "pynetes/kubelet/cri/build_stubs.py")


def _commit() -> str:
    """The commit that is built, for `/version`; outside a checkout, zeros."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "0" * 40


class GeneratedFiles(BuildHookInterface):
    """Runs each maker script; a maker is a file with `generate(target_directory)`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        target = ROOT / "pynetes" / "_generated"
        target.mkdir(exist_ok=True)
        (target / "__init__.py").write_text('"""Made at build time; see hatch_build.py."""\n')
        (target / "commit").write_text(_commit())
        for maker in MAKERS:
            runpy.run_path(str(ROOT / maker))["generate"](target)
