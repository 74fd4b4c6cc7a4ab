"""Deployments: a new ReplicaSet for each new template, grown while the old ones shrink.

`reconcile` is the whole story: find the ReplicaSets, then depending on what is asked for pause, scale, recreate or
roll, each step by the arithmetic in `deployment_rollout`, and write what was reached into the status. One step is
taken at a time; the change it causes brings the key back for the next.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pynetes.controllers import deployment_rollback as rollback
from pynetes.controllers import deployment_rollout as rollout
from pynetes.controllers import deployment_status as states
from pynetes.controllers import pods
from pynetes.controllers.controller import Context, Controller, controller_key, is_namespace_terminating, own_key
from pynetes.controllers.ownership import CONTROLLER_INDEX, Claimer, candidates, owner_keys
from pynetes.controllers.status import find_condition, generation, key_by_age, replicas, status_count, update_status
from pynetes.machinery import clock, meta, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

HASH_LABEL = "pod-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_OWN_ANNOTATIONS = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        rollout.REVISION,
        rollout.REVISION_HISTORY,
        rollout.DESIRED_REPLICAS,
        rollout.MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
_HISTORY_LIMIT_CHARS = 2000


def template_hash(template: Obj, collisions: int | None = None) -> str:
    """A short name for a pod template; `collisions` makes another one when the name was taken."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    digest = hashlib.blake2b(text.encode(), digest_size=4, salt=str(collisions or "").encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in str(int.from_bytes(digest)).encode())


def same_template(a: Obj, b: Obj) -> bool:
    """Whether two pod templates are equal but for the hash label."""
    return _without_hash(a) == _without_hash(b)


def _without_hash(template: Obj) -> Obj:
    metadata = {k: v for k, v in (template.get("metadata") or {}).items() if v}
    metadata["labels"] = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    return {"metadata": metadata, "spec": template.get("spec")}


def find_new(deployment: Obj, sets: Sequence[Obj]) -> Obj | None:
    """The ReplicaSet of the current template: the oldest, should there be several."""
    wanted = _without_hash(deployment["spec"]["template"])
    return next((rs for rs in sorted(sets, key=key_by_age) if _without_hash(rs["spec"]["template"]) == wanted), None)


def new_annotations(deployment: Obj, rs: Obj, revision: int, *, exists: bool) -> dict[str, str]:
    """What `rs`'s annotations become as the deployment's new ReplicaSet of `revision`."""
    found = dict(meta.annotations(rs))
    found |= {k: v for k, v in meta.annotations(deployment).items() if k not in _OWN_ANNOTATIONS}
    old = found.get(rollout.REVISION)
    if rollout.revision(rs) < revision:
        found[rollout.REVISION] = str(revision)
        if old is not None:
            history = [r for r in found.get(rollout.REVISION_HISTORY, "").split(",") if r]
            history.append(old)
            while history and len(",".join(history)) > _HISTORY_LIMIT_CHARS:
                history.pop(0)
            found[rollout.REVISION_HISTORY] = ",".join(history)
    return found if exists else found | size_annotations(deployment)


def size_annotations(deployment: Obj) -> dict[str, str]:
    """The annotations that record what a ReplicaSet was sized by."""
    desired = replicas(deployment)
    return {
        rollout.DESIRED_REPLICAS: str(desired),
        rollout.MAX_REPLICAS: str(desired + rollout.max_surge(deployment)),
    }


def make_new(deployment: Obj, old_sets: Sequence[Obj], revision: int) -> Obj:
    """The ReplicaSet for the current template."""
    spec = deployment["spec"]
    template = meta.deep_copy(spec["template"])
    digest = template_hash(template, deployment.get("status", {}).get("collisionCount"))
    labels = (template.get("metadata") or {}).get("labels") or {}
    template["metadata"] = {**(template.get("metadata") or {}), "labels": {**labels, HASH_LABEL: digest}}
    selector = meta.deep_copy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    rs: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name(deployment)}-{digest}",
            "namespace": meta.namespace(deployment),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [meta.owner_reference(deployment)],
        },
        "spec": {
            "replicas": rollout.new_set_size(deployment, old_sets, 0),
            "selector": selector,
            "template": template,
        },
    }
    if spec.get("minReadySeconds"):
        rs["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    rs["metadata"]["annotations"] = new_annotations(deployment, rs, revision, exists=False)
    return rs


def history_to_delete(deployment: Obj, old_sets: Sequence[Obj]) -> list[Obj]:
    """Old ReplicaSets beyond `revisionHistoryLimit`, oldest revision first; never one that still has pods."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return []
    alive = sorted(
        (rs for rs in old_sets if not meta.is_deleting(rs)), key=lambda rs: (rollout.revision(rs), key_by_age(rs))
    )
    surplus = alive[: max(0, len(alive) - limit)]
    return [
        rs
        for rs in surplus
        if not status_count(rs, "replicas")
        and not replicas(rs)
        and generation(rs) <= status_count(rs, "observedGeneration")
    ]


class DeploymentController(Controller):
    """Rolls Deployments."""

    name = "deployment-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claimer = Claimer(self.client, "replicasets.apps", "deployments.apps")
        self.deployments = self.watch("deployments.apps", own_key)
        self.sets = self.watch("replicasets.apps", indexers=CONTROLLER_INDEX)
        self.pods = self.watch("pods", self._pod_gone, indexers=CONTROLLER_INDEX)
        for_set = owner_keys(self.deployments, "Deployment", lambda d, rs: _selector(d).matches(meta.labels(rs)))
        self.watch("replicasets.apps", for_set)

    def _pod_gone(self, old: Obj | None, new: Obj | None) -> Sequence[str]:
        """Recreate waits for the last old pod to go."""
        subject = new or old
        if subject is None or (new is not None and not pods.is_terminal(new)):
            return ()
        set_key = controller_key(subject, "ReplicaSet", self.sets.get)
        rs = self.sets.get(set_key) if set_key else None
        key = controller_key(rs, "Deployment", self.deployments.get) if rs else None
        deployment = self.deployments.get(key) if key else None
        return (key,) if key and deployment is not None and not rollout.is_rolling(deployment) else ()

    async def reconcile(self, key: str) -> None:
        deployment = self.deployments.get(key)
        if deployment is None:
            return
        if not (deployment["spec"].get("selector") or {}):
            self.events.event(
                deployment,
                "Warning",
                "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.",
            )
            return
        sets = await self.claimer.claim(deployment, _selector(deployment), candidates(self.sets, deployment))
        if meta.is_deleting(deployment):
            new = find_new(deployment, sets)
            await update_status(self.client, "deployments.apps", deployment, states.calculate(deployment, sets, new))
            return
        deployment = await self._note_pause(deployment)
        wanted = rollback.wished(deployment)
        if wanted is not None and not deployment["spec"].get("paused"):
            await self._roll_back(deployment, sets, wanted)
        elif deployment["spec"].get("paused") or rollout.is_scaling_event(deployment, sets):
            await self._hold(deployment, sets)
        elif rollout.is_rolling(deployment):
            await self._roll(key, deployment, sets)
        else:
            await self._recreate(key, deployment, sets)

    async def _roll_back(self, deployment: Obj, sets: list[Obj], wanted: int) -> None:
        """Bring a former template back; the change brings the key back, to be rolled out."""
        deployment, new, old = await self._revise(deployment, sets, create=True)
        outcome = rollback.fulfil(deployment, _all(new, old), wanted, _OWN_ANNOTATIONS)
        await self.client.update("deployments.apps", outcome.deployment)
        self.events.event(deployment, outcome.kind, outcome.reason, outcome.message)

    async def _note_pause(self, deployment: Obj) -> Obj:
        """Keep the time that a Deployment is paused out of its progress deadline."""
        if states.progress_deadline(deployment) is None:
            return deployment
        condition = find_condition(states.conditions_of(deployment), "Progressing")
        reason = condition.get("reason") if condition else None
        paused = bool(deployment["spec"].get("paused"))
        if reason == "ProgressDeadlineExceeded" or paused == (reason == "DeploymentPaused"):
            return deployment
        told = (
            ("DeploymentPaused", "Deployment is paused") if paused else ("DeploymentResumed", "Deployment is resumed")
        )
        return await self._set_progress(deployment, "Unknown", *told)

    async def _set_progress(self, deployment: Obj, state: str, reason: str, message: str, **more: Any) -> Obj:
        conditions = states.set_condition(states.conditions_of(deployment), "Progressing", state, reason, message)
        status = {**deployment.get("status", {}), "conditions": conditions, **more}
        return await update_status(self.client, "deployments.apps", deployment, status)

    async def _hold(self, deployment: Obj, sets: list[Obj]) -> None:
        """Paused, or scaled in the middle of a rollout: keep proportions, start nothing new."""
        deployment, new, old = await self._revise(deployment, sets, create=False)
        new, old = await self._scale(deployment, new, old)
        if deployment["spec"].get("paused"):
            await self._trim_history(deployment, old)
        status = states.calculate(deployment, _all(new, old), new)
        await update_status(self.client, "deployments.apps", deployment, status)

    async def _scale(self, deployment: Obj, new: Obj | None, old: list[Obj]) -> tuple[Obj | None, list[Obj]]:
        single = rollout.active_or_latest(new, old)
        if single is not None:
            sizes = {meta.name(single): replicas(deployment)} if replicas(single) != replicas(deployment) else {}
        elif rollout.is_saturated(deployment, new):
            sizes = {meta.name(rs): 0 for rs in rollout.active(old)}
        elif rollout.is_rolling(deployment):
            sizes = rollout.proportional(deployment, _all(new, old))
        else:
            sizes = {}
        resized = {meta.name(rs): rs for rs in await self._resize(deployment, _all(new, old), sizes)}
        return (resized[meta.name(new)] if new else None), [resized[meta.name(rs)] for rs in old]

    async def _roll(self, key: str, deployment: Obj, sets: list[Obj]) -> None:
        deployment, new, old = await self._revise(deployment, sets, create=True)
        if new is None:
            return
        every = _all(new, old)
        sizes = {meta.name(new): rollout.grow_new(deployment, every, new)}
        if sizes[meta.name(new)] == replicas(new):
            sizes = rollout.shrink_old(deployment, every, rollout.active(old), new)
        if any(replicas(rs) != sizes.get(meta.name(rs), replicas(rs)) for rs in every):
            every = await self._resize(deployment, every, sizes)
            new = next(rs for rs in every if meta.uid(rs) == meta.uid(new))
        elif states.is_complete(deployment, deployment.get("status", {})):
            await self._trim_history(deployment, old)
        await self._report(key, deployment, every, new)

    async def _recreate(self, key: str, deployment: Obj, sets: list[Obj]) -> None:
        deployment, new, old = await self._revise(deployment, sets, create=False)
        running = rollout.active(old)
        if running:
            every = await self._resize(deployment, _all(new, old), {meta.name(rs): 0 for rs in running})
            await self._report(key, deployment, every, new)
            return
        if self._old_pods_running(new, old):
            await self._report(key, deployment, _all(new, old), new)
            return
        if new is None:
            deployment, new, old = await self._revise(deployment, sets, create=True)
            if new is None:
                return
        every = await self._resize(deployment, _all(new, old), {meta.name(new): replicas(deployment)})
        new = next(rs for rs in every if meta.uid(rs) == meta.uid(new))
        if states.is_complete(deployment, deployment.get("status", {})):
            await self._trim_history(deployment, old)
        await self._report(key, deployment, every, new)

    def _old_pods_running(self, new: Obj | None, old: list[Obj]) -> bool:
        if rollout.total_status(old, "replicas") > 0:
            return True
        return any(
            not pods.is_terminal(pod)
            for rs in old
            if new is None or meta.uid(rs) != meta.uid(new)
            for pod in self.pods.by_index("controller", meta.uid(rs))
        )

    async def _report(self, key: str, deployment: Obj, every: list[Obj], new: Obj | None) -> None:
        now = clock.now()
        status = states.rollout_status(deployment, every, new, now)
        deployment = await update_status(self.client, "deployments.apps", deployment, status)
        wait = states.seconds_until_stuck(deployment, status, now)
        if wait is not None:
            self.queue.add_after(key, wait)

    async def _revise(self, deployment: Obj, sets: list[Obj], *, create: bool) -> tuple[Obj, Obj | None, list[Obj]]:
        """The new ReplicaSet, made if need be, and the old ones; revisions are kept in step.

        Returns the deployment as it is after that, for the writes that follow.
        """
        new = find_new(deployment, sets)
        old = [rs for rs in sets if new is None or meta.uid(rs) != meta.uid(new)]
        revision = max((rollout.revision(rs) for rs in old), default=0) + 1
        if new is not None:
            new = await self._keep_annotated(deployment, new, revision)
            deployment = await self._set_revision(deployment, new)
            if states.progress_deadline(deployment) and not find_condition(
                states.conditions_of(deployment), "Progressing"
            ):
                deployment = await self._set_progress(
                    deployment, "True", "FoundNewReplicaSet", f'Found new replica set "{meta.name(new)}"'
                )
            return deployment, new, old
        if not create:
            return deployment, None, old
        made = make_new(deployment, old, revision)
        created = True
        try:
            new = await self.client.create("replicasets.apps", made)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                new, created = await self._existing(deployment, made), False
            elif is_namespace_terminating(error):
                return deployment, None, old
            else:
                message = f'Failed to create new replica set "{meta.name(made)}": {error.message}'
                self.events.event(deployment, "Warning", "ReplicaSetCreateError", message)
                if states.progress_deadline(deployment):
                    await self._set_progress(deployment, "False", "ReplicaSetCreateError", message)
                raise
        if created and replicas(new):
            self.events.event(
                deployment,
                "Normal",
                "ScalingReplicaSet",
                f"Scaled up replica set {meta.name(new)} from 0 to {replicas(new)}",
            )
        deployment = await self._set_revision(deployment, new)
        if created and states.progress_deadline(deployment):
            deployment = await self._set_progress(
                deployment, "True", "NewReplicaSetCreated", f'Created new replica set "{meta.name(new)}"'
            )
        return deployment, new, old

    async def _existing(self, deployment: Obj, made: Obj) -> Obj:
        """The name is taken: by our own from a moment ago, or by another template of the same hash."""
        found = await self.client.get("replicasets.apps", meta.name(made), meta.namespace(made))
        owner = meta.controller_of(found)
        if (
            owner is not None
            and owner["uid"] == meta.uid(deployment)
            and same_template(found["spec"]["template"], deployment["spec"]["template"])
        ):
            return found
        status = deployment.get("status", {})
        status = {**status, "collisionCount": status.get("collisionCount", 0) + 1}
        await update_status(self.client, "deployments.apps", deployment, status)
        raise HashCollision(f"the name {meta.name(made)} is taken")

    async def _keep_annotated(self, deployment: Obj, rs: Obj, revision: int) -> Obj:
        annotations = new_annotations(deployment, rs, revision, exists=True)
        min_ready = deployment["spec"].get("minReadySeconds", 0)
        if annotations == meta.annotations(rs) and min_ready == rs["spec"].get("minReadySeconds", 0):
            return rs
        changed = {
            **rs,
            "metadata": {**rs["metadata"], "annotations": annotations},
            "spec": {**rs["spec"], "minReadySeconds": min_ready},
        }
        return await self.client.update("replicasets.apps", changed)

    async def _set_revision(self, deployment: Obj, new: Obj) -> Obj:
        revision = meta.annotations(new).get(rollout.REVISION, "")
        if not revision or meta.annotations(deployment).get(rollout.REVISION) == revision:
            return deployment
        # Through the status, as the annotation must not count as a new generation.
        annotations = {**meta.annotations(deployment), rollout.REVISION: revision}
        marked = {**deployment, "metadata": {**deployment["metadata"], "annotations": annotations}}
        return await self.client.update("deployments.apps", marked, subresource="status")

    async def _resize(self, deployment: Obj, sets: list[Obj], sizes: rollout.Sizes) -> list[Obj]:
        """`sets` with those in `sizes` scaled, and told about."""
        result = []
        marks = size_annotations(deployment)
        for rs in sets:
            name, before = meta.name(rs), replicas(rs)
            after = sizes.get(name, before)
            if name not in sizes or (after == before and marks.items() <= meta.annotations(rs).items()):
                result.append(rs)
                continue
            changed = {
                **rs,
                "metadata": {**rs["metadata"], "annotations": {**meta.annotations(rs), **marks}},
                "spec": {**rs["spec"], "replicas": after},
            }
            result.append(await self.client.update("replicasets.apps", changed))
            if after != before:
                direction = "up" if after > before else "down"
                self.events.event(
                    deployment,
                    "Normal",
                    "ScalingReplicaSet",
                    f"Scaled {direction} replica set {name} from {before} to {after}",
                )
        return result

    async def _trim_history(self, deployment: Obj, old: list[Obj]) -> None:
        for rs in history_to_delete(deployment, old):
            try:
                await self.client.delete("replicasets.apps", meta.name(rs), meta.namespace(rs), uid=meta.uid(rs))
            except StatusError as error:
                if error.code != 404:
                    raise


class HashCollision(Exception):
    """Another ReplicaSet has the name; the next attempt takes another."""


def _selector(deployment: Obj) -> selectors.LabelSelector:
    return selectors.from_label_selector(deployment["spec"].get("selector"))


def _all(new: Obj | None, old: list[Obj]) -> list[Obj]:
    return [*old, *([new] if new else [])]
