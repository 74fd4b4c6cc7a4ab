"""StatefulSets: pods with names, in order, each with claims of its own.

`statefulset_plan` decides, `statefulset_pods` knows who is who; here it is carried out and written down.
"""

import functools
from collections.abc import Iterable, Sequence

from pynetes.controllers import pods, revisions
from pynetes.controllers import statefulset_pods as identity
from pynetes.controllers.controller import Context, Controller, ignore_not_found, own_key
from pynetes.controllers.ownership import CONTROLLER_INDEX, Claimer, candidates, owner_keys
from pynetes.controllers.statefulset_plan import Revisions, Step, calculate_status, is_running_and_ready, plan
from pynetes.controllers.status import replicas, update_status
from pynetes.machinery import clock, meta, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

SETS = "statefulsets.apps"
_DEFAULT_HISTORY = 10


def selector_of(owner: Obj) -> selectors.LabelSelector:
    """What the set selects."""
    return selectors.from_label_selector(owner["spec"].get("selector"))


class ClaimTrouble(StatusError):
    """A pod cannot be made because of one of its claims; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(409, "Conflict", message)


class StatefulSetController(Controller):
    """Keeps StatefulSets."""

    name = "statefulset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self.watch(SETS, own_key)
        self.pod_claimer = Claimer(self.client, "pods", SETS)
        self.revision_claimer = Claimer(self.client, revisions.RESOURCE, SETS)
        selects = owner_keys(self.sets, "StatefulSet", lambda o, pod: selector_of(o).matches(meta.labels(pod)))
        self.pods = self.watch("pods", selects, indexers=CONTROLLER_INDEX)
        self.revisions = self.watch(revisions.RESOURCE, indexers=CONTROLLER_INDEX)
        self.claims = self.watch("persistentvolumeclaims", self._claim_gone)

    def _claim_gone(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        """A pod that was not placed yet waits for a claim that was lost."""
        if old is None or new is not None:
            return ()
        parent, index = identity.parent_and_ordinal(meta.name(old))
        return [
            meta.key(owner)
            for owner in self.sets.list(meta.namespace(old))
            for template in owner["spec"].get("volumeClaimTemplates") or []
            if identity.claim_name(owner, template, index) == f"{parent}-{index}"
        ]

    async def reconcile(self, key: str) -> None:
        owner = self.sets.get(key)
        if owner is None:
            return
        selector = selector_of(owner)
        owned = await self.pod_claimer.claim(
            owner, selector, candidates(self.pods, owner), functools.partial(identity.is_member, owner)
        )
        history = await self.revision_claimer.claim(owner, selector, candidates(self.revisions, owner))
        try:
            current, update, history = await self._revise(owner, history)
        except revisions.NameTaken:
            status = owner.get("status", {})
            await update_status(
                self.client, SETS, owner, {**status, "collisionCount": status.get("collisionCount", 0) + 1}
            )
            return
        names = Revisions(meta.name(current), meta.name(update))
        now = clock.now()
        failure: StatusError | None = None
        try:
            for step in plan(owner, owned, names, now).steps:
                await self._take(owner, step, current if step.revision == names.current else update)
            if not meta.is_deleting(owner):
                await self._keep_claim_owners(owner, owned)
        except StatusError as error:
            failure = error
        collisions = owner.get("status", {}).get("collisionCount")
        status = calculate_status(owner, owned, names, collisions, now)
        owner = await update_status(self.client, SETS, owner, status)
        self._wake_when_available(key, owner, owned)
        live = {identity.revision_of(pod) for pod in owned} | {names.current, names.update}
        limit = owner["spec"].get("revisionHistoryLimit", _DEFAULT_HISTORY)
        await revisions.remove(self.client, revisions.surplus(history, limit, live))
        if failure is not None:
            raise failure

    async def _revise(self, owner: Obj, history: list[Obj]) -> tuple[Obj, Obj, list[Obj]]:
        """The revision that runs, the one to go to, and all of them."""
        history = sorted(history, key=revisions.order)
        data = revisions.data_of(owner)
        following = revisions.number(history[-1]) + 1 if history else 1
        equal = [revision for revision in history if revisions.same(revision, data)]
        if equal and equal[-1] is history[-1]:
            update = equal[-1]
        elif equal:
            update = await revisions.renew(self.client, equal[-1], following)
        else:
            labels = {**((owner["spec"].get("selector") or {}).get("matchLabels") or {})}
            made = revisions.make(owner, data, following, labels, dict(meta.annotations(owner)))
            update = await revisions.create(self.client, made)
            history = [*history, update]
        running = owner.get("status", {}).get("currentRevision")
        current = next((revision for revision in history if meta.name(revision) == running), update)
        return current, update, history

    async def _take(self, owner: Obj, step: Step, revision: Obj) -> None:
        if step.verb == "create":
            template = revision["data"]["spec"]["template"]
            template = {k: v for k, v in template.items() if k != "$patch"}
            await self._create(owner, identity.new_pod(owner, template, step.revision, step.ordinal), step.ordinal)
        elif step.verb == "fix" and step.pod is not None:
            await self._fix(owner, step.pod, step.ordinal)
        elif step.pod is not None:
            if step.verb == "recreate":
                failed = pods.phase(step.pod) == "Failed"
                self.events.event(
                    owner,
                    "Warning" if failed else "Normal",
                    "RecreatingFailedPod" if failed else "RecreatingTerminatedPod",
                    f"StatefulSet {meta.key(owner)} is recreating {'failed' if failed else 'terminated'} "
                    f"Pod {meta.name(step.pod)}",
                )
            await self._delete(owner, step.pod)

    async def _create(self, owner: Obj, pod: Obj, index: int) -> None:
        name = meta.name(pod)
        try:
            await self._create_claims(owner, index, name)
            await self.client.create("pods", pod)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                self.events.event(
                    owner,
                    "Warning",
                    "FailedCreate",
                    f"create Pod {name} in StatefulSet {meta.name(owner)} failed error: {error.message}",
                )
            raise
        self.events.event(
            owner, "Normal", "SuccessfulCreate", f"create Pod {name} in StatefulSet {meta.name(owner)} successful"
        )

    async def _create_claims(self, owner: Obj, index: int, pod_name: str) -> None:
        for claim in identity.claims(owner, index):
            found = self.claims.get(meta.key(claim))
            if found is not None and meta.is_deleting(found):
                # A pod that took hold of it now would wait for ever.
                raise ClaimTrouble(f"pvc {meta.name(claim)} is being deleted")
            if found is not None:
                continue
            about = f"create Claim {meta.name(claim)} Pod {pod_name} in StatefulSet {meta.name(owner)}"
            try:
                await self.client.create("persistentvolumeclaims", claim)
            except StatusError as error:
                if error.reason == "AlreadyExists":
                    continue
                self.events.event(owner, "Warning", "FailedCreate", f"{about} failed error: {error.message}")
                raise ClaimTrouble(f"failed to create PVC {meta.name(claim)}: {error.message}") from error
            self.events.event(owner, "Normal", "SuccessfulCreate", f"{about} success")

    async def _fix(self, owner: Obj, pod: Obj, index: int) -> None:
        """Give a pod the identity it should have, and claims that were lost."""
        await self._create_claims(owner, index, meta.name(pod))
        labels = identity.identified(owner, pod, index)["metadata"]["labels"]
        if labels != meta.labels(pod):
            patch = {"metadata": {"uid": meta.uid(pod), "labels": labels}}
            await self.client.patch("pods", meta.name(pod), patch, meta.namespace(pod))

    async def _delete(self, owner: Obj, pod: Obj) -> None:
        name = meta.name(pod)
        about = f"delete Pod {name} in StatefulSet {meta.name(owner)}"
        try:
            await self.client.delete("pods", name, meta.namespace(pod), uid=meta.uid(pod))
        except StatusError as error:
            if error.code == 404:
                return
            self.events.event(owner, "Warning", "FailedDelete", f"{about} failed error: {error.message}")
            raise
        self.events.event(owner, "Normal", "SuccessfulDelete", f"{about} successful")

    async def _keep_claim_owners(self, owner: Obj, owned: Sequence[Obj]) -> None:
        """Let claims die with the set or with a pod scaled away, as persistentVolumeClaimRetentionPolicy says."""
        start = identity.start_ordinal(owner)
        inside = range(start, start + replicas(owner))
        for pod in owned:
            index = identity.ordinal(pod)
            for template in owner["spec"].get("volumeClaimTemplates") or []:
                claim = self.claims.get(f"{meta.namespace(owner)}/{identity.claim_name(owner, template, index)}")
                if claim is None or meta.is_deleting(claim):
                    continue
                wanted = claim_owners(owner, pod, claim, condemned=index not in inside)
                if wanted != meta.owner_references(claim):
                    changed = {**claim, "metadata": {**claim["metadata"], "ownerReferences": wanted}}
                    await ignore_not_found(self.client.update("persistentvolumeclaims", changed))

    def _wake_when_available(self, key: str, owner: Obj, owned: Sequence[Obj]) -> None:
        min_ready = owner["spec"].get("minReadySeconds", 0)
        now = clock.now()
        ready = (pod for pod in owned if is_running_and_ready(pod))
        waits = [wait for pod in ready if (wait := pods.seconds_until_available(pod, min_ready, now))]
        if waits:
            self.queue.add_after(key, min(waits))


def claim_owners(owner: Obj, pod: Obj, claim: Obj, *, condemned: bool) -> list[Obj]:
    """The owner references that a claim should have: the set's or the condemned pod's, and those of others.

    A claim that somebody else controls, be it a former set or pod of that name, is left to them.
    """
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    when_deleted = policy.get("whenDeleted", "Retain") == "Delete"
    when_scaled = policy.get("whenScaled", "Retain") == "Delete"
    ours = {_identity_of(obj): meta.uid(obj) for obj in (owner, pod)}
    found = meta.owner_references(claim)
    others = [ref for ref in found if _named_by(ref) not in ours]
    strange = any(ref["uid"] != ours[_named_by(ref)] for ref in found if _named_by(ref) in ours)
    if strange or any(ref.get("controller") for ref in others):
        return others
    if when_scaled and condemned:
        return [*others, meta.owner_reference(pod)]
    if when_deleted:
        return [*others, meta.owner_reference(owner)]
    return others


def _identity_of(obj: Obj) -> tuple[str, str, str]:
    return obj["apiVersion"], obj["kind"], meta.name(obj)


def _named_by(reference: Obj) -> tuple[str, str, str]:
    return reference["apiVersion"], reference["kind"], reference["name"]
