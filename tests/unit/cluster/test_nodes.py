"""A node's processes are known by what their command lines name."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pynetes.cluster import nodes


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """A program that goes by the name of containerd's shim and waits for its input to end."""
    return Path(shutil.copy("/bin/sh", tmp_path / "containerd-shim"))


def run(program: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([program, "-c", "read line", *arguments], stdin=subprocess.PIPE)


@pytest.mark.parametrize("names", ["containerd/state/task", "containerd.sock"])
def test_a_shim_is_its_nodes_by_directory_or_socket(tmp_path: Path, shim: Path, names: str) -> None:
    directory = tmp_path / "node-1" / "containerd"
    with (
        run(shim, "-address", str(directory.parent / names)) as mine,
        run(shim, "-address", str(tmp_path / "node-11" / names)) as other,
    ):
        nodes.kill_users_of(directory)
        assert mine.wait(10) == -9
        assert other.poll() is None
        other.kill()
