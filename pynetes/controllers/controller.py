"""What all controllers share. Read this file and every other one here is only its decisions.

A controller names the resources it watches, turns each change into the keys that it concerns, and implements
`reconcile(key)`: read the caches, compare, act, return. Reconciling is level-triggered: it may be called at any time,
any number of times, and must do only what is missing. Whatever it raises brings the key back after a back-off, so a
conflict, a stale cache or an API server that is away needs no code of its own. Keys that wait for a time use
`self.queue.add_after`.

    informers ──change──► keys ──► queue ──► reconcile(key) ──► API
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pynetes.client.backoff import Backoff
from pynetes.client.client import Client, Unreachable
from pynetes.client.events import EventRecorder
from pynetes.client.informer import Indexer, Informer, InformerFactory
from pynetes.client.workqueue import WorkQueue
from pynetes.controllers.slim import slim_pod
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.controllers.options import Options

log = logging.getLogger(__name__)

Handler = Callable[[Obj | None, Obj | None], Iterable[str]]


class Context:
    """What a controller manager gives to its controllers."""

    def __init__(
        self,
        client: Client,
        options: "Options",
        client_for: Callable[[str], Client] | None = None,
        informers: InformerFactory | None = None,
    ) -> None:
        self.client = client
        self.options = options
        self.informers = informers or InformerFactory(client, {"pods": slim_pod})
        self.client_for = client_for or (lambda account: client)
        self._recorders: dict[str, EventRecorder] = {}

    def recorder(self, component: str) -> EventRecorder:
        """The voice of `component`."""
        if component not in self._recorders:
            self._recorders[component] = EventRecorder(self.client, component)
        return self._recorders[component]


class Controller:
    """The base of every controller; see the module's text."""

    name: ClassVar[str]
    """Upstream's name, as in `--controllers`."""
    component: ClassVar[str] = ""
    """Who its events come from; `name` if empty."""
    account: ClassVar[str] = ""
    """The service account in kube-system that it acts as; `name` if empty."""
    acts_as_manager: ClassVar[bool] = False
    """Whether it acts as the manager itself: what makes the accounts' tokens cannot wait for one."""
    on_by_default: ClassVar[bool] = True
    """Whether `*` in `--controllers` means it, too."""
    workers: ClassVar[int] = 8

    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client if self.acts_as_manager else context.client_for(self.account or self.name)
        self.events = context.recorder(self.component or self.name)
        self.queue: WorkQueue[str] = WorkQueue()
        self._informers: list[Informer] = []

    async def reconcile(self, key: str) -> None:
        """Make what `key` names as it should be."""
        raise NotImplementedError

    async def background(self) -> None:
        """Whatever else the controller does while it runs, after its caches are filled; by default nothing."""

    def watch(
        self,
        rt: ResourceType | str,
        handler: Handler | None = None,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexers: Mapping[str, Indexer] | None = None,
        metadata_only: bool = False,
    ) -> Informer:
        """The shared informer for `rt`; `handler` gives the keys that a change concerns."""
        informer = self.context.informers.get(
            rt, namespace, label_selector, field_selector, indexers=indexers, metadata_only=metadata_only
        )
        if informer not in self._informers:
            self._informers.append(informer)
        if handler is not None:
            chosen = handler

            def enqueue(old: Obj | None, new: Obj | None) -> None:
                for key in chosen(old, new):
                    self.queue.add(key)

            informer.on_change(enqueue)
        return informer

    async def run(self) -> None:
        """Work until cancelled."""
        for informer in self._informers:
            await informer.synced()
        log.debug("%s: caches are filled", self.name)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._background(), name=self.name)
            for number in range(self.workers):
                group.create_task(self._work(), name=f"{self.name}-{number}")

    async def _background(self) -> None:
        backoff = Backoff(0.5, 30.0)
        while True:
            try:
                await self.background()
                return
            except (StatusError, Unreachable) as error:
                log.warning("%s: %s", self.name, error)
                await backoff.wait()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self.reconcile(key)
            except StatusError as error:
                level = logging.DEBUG if error.code in (404, 409) else logging.WARNING
                log.log(level, "%s: %s: %s", self.name, key, error.message)
                self.queue.add_rate_limited(key)
            except Unreachable as error:
                log.debug("%s: %s: %s", self.name, key, error)
                self.queue.add_rate_limited(key)
            except Exception:
                log.exception("%s: %s", self.name, key)
                self.queue.add_rate_limited(key)
            else:
                self.queue.forget(key)
            finally:
                self.queue.done(key)


def own_key(old: Obj | None, new: Obj | None) -> Iterable[str]:
    """The handler of what a controller owns: the key of the changed object itself."""
    obj = new or old
    return (meta.key(obj),) if obj is not None else ()


def controller_key(obj: Obj, kind: str, owner: Callable[[str], Obj | None]) -> str | None:
    """The key of the `kind` that controls `obj`, if the cache (`owner`) has that very one."""
    reference = meta.controller_of(obj)
    if reference is None or reference["kind"] != kind:
        return None
    space = meta.namespace(obj)
    key = f"{space}/{reference['name']}" if space else reference["name"]
    found = owner(key)
    return key if found is not None and meta.uid(found) == reference["uid"] else None


def is_namespace_terminating(error: StatusError) -> bool:
    """Whether a creation was refused because the namespace is being deleted: no reason to complain or to retry."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)


async def ignore_not_found(request: Awaitable[Obj]) -> Obj | None:
    """Await a request; what is not there (any more) is None."""
    try:
        return await request
    except StatusError as error:
        if error.code == 404:
            return None
        raise


async def slow_start(count: int, action: Callable[[], Awaitable[None]], initial: int = 1) -> int:
    """Call `action` `count` times, in batches of 1, 2, 4 …; stop after the first batch that fails.

    So a request that cannot succeed (a quota, a broken template) is made once, not five hundred times. Returns the
    number of successes; raises the first failure when there were none left to hide it behind.
    """
    remaining, batch, successes = count, min(count, initial), 0
    while batch > 0:
        results = await asyncio.gather(*(action() for _ in range(batch)), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        successes += batch - len(failures)
        if failures:
            raise SlowStartStopped(successes, failures[0]) from failures[0]
        remaining -= batch
        batch = min(2 * batch, remaining)
    return successes


class SlowStartStopped(Exception):
    """A batch of `slow_start` failed after `successes` calls had succeeded."""

    def __init__(self, successes: int, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.successes = successes
        self.cause = cause
