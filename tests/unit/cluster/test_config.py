"""A cluster's data: saved, loaded, refused, and the addresses that follow from it."""

import ipaddress
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.cluster import config
from pynetes.cluster.config import Cluster, ClusterError


def test_a_saved_cluster_is_loaded_as_it_was(cluster: Cluster) -> None:
    assert config.load("c") == cluster
    assert config.require("c") == cluster
    assert config.list_all() == [cluster]


def test_saving_again_replaces_it_whole(cluster: Cluster) -> None:
    replace(cluster, node_count=5).save()
    assert config.require("c").node_count == 5
    assert [file.name for file in cluster.directory.iterdir()] == ["cluster.json"]


def test_a_cluster_that_is_not_there_names_those_that_are(cluster: Cluster) -> None:
    assert config.load("none") is None
    with pytest.raises(ClusterError, match="no cluster named 'none'; there are: c"):
        config.require("none")


def test_without_any_cluster_up_is_proposed(home: Path) -> None:
    assert config.list_all() == []
    with pytest.raises(ClusterError, match="`pynetes up` starts one"):
        config.require("none")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"unknown": 1}', "{}"])
def test_a_damaged_file_is_told_and_how_to_mend_it(cluster: Cluster, content: str) -> None:
    cluster.path("cluster.json").write_text(content)
    with pytest.raises(ClusterError, match="pynetes delete --name c"):
        config.load("c")


@pytest.mark.parametrize("name", ["", "-", "a-", "-a", "A", "a_b", "a.b", "a/b", "..", "x" * 33, "ä", "a\n"])
def test_names_that_cannot_name_files_and_contexts_are_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="invalid cluster name"):
        config.load(name)


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True))
def test_every_short_dns_label_is_a_name(name: str) -> None:
    assert config.check_name(name) == name


def test_state_lies_where_the_user_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYNETES_STATE_DIR")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert config.state_root() == Path("/var/lib/pynetes")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert config.state_root() == Path.home() / ".local/share/pynetes"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert config.state_root() == Path("/data/pynetes")


@given(st.integers(0, 63), st.integers(0, 63))
def test_clusters_side_by_side_share_no_address(first: int, second: int) -> None:
    a, b = Cluster("a", index=first).network, Cluster("b", index=second).network
    for ours, theirs in itertools.product((a.links, a.pods, a.services), (b.links, b.pods, b.services)):
        shared = ipaddress.ip_network(ours).overlaps(ipaddress.ip_network(theirs))
        assert shared == (ours == theirs and first == second)


def test_what_follows_from_the_data(cluster: Cluster) -> None:
    assert cluster.nodes == ["node-1", "node-2"]
    assert cluster.context == "pynetes-c"
    assert cluster.server == "https://127.0.0.1:6443"
    assert cluster.node_server == f"https://{cluster.network.host_address}:6443"
    assert cluster.kubernetes_service.endswith(".0.1")
    assert len({cluster.node_address(node) for node in cluster.nodes}) == 2


def test_parts_of_a_cluster_on_real_machines() -> None:
    server = Cluster("s", node_count=0, role="server", server_address="192.0.2.10")
    assert server.nodes == []
    assert (server.node_server, server.advertised) == ("https://192.0.2.10:6443", "192.0.2.10")
    agent = replace(server, role="agent", node_name="web", node_ip="192.0.2.11")
    assert (agent.nodes, agent.node_address("web"), agent.namespace("web")) == (["web"], "192.0.2.11", "")


def test_removing_takes_every_file(cluster: Cluster) -> None:
    cluster.node_path("node-1", "deep").mkdir(parents=True)
    cluster.remove_files()
    assert not cluster.directory.exists()


def test_only_the_default_cluster_needs_no_name(cluster: Cluster) -> None:
    assert Cluster("default").option == ""
    assert cluster.option == " --name c"


def test_a_cluster_that_cannot_be_read_can_be_removed(cluster: Cluster) -> None:
    cluster.path("cluster.json").write_text("{")
    with pytest.raises(config.UnreadableCluster, match="`pynetes delete --name c` removes the cluster"):
        config.require("c")
    assert config.names() == ["c"]
    assert config.for_removal("c").directory == cluster.directory


def test_a_stopped_cluster_says_what_starts_it(cluster: Cluster) -> None:
    assert cluster.how_to_start == "`pynetes up --name c` starts it"
    assert Cluster("c", role="server").how_to_start == "`pynetes server --name c` runs it"
    assert Cluster("agent", role="agent").how_to_start == "`pynetes agent` runs it"
