"""Image names and the archives `oci` writes: complete, deterministic, and read by those who must read them."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pynetes.cluster import images, oci
from pynetes.cluster.config import Cluster, ClusterError

FILES = {
    "/etc/motd": oci.File(b"hello\n", mode=0o640, uid=7, gid=8),
    "/bin/link": oci.File(link="/bin/tool"),
    "/bin/tool": oci.File(b"#!/bin/sh\n", mode=0o755),
    "/var/empty": oci.File(directory=True, mode=0o700),
}
CONFIG = oci.ImageConfig(
    entrypoint=["/bin/tool"],
    command=["run"],
    env={"A": "b"},
    user="7:8",
    exposed_ports=["80/tcp"],
    architecture="amd64",
)


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("app", "docker.io/library/app:latest"),
        ("app:v1", "docker.io/library/app:v1"),
        ("team/app", "docker.io/team/app:latest"),
        ("team/deep/app:v1", "docker.io/team/deep/app:v1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("registry.test/app", "registry.test/app:latest"),
        ("registry:5000/team/app:v1", "registry:5000/team/app:v1"),
        ("registry.test/app@sha256:" + "0" * 64, "registry.test/app@sha256:" + "0" * 64),
        ("docker.io/library/app:latest", "docker.io/library/app:latest"),
        ("127.0.0.1:1/none", "127.0.0.1:1/none:latest"),
    ],
)
def test_a_short_name_stands_for_a_full_one(given: str, full: str) -> None:
    assert images.full_name(given) == full
    assert images.full_name(full) == full


def blobs(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


def read_json(found: dict[str, bytes], descriptor: dict[str, Any]) -> Any:
    return json.loads(found[f"blobs/sha256/{descriptor['digest'][7:]}"])


def test_every_blob_is_named_by_its_digest_and_found(tmp_path: Path) -> None:
    digest = oci.write_image(tmp_path / "a.tar", "registry.test/app:v1", FILES, CONFIG)
    found = blobs(tmp_path / "a.tar")
    for name, data in found.items():
        if name.startswith("blobs/"):
            assert name.rpartition("/")[2] == hashlib.sha256(data).hexdigest()
    (entry,) = json.loads(found["index.json"])["manifests"]
    assert entry["digest"] == digest
    assert entry["annotations"]["io.containerd.image.name"] == "registry.test/app:v1"
    manifest = read_json(found, entry)
    config = read_json(found, manifest["config"])
    layer = found[f"blobs/sha256/{manifest['layers'][0]['digest'][7:]}"]
    assert manifest["layers"][0]["size"] == len(layer)
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(gzip.decompress(layer)).hexdigest()]
    assert config["config"] == {
        "Entrypoint": ["/bin/tool"],
        "Cmd": ["run"],
        "Env": ["A=b"],
        "User": "7:8",
        "ExposedPorts": {"80/tcp": {}},
    }


def test_a_layer_holds_files_links_directories_and_their_parents() -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(oci.layer_of(FILES).data))) as tar:
        members = {member.name: member for member in tar}
        motd = tar.extractfile("etc/motd")
        assert motd is not None and motd.read() == b"hello\n"
    assert set(members) == {"bin", "bin/link", "bin/tool", "etc", "etc/motd", "var", "var/empty"}
    assert (members["etc/motd"].mode, members["etc/motd"].uid, members["etc/motd"].gid) == (0o640, 7, 8)
    assert members["bin/link"].issym() and members["bin/link"].linkname == "/bin/tool"
    assert members["var/empty"].isdir() and members["var/empty"].mode == 0o700
    assert (members["etc"].mode, members["etc"].uid) == (0o755, 0)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first = oci.write_image(tmp_path / "a.tar", "app:1", FILES, CONFIG)
    second = oci.write_image(tmp_path / "b.tar", "app:1", dict(reversed(FILES.items())), CONFIG)
    assert first == second
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert oci.write_image(tmp_path / "c.tar", "app:1", FILES | {"/x": oci.File(b"x")}, CONFIG) != first


def test_images_of_one_archive_share_their_layers(tmp_path: Path) -> None:
    base, top = oci.layer_of(FILES), oci.layer_of({"/top": oci.File(b"1")})
    archive = tmp_path / "both.tar"
    oci.write_archive(archive, [oci.Image("a:1", [base], CONFIG), oci.Image("b:1", [base, top], CONFIG)])
    found = blobs(archive)
    assert sum(name.startswith("blobs/") for name in found) == 2 + 2 + 2  # manifests, configs, layers
    assert len(json.loads(found["index.json"])["manifests"]) == 2


def test_skopeo_reads_the_archive(tmp_path: Path) -> None:
    oci.write_image(tmp_path / "a.tar", "registry.test/app:v1", FILES, CONFIG)
    shown = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci-archive:{tmp_path / 'a.tar'}"], capture_output=True, check=True
    )
    assert json.loads(shown.stdout)["config"]["Entrypoint"] == ["/bin/tool"]


async def test_what_is_no_file_is_not_loaded(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no such file"):
        await images.load(cluster, tmp_path / "none.tar")
    with pytest.raises(ClusterError, match="no such directory"):
        await images.build(cluster, tmp_path / "none", None, "app")


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM busybox:1\nRUN true\n", ["busybox:1"]),
        ("# FROM x\nfrom --platform=linux/amd64 a AS Build\nFROM scratch\nCOPY --from=build /x /y\n", ["a"]),
        ("FROM a\nCOPY --chown=0 --from=b:2 /x /y\nCOPY --from=0 /x /z\n", ["a", "b:2"]),
        ("ARG BASE=a\nFROM $BASE\n", []),
        ("", []),
    ],
)
def test_what_a_dockerfile_builds_upon(dockerfile: str, expected: list[str]) -> None:
    assert images.bases(dockerfile) == expected
