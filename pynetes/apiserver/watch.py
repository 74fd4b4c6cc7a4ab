"""WATCH: the store's events as a stream of lines.

A watch begins after a revision the client names, or with the present state as ADDED events (`resourceVersion` unset
or 0, or `sendInitialEvents`). Events are framed once by the store and the same bytes go to every watcher; a selector
compares the labels and fields kept beside the value, so nothing is decoded. An object that ceases to match is DELETED
for this watcher and one that begins to is ADDED.

Bookmarks tell the client how far it has come: about once a minute, and after the initial events with an annotation.
The stream ends after `timeoutSeconds` (a random 30 to 60 minutes if unset), when the server stops, or with a 410 ERROR
event when the watcher has fallen too far behind.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from pynetes.apiserver import negotiate, parameters, present
from pynetes.apiserver.parameters import ListOptions
from pynetes.apiserver.registry import Registry, Resource
from pynetes.apiserver.request import JSON, Request, RequestInfo, Response
from pynetes.machinery import clock, errors, selectors, wire
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Compacted, Event, EventType, Record, Watch

BOOKMARK_INTERVAL = 60.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
MIN_TIMEOUT = 1800.0

# How an event is shown to a watcher, by whether the object matched before and matches now.
_SHOWN: dict[tuple[bool, bool], EventType | None] = {
    (True, True): "MODIFIED",
    (True, False): "DELETED",
    (False, True): "ADDED",
    (False, False): None,
}


def respond(registry: Registry, resource: Resource, request: Request, info: RequestInfo) -> Response:
    """The stream for one watch request; what is wrong with the request is found before the stream begins."""
    options = parameters.list_options(request, resource)
    form = negotiate.accepted_streamed(request) if options.send_initial_events else negotiate.accepted(request)
    if info.name and options.fields is None:  # /api/v1/watch/…/name
        options = replace(options, fields=selectors.parse_field_selector(f"metadata.name={info.name}"))
    include = present.include_policy(request.param("includeObject")) if form.transform == "Table" else "Metadata"
    stream = WatchStream(registry, resource, info, options, Framing(resource, form, include))
    return Response(200, {"Content-Type": JSON}, stream.lines())


class Framing:
    """How this watcher wants its lines: as stored, converted to another version, as tables, or only metadata."""

    def __init__(self, resource: Resource, form: negotiate.Form, include: str) -> None:
        self._resource = resource
        self._form = form
        self._include = include
        self._headers = True
        self.plain = not form.transform and not resource.converts

    def event(self, event: Event, kind: EventType) -> bytes:
        """The line for an event."""
        if self.plain:
            return event.frame(kind)
        record = event.record
        if kind == "DELETED" and event.type != "DELETED" and event.previous is not None:
            obj = wire.decode(event.previous.value_at(event.revision))
        else:
            obj = wire.decode(record.value)
        return self.line(kind, self._resource.from_stored(obj))

    def initial(self, record: Record) -> bytes:
        """The line for an object that was there when the watch began."""
        if self.plain:
            return b'{"type":"ADDED","object":%b}\n' % record.value
        return self.line("ADDED", self._resource.decode(record))

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """The line that says: everything up to `revision` has been seen. It carries an object without content."""
        metadata: Obj = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        rt = self._resource.rt
        obj: Obj = {"kind": rt.kind, "apiVersion": rt.api_version, "metadata": metadata}
        if self._form.transform == "Table":
            table = present.table(self._resource, [], {"resourceVersion": str(revision)}, self._form.version)
            cells = [""] * len(self._resource.strategy.columns)
            table["rows"] = [{"cells": cells, "object": present.partial(obj, self._form.version)}]
            return wire.encode({"type": "BOOKMARK", "object": table}) + b"\n"
        return self.line("BOOKMARK", obj)

    def line(self, kind: str, obj: Obj) -> bytes:
        """Any line, transformed as the client wants it."""
        form = self._form
        if form.transform == "Table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            obj = present.table(self._resource, [obj], metadata, form.version, self._include, headers=self._headers)
            self._headers = False
        elif form.transform:
            obj = present.partial(obj, form.version)
        return wire.encode({"type": kind, "object": obj}) + b"\n"


class WatchStream:
    """One watch from its first line to its last."""

    def __init__(
        self, registry: Registry, resource: Resource, info: RequestInfo, options: ListOptions, framing: Framing
    ) -> None:
        self._store = registry.store
        self._open = registry.watches
        self._options = options
        self._framing = framing
        self._prefix = resource.prefix(info.namespace if resource.rt.namespaced else "")
        self._initial: Sequence[Record] = ()
        self._says_end = bool(options.send_initial_events) and options.bookmarks
        self._expired: errors.StatusError | None = None
        self._watch: Watch | None = None
        self._where = _where(options)
        if options.fields is not None and resource.rt.namespaced and not info.namespace:
            space = options.fields.exact("metadata.namespace")
            self._prefix = resource.prefix(space or "")
        self._begin()

    def _begin(self) -> None:
        options, store = self._options, self._store
        wanted = int(options.resource_version or 0)
        if wanted > store.revision:
            from pynetes.apiserver.verbs import too_large

            raise too_large(wanted, store.revision)
        initial = wanted == 0 if options.send_initial_events is None else options.send_initial_events
        if initial:
            page = store.list(self._prefix)
            self._initial = [record for record in page.records if self._options.matches(record)]
            wanted = page.revision
        elif wanted == 0:
            wanted = store.revision
        try:
            self._watch = store.watch(self._prefix, wanted, self._where)
            self._open[self._watch] = self._prefix
        except Compacted as error:
            self._expired = errors.expired(f"too old resource version: {wanted} ({error.compacted})")

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines, as many at a time as are ready."""
        if self._expired is not None or self._watch is None:
            yield _error_line(self._expired or errors.internal("no watch"))
            return
        watch = self._watch
        deadline = clock.monotonic() + (self._options.timeout or MIN_TIMEOUT * (1 + random.random()))
        alarm = asyncio.ensure_future(_interrupt(watch, deadline, self._options.bookmarks))
        try:
            if self._initial:
                yield b"".join(map(self._framing.initial, self._initial))
                self._initial = ()
            if self._says_end:
                yield self._framing.bookmark(watch.progress, initial_end=True)
            async for piece in self._events(watch, deadline):
                yield piece
        finally:
            alarm.cancel()
            watch.close()
            self._open.pop(watch, None)

    async def _events(self, watch: Watch, deadline: float) -> AsyncIterator[bytes]:
        bookmark_at = clock.monotonic() + BOOKMARK_INTERVAL * random.uniform(0.75, 1.0)
        while True:
            events = await watch.batch()
            piece = b"".join([line for event in events if (line := self._line(event))])
            if piece:
                yield piece
            now = clock.monotonic()
            if watch.closed or now >= deadline:
                break
            if self._options.bookmarks and now >= bookmark_at:
                bookmark_at = now + BOOKMARK_INTERVAL
                yield self._framing.bookmark(watch.progress)
        if watch.overflowed:
            yield _error_line(errors.expired("too old resource version: the watch fell too far behind"))

    def _line(self, event: Event) -> bytes:
        kind: EventType | None = event.type
        if self._options.selects:
            now = event.type != "DELETED" and self._options.matches(event.record)
            before = event.previous is not None and self._options.matches(event.previous)
            kind = _SHOWN[before, now]
        return self._framing.event(event, kind) if kind is not None else b""


def _where(options: ListOptions) -> tuple[str, str] | None:
    """One field value that every event of interest has, for the store's index: a kubelet's own pods."""
    if options.fields is None:
        return None
    indexed = [term for term in options.fields.terms if term.operator == "="]
    if options.fields_of is not None:
        indexed = [term for term in indexed if term.field.startswith("metadata.")]
    return next(((term.field, term.value) for term in indexed), None)


async def _interrupt(watch: Watch, deadline: float, bookmarks: bool) -> None:
    """Wake the stream when it is time for a bookmark or for the end."""
    while not watch.closed:
        left = deadline - clock.monotonic()
        await clock.sleep(max(0.0, min(left, BOOKMARK_INTERVAL / 4) if bookmarks else left))
        watch.interrupt()


def _error_line(error: errors.StatusError) -> bytes:
    return wire.encode({"type": "ERROR", "object": error.status()}) + b"\n"
