"""Short ways to write nodes, pods and a scheduler's picture of them."""

from typing import Any

import numpy as np
import pytest

from pynetes.machinery.meta import Obj
from pynetes.scheduler.framework import Cluster, State, Unschedulable, Verdict, run_filters, run_scores
from pynetes.scheduler.podinfo import PodInfo, pod_info
from pynetes.scheduler.profiles import DEFAULT_NAME, profiles
from pynetes.scheduler.snapshot import Nodes


class Listing(dict[str, Obj]):
    """A lister over objects by key."""

    def list(self, namespace: str | None = None) -> list[Obj]:
        return [o for o in self.values() if namespace is None or o["metadata"].get("namespace") == namespace]


def node(
    name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", labels: Obj | None = None, **spec: Any
) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}},
    }


_serial = iter(range(10**9))


def pod(
    name: str = "",
    *,
    cpu: str | None = None,
    memory: str | None = None,
    labels: dict[str, str] | None = None,
    namespace: str = "default",
    port: int | None = None,
    **spec: Any,
) -> PodInfo:
    number = next(_serial)
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container: Obj = {"name": "c", "image": "i", "resources": {"requests": requests}}
    if port:
        container["ports"] = [{"containerPort": port, "hostPort": port}]
    return pod_info(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name or f"p{number}",
                "namespace": namespace,
                "uid": f"uid-{number}",
                "labels": labels or {},
            },
            "spec": {"containers": [container], **spec},
        }
    )


class World:
    """Nodes and pods, and what the default plugins say about a new pod."""

    def __init__(self, *nodes: Obj, **objects: Listing) -> None:
        names = (
            "services replicasets replicationcontrollers statefulsets persistentvolumeclaims persistentvolumes "
            "storageclasses poddisruptionbudgets csinodes csidrivers csistoragecapacities volumeattachments"
        )
        self.cluster = Cluster({name: objects.get(name, Listing()) for name in names.split()}, {})
        self.nodes = Nodes()
        self.use({})
        for each in nodes:
            self.nodes.set_node(each)

    def use(self, profile: Obj) -> None:
        """Judge pods by this profile of a KubeSchedulerConfiguration."""
        chosen = profiles({"profiles": [profile]})[DEFAULT_NAME]
        self.filters, self.scorers = chosen.filters, chosen.scorers

    def put(self, info: PodInfo, on: str) -> PodInfo:
        info.pod["spec"]["nodeName"] = on
        self.nodes.add_pod(info, on)
        return info

    def state(self, info: PodInfo) -> State:
        state = State(info, self.nodes, self.cluster)
        for plugin in self.filters:
            plugin.pre_filter(state)
        return state

    def verdict(self, info: PodInfo) -> Verdict:
        try:
            return run_filters(self.state(info), self.filters)
        except Unschedulable as reason:
            return Verdict(np.zeros(len(self.nodes.names), dtype=bool), general=reason.reason)

    def fits(self, info: PodInfo) -> set[str]:
        return {self.nodes.names[row] for row in np.flatnonzero(self.verdict(info).feasible)}

    def message(self, info: PodInfo) -> str:
        return self.verdict(info).message(self.nodes)

    def best(self, info: PodInfo) -> set[str]:
        state = self.state(info)
        rows = np.flatnonzero(run_filters(state, self.filters).feasible)
        scores = run_scores(state, self.scorers, rows)
        return {self.nodes.names[row] for row in rows[scores == scores.max()]}


@pytest.fixture
def zones() -> World:
    """Two zones of two nodes each."""
    return World(*(node(f"{zone}{n}", labels={"topology.kubernetes.io/zone": zone}) for zone in "ab" for n in (1, 2)))
