"""The Node authorizer: a kubelet may read what its own pods refer to, and nothing else of that kind.

A kubelet is a user `system:node:<name>` in the group `system:nodes`. Objects that pods refer to (secrets, configmaps,
claims, volumes, service accounts) are granted by following the references from the node through its pods; leases,
CSINodes and the Node itself by their name; lists of pods by their field selector; everything else by the static rules
of the role `system:node`. The references are indexed by node and follow the store by the change.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from pynetes.apiserver.authz.policy import CLUSTER_ROLES
from pynetes.apiserver.authz.rbac import Decision, Permissions
from pynetes.apiserver.authz.references import Reference, pod_references, volume_secrets
from pynetes.apiserver.mirror import Mirror
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Store

NODES_GROUP = "system:nodes"
USER_PREFIX = "system:node:"
_LEASE_NAMESPACE = "kube-node-lease"


def node_identity(user: UserInfo) -> tuple[str, bool]:
    """The node's name and whether the user is a node at all."""
    if user.name.startswith(USER_PREFIX) and NODES_GROUP in user.groups:
        return user.name.removeprefix(USER_PREFIX), True
    return "", False


class BoundPod(NamedTuple):
    """What the graph keeps of a pod."""

    key: str
    node: str
    references: frozenset[Reference]


class Volume(NamedTuple):
    """What the graph keeps of a PersistentVolume: the claim it is bound to, and the secrets that mounting it takes."""

    name: str
    claim_namespace: str
    claim: str
    secrets: frozenset[tuple[str, str]]


class OfNode(NamedTuple):
    """What the graph keeps of an object that names its node: a VolumeAttachment or a ResourceSlice."""

    kind: str
    name: str
    node: str


def bound_pod(pod: Obj) -> BoundPod:
    """The part of a pod that matters here; pods without a node refer to nothing yet."""
    node = (pod.get("spec") or {}).get("nodeName", "")
    return BoundPod(meta.key(pod), node, pod_references(pod) if node else frozenset())


def volume(obj: Obj) -> Volume:
    """The part of a PersistentVolume that matters here."""
    claim = (obj.get("spec") or {}).get("claimRef") or {}
    return Volume(meta.name(obj), claim.get("namespace", ""), claim.get("name", ""), volume_secrets(obj))


def of_node(kind: str) -> Callable[[Obj], OfNode]:
    """The part of a VolumeAttachment or ResourceSlice that matters here."""
    return lambda obj: OfNode(kind, meta.name(obj), (obj.get("spec") or {}).get("nodeName", ""))


class NodeGraph:
    """From each node to its pods and on to what they refer to."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, frozenset[Reference]]] = {}  # node → pod key → references
        self._volumes: dict[str, Volume] = {}
        self._of_node: dict[tuple[str, str], str] = {}  # kind and name → node

    def change_pod(self, old: BoundPod | None, new: BoundPod | None) -> None:
        """A pod came, was bound, changed or went."""
        if old is not None and old.node and (new is None or new.node != old.node):
            pods = self._pods.get(old.node, {})
            pods.pop(old.key, None)
            if not pods:
                self._pods.pop(old.node, None)
        if new is not None and new.node:
            self._pods.setdefault(new.node, {})[new.key] = new.references

    def change_volume(self, old: Volume | None, new: Volume | None) -> None:
        """A PersistentVolume came, was bound or went."""
        if new is not None:
            self._volumes[new.name] = new
        elif old is not None:
            self._volumes.pop(old.name, None)

    def change_of_node(self, old: OfNode | None, new: OfNode | None) -> None:
        """A VolumeAttachment or a ResourceSlice came or went."""
        if new is not None:
            self._of_node[new.kind, new.name] = new.node
        elif old is not None:
            self._of_node.pop((old.kind, old.name), None)

    def has_pod(self, node: str, namespace: str, name: str) -> bool:
        """Whether the pod is bound to the node."""
        return f"{namespace}/{name}" in self._pods.get(node, {})

    def reaches(self, node: str, kind: str, namespace: str, name: str) -> bool:
        """Whether a pod of the node refers to the object, directly or through its volumes."""
        if kind in ("volumeattachments", "resourceslices"):
            return self._of_node.get((kind, name)) == node
        if kind == "persistentvolumes":
            bound = self._volumes.get(name)
            return bound is not None and bool(bound.claim) and self._uses_claim(node, bound)
        wanted = (kind, namespace, name)
        if any(wanted in references for references in self._pods.get(node, {}).values()):
            return True
        return kind == "secrets" and any(
            (namespace, name) in bound.secrets and self._uses_claim(node, bound) for bound in self._volumes.values()
        )

    def _uses_claim(self, node: str, bound: Volume) -> bool:
        return self.reaches(node, "persistentvolumeclaims", bound.claim_namespace, bound.claim)


class NodeAuthorizer:
    """Decides for nodes; has no opinion on anyone else."""

    def __init__(self, graph: NodeGraph | None = None) -> None:
        self.graph = graph or NodeGraph()
        self._mirrors: list[Mirror[Any]] = []
        self._static = Permissions()
        self._static.add(next(role.rules for role in CLUSTER_ROLES if role.name == "system:node"), "")

    def follow(self, store: Store) -> None:
        """Load what the store holds and keep up with it."""
        graph = self.graph
        mirrors: list[Mirror[Any]] = [
            Mirror(store, "/core/pods/", graph.change_pod, bound_pod),
            Mirror(store, "/core/persistentvolumes/", graph.change_volume, volume),
        ]
        mirrors += [
            Mirror(store, f"/{group}/{kind}/", graph.change_of_node, of_node(kind))
            for group, kind in (("storage.k8s.io", "volumeattachments"), ("resource.k8s.io", "resourceslices"))
        ]
        for mirror in mirrors:
            mirror.start()
        self._mirrors = mirrors

    async def stop(self) -> None:
        """Stop following the store."""
        for mirror in self._mirrors:
            await mirror.stop()

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        """Whether the node may do this."""
        node, is_node = node_identity(user)
        if not is_node:
            return Decision(False)
        if not node:
            return Decision(False, f'unknown node for user "{user.name}"')
        if info.is_resource:
            match info.group_resource:
                case "secrets" | "configmaps":
                    return self._read_namespaced(node, info)
                case "persistentvolumeclaims" if info.subresource == "status":
                    return self._update_status(node, info)
                case "persistentvolumeclaims" | "persistentvolumes" | "volumeattachments.storage.k8s.io":
                    return self._get(node, info)
                case "resourceclaims.resource.k8s.io":
                    return self._get(node, info)
                case "serviceaccounts":
                    return self._service_account(node, info)
                case "leases.coordination.k8s.io":
                    return _lease(node, info)
                case "csinodes.storage.k8s.io":
                    return _csi_node(node, info)
                case "resourceslices.resource.k8s.io":
                    return self._slice(node, info)
                case "nodes":
                    return _node(node, info)
                case "pods":
                    return self._pod(node, info)
        return Decision(self._static.find(info) is not None)

    def _related(self, node: str, info: RequestInfo) -> Decision:
        if not info.name:
            return Decision(False, "No Object name found")
        if self.graph.reaches(node, info.resource, info.namespace, info.name):
            return Decision(True)
        return Decision(False, f"no relationship found between node '{node}' and this object")

    def _read_namespaced(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in ("get", "list", "watch"):
            return Decision(False, "can only read resources of this type")
        if info.subresource:
            return Decision(False, "cannot read subresource")
        if not info.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node, info)

    def _get(self, node: str, info: RequestInfo) -> Decision:
        if info.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if info.subresource:
            return Decision(False, "cannot get subresource")
        return self._related(node, info)

    def _update_status(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in ("get", "update", "patch"):
            return Decision(False, "can only get/update/patch this type")
        return self._related(node, info)

    def _service_account(self, node: str, info: RequestInfo) -> Decision:
        if info.verb == "get" and not info.subresource:
            return self._related(node, info)
        if info.verb != "create" or not info.name:
            return Decision(False, "can only create tokens for individual service accounts")
        if info.subresource != "token":
            return Decision(False, "can only create token subresource of serviceaccount")
        return self._related(node, info)

    def _slice(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource:
            return Decision(False, "cannot authorize ResourceSlice subresources")
        match info.verb:
            case "create":  # NodeRestriction checks whose it is
                return Decision(True)
            case "get" | "update" | "patch" | "delete":
                return self._related(node, info)
            case "list" | "watch" | "deletecollection":
                if ("spec.nodeName", node) in field_requirements(info.field_selector):
                    return Decision(True)
                said = "can only list/watch/deletecollection resourceslices with nodeName field selector"
                return Decision(False, said)
        known = "get, watch, list, create, update, patch, delete, deletecollection"
        return Decision(False, f"only the following verbs are allowed for a ResourceSlice: {known}")

    def _pod(self, node: str, info: RequestInfo) -> Decision:
        match info.subresource, info.verb:
            case "", "get":
                if self.graph.has_pod(node, info.namespace, info.name):
                    return Decision(True)
                return Decision(False, f"no relationship found between node '{node}' and this object")
            case "", "list" | "watch":
                if ("spec.nodeName", node) in field_requirements(info.field_selector):
                    return Decision(True)
                return Decision(False, "can only list/watch pods with spec.nodeName field selector")
            case "", "create" | "delete":  # NodeRestriction limits both to the node's own pods
                return Decision(True)
            case "status", "update" | "patch":
                return Decision(True)
            case "eviction", "create":
                return Decision(True)
        return Decision(False)


def field_requirements(selector: str) -> list[tuple[str, str]]:
    """The `field=value` terms of a field selector."""
    found = []
    for term in selector.split(","):
        field, equals, value = term.replace("==", "=").partition("=")
        if equals and not field.endswith("!"):
            found.append((field, value))
    return found


def _lease(node: str, info: RequestInfo) -> Decision:
    if info.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(False, "can only get, create, update, patch, or delete a node lease")
    if info.namespace != _LEASE_NAMESPACE:
        return Decision(False, f'can only access leases in the "{_LEASE_NAMESPACE}" system namespace')
    if info.verb != "create" and info.name != node:
        return Decision(False, "can only access node lease with the same name as the requesting node")
    return Decision(True)


def _csi_node(node: str, info: RequestInfo) -> Decision:
    if info.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(False, "can only get, create, update, patch, or delete a CSINode")
    if info.subresource:
        return Decision(False, "cannot authorize CSINode subresources")
    if info.verb != "create" and info.name != node:
        return Decision(False, "can only access CSINode with the same name as the requesting node")
    return Decision(True)


def _node(node: str, info: RequestInfo) -> Decision:
    match info.subresource, info.verb:
        case "", "create" | "update" | "patch":  # NodeRestriction limits these to the node's own object
            return Decision(True)
        case "", "get" | "list" | "watch":
            if info.name == node:
                return Decision(True)
            if not info.name:
                return Decision(False, f"node '{node}' cannot read all nodes, only its own Node object")
            return Decision(False, f"node '{node}' cannot read '{info.name}', only its own Node object")
        case "status", "update" | "patch":
            return Decision(True)
    return Decision(False)
