"""NodeRestriction: what a kubelet may write, beyond what authorization can tell from the request alone.

A kubelet creates only mirror pods bound to its own node, changes the status only of pods bound to it, evicts and
deletes only those, changes only its own Node, Lease and CSINode, sets no labels and taints that others rely on for
isolation, and asks for tokens only of accounts that its pods run as, bound to these pods.
"""

from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.authz import references
from pynetes.apiserver.authz.node import node_identity
from pynetes.apiserver.request import RequestInfo
from pynetes.machinery import errors, meta, resources
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

PODS = resources.lookup("pods")
NODES = resources.lookup("nodes")
_RESTRICTED = "node-restriction.kubernetes.io"
_LEASE_NAMESPACE = "kube-node-lease"

_KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    }
)
_KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    """See the module."""

    name = "NodeRestriction"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        node, is_node = node_identity(attributes.user)
        if not is_node:
            return
        if not node:
            raise attributes.forbidden(f"could not determine node from user {quote(attributes.user.name)}")
        match attributes.group_resource:
            case "pods":
                self._pod(attributes, server, node)
            case "nodes":
                self._node(attributes, node)
            case "persistentvolumeclaims":
                self._claim_status(attributes, node)
            case "serviceaccounts" if attributes.subresource == "token":
                self._token(attributes, server, node)
            case "leases.coordination.k8s.io":
                self._lease(attributes, node)
            case "csinodes.storage.k8s.io":
                self._named_as_node(attributes, node, "CSINode")
            case "resourceslices.resource.k8s.io":
                self._slice(attributes, node)

    def _pod(self, attributes: Attributes, server: "ApiServer", node: str) -> None:
        match attributes.subresource, attributes.operation:
            case "", "CREATE":
                self._create_pod(attributes, node)
            case "", "DELETE":
                old = attributes.old or {}
                if _node_of(old) != node:
                    raise _refused(attributes, node, "can only delete pods with spec.nodeName set to itself")
            case "", _:
                raise attributes.forbidden(f"unexpected operation {quote(attributes.operation)}")
            case "status", "UPDATE":
                old = attributes.old or {}
                if _node_of(old) != node:
                    what = "can only update pod status for pods with spec.nodeName set to itself"
                    raise _refused(attributes, node, what)
                if meta.labels(attributes.obj or {}) != meta.labels(old):
                    raise _refused(attributes, node, "cannot update labels through pod status")
                if _claim_statuses(attributes.obj or {}) != _claim_statuses(old):
                    raise _refused(attributes, node, "cannot update resource claim statues")
            case "eviction", "CREATE":
                self._evict(attributes, server, node)
            case "status" | "eviction", _:
                raise attributes.forbidden(f"unexpected operation {quote(attributes.operation)}")
            case subresource, _ if attributes.operation != "CONNECT":
                raise attributes.forbidden(
                    f"unexpected pod subresource {quote(subresource)}, only 'status' and 'eviction' are allowed"
                )

    def _create_pod(self, attributes: Attributes, node: str) -> None:
        pod = attributes.obj or {}
        if not references.is_mirror(pod):
            annotation = quote(references.MIRROR)
            raise attributes.forbidden(
                f"pod does not have {annotation} annotation, node {quote(node)} can only create mirror pods"
            )
        if _node_of(pod) != node:
            raise _refused(attributes, node, "can only create pods with spec.nodeName set to itself")
        owners = meta.owner_references(pod)
        if len(owners) > 1:
            raise _refused(attributes, node, "can only create pods with a single owner reference set to itself")
        for owner in owners:
            self._check_owner(attributes, node, owner)
        spec = pod["spec"]
        if spec.get("serviceAccountName"):
            raise _refused(attributes, node, "can not create pods that reference a service account")
        for kind, found in (
            ("secrets", references.secret_names(pod)),
            ("configmaps", references.config_map_names(pod)),
        ):
            if found:
                raise _refused(attributes, node, f"can not create pods that reference {kind}")
        for volume in spec.get("volumes") or ():
            if volume.get("persistentVolumeClaim"):
                raise _refused(attributes, node, "can not create pods that reference persistentvolumeclaims")
        if spec.get("resourceClaims"):
            raise _refused(attributes, node, "can not create pods that reference resourceclaims")

    def _check_owner(self, attributes: Attributes, node: str, owner: Obj) -> None:
        if owner.get("apiVersion") != "v1" or owner.get("kind") != "Node" or owner.get("name") != node:
            raise _refused(attributes, node, "can only create pods with an owner reference set to itself")
        if not owner.get("controller"):
            raise _refused(attributes, node, "can only create pods with a controller owner reference set to itself")
        if owner.get("blockOwnerDeletion"):
            raise _refused(attributes, node, "must not set blockOwnerDeletion on an owner reference")

    def _evict(self, attributes: Attributes, server: "ApiServer", node: str) -> None:
        name = attributes.name or meta.name(attributes.obj or {})
        if not name:
            raise attributes.forbidden("could not determine pod from request data")
        pod = server.registry.get(PODS, attributes.namespace, name)
        if pod is None:
            raise errors.not_found("", "pods", name)
        if _node_of(pod) != node:
            raise attributes.forbidden(f"node {node} can only evict pods with spec.nodeName set to itself")

    def _node(self, attributes: Attributes, node: str) -> None:
        requested = attributes.name
        new, old = attributes.obj or {}, attributes.old
        if attributes.operation == "CREATE":
            # Names may be taken from the object when the request has none.
            requested = requested or meta.name(new)
            if (new.get("spec") or {}).get("configSource") is not None:
                raise _refused(attributes, node, "is not allowed to create pods with a non-nil configSource")
            forbidden = _restricted(meta.labels(new))
            if forbidden:
                labels = ", ".join(sorted(forbidden))
                raise _refused(attributes, node, f"is not allowed to set the following labels: {labels}")
        if requested != node:
            raise _refused(attributes, node, f"is not allowed to modify node {quote(requested)}")
        if attributes.operation == "UPDATE" and old is not None:
            if (new.get("spec") or {}).get("taints", []) != (old.get("spec") or {}).get("taints", []):
                raise _refused(attributes, node, "is not allowed to modify taints")
            changed = _changed(meta.labels(new), meta.labels(old))
            forbidden = _restricted(changed)
            if forbidden:
                raise attributes.forbidden(f"is not allowed to modify labels: {', '.join(sorted(forbidden))}")

    def _claim_status(self, attributes: Attributes, node: str) -> None:
        if attributes.subresource != "status" or attributes.operation != "UPDATE":
            raise attributes.forbidden(f"unexpected operation {quote(attributes.operation)}")
        if _beyond_status(attributes.obj or {}) != _beyond_status(attributes.old or {}):
            what = "is not allowed to update fields other than status.capacity and status.conditions"
            raise _refused(attributes, node, what)

    def _token(self, attributes: Attributes, server: "ApiServer", node: str) -> None:
        request = attributes.obj or {}
        reference = (request.get("spec") or {}).get("boundObjectRef")
        if reference is None or reference.get("apiVersion") != "v1" or reference.get("kind") != "Pod":
            raise attributes.forbidden("node requested token not bound to a pod")
        if not reference.get("uid"):
            raise attributes.forbidden("node requested token with a pod binding without a uid")
        name = reference.get("name", "")
        pod = server.registry.get(PODS, attributes.namespace, name)
        if pod is None:
            raise errors.not_found("", "pods", name)
        if reference["uid"] != meta.uid(pod):
            raise attributes.forbidden(
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
        if _node_of(pod) != node:
            raise attributes.forbidden("node requested token bound to a pod scheduled on a different node")
        self._audience(attributes, server, pod, (request.get("spec") or {}).get("audiences") or [""])

    def _audience(self, attributes: Attributes, server: "ApiServer", pod: Obj, audiences: list[str]) -> None:
        """A node asks only for what its pods' volumes ask for, or what it was given the right to ask for."""
        if len(audiences) > 1:
            raise attributes.forbidden("node may only request 0 or 1 audiences")
        audience = audiences[0]
        if audience in _projected_audiences(pod):
            return
        info = RequestInfo(
            True, "request-serviceaccounts-token-audience", "", "*", audience, "", attributes.namespace, attributes.name
        )
        if not server.authorizer.authorize(attributes.user, info).allowed:
            raise attributes.forbidden(f"audience {quote(audience)} not found in pod spec volume")

    def _lease(self, attributes: Attributes, node: str) -> None:
        if attributes.namespace != _LEASE_NAMESPACE:
            raise attributes.forbidden(f"can only access leases in the {quote(_LEASE_NAMESPACE)} system namespace")
        self._named_as_node(attributes, node, "node lease")

    def _named_as_node(self, attributes: Attributes, node: str, kind: str) -> None:
        name = attributes.name or meta.name(attributes.obj or {})
        if name != node:
            raise attributes.forbidden(f"can only access {kind} with the same name as the requesting node")

    def _slice(self, attributes: Attributes, node: str) -> None:
        subject = attributes.obj if attributes.operation == "CREATE" else attributes.old
        if ((subject or {}).get("spec") or {}).get("nodeName") != node:
            verb = "create" if attributes.operation == "CREATE" else "modify"
            raise attributes.forbidden(f"can only {verb} ResourceSlice with the same NodeName as the requesting node")


def _refused(attributes: Attributes, node: str, what: str) -> errors.StatusError:
    return attributes.forbidden(f"node {quote(node)} {what}")


def _projected_audiences(pod: Obj) -> set[str]:
    """The audiences of a pod's projected tokens; an empty one is the API server's."""
    return {
        source["serviceAccountToken"].get("audience") or ""
        for volume in pod["spec"].get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
        if source.get("serviceAccountToken")
    }


def _claim_statuses(pod: Obj) -> list[tuple[str, str | None]]:
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return [(entry.get("name", ""), entry.get("resourceClaimName")) for entry in statuses]


def _beyond_status(claim: Obj) -> Obj:
    """A claim without what its node may write."""
    theirs = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
    status = {field: value for field, value in (claim.get("status") or {}).items() if field not in theirs}
    ours = ("resourceVersion", "managedFields")
    metadata = {field: value for field, value in claim["metadata"].items() if field not in ours}
    return {**claim, "metadata": metadata, "status": status}


def _node_of(pod: Obj) -> str:
    return (pod.get("spec") or {}).get("nodeName", "")


def _changed(new: dict[str, str], old: dict[str, str]) -> dict[str, str]:
    """The labels that were added, removed or given another value."""
    return {key: new.get(key, "") for key in new.keys() | old.keys() if new.get(key) != old.get(key)}


def _restricted(labels: dict[str, str]) -> set[str]:
    """Labels a kubelet may not touch: the restricted prefix, and kubernetes.io labels that are not a kubelet's own."""
    found = set()
    for key in labels:
        domain, slash, _ = key.partition("/")
        if not slash:
            continue
        if domain == _RESTRICTED or domain.endswith("." + _RESTRICTED):
            found.add(key)
        elif domain in ("kubernetes.io", "k8s.io") or domain.endswith((".kubernetes.io", ".k8s.io")):
            own = key in _KUBELET_LABELS or any(
                domain == allowed or domain.endswith("." + allowed) for allowed in _KUBELET_DOMAINS
            )
            if not own:
                found.add(key)
    return found
