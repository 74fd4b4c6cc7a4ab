"""A state directory and a home of the test's own."""

from pathlib import Path

import pytest

from pynetes.cluster.config import Cluster


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYNETES_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path


@pytest.fixture
def cluster(home: Path) -> Cluster:
    made = Cluster("c", index=3, node_count=2)
    made.save()
    return made
