"""Claims that want more than their volume holds.

Growing a volume is its driver's work, done by a resizer that came with the driver. Upstream's controller grows the few
kinds that have no driver, none of which exist here; what is left is to tell the user whom the claim waits for.
"""

from collections.abc import Iterable

from pynetes.controllers.controller import Context, Controller
from pynetes.machinery import meta, quantity
from pynetes.machinery.meta import Obj


def wants_more(claim: Obj) -> bool:
    """Whether a bound claim asks for more than it has."""
    wanted = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
    held = (claim.get("status", {}).get("capacity") or {}).get("storage", "0")
    return claim.get("status", {}).get("phase") == "Bound" and quantity.compare(str(wanted), str(held)) > 0


class VolumeExpander(Controller):
    """Says that a claim waits to be grown."""

    name = "persistentvolume-expander-controller"
    component = "volume_expand"
    account = "expand-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.watch("persistentvolumeclaims", self._claim_changed)
        self.volumes = self.watch("persistentvolumes")

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return (meta.key(new),) if new is not None and wants_more(new) else ()

    async def reconcile(self, key: str) -> None:
        claim = self.claims.get(key)
        if claim is None or not wants_more(claim):
            return
        volume = self.volumes.get(claim["spec"].get("volumeName", ""))
        if volume is not None and (volume["spec"].get("claimRef") or {}).get("uid") == meta.uid(claim):
            text = "waiting for an external controller to expand this PVC"
            self.events.event(claim, "Normal", "ExternalExpanding", text)
