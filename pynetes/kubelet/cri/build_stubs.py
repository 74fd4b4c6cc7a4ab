"""Compiles the CRI and containerd message classes out of the `.proto` files beside this one.

The build hook runs `generate` through `runpy` at install time; in a checkout `python -m
pynetes.kubelet.cri.build_stubs` does the same. The results land in `pynetes/_generated` and are never committed.
Only message classes are made: `client.py` names the methods itself, so no service stubs are needed.
"""

import sys
from pathlib import Path

PROTOS = ("cri.proto", "containerd_events.proto", "containerd_snapshots.proto")


def generate(target: Path) -> None:
    """Write `<name>_pb2.py` for each of our protos into `target`."""
    import grpc_tools
    from grpc_tools import protoc

    here = Path(__file__).resolve().parent
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    target.mkdir(parents=True, exist_ok=True)
    arguments = ["protoc", f"-I{here}", f"-I{well_known}", f"--python_out={target}", *PROTOS]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc failed: {' '.join(arguments)}")


if __name__ == "__main__":
    package = Path(__file__).resolve().parents[2] / "_generated"
    package.mkdir(exist_ok=True)
    if not (package / "__init__.py").exists():
        (package / "__init__.py").write_text('"""Made at build time; see hatch_build.py."""\n')
    generate(package)
    sys.exit(0)
