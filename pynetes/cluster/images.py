"""Images in a cluster's nodes: load an archive, build from a Dockerfile, list, remove.

There is no registry in between: an image goes from a file into the containerd of every node that is on, under the name
that a manifest gives it. Building is buildah's work, in its chroot mode that needs neither a daemon nor another
namespace.
"""

import asyncio
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pynetes.cluster import nodes, units
from pynetes.cluster.config import Cluster, ClusterError
from pynetes.cluster.containerd import ContainerdError


@dataclass(frozen=True)
class Image:
    """An image on a node."""

    name: str
    node: str
    size: str


def full_name(name: str) -> str:
    """The name as containerd and the kubelet know it: `app` is `docker.io/library/app:latest`."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"


async def load(cluster: Cluster, archive: Path) -> list[str]:
    """Load an OCI or Docker archive into every node; returns the names it brought."""
    if not archive.is_file():
        raise ClusterError(f"{archive}: no such file")
    try:
        runtimes = [units.runtime(cluster, node) for node in nodes.on(cluster)]
        found = await asyncio.gather(*(runtime.import_image(archive) for runtime in runtimes))
    except ContainerdError as error:
        raise ClusterError(f"cannot load {archive}: {error}") from error
    return sorted({name for names in found for name in names})


def bases(dockerfile: str) -> list[str]:
    """The images that a Dockerfile builds upon or copies from; the names of its own stages are none."""
    found: dict[str, None] = {}
    stages = {"scratch"}
    for line in dockerfile.splitlines():
        words = line.split()
        instruction = words[0].upper() if words else ""
        named = [word for word in words[1:] if not word.startswith("--")]
        if instruction == "FROM" and named:
            found[named[0]] = None
            if len(named) == 3:
                stages.add(named[2].lower())
        elif instruction in ("COPY", "ADD"):
            found |= {word.removeprefix("--from="): None for word in words[1:] if word.startswith("--from=")}
    return [name for name in found if name.lower() not in stages and not name.isdigit() and "$" not in name]


async def build(cluster: Cluster, context: Path, dockerfile: Path | None, name: str) -> str:
    """Build the image of a directory with a Dockerfile and load it into every node; returns its full name.

    What it builds upon is taken from the nodes, if one has it, and from a registry otherwise.
    """
    if not context.is_dir():
        raise ClusterError(f"{context}: no such directory")
    reference = full_name(name)
    text = _read(dockerfile or next(filter(Path.is_file, (context / "Containerfile", context / "Dockerfile")), None))
    with tempfile.TemporaryDirectory(prefix="pynetes-build-") as scratch:
        archive = Path(scratch, "image.tar")
        storage = ["--root", f"{scratch}/root", "--runroot", f"{scratch}/run", "--storage-driver", "vfs"]
        environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
        file = ["--file", str(dockerfile)] if dockerfile else []
        held = await _export(cluster, bases(text), Path(scratch))
        for step in (
            *(["buildah", *storage, "pull", "--quiet", f"oci-archive:{archive}"] for archive in held),
            ["buildah", *storage, "build", "--layers=false", *file, "--tag", reference, str(context)],
            ["buildah", *storage, "push", "--quiet", reference, f"docker-archive:{archive}:{reference}"],
        ):
            try:
                result = await asyncio.to_thread(
                    subprocess.run, step, env=environment, capture_output=True, text=True, check=False
                )
            except FileNotFoundError as error:
                raise ClusterError("buildah is not installed: apt-get install buildah") from error
            if result.returncode != 0:
                raise ClusterError(f"the build of {context} failed:\n{(result.stderr or result.stdout).strip()}")
        await load(cluster, archive)
    return reference


def _read(dockerfile: Path | None) -> str:
    """Its text; buildah complains better than we could about one that is not there."""
    return dockerfile.read_text(errors="replace") if dockerfile is not None and dockerfile.is_file() else ""


async def _export(cluster: Cluster, names: list[str], directory: Path) -> list[Path]:
    """An archive of each of the images that a node has."""
    where = {image.name: image.node for image in await listing(cluster)} if names else {}
    archives: list[Path] = []
    for name in names:
        reference = full_name(name)
        if reference in where:
            archives.append(directory / f"base-{len(archives)}.tar")
            runtime = units.runtime(cluster, where[reference])
            try:
                await runtime.ctr("images", "export", str(archives[-1]), reference)
            except ContainerdError as error:
                raise ClusterError(f"cannot take {reference} out of {where[reference]}: {error}") from error
    return archives


async def remove(cluster: Cluster, name: str) -> None:
    """Remove an image from every node; raises ClusterError if no node has it."""
    reference = full_name(name)
    if not any(image.name == reference for image in await listing(cluster)):
        raise ClusterError(f"no image {reference} on any node; `pynetes image ls` lists them")
    for node in nodes.on(cluster):
        await units.runtime(cluster, node).ctr("images", "rm", reference)


async def listing(cluster: Cluster) -> list[Image]:
    """Every named image on every node."""
    images = []
    for node in nodes.on(cluster):
        try:
            lines = (await units.runtime(cluster, node).ctr("images", "ls")).splitlines()[1:]
        except ContainerdError as error:
            raise ClusterError(f"cannot list the images of {node}: {error}") from error
        for line in lines:
            cells = line.split()
            if len(cells) > 4 and not cells[0].startswith("sha256:") and "@sha256:" not in cells[0]:
                images.append(Image(cells[0], node, " ".join(cells[3:5])))
    return images
