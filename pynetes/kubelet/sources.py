"""ConfigMaps, Secrets and claims: the objects that pods on this node refer to.

The node may read only what its pods name, one object at a time (the Node authorizer sees to that), so each object in
use has a watch of its own, shared by all pods that use it and dropped with the last. A change is told to every pod
that uses the object; nobody polls. Objects marked immutable are read once and not watched. Claims a node may only get:
they are read whenever they are asked for.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from pynetes.client.client import Client, Unreachable
from pynetes.client.informer import Informer
from pynetes.machinery import clock
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

SYNC_TIMEOUT = 10.0
WATCHED = ("configmaps", "secrets")

Key = tuple[str, str, str]  # plural, namespace, name


class MissingObject(Exception):
    """The object is not there (or not yet to be read); the text is upstream's."""

    def __init__(self, kind: str, name: str, message: str = "", absent: bool = True) -> None:
        super().__init__(message or f'{kind} "{name}" not found')
        self.absent = absent


@dataclass
class _Watched:
    informer: Informer
    task: asyncio.Task[None] | None
    users: set[str] = field(default_factory=set)


class ObjectSource:
    """Reads and watches single objects on behalf of pods; `on_change(pod_uid, key)` tells whom it concerns."""

    def __init__(self, client: Client, on_change: Callable[[str, Key], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._watched: dict[Key, _Watched] = {}

    async def get(self, plural: str, namespace: str, name: str, user: str) -> Obj:
        """The object, watched for the pod `user` from now on if it may be; raises MissingObject."""
        if plural not in WATCHED:
            return await self._read(plural, namespace, name)
        key = (plural, namespace, name)
        watched = self._watched.get(key)
        if watched is None or (watched.task is None and user not in watched.users):
            watched = self._watch(key, watched.users if watched else set())
        watched.users.add(user)
        if watched.informer.has_synced:
            cached = watched.informer.get(f"{namespace}/{name}")
            if cached is None:
                raise MissingObject(_kind(plural), name)
            return cached
        return await self._read(plural, namespace, name)

    async def _read(self, plural: str, namespace: str, name: str) -> Obj:
        try:
            return await self._client.get(plural, name, namespace)
        except StatusError as error:
            if error.code == 404:
                raise MissingObject(_kind(plural), name) from None
            raise MissingObject(_kind(plural), name, error.message, absent=False) from None
        except Unreachable as error:
            raise MissingObject(_kind(plural), name, str(error), absent=False) from None

    def _watch(self, key: Key, users: set[str]) -> _Watched:
        plural, namespace, name = key
        informer = Informer(self._client, plural, namespace, field_selector=f"metadata.name={name}")
        task = asyncio.get_running_loop().create_task(informer.run(), name=f"watch-{plural}-{namespace}-{name}")
        watched = self._watched[key] = _Watched(informer, task, users)

        def changed(old: Obj | None, new: Obj | None) -> None:
            if new is not None and new.get("immutable") and watched.task is not None:
                watched.task.cancel()  # it will not change: the cache answers from now on
                watched.task = None
            for user in [*watched.users]:
                self._on_change(user, key)

        informer.on_change(changed)
        return watched

    def release(self, user: str) -> None:
        """The pod is gone: stop watching what only it used."""
        for key, watched in list(self._watched.items()):
            watched.users.discard(user)
            if not watched.users:
                if watched.task is not None:
                    watched.task.cancel()
                del self._watched[key]

    async def close(self) -> None:
        """Stop every watch."""
        tasks = [watched.task for watched in self._watched.values() if watched.task is not None]
        self._watched.clear()
        for task in tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            await clock.wait_for(asyncio.gather(*tasks, return_exceptions=True), SYNC_TIMEOUT)


def _kind(plural: str) -> str:
    return plural.removesuffix("s").lower()
