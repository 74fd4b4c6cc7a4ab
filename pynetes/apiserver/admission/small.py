"""The plugins that fill in one thing each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import meta, resources
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

STORAGE_CLASSES = resources.lookup("storageclasses")
INGRESS_CLASSES = resources.lookup("ingressclasses")
NODES = resources.lookup("nodes")


class TaintNodesByCondition(Plugin):
    """A new node is not ready until it says so: nothing is scheduled on it before."""

    name = "TaintNodesByCondition"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        node = attributes.obj
        if node is None or not attributes.is_for("nodes", "CREATE"):
            return
        taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
        taints = node.setdefault("spec", {}).setdefault("taints", [])
        if not any(all(entry.get(field) == taint[field] for field in taint) for entry in taints):
            taints.append(taint)


@dataclass
class DefaultTolerationSeconds(Plugin):
    """Pods stay on a node that stopped answering for five minutes, unless they say otherwise."""

    not_ready_seconds: int = 300
    unreachable_seconds: int = 300
    name = "DefaultTolerationSeconds"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE", "UPDATE"):
            return
        tolerations: list[dict[str, Any]] = pod["spec"].get("tolerations") or []
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
            for key, seconds in (
                ("node.kubernetes.io/not-ready", self.not_ready_seconds),
                ("node.kubernetes.io/unreachable", self.unreachable_seconds),
            )
            if not any(
                entry.get("key") in (key, "", None) and entry.get("effect") in ("NoExecute", "", None)
                for entry in tolerations
            )
        ]
        if added:
            pod["spec"]["tolerations"] = tolerations + added


def _newest_marked(candidates: list[Obj], *annotations: str) -> Obj | None:
    """Of the classes marked as default, the newest; of equally new ones, the first by name."""
    marked = [entry for entry in candidates if any(meta.annotations(entry).get(mark) == "true" for mark in annotations)]
    marked.sort(key=meta.name)
    return max(marked, key=lambda entry: entry["metadata"].get("creationTimestamp") or "", default=None)


class DefaultStorageClass(Plugin):
    """A claim that names no class gets the default one."""

    name = "DefaultStorageClass"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        claim = attributes.obj
        if claim is None or not attributes.is_for("persistentvolumeclaims", "CREATE"):
            return
        if "volume.beta.kubernetes.io/storage-class" in meta.annotations(claim):
            return
        if claim.setdefault("spec", {}).get("storageClassName") is not None:
            return
        found = _newest_marked(
            server.registry.list(STORAGE_CLASSES),
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        )
        if found is not None:
            claim["spec"]["storageClassName"] = meta.name(found)


class DefaultIngressClass(Plugin):
    """An ingress that names no class gets the default one."""

    name = "DefaultIngressClass"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        ingress = attributes.obj
        if ingress is None or not attributes.is_for("ingresses.networking.k8s.io", "CREATE"):
            return
        if "kubernetes.io/ingress.class" in meta.annotations(ingress):
            return
        if ingress.setdefault("spec", {}).get("ingressClassName") is not None:
            return
        found = _newest_marked(server.registry.list(INGRESS_CLASSES), "ingressclass.kubernetes.io/is-default-class")
        if found is not None:
            ingress["spec"]["ingressClassName"] = meta.name(found)


class StorageObjectInUseProtection(Plugin):
    """Volumes, claims and attribute classes get the finalizer that keeps them while they are in use."""

    name = "StorageObjectInUseProtection"
    finalizers: ClassVar = {
        "persistentvolumes": "kubernetes.io/pv-protection",
        "persistentvolumeclaims": "kubernetes.io/pvc-protection",
        "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
    }

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        finalizer = self.finalizers.get(attributes.group_resource)
        obj = attributes.obj
        if finalizer is None or obj is None or not attributes.is_for(attributes.group_resource, "CREATE"):
            return
        present = obj["metadata"].setdefault("finalizers", [])
        if finalizer not in present:
            present.append(finalizer)


class AlwaysPullImages(Plugin):
    """Every container pulls its image, so that a private image on a node is not anyone's."""

    name = "AlwaysPullImages"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        if attributes.obj is None or attributes.group_resource != "pods" or attributes.operation == "CONNECT":
            return
        if attributes.subresource not in ("", "ephemeralcontainers"):
            return
        for field in ("initContainers", "containers", "ephemeralContainers"):
            for container in attributes.obj["spec"].get(field) or ():
                container["imagePullPolicy"] = "Always"


class PodTopologyLabels(Plugin):
    """When a pod is bound, it gets its node's zone and region as labels."""

    name = "PodTopologyLabels"
    copied = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        binding = attributes.obj
        if binding is None or attributes.operation != "CREATE":
            return
        is_binding = attributes.group_resource == "bindings" or (
            attributes.group_resource == "pods" and attributes.subresource == "binding"
        )
        target = binding.get("target") or {}
        if not is_binding or target.get("kind", "Node") != "Node":
            return
        node = server.registry.get(NODES, None, target.get("name", ""))
        if node is None:
            return
        copied = {key: meta.labels(node)[key] for key in self.copied if key in meta.labels(node)}
        if copied:
            metadata = binding.setdefault("metadata", {})
            metadata["labels"] = {**(metadata.get("labels") or {}), **copied}


class DenyServiceExternalIPs(Plugin):
    """Services may not be given new external addresses."""

    name = "DenyServiceExternalIPs"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        service = attributes.obj
        if service is None or not attributes.is_for("services", "CREATE", "UPDATE"):
            return
        known = set(((attributes.old or {}).get("spec") or {}).get("externalIPs") or ())
        if set((service.get("spec") or {}).get("externalIPs") or ()) - known:
            raise attributes.forbidden("Use of external IPs is denied by admission control.")


class LimitPodHardAntiAffinityTopology(Plugin):
    """Required anti-affinity may only keep pods apart by host name."""

    name = "LimitPodHardAntiAffinityTopology"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        if attributes.obj is None or not attributes.is_for("pods", "CREATE", "UPDATE"):
            return
        anti = (attributes.obj["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
        for term in anti.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            key = term.get("topologyKey")
            if key != "kubernetes.io/hostname":
                raise attributes.forbidden(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey "
                    f"{key} but only key kubernetes.io/hostname is allowed"
                )


class ExtendedResourceToleration(Plugin):
    """Pods that ask for an extended resource tolerate the taint of the same name."""

    name = "ExtendedResourceToleration"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE", "UPDATE"):
            return
        asked = {
            name
            for field in ("initContainers", "containers")
            for container in pod["spec"].get(field) or ()
            for name in (container.get("resources") or {}).get("requests") or ()
            if "/" in name and not name.startswith(("kubernetes.io/", "requests."))
        }
        tolerations: list[dict[str, Any]] = pod["spec"].get("tolerations") or []
        added = [{"key": name, "operator": "Exists"} for name in sorted(asked)]
        added = [entry for entry in added if entry not in tolerations]
        if added:
            pod["spec"]["tolerations"] = tolerations + added


class AlwaysAdmit(Plugin):
    """Refuses nothing."""

    name = "AlwaysAdmit"


class AlwaysDeny(Plugin):
    """Refuses everything."""

    name = "AlwaysDeny"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        raise attributes.forbidden("admission control is denying all modifications")
