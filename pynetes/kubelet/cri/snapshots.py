"""The files of an image as a read-only mount, through containerd's own snapshot service.

CRI lets a container mount an image since containerd 2.1; older runtimes have the same on the same socket under another
name. A view of the image's topmost layer is asked for, and mounted as the service says. The view lives until it is
removed: containerd's garbage collection leaves alone what carries `gc.root`.
"""

import json
from pathlib import Path
from typing import Any

from pynetes._generated import containerd_snapshots_pb2 as containerd
from pynetes.kubelet import mounts
from pynetes.kubelet.cri.client import Cri, CriError
from pynetes.machinery import clock

SERVICE = "/containerd.services.snapshots.v1.Snapshots/"
NAMESPACE = (("containerd-namespace", "k8s.io"),)
ROOT_LABEL = "containerd.io/gc.root"
TIMEOUT = 60.0
FLAGS = {"ro": mounts.MS_RDONLY, "bind": mounts.MS_BIND, "rbind": mounts.MS_BIND | mounts.MS_REC, "rw": 0}


async def mount_image(cri: Cri, key: str, image: str, target: Path) -> None:
    """Mount the files of `image`, which is on the node, at `target`; raises CriError or OSError."""
    info = await cri.image_info(image)
    chain = str(json.loads(info.get("info") or "{}").get("chainID") or "")
    if not chain:
        raise CriError("UNIMPLEMENTED", f"the runtime does not tell the layers of image {image}")
    snapshotter = await _snapshotter(cri)
    labels = {ROOT_LABEL: clock.timestamp()}
    view = containerd.ViewSnapshotRequest(snapshotter=snapshotter, key=key, parent=chain, labels=labels)
    try:
        answer = await _call(cri, "View", view, containerd.MountsResponse)
    except CriError as error:
        if error.code != "ALREADY_EXISTS":
            raise
        request = containerd.MountsRequest(snapshotter=snapshotter, key=key)
        answer = await _call(cri, "Mounts", request, containerd.MountsResponse)
    for layer in answer.mounts:
        _mount(layer, target)


def _mount(layer: Any, target: Path) -> None:
    flags, data = 0, []
    for option in layer.options:
        if option in FLAGS:
            flags |= FLAGS[option]
        else:
            data.append(option)
    mounts.mount(layer.source, target, layer.type, flags, ",".join(data))
    if flags & mounts.MS_BIND:  # a bind mount takes other flags only when it is mounted again
        mounts.mount(layer.source, target, layer.type, flags | mounts.MS_REMOUNT | mounts.MS_RDONLY)


async def forget(cri: Cri, key: str) -> None:
    """The view is not needed any more; idempotent."""
    try:
        request = containerd.RemoveSnapshotRequest(snapshotter=await _snapshotter(cri), key=key)
        await _call(cri, "Remove", request, containerd.Nothing)
    except CriError as error:
        if error.code != "NOT_FOUND":
            raise


async def _snapshotter(cri: Cri) -> str:
    """Which of containerd's snapshotters has the images of CRI."""
    config = json.loads((await cri.status(verbose=True)).info.get("config") or "{}")
    return str((config.get("containerd") or {}).get("snapshotter") or "overlayfs")


async def _call(cri: Cri, method: str, request: Any, response: Any) -> Any:
    import grpc

    call = cri.channel.unary_unary(
        SERVICE + method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
    )
    try:
        return await call(request, timeout=TIMEOUT, metadata=NAMESPACE)
    except grpc.aio.AioRpcError as error:
        raise CriError(error.code().name, error.details() or "") from None
