"""Writes container images without a daemon: files and a config in, an OCI image archive out.

The archive is an OCI image layout in a tar, as `ctr images import`, skopeo and umoci read it. It is deterministic:
the same files and the same config give the same bytes, hence the same digest, on any machine and any day.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True, slots=True)
class File:
    """One entry of a layer: bytes, a file of the host, a symbolic link (`link`), or a directory (`directory`)."""

    content: bytes | Path = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str = ""
    directory: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How a container of the image runs."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = ""
    exposed_ports: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image: a compressed tar, and the digest of what it holds."""

    data: bytes
    diff_id: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image called `name` (a full reference): its layers, the lowest first, and how it runs."""

    name: str
    layers: Sequence[Layer]
    config: ImageConfig


def layer_of(files: Mapping[str, File]) -> Layer:
    """A layer of `files`, absolute paths to entries; parent directories not mentioned are made, owned by root."""
    tar = _layer(files)
    return Layer(gzip.compress(tar, compresslevel=6, mtime=0), _digest(tar))


def write_image(archive: Path, name: str, files: Mapping[str, File], config: ImageConfig) -> str:
    """Write an image of one layer to `archive`; returns the digest of its manifest."""
    return write_archive(archive, [Image(name, [layer_of(files)], config)])[0]


def write_archive(archive: Path, images: Sequence[Image]) -> list[str]:
    """Write several images to one archive, in which layers they share stand once; returns the manifests' digests."""
    blobs: dict[str, bytes] = {}
    entries, digests = [], []

    def put(media_type: str, data: bytes) -> dict[str, Any]:
        blobs[f"blobs/sha256/{_digest(data)[7:]}"] = data
        return _descriptor(media_type, data)

    for image in images:
        config = _json(_image_config(image.config, [layer.diff_id for layer in image.layers]))
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": put(CONFIG, config),
            "layers": [put(LAYER, layer.data) for layer in image.layers],
        }
        names = {
            "io.containerd.image.name": image.name,
            "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
        }
        manifest = _json(document)
        entries.append(put(MANIFEST, manifest) | {"annotations": names})
        digests.append(_digest(manifest))
    members = blobs | {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}),
    }
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for path, data in sorted(members.items()):
            tar.addfile(_tar_info(path, File(mode=0o644), len(data)), io.BytesIO(data))
    return digests


def write_pause_image(archive: Path, name: str, catatonit: Path = Path("/usr/bin/catatonit")) -> str:
    """The image every sandbox runs: a static init that sleeps and reaps."""
    files = {"/pause": File(catatonit, mode=0o755)}
    return write_image(archive, name, files, ImageConfig(entrypoint=["/pause", "-P"], user="65535:65535"))


def _layer(files: Mapping[str, File]) -> bytes:
    entries = {path.strip("/"): entry for path, entry in files.items()}
    for path in list(entries):
        for parent in Path(path).parents:
            if str(parent) != ".":
                entries.setdefault(str(parent), File(mode=0o755, directory=True))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, entry in sorted(entries.items()):
            data = entry.content.read_bytes() if isinstance(entry.content, Path) else entry.content
            tar.addfile(_tar_info(path, entry, len(data)), io.BytesIO(data))
    return buffer.getvalue()


def _tar_info(path: str, entry: File, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, 0
    if entry.directory:
        info.type = tarfile.DIRTYPE
    elif entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    else:
        info.size = size
    return info


def _image_config(config: ImageConfig, diff_ids: list[str]) -> dict[str, Any]:
    run: dict[str, Any] = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "Env": [f"{key}={value}" for key, value in config.env.items()],
        "User": config.user,
        "WorkingDir": config.working_dir,
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Labels": dict(config.labels),
    }
    return {
        "architecture": config.architecture or _host_architecture(),
        "os": "linux",
        "config": {key: value for key, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "pynetes"}],
    }


def _host_architecture() -> str:
    import platform

    return ARCHITECTURES.get(platform.machine(), platform.machine())


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
