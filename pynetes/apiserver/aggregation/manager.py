"""Who serves which group version, kept true.

Of every APIService that names a service, the service and its endpoints are looked at every second, and its server is
asked when it changes, then every half minute, and every second while it is not available; the outcome is its Available
condition. What this server serves itself gets APIServices of its own.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from pynetes.apiserver.aggregation import local
from pynetes.apiserver.aggregation.local import API_SERVICES
from pynetes.apiserver.aggregation.remote import PASSED, Availability, Remote
from pynetes.apiserver.mirror import Mirror
from pynetes.apiserver.registry import Context
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

log = logging.getLogger(__name__)

_BETWEEN_CHECKS = 30.0
_LOOK = 1.0


class Aggregation:
    """The aggregated servers of an API server."""

    def __init__(self, server: "ApiServer") -> None:
        self._server = server
        registry = server.registry
        prefix = registry.resource(API_SERVICES).prefix()
        self._services: Mirror[Obj] = Mirror(registry.store, prefix, self._changed)
        self._remotes: dict[tuple[str, str], Remote] = {}
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stale = asyncio.Event()

    def start(self) -> None:
        """Follow the APIServices, and keep our own."""
        self._services.start()
        self._server.registry.listeners.append(self._stale.set)
        self._stale.set()
        self._tasks.append(asyncio.create_task(self._keep_local(), name="local API services"))

    async def stop(self) -> None:
        """Stop following and checking."""
        tasks = [*self._tasks, *self._checks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._services.stop()

    def find(self, path: str) -> Remote | None:
        """Who serves a path, if another server does."""
        if not self._remotes:
            return None
        segments = path.split("/", 4)
        if len(segments) < 4 or segments[1] != "apis":
            return None
        return self._remotes.get((segments[2], segments[3]))

    def find_schema(self, path: str) -> Remote | None:
        """Who has the OpenAPI v3 document at `apis/<group>/<version>`."""
        return next((each for each in self._remotes.values() if path in each.schemas), None)

    def remotes(self) -> list[Remote]:
        """All group versions served by others, in the order that clients prefer."""
        ordered = sorted(self._remotes.values(), key=lambda each: (each.group, each.version))
        return sorted(ordered, key=lambda each: (-each.group_priority, -each.version_priority))

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        name = meta.name(new or old or {})
        if old is not None and new is not None and old["spec"] == new["spec"] and meta.uid(old) == meta.uid(new):
            return
        gone = Remote.of(old) if old is not None else None
        if gone is not None:
            self._remotes.pop((gone.group, gone.version), None)
            self._server.registry.changed()
        task = self._checks.pop(name, None)
        if task is not None:
            task.cancel()
        remote = Remote.of(new) if new is not None else None
        if remote is not None:
            self._remotes[remote.group, remote.version] = remote
            self._server.registry.changed()
            self._checks[name] = asyncio.create_task(self._check(name, remote), name=f"API service {name}")

    async def _check(self, name: str, remote: Remote) -> None:
        """Look again and again whether a remote server answers."""
        due = 0.0
        while True:
            before = (remote.available, remote.resources, remote.schemas, remote.described)
            lacking = remote.missing(self._server.registry)
            if lacking is not None or remote.available != PASSED or clock.monotonic() >= due:
                remote.available = lacking or await remote.ask(self._server)
                due = clock.monotonic() + _BETWEEN_CHECKS
            if (remote.available, remote.resources, remote.schemas, remote.described) != before:
                self._server.registry.changed()
            await self._tell(name, remote.available)
            await clock.sleep(_LOOK)

    async def _tell(self, name: str, available: Availability) -> None:
        """Write the Available condition, if it says something new."""

        def change(live: Obj) -> None:
            meta.set_condition(live, "Available", available.status, available.reason, available.message)

        found = self._server.registry.get(API_SERVICES, None, name)
        known = meta.get_condition(found, "Available") if found is not None else None
        if found is None or (known is not None and Availability(*map(known.get, available._fields)) == available):  # type: ignore[arg-type]  # what it lacks is unequal
            return
        try:
            ctx = Context(skip_admission=True)
            await self._server.registry.update(API_SERVICES, None, name, change, ctx, subresource="status")
        except StatusError as error:
            log.warning("API service %s: %s", name, error.message)

    async def _keep_local(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await local.reconcile(self._server.registry)
            except StatusError as error:
                log.warning("local API services: %s", error.message)
                await clock.sleep(_LOOK)
                self._stale.set()
