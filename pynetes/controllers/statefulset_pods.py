"""The identity of a StatefulSet's pods and claims: names by ordinal, stable for ever. Pure functions."""

import re

from pynetes.controllers import pods
from pynetes.controllers.revisions import HASH_LABEL
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_ORDINAL = re.compile(r"^(.*)-([0-9]+)$")


def parent_and_ordinal(name: str) -> tuple[str, int]:
    """The set's name and the ordinal in a pod's name; ordinal -1 if there is none."""
    match = _ORDINAL.match(name)
    return (match.group(1), int(match.group(2))) if match else ("", -1)


def ordinal(pod: Obj) -> int:
    """The pod's ordinal."""
    return parent_and_ordinal(meta.name(pod))[1]


def is_member(owner: Obj, pod: Obj) -> bool:
    """Whether the pod's name makes it one of the set's."""
    return parent_and_ordinal(meta.name(pod))[0] == meta.name(owner)


def start_ordinal(owner: Obj) -> int:
    """The first ordinal."""
    return (owner["spec"].get("ordinals") or {}).get("start", 0)


def pod_name(owner: Obj, index: int) -> str:
    """The name of the pod with that ordinal."""
    return f"{meta.name(owner)}-{index}"


def claim_name(owner: Obj, template: Obj, index: int) -> str:
    """The name of a pod's claim."""
    return f"{meta.name(template)}-{meta.name(owner)}-{index}"


def revision_of(pod: Obj) -> str:
    """The name of the revision that the pod was made from."""
    return meta.labels(pod).get(HASH_LABEL, "")


def claims(owner: Obj, index: int) -> list[Obj]:
    """The claims of the pod with that ordinal."""
    selected = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    made = []
    for template in owner["spec"].get("volumeClaimTemplates") or []:
        claim = meta.deep_copy(template)
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
        claim.pop("status", None)
        claim["metadata"] = {
            **claim.get("metadata", {}),
            "name": claim_name(owner, template, index),
            "namespace": meta.namespace(owner),
            "labels": {**meta.labels(template), **selected},
        }
        made.append(claim)
    return made


def identified(owner: Obj, pod: Obj, index: int) -> Obj:
    """`pod` with the name, host name and labels of that ordinal."""
    name = pod_name(owner, index)
    labels = {**meta.labels(pod), POD_NAME_LABEL: name, INDEX_LABEL: str(index)}
    return {**pod, "metadata": {**pod["metadata"], "name": name, "labels": labels}}


def with_storage(owner: Obj, pod: Obj, index: int) -> Obj:
    """`pod` with its volumes bound to its own claims."""
    templates = owner["spec"].get("volumeClaimTemplates") or []
    own = {meta.name(t): claim_name(owner, t, index) for t in templates}
    kept = [v for v in pod["spec"].get("volumes") or [] if v["name"] not in own]
    bound = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in own.items()]
    volumes = bound + kept
    return {**pod, "spec": {**pod["spec"], "volumes": volumes}} if volumes else pod


def new_pod(owner: Obj, template: Obj, revision: str, index: int) -> Obj:
    """The pod of that ordinal, made from `template` as of `revision`."""
    pod = pods.from_template(template, owner)
    del pod["metadata"]["generateName"]
    pod = with_storage(owner, identified(owner, pod, index), index)
    pod["metadata"]["labels"][HASH_LABEL] = revision
    pod["spec"]["hostname"] = meta.name(pod)
    if owner["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
    return pod


def has_identity(owner: Obj, pod: Obj) -> bool:
    """Whether the pod carries the labels of its ordinal."""
    index = ordinal(pod)
    labels = meta.labels(pod)
    return labels.get(POD_NAME_LABEL) == meta.name(pod) and labels.get(INDEX_LABEL, str(index)) == str(index)


def has_storage(owner: Obj, pod: Obj) -> bool:
    """Whether the pod's volumes are bound to its own claims."""
    index = ordinal(pod)
    volumes = {v["name"]: v for v in pod["spec"].get("volumes") or []}
    return all(
        (volumes.get(meta.name(t), {}).get("persistentVolumeClaim") or {}).get("claimName")
        == claim_name(owner, t, index)
        for t in owner["spec"].get("volumeClaimTemplates") or []
    )
