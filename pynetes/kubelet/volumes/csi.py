"""`csi` volumes written into a pod. No driver can register with this kubelet, so each is refused as upstream's kubelet
refuses a driver that did not: an inline volume needs a CSIDriver that allows it, and then the driver itself.
"""

from pynetes.kubelet.sources import MissingObject
from pynetes.kubelet.volumes.base import Volume, VolumeError


def unregistered(driver: str) -> str:
    """What the kubelet says of a driver it does not know."""
    return f"driver name {driver} not found in the list of registered CSI drivers"


class CsiVolume(Volume):
    """An ephemeral volume that a driver would make for the pod."""

    plugin = "kubernetes.io/csi"

    async def set_up(self) -> None:
        driver = self.source.get("driver", "")
        refused = f'volume mode "Ephemeral" not supported by driver {driver}'
        start = "MountVolume.NewMounter initialization"
        try:
            found = await self.context.get_cluster("csidrivers.storage.k8s.io", driver)
        except MissingObject:
            raise VolumeError(f"{refused} (no CSIDriver object)", step=start) from None
        modes = found.get("spec", {}).get("volumeLifecycleModes") or ["Persistent"]
        if "Ephemeral" not in modes:
            only = " ".join(f'"{mode}"' for mode in modes)
            raise VolumeError(f"{refused} (only supports [{only}])", step=start)
        raise VolumeError(f"kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: {unregistered(driver)}")
