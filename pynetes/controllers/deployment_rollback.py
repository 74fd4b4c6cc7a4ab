"""Rolling a Deployment back because it says so itself.

Before kubectl did it, `spec.rollbackTo` of `extensions/v1beta1` and `apps/v1beta1` asked the controller to bring back
the template of a former revision; today's version carries the wish in an annotation. It is fulfilled once and removed.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from pynetes.controllers import deployment_rollout as rollout
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

WISH = "deprecated.deployment.rollback.revision"
HASH_LABEL = "pod-template-hash"


class Outcome(NamedTuple):
    """What becomes of a wish: the Deployment without it, and what to say (an event's type, reason and message)."""

    deployment: Obj
    kind: str
    reason: str
    message: str


def wished(deployment: Obj) -> int | None:
    """The revision asked for, 0 for the one before this; None if nothing is asked."""
    text = meta.annotations(deployment).get(WISH, "")
    return int(text) if text.isdigit() else None


def fulfil(deployment: Obj, sets: Sequence[Obj], wanted: int, own_annotations: Collection[str]) -> Outcome:
    """The Deployment with the template and annotations of the ReplicaSet of the revision `wanted`, if there is one."""
    made = meta.deep_copy(deployment)
    del made["metadata"]["annotations"][WISH]
    revisions = sorted({rollout.revision(rs) for rs in sets})
    revision = wanted or (revisions[-2] if len(revisions) > 1 else 0)
    reason = "DeploymentRollbackRevisionNotFound"
    if not revision:
        return Outcome(made, "Warning", reason, "Unable to find last revision.")
    found = next((rs for rs in sets if rollout.revision(rs) == revision), None)
    if found is None:
        return Outcome(made, "Warning", reason, "Unable to find the revision to rollback to.")
    template = meta.deep_copy(found["spec"]["template"])
    (template.get("metadata", {}).get("labels") or {}).pop(HASH_LABEL, None)
    if template == deployment["spec"]["template"]:
        message = f'The rollback revision contains the same template as current deployment "{meta.name(deployment)}"'
        return Outcome(made, "Warning", "DeploymentRollbackTemplateUnchanged", message)
    made["spec"]["template"] = template
    annotations = {key: text for key, text in made["metadata"]["annotations"].items() if key in own_annotations}
    annotations |= {key: text for key, text in meta.annotations(found).items() if key not in own_annotations}
    made["metadata"]["annotations"] = annotations
    message = f'Rolled back deployment "{meta.name(deployment)}" to revision {revision}'
    return Outcome(made, "Normal", "DeploymentRollback", message)
