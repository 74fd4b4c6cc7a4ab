"""What other objects a pod or a volume refers to, as pure functions.

The Node authorizer grants a kubelet what its pods refer to; ServiceAccount admission and NodeRestriction look at the
same references. A reference is `(kind, namespace, name)` with kind in the resource's plural.
"""

from collections.abc import Iterator
from typing import Any

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

Reference = tuple[str, str, str]

MIRROR = "kubernetes.io/config.mirror"

_VOLUME_SECRETS = (
    ("azureFile", "secretName"),
    ("secret", "secretName"),
)
_VOLUME_SECRET_REFS = (
    ("cephfs", "secretRef"),
    ("cinder", "secretRef"),
    ("csi", "nodePublishSecretRef"),
    ("flexVolume", "secretRef"),
    ("iscsi", "secretRef"),
    ("rbd", "secretRef"),
    ("scaleIO", "secretRef"),
    ("storageos", "secretRef"),
)
_PERSISTENT_SECRET_REFS = (
    ("azureFile", ""),
    ("cephfs", "secretRef"),
    ("cinder", "secretRef"),
    ("csi", "controllerPublishSecretRef"),
    ("csi", "nodePublishSecretRef"),
    ("csi", "nodeStageSecretRef"),
    ("csi", "controllerExpandSecretRef"),
    ("csi", "nodeExpandSecretRef"),
    ("flexVolume", "secretRef"),
    ("iscsi", "secretRef"),
    ("rbd", "secretRef"),
    ("scaleIO", "secretRef"),
    ("storageos", "secretRef"),
)


def containers(pod: Obj) -> Iterator[dict[str, Any]]:
    """Every container of a pod: init, app and ephemeral."""
    spec = pod.get("spec") or {}
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def is_mirror(pod: Obj) -> bool:
    """Whether the pod mirrors a static pod of its node."""
    return MIRROR in meta.annotations(pod)


def environment(pod: Obj, kind: str) -> Iterator[tuple[str, str]]:
    """(container, name) of every `secret` or `configMap` that the environment of a container takes."""
    for container in containers(pod):
        for source in container.get("envFrom") or ():
            if reference := source.get(f"{kind}Ref"):
                yield container.get("name", ""), reference.get("name", "")
        for variable in container.get("env") or ():
            if reference := (variable.get("valueFrom") or {}).get(f"{kind}KeyRef"):
                yield container.get("name", ""), reference.get("name", "")


def _volume_secrets(volume: dict[str, Any]) -> Iterator[str]:
    for source, field in _VOLUME_SECRETS:
        yield (volume.get(source) or {}).get(field, "")
    for source, field in _VOLUME_SECRET_REFS:
        yield ((volume.get(source) or {}).get(field) or {}).get("name", "")
    for projection in (volume.get("projected") or {}).get("sources") or ():
        yield (projection.get("secret") or {}).get("name", "")


def secret_names(pod: Obj) -> set[str]:
    """The secrets a pod refers to anywhere."""
    spec = pod.get("spec") or {}
    found = {entry.get("name", "") for entry in spec.get("imagePullSecrets") or ()}
    found |= {name for _, name in environment(pod, "secret")}
    for volume in spec.get("volumes") or ():
        found |= set(_volume_secrets(volume))
    return found - {""}


def config_map_names(pod: Obj) -> set[str]:
    """The ConfigMaps a pod refers to anywhere."""
    found = {name for _, name in environment(pod, "configMap")}
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        found.add((volume.get("configMap") or {}).get("name", ""))
        for projection in (volume.get("projected") or {}).get("sources") or ():
            found.add((projection.get("configMap") or {}).get("name", ""))
    return found - {""}


def claim_names(pod: Obj) -> set[str]:
    """The PersistentVolumeClaims a pod uses, those of its generic ephemeral volumes included."""
    found = set()
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        found.add((volume.get("persistentVolumeClaim") or {}).get("claimName", ""))
        if volume.get("ephemeral"):
            found.add(f"{meta.name(pod)}-{volume.get('name')}")
    return found - {""}


def resource_claim_names(pod: Obj) -> set[str]:
    """The ResourceClaims a pod uses, by their names or as its status says they were made."""
    found = {entry.get("resourceClaimName", "") for entry in (pod.get("spec") or {}).get("resourceClaims") or ()}
    status = pod.get("status") or {}
    found |= {entry.get("resourceClaimName", "") for entry in status.get("resourceClaimStatuses") or ()}
    found.add((status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName", ""))
    return found - {""}


def pod_references(pod: Obj) -> frozenset[Reference]:
    """All that a kubelet needs to read in order to run the pod; nothing for mirror pods, which must need nothing."""
    if is_mirror(pod):
        return frozenset()
    space = meta.namespace(pod)
    names = {
        "serviceaccounts": {(pod.get("spec") or {}).get("serviceAccountName", "")} - {""},
        "secrets": secret_names(pod),
        "configmaps": config_map_names(pod),
        "persistentvolumeclaims": claim_names(pod),
        "resourceclaims": resource_claim_names(pod),
    }
    return frozenset((kind, space, name) for kind, found in names.items() for name in found)


def volume_secrets(volume: Obj) -> frozenset[tuple[str, str]]:
    """(namespace, name) of the secrets that mounting a PersistentVolume takes."""
    spec = volume.get("spec") or {}
    claim_space = (spec.get("claimRef") or {}).get("namespace", "")
    found = set()
    for source, field in _PERSISTENT_SECRET_REFS:
        body = spec.get(source) or {}
        if source == "azureFile":
            found.add((body.get("secretNamespace") or claim_space, body.get("secretName", "")))
        elif reference := body.get(field):
            found.add((reference.get("namespace") or claim_space, reference.get("name", "")))
    return frozenset(entry for entry in found if entry[1])
