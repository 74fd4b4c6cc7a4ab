"""The default plugins, under upstream's names, in upstream's order and with upstream's weights."""

from pynetes.scheduler.framework import Plugin
from pynetes.scheduler.plugins.affinity import InterPodAffinity
from pynetes.scheduler.plugins.nodes import ImageLocality, NodeAffinity, NodeName, NodeUnschedulable, TaintToleration
from pynetes.scheduler.plugins.resources import NodePorts, NodeResourcesBalancedAllocation, NodeResourcesFit
from pynetes.scheduler.plugins.spread import PodTopologySpread
from pynetes.scheduler.plugins.volume_limits import NodeVolumeLimits
from pynetes.scheduler.plugins.volumes import VolumeBinding, VolumeRestrictions, VolumeZone


def default_plugins(scoring_strategy: str = "LeastAllocated") -> tuple[list[Plugin], list[tuple[Plugin, int]]]:
    """The filters in order, and the scoring plugins with their weights."""
    taints, node_affinity, fit = TaintToleration(), NodeAffinity(), NodeResourcesFit(scoring_strategy)
    spread, inter_pod = PodTopologySpread(), InterPodAffinity()
    filters: list[Plugin] = [
        NodeUnschedulable(),
        NodeName(),
        taints,
        node_affinity,
        NodePorts(),
        fit,
        VolumeRestrictions(),
        NodeVolumeLimits(),
        VolumeBinding(),
        VolumeZone(),
        spread,
        inter_pod,
    ]
    scorers: list[tuple[Plugin, int]] = [
        (taints, 3),
        (node_affinity, 2),
        (fit, 1),
        (spread, 2),
        (inter_pod, 2),
        (NodeResourcesBalancedAllocation(), 1),
        (ImageLocality(), 1),
    ]
    return filters, scorers
