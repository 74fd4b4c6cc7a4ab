"""Parts of volumes: found, made where they are missing, and never outside of the volume."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pynetes.kubelet import mounts, subpath

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="bind mounts need root")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir(mode=0o750)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pod" / "place"
    yield path
    if path.exists() and mounts.is_mount_point(path):
        mounts.unmount(path)


def test_a_file_is_mounted_as_a_file(volume: Path, place: Path) -> None:
    (volume / "a").write_text("content")
    assert subpath.prepare(volume, "a", place).read_text() == "content"


def test_a_link_inside_the_volume_is_followed(volume: Path, place: Path) -> None:
    (volume / "..data").mkdir()
    (volume / "..data" / "a").write_text("content")
    (volume / "a").symlink_to("..data/a")
    assert subpath.prepare(volume, "a", place).read_text() == "content"


def test_what_is_missing_becomes_a_directory_with_the_volumes_mode(volume: Path, place: Path) -> None:
    assert subpath.prepare(volume, "a/b", place).is_dir()
    assert (volume / "a" / "b").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("link", ["/etc", "../../outside", "/"])
def test_a_link_out_of_the_volume_is_refused(volume: Path, place: Path, link: str) -> None:
    (volume / "a").symlink_to(link)
    with pytest.raises(subpath.SubPathError):
        subpath.prepare(volume, "a/x", place)
    assert not place.exists()


@pytest.mark.parametrize("path", ["..", "a/../..", "/etc"])
def test_a_path_out_of_the_volume_is_refused(volume: Path, place: Path, path: str) -> None:
    with pytest.raises(subpath.SubPathError, match="relative path"):
        subpath.prepare(volume, path, place)


def test_what_cannot_be_made_is_told_apart(volume: Path, place: Path) -> None:
    (volume / "a").write_text("a file")
    with pytest.raises(subpath.MissingSubPathError):
        subpath.prepare(volume, "a/b", place)
