"""The plugins, under upstream's names, in upstream's order and with upstream's weights."""

from collections.abc import Callable

from pynetes.machinery.meta import Obj
from pynetes.scheduler.framework import Plugin
from pynetes.scheduler.plugins.affinity import InterPodAffinity
from pynetes.scheduler.plugins.nodes import ImageLocality, NodeAffinity, NodeName, NodeUnschedulable, TaintToleration
from pynetes.scheduler.plugins.resources import NodePorts, NodeResourcesBalancedAllocation, NodeResourcesFit
from pynetes.scheduler.plugins.spread import PodTopologySpread
from pynetes.scheduler.plugins.volume_limits import NodeVolumeLimits
from pynetes.scheduler.plugins.volumes import VolumeBinding, VolumeRestrictions, VolumeZone

FILTERS = (
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
)
SCORES = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodeResourcesFit": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}
_PLAIN: tuple[Callable[[], Plugin], ...] = (
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodePorts,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    ImageLocality,
)
_WITH_ARGUMENTS: dict[str, Callable[[Obj], Plugin]] = {
    "NodeAffinity": NodeAffinity,
    "NodeResourcesFit": NodeResourcesFit,
    "NodeResourcesBalancedAllocation": NodeResourcesBalancedAllocation,
    "PodTopologySpread": PodTopologySpread,
    "InterPodAffinity": InterPodAffinity,
}
_BY_NAME = {str(vars(plain)["name"]): plain for plain in _PLAIN}


def make(name: str, arguments: Obj) -> Plugin:
    """A plugin, with its `args` of the configuration."""
    if name in _WITH_ARGUMENTS:
        return _WITH_ARGUMENTS[name](arguments)
    return _BY_NAME[name]()
