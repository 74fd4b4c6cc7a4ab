"""What a pod worker may use of its node: the services and settings that all pods share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from pynetes.client.client import Client, Unreachable
from pynetes.client.events import EventRecorder
from pynetes.client.informer import Informer
from pynetes.kubelet.backoff import Backoff
from pynetes.kubelet.cgroups import Cgroups
from pynetes.kubelet.cri.client import Cri
from pynetes.kubelet.images import Images
from pynetes.kubelet.options import Options
from pynetes.kubelet.reporter import Reporter
from pynetes.kubelet.sources import MissingObject, ObjectSource
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj


async def _none() -> list[Obj]:
    return []


@dataclass
class NodeContext:
    """One per kubelet."""

    options: Options
    client: Client
    runtime: Cri
    images: Images
    events: EventRecorder
    reporter: Reporter
    sources: ObjectSource
    services: Informer
    cgroups: Cgroups
    host_ips: list[str]
    memory_capacity: int
    allocatable: Callable[[], dict[str, str]]
    network_problem: Callable[[], str]  # empty when the runtime's network is ready
    admit: Callable[[Obj], Awaitable[tuple[str, str] | None]]  # reason and message of a rejection
    neighbours: Callable[[str], list[Obj]]  # the pods that run here, but for the one with this uid
    goes_first: Callable[[str], bool] = lambda uid: False  # whether another's resize, now possible, is to go first
    room_made: Callable[[], None] = lambda: None  # something was given back that others may wait for
    handler_features: Callable[[str], Obj] = lambda handler: {}  # what the runtime says one of its handlers can do
    trust_bundles: Callable[[], Awaitable[list[Obj]]] = _none  # every ClusterTrustBundle
    runtime_name: str = "containerd"
    crash_backoff: Backoff = field(default_factory=Backoff)

    def pod_directory(self, uid: str) -> Path:
        """Where everything of a pod lies."""
        return self.options.root_dir / "pods" / uid

    async def get_cluster_object(self, plural: str, name: str) -> Obj:
        """A cluster-scoped object; raises MissingObject."""
        kind = plural.removesuffix("s").lower()
        try:
            return await self.client.get(plural, name)
        except StatusError as error:
            raise MissingObject(kind, name, "" if error.code == 404 else error.message, error.code == 404) from None
        except Unreachable as error:
            raise MissingObject(kind, name, str(error), absent=False) from None

    async def request_token(self, pod: Obj, audience: str, seconds: int) -> Obj:
        """A token for the pod's service account, bound to the pod; returns the TokenRequest's status."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta.name(pod), "uid": meta.uid(pod)},
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = await self.client.create(
            "serviceaccounts", request, meta.namespace(pod), name=account, subresource="token"
        )
        return answer["status"]
