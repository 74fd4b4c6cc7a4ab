"""The end of a Namespace: delete all that is in it, pods first, then let it go.

What is in it is asked from discovery, so custom resources go too. Progress is written into the namespace's
conditions. While something remains, the last pod's end brings the key back at once; for anything else (finalizers that
others must remove) it comes back after a growing pause.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pynetes.client.discovery import Discovered, discover
from pynetes.controllers.controller import Context, Controller
from pynetes.controllers.status import update_status
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

FINALIZER = "kubernetes"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0


@dataclass(slots=True)
class Progress:
    """What one pass over a namespace's content found."""

    remaining: dict[str, int] = field(default_factory=dict)
    finalizers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    undiscovered: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether nothing is left and nothing went wrong."""
        return not (self.remaining or self.errors or self.undiscovered)


def conditions(progress: Progress) -> list[tuple[str, str, str, str]]:
    """Type, status, reason and message of each condition."""
    remaining = ", ".join(
        f"{name} has {count} resource instances" for name, count in sorted(progress.remaining.items())
    )
    finalizers = ", ".join(
        f"{name} in {count} resource instances" for name, count in sorted(progress.finalizers.items())
    )
    failed = ", ".join(f"{name}: {text}" for name, text in sorted(progress.undiscovered.items()))
    errors = ", ".join(progress.errors)
    table = (
        (
            "NamespaceDeletionDiscoveryFailure",
            failed,
            ("DiscoveryFailed", f"Discovery failed for some groups, {len(progress.undiscovered)} failing: {failed}"),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            ("", ""),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            errors,
            (
                "ContentDeletionFailed",
                f"Failed to delete all resource types, {len(progress.errors)} remaining: {errors}",
            ),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            remaining,
            ("SomeResourcesRemain", f"Some resources are remaining: {remaining}"),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            finalizers,
            (
                "SomeFinalizersRemain",
                f"Some content in the namespace has finalizers remaining: {finalizers}",
            ),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    )
    return [(kind, "True", *bad) if trouble else (kind, "False", *good) for kind, trouble, bad, good in table]


def with_conditions(namespace: Obj, progress: Progress) -> Obj:
    """The namespace's status after a pass."""
    draft: Obj = {"status": meta.deep_copy(namespace.get("status", {}))}
    for condition in conditions(progress):
        meta.set_condition(draft, *condition)
    return draft["status"]


def deletable(found: Discovered) -> list[ResourceType]:
    """The namespaced resources that can be listed and deleted."""
    return [rt for rt in found.resources if rt.namespaced and {"list", "delete"} <= set(rt.verbs)]


class NamespaceController(Controller):
    """Empties namespaces that are being deleted."""

    name = "namespace-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pauses: dict[str, float] = {}
        self.namespaces = self.watch("namespaces", self._namespace_changed)
        self.pods = self.watch("pods", self._pod_gone)

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return (meta.name(new),) if new is not None and meta.is_deleting(new) else ()

    def _pod_gone(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if old is None or new is not None:
            return ()
        space = meta.namespace(old)
        namespace = self.namespaces.get(space)
        if namespace is None or not meta.is_deleting(namespace) or self.pods.by_index("namespace", space):
            return ()
        return (space,)

    async def reconcile(self, key: str) -> None:
        namespace = self.namespaces.get(key)
        if namespace is None or not meta.is_deleting(namespace):
            self._pauses.pop(key, None)
            return
        if namespace.get("status", {}).get("phase") != "Terminating":
            status = {**namespace.get("status", {}), "phase": "Terminating"}
            namespace = await update_status(self.client, "namespaces", namespace, status)
        finalizers = namespace.get("spec", {}).get("finalizers") or []
        if FINALIZER not in finalizers:
            return
        progress = await self._empty(key)
        if not progress.done or namespace.get("status", {}).get("conditions"):
            status = with_conditions(namespace, progress)
            namespace = await update_status(self.client, "namespaces", namespace, status)
        if progress.done:
            rest = [finalizer for finalizer in finalizers if finalizer != FINALIZER]
            freed = {**namespace, "spec": {**namespace.get("spec", {}), "finalizers": rest}}
            await self.client.update("namespaces", freed, subresource="finalize")
            self._pauses.pop(key, None)
            return
        pause = self._pauses.get(key, _FIRST_PAUSE)
        self._pauses[key] = min(pause * 2, _LONGEST_PAUSE)
        self.queue.add_after(key, pause)

    async def _empty(self, namespace: str) -> Progress:
        """Delete all content; pods alone as long as there are any, because other content may protect them."""
        found = await discover(self.client)
        progress = Progress(undiscovered=found.failed)
        resources = deletable(found)
        pods = [rt for rt in resources if rt.group == "" and rt.plural == "pods"]
        await asyncio.gather(*(self._empty_of(namespace, rt, progress) for rt in pods))
        if not progress.remaining:
            rest = (self._empty_of(namespace, rt, progress) for rt in resources if rt not in pods)
            await asyncio.gather(*rest)
        return progress

    async def _empty_of(self, namespace: str, rt: ResourceType, progress: Progress) -> None:
        try:
            left = (await self.client.list(rt, namespace, metadata_only=True)).items
            if any(not meta.is_deleting(obj) for obj in left):
                await self._delete_all(namespace, rt, left)
                left = (await self.client.list(rt, namespace, metadata_only=True)).items
        except StatusError as error:
            if error.code not in (404, 405):
                progress.errors.append(error.message)
            return
        if left:
            progress.remaining[f"{rt.plural}.{rt.group}"] = len(left)
        for obj in left:
            progress.finalizers.update(obj["metadata"].get("finalizers") or [])

    async def _delete_all(self, namespace: str, rt: ResourceType, objects: list[Obj]) -> None:
        if "deletecollection" in rt.verbs:
            await self.client.delete_collection(rt, namespace, propagation_policy="Background")
            return
        for obj in objects:
            try:
                await self.client.delete(rt, meta.name(obj), namespace, propagation_policy="Background")
            except StatusError as error:
                if error.code != 404:
                    raise
