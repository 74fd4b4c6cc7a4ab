"""ControllerRevisions: the history of a DaemonSet's or StatefulSet's template.

A revision holds a patch that brings the template back, so `kubectl rollout undo` can apply it. Revisions with the same
data are the same revision; going back to an old template renews the old revision's number.
"""

from collections.abc import Container
from typing import Any

from pynetes.client.client import Client
from pynetes.controllers.deployment import template_hash
from pynetes.controllers.status import key_by_age
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

RESOURCE = "controllerrevisions.apps"
HASH_LABEL = "controller-revision-hash"


def data_of(owner: Obj) -> Obj:
    """The patch that restores the owner's present template.

    Clients compare it byte by byte with the one they make themselves, so it has the form upstream gave it for years:
    keys in order, and a creationTimestamp that is null.
    """
    template = {**owner["spec"]["template"], "$patch": "replace"}
    template["metadata"] = {"creationTimestamp": None, **(template.get("metadata") or {})}
    return {"spec": {"template": _in_order(template)}}


def _in_order(value: Any) -> Any:
    """A copy with every object's keys sorted."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(item) for item in value] if isinstance(value, list) else value


def number(revision: Obj) -> int:
    """The revision's number."""
    return revision.get("revision", 0)


def order(revision: Obj) -> tuple[int, tuple[str, str]]:
    """Sorts oldest first."""
    return number(revision), key_by_age(revision)


def same(revision: Obj, data: Obj) -> bool:
    """Whether the revision holds this data."""
    return revision.get("data") == data


def make(owner: Obj, data: Obj, revision: int, labels: dict[str, str], annotations: dict[str, str]) -> Obj:
    """A new revision of `owner`."""
    digest = template_hash(data, owner.get("status", {}).get("collisionCount"))
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta.name(owner)[:223]}-{digest}",
            "namespace": meta.namespace(owner),
            "labels": {**labels, HASH_LABEL: digest},
            "annotations": annotations,
            "ownerReferences": [meta.owner_reference(owner)],
        },
        "data": data,
        "revision": revision,
    }


class NameTaken(Exception):
    """Another revision has the name that the hash gives; the owner's collisionCount must grow."""


async def create(client: Client, revision: Obj) -> Obj:
    """Create a revision; the same one from a moment ago will do."""
    try:
        return await client.create(RESOURCE, revision)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        found = await client.get(RESOURCE, meta.name(revision), meta.namespace(revision))
        if same(found, revision["data"]):
            return found
        raise NameTaken(meta.name(revision)) from error


async def renew(client: Client, revision: Obj, to: int) -> Obj:
    """Give a revision a new number."""
    if number(revision) == to:
        return revision
    return await client.update(RESOURCE, {**revision, "revision": to})


def surplus(revisions: list[Obj], limit: int, live: Container[str]) -> list[Obj]:
    """Revisions beyond the history limit, oldest first, that nothing runs (`live` are names)."""
    idle = sorted((revision for revision in revisions if meta.name(revision) not in live), key=order)
    return idle[: max(0, len(idle) - limit)]


async def remove(client: Client, revisions: list[Obj]) -> None:
    """Delete revisions."""
    for revision in revisions:
        try:
            await client.delete(RESOURCE, meta.name(revision), meta.namespace(revision), uid=meta.uid(revision))
        except StatusError as error:
            if error.code != 404:
                raise
