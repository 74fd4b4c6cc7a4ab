"""`pynetes image`: load, build, list and remove images in the cluster's nodes, without a registry."""

import argparse
import asyncio
from pathlib import Path

from pynetes.cli.common import Commands, add_name, command, table
from pynetes.cluster import config, control, images
from pynetes.cluster.config import Cluster, ClusterError


def register(commands: Commands) -> None:
    """Add the command and its sub-commands."""
    parser = command(
        commands,
        "image",
        "put images into the cluster's nodes, without a registry",
        run_ls,
        epilog="Such an image wants imagePullPolicy IfNotPresent, the default unless its tag is latest.",
    )
    verbs = parser.add_subparsers(title="what to do", metavar="VERB", required=True)
    load = command(verbs, "load", "load an OCI or Docker archive (docker save, skopeo copy …)", run_load)
    load.add_argument("archive", type=Path, metavar="FILE")
    build = command(
        verbs,
        "build",
        "build a directory with a Dockerfile",
        run_build,
        epilog="FROM and COPY --from take an image from the nodes if one has it, and from its registry otherwise.",
    )
    build.add_argument("-t", "--tag", required=True, metavar="NAME", help="the image's name, e.g. app:v1")
    build.add_argument("-f", "--file", type=Path, metavar="DOCKERFILE", help="default: DIR/Dockerfile")
    build.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    listing = command(verbs, "ls", "list the images of each node", run_ls)
    remove = command(verbs, "rm", "remove an image from every node", run_rm)
    remove.add_argument("image", metavar="NAME")
    for verb in (load, build, listing, remove):
        add_name(verb)


def _running(arguments: argparse.Namespace) -> Cluster:
    cluster = config.require(arguments.name)
    if not cluster.nodes:
        raise ClusterError(f"cluster {cluster.name} has no nodes, so it holds no images")
    if control.supervisor_pid(cluster) is None:
        raise ClusterError(f"cluster {cluster.name} is stopped; {cluster.how_to_start}")
    return cluster


def run_load(arguments: argparse.Namespace) -> int:
    """`image load FILE`."""
    for name in asyncio.run(images.load(_running(arguments), arguments.archive)):
        print(f"loaded {name}")
    return 0


def run_build(arguments: argparse.Namespace) -> int:
    """`image build -t NAME DIR`."""
    cluster = _running(arguments)
    print(f"built {asyncio.run(images.build(cluster, arguments.directory, arguments.file, arguments.tag))}")
    return 0


def run_ls(arguments: argparse.Namespace) -> int:
    """`image ls`."""
    rows = [(image.name, image.node, image.size) for image in asyncio.run(images.listing(_running(arguments)))]
    print(table(("IMAGE", "NODE", "SIZE"), rows))
    return 0


def run_rm(arguments: argparse.Namespace) -> int:
    """`image rm NAME`."""
    asyncio.run(images.remove(_running(arguments), arguments.image))
    print(f"removed {images.full_name(arguments.image)}")
    return 0
