"""The Node authorizer: a kubelet may read what its own pods refer to, and nothing else of that kind.

A kubelet is a user `system:node:<name>` in the group `system:nodes`. Objects that pods refer to (secrets, configmaps,
claims, volumes, service accounts) are granted by following the references from the node through its pods; leases,
CSINodes and the Node itself by their name; lists of pods by their field selector; everything else by the static rules
of the role `system:node`. The references are indexed by node and follow the store by the change.
"""

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


class NodeGraph:
    """From each node to its pods and on to what they refer to."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, frozenset[Reference]]] = {}  # node → pod key → references
        self._volumes: dict[str, tuple[str, str, frozenset[tuple[str, str]]]] = {}  # volume → claim, its secrets
        self._attachments: dict[str, str] = {}  # VolumeAttachment → node

    def change_pod(self, old: Obj | None, new: Obj | None) -> None:
        """A pod came, was bound, changed or went."""
        before = _node_of(old)
        after = _node_of(new)
        if old is not None and before and before != after:
            self._pods.get(before, {}).pop(meta.key(old), None)
        if new is not None and after:
            self._pods.setdefault(after, {})[meta.key(new)] = pod_references(new)

    def change_volume(self, old: Obj | None, new: Obj | None) -> None:
        """A PersistentVolume came, was bound or went."""
        if new is None:
            self._volumes.pop(meta.name(old or {}), None)
            return
        claim = (new.get("spec") or {}).get("claimRef") or {}
        self._volumes[meta.name(new)] = (claim.get("namespace", ""), claim.get("name", ""), volume_secrets(new))

    def change_attachment(self, old: Obj | None, new: Obj | None) -> None:
        """A VolumeAttachment came or went."""
        if new is None:
            self._attachments.pop(meta.name(old or {}), None)
        else:
            self._attachments[meta.name(new)] = (new.get("spec") or {}).get("nodeName", "")

    def has_pod(self, node: str, namespace: str, name: str) -> bool:
        """Whether the pod is bound to the node."""
        return f"{namespace}/{name}" in self._pods.get(node, {})

    def reaches(self, node: str, kind: str, namespace: str, name: str) -> bool:
        """Whether a pod of the node refers to the object, directly or through its volumes."""
        if kind == "volumeattachments":
            return self._attachments.get(name) == node
        if kind == "persistentvolumes":
            claim_space, claim, _ = self._volumes.get(name, ("", "", frozenset()))
            return bool(claim) and self.reaches(node, "persistentvolumeclaims", claim_space, claim)
        pods = self._pods.get(node, {}).values()
        wanted = (kind, namespace, name)
        if any(wanted in references for references in pods):
            return True
        return kind == "secrets" and any(
            (namespace, name) in secrets and self.reaches(node, "persistentvolumeclaims", claim_space, claim)
            for claim_space, claim, secrets in self._volumes.values()
        )


def _node_of(pod: Obj | None) -> str:
    return ((pod or {}).get("spec") or {}).get("nodeName", "")


class NodeAuthorizer:
    """Decides for nodes; has no opinion on anyone else."""

    def __init__(self, graph: NodeGraph | None = None) -> None:
        self.graph = graph or NodeGraph()
        self._mirrors: list[Mirror] = []
        self._static = Permissions()
        self._static.add(next(role.rules for role in CLUSTER_ROLES if role.name == "system:node"), "")

    def follow(self, store: Store) -> None:
        """Load what the store holds and keep up with it."""
        for prefix, change in (
            ("/core/pods/", self.graph.change_pod),
            ("/core/persistentvolumes/", self.graph.change_volume),
            ("/storage.k8s.io/volumeattachments/", self.graph.change_attachment),
        ):
            mirror = Mirror(store, prefix, change)
            mirror.start()
            self._mirrors.append(mirror)

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
                    return _resource_slice(node, info)
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


def _resource_slice(node: str, info: RequestInfo) -> Decision:
    if info.subresource:
        return Decision(False, "cannot authorize ResourceSlice subresources")
    if info.verb in ("create", "get", "update", "patch", "delete"):
        return Decision(info.verb == "create")
    if info.verb in ("list", "watch", "deletecollection"):
        if ("spec.nodeName", node) in field_requirements(info.field_selector):
            return Decision(True)
        return Decision(False, "can only list/watch/deletecollection resourceslices with nodeName field selector")
    known = "get, watch, list, create, update, patch, delete, deletecollection"
    return Decision(False, f"only the following verbs are allowed for a ResourceSlice: {known}")


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
