"""The user's kubeconfig: our context comes and goes, everything else stays as it is."""

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from pynetes.cluster import kubeconfig, pki
from pynetes.cluster.config import Cluster, ClusterError

OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "work",
    "preferences": {"colors": True},
    "clusters": [{"name": "work", "cluster": {"server": "https://192.0.2.1"}}],
    "users": [{"name": "me", "user": {"token": "secret"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me", "namespace": "team"}}],
    "extensions": [{"name": "kept", "extension": {"a": 1}}],
}


@pytest.fixture
def ready(cluster: Cluster) -> Cluster:
    pki.ensure(cluster)
    return cluster


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def names(config: dict[str, Any], section: str) -> list[str]:
    return [entry["name"] for entry in config[section]]


def test_merging_makes_the_file_if_there_is_none(ready: Cluster, home: Path) -> None:
    path = kubeconfig.merge(ready)
    assert path == home / ".kube" / "config"
    config = read(path)
    assert config["current-context"] == "pynetes-c"
    assert names(config, "clusters") == names(config, "users") == names(config, "contexts") == ["pynetes-c"]
    assert config["clusters"][0]["cluster"]["server"] == ready.server
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_merging_keeps_what_others_wrote(ready: Cluster, home: Path) -> None:
    path = write(home / ".kube" / "config", OTHERS)
    kubeconfig.merge(ready)
    config = read(path)
    assert config["current-context"] == "pynetes-c"
    for section in ("clusters", "users", "contexts"):
        assert config[section][0] == OTHERS[section][0]
    assert (config["preferences"], config["extensions"]) == (OTHERS["preferences"], OTHERS["extensions"])


def test_removing_gives_back_what_was_there(ready: Cluster, home: Path) -> None:
    path = write(home / ".kube" / "config", OTHERS)
    kubeconfig.merge(ready)
    kubeconfig.remove(ready)
    assert read(path) == OTHERS | {"current-context": ""}


def test_removing_leaves_another_current_context(ready: Cluster, home: Path) -> None:
    path = write(home / ".kube" / "config", OTHERS)
    kubeconfig.merge(ready)
    write(path, read(path) | {"current-context": "work"})
    kubeconfig.remove(ready)
    assert read(path) == OTHERS


def test_merging_twice_changes_nothing(ready: Cluster) -> None:
    path = kubeconfig.merge(ready)
    before = path.stat()
    kubeconfig.merge(ready)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino


def test_new_keys_replace_the_old_ones(ready: Cluster) -> None:
    path = kubeconfig.merge(ready)
    ready.path("pki", "admin.crt").unlink()
    pki.ensure(ready)
    kubeconfig.merge(ready)
    (user,) = read(path)["users"]
    assert base64.b64decode(user["user"]["client-certificate-data"]) == ready.path("pki", "admin.crt").read_bytes()


def test_removing_where_there_is_nothing_makes_nothing(cluster: Cluster, home: Path) -> None:
    kubeconfig.remove(cluster)
    assert not (home / ".kube").exists()


@pytest.mark.parametrize("content", ["", "\n", "# only a comment\n", "{}\n", "clusters: null\n"])
def test_files_that_hold_nothing_yet_are_merged_into(ready: Cluster, home: Path, content: str) -> None:
    path = home / ".kube" / "config"
    path.parent.mkdir()
    path.write_text(content)
    kubeconfig.merge(ready)
    assert names(read(path), "contexts") == ["pynetes-c"]


@pytest.mark.parametrize("content", ["just text", "[1, 2]", "a: [", "\x00", "clusters: text\n", "users: [text]\n"])
def test_a_file_that_is_no_kubeconfig_is_left_as_it_is(ready: Cluster, home: Path, content: str) -> None:
    path = home / ".kube" / "config"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ClusterError, match="not a kubeconfig"):
        kubeconfig.merge(ready)
    assert path.read_text() == content


def test_the_environment_names_the_file(ready: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = home / "one", home / "two"
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
    assert kubeconfig.user_file() == first
    write(second, OTHERS)
    assert kubeconfig.user_file() == second
    assert kubeconfig.merge(ready) == second


def test_a_lock_held_by_another_is_waited_for_and_then_told(
    ready: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(home / ".kube" / "config", OTHERS)
    lock = path.with_name("config.lock")
    lock.touch()
    monkeypatch.setattr(kubeconfig, "LOCK_SECONDS", 0.2)
    with pytest.raises(ClusterError, match="is locked"):
        kubeconfig.merge(ready)
    assert read(path) == OTHERS
    lock.unlink()
    kubeconfig.merge(ready)
    assert not lock.exists()


def test_many_writers_lose_nothing(home: Path) -> None:
    clusters = [Cluster(f"c{number}", index=number) for number in range(8)]
    for cluster in clusters:
        pki.ensure(cluster)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(kubeconfig.merge, clusters))
    assert sorted(names(read(home / ".kube" / "config"), "contexts")) == [c.context for c in clusters]


def test_components_get_files_of_their_own(ready: Cluster) -> None:
    kubeconfig.write_component_files(ready)
    files = {file.stem: read(file) for file in ready.path("kubeconfig").iterdir()}
    assert set(files) == {
        "admin", "controller-manager", "scheduler",
        "kubelet-node-1", "kubelet-node-2", "network-node-1", "network-node-2",
    }  # fmt: skip
    assert files["kubelet-node-1"]["clusters"][0]["cluster"]["server"] == ready.node_server
    assert files["scheduler"]["clusters"][0]["cluster"]["server"] == ready.server
    assert json.dumps(files["admin"])


def test_a_file_that_cannot_be_written_is_named(ready: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(home))
    with pytest.raises(ClusterError, match=f"cannot use the kubeconfig {home}: Is a directory"):
        kubeconfig.merge(ready)
    monkeypatch.setenv("KUBECONFIG", "/proc/none/config")
    with pytest.raises(ClusterError, match="cannot use the kubeconfig /proc/none/config: No such file"):
        kubeconfig.merge(ready)
