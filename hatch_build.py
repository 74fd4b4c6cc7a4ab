"""The build hook: makes what `pynetes/_generated` holds out of published packages, at install time.

Two things are made, neither is committed: the compact API definitions (from `kubernetes-validate`) and the CRI
message classes (from our `.proto` files). Editable installs run this too.
"""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
MAKERS = ("pynetes/machinery/build_definitions.py", "pynetes/kubelet/cri/build_stubs.py")


class GeneratedFiles(BuildHookInterface):
    """Runs each maker script; a maker is a file with `generate(target_directory)`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        target = ROOT / "pynetes" / "_generated"
        target.mkdir(exist_ok=True)
        (target / "__init__.py").write_text('"""Made at build time; see hatch_build.py."""\n')
        for maker in MAKERS:
            runpy.run_path(str(ROOT / maker))["generate"](target)
