"""What the server counts, in Prometheus' text form under upstream's names.

Counting happens on every request, so it is a dictionary look-up and an addition; the text is made when asked for.
"""

import bisect
import os
import re
import resource as process_limits
from collections.abc import Iterator
from pathlib import Path

from pynetes.apiserver import version
from pynetes.apiserver.request import RequestInfo
from pynetes.machinery import clock

DURATION_BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
)  # fmt: skip
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_VERBS = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "connect": "CONNECT",
}  # fmt: skip

_REMOVED = re.compile(r"unavailable in v([0-9.]+[0-9])")

_Key = tuple[str, str, str, str, str, str]  # verb, group, version, resource, subresource, scope


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self._total: dict[tuple[_Key, int, bool], int] = {}
        self._durations: dict[_Key, list[float]] = {}
        self._keys: dict[RequestInfo, _Key] = {}
        self.inflight = {"readOnly": 0, "mutating": 0}
        self.long_running = 0
        self.rejected = 0
        self._deprecated: set[tuple[str, str, str, str, str]] = set()
        self._started = clock.time()

    def observe(self, info: RequestInfo, code: int, seconds: float, dry_run: bool) -> None:
        """Count an answered request."""
        key = self._keys.get(info)
        if key is None:
            if len(self._keys) > 4096:
                self._keys.clear()
            key = self._keys[info] = _key(info)
        counter = (key, code, dry_run)
        self._total[counter] = self._total.get(counter, 0) + 1
        if info.verb == "watch":
            return
        buckets = self._durations.get(key)
        if buckets is None:
            buckets = self._durations[key] = [0.0] * (len(DURATION_BUCKETS) + 2)
        buckets[bisect.bisect_left(DURATION_BUCKETS, seconds)] += 1
        buckets[-1] += seconds

    def note_deprecated(self, info: RequestInfo, warning: str) -> None:
        """Remember that somebody asked for a deprecated API; the warning says when it is to go, if it is."""
        removed = _REMOVED.search(warning)
        release = removed[1] if removed else ""
        self._deprecated.add((info.group, info.version, info.resource, info.subresource, release))

    def text(self, objects: dict[str, int]) -> str:
        """Everything, with the number of stored objects by resource."""
        return "\n".join(self._lines(objects)) + "\n"

    def _lines(self, objects: dict[str, int]) -> Iterator[str]:
        yield from _head("apiserver_request_total", "counter", "Requests by verb, resource, scope and HTTP code.")
        for (key, code, dry_run), count in sorted(self._total.items()):
            labels = _labels(key, code=str(code), dry_run="All" if dry_run else "")
            yield f"apiserver_request_total{{{labels}}} {count}"
        name = "apiserver_request_duration_seconds"
        yield from _head(name, "histogram", "Response latency in seconds by verb, resource and scope.")
        for key, buckets in sorted(self._durations.items()):
            yield from _histogram(name, _labels(key), buckets)
        yield from _head("apiserver_current_inflight_requests", "gauge", "Requests being served, by kind.")
        for kind, count in sorted(self.inflight.items()):
            yield f'apiserver_current_inflight_requests{{request_kind="{kind}"}} {count}'
        yield from _head("apiserver_longrunning_requests", "gauge", "Watches, tunnels and the like that are open.")
        yield f"apiserver_longrunning_requests {self.long_running}"
        yield from _head("apiserver_flowcontrol_rejected_requests_total", "counter", "Requests turned away with 429.")
        yield f"apiserver_flowcontrol_rejected_requests_total {self.rejected}"
        name = "apiserver_requested_deprecated_apis"
        yield from _head(name, "gauge", "Deprecated APIs that have been requested, with the release that removes them.")
        for group, version_, resource, subresource, release in sorted(self._deprecated):
            labels = f'group="{group}",removed_release="{release}",resource="{resource}",subresource="{subresource}"'
            yield f'{name}{{{labels},version="{version_}"}} 1'
        for gauge in ("apiserver_storage_objects", "apiserver_resource_objects"):
            yield from _head(gauge, "gauge", "Stored objects by resource.")
            for resource, count in sorted(objects.items()):
                yield f'{gauge}{{resource="{resource}"}} {count}'
        yield from _head("kubernetes_build_info", "gauge", "The version of this build.")
        yield f'kubernetes_build_info{{git_version="{version.GIT_VERSION}",major="1",minor="37"}} 1'
        yield from self._process()

    def _process(self) -> Iterator[str]:
        usage = process_limits.getrusage(process_limits.RUSAGE_SELF)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        values = (
            ("process_cpu_seconds_total", "counter", "CPU time used.", usage.ru_utime + usage.ru_stime),
            ("process_resident_memory_bytes", "gauge", "Resident memory.", pages * os.sysconf("SC_PAGE_SIZE")),
            ("process_start_time_seconds", "gauge", "Start of the process.", self._started),
            ("process_open_fds", "gauge", "Open file descriptors.", len(list(Path("/proc/self/fd").iterdir()))),
        )
        for name, kind, text, value in values:
            yield from _head(name, kind, text)
            yield f"{name} {value}"


def _key(info: RequestInfo) -> _Key:
    if not info.is_resource:
        return (info.verb.upper(), "", "", "", info.path if len(info.path) < 64 else "", "")
    scope = "resource" if info.name else ("namespace" if info.namespace else "cluster")
    verb = _VERBS.get(info.verb, info.verb.upper())
    return (verb, info.group, info.version, info.resource, info.subresource, scope)


def _labels(key: _Key, **more: str) -> str:
    names = ("verb", "group", "version", "resource", "subresource", "scope")
    labels = {"component": "apiserver", **dict(zip(names, key, strict=True)), **more}
    return ",".join(f'{name}="{_escape(value)}"' for name, value in sorted(labels.items()))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _histogram(name: str, labels: str, buckets: list[float]) -> Iterator[str]:
    total = 0.0
    for bound, count in zip((*DURATION_BUCKETS, "+Inf"), buckets, strict=False):
        total += count
        yield f'{name}_bucket{{{labels},le="{bound}"}} {total:g}'
    yield f"{name}_sum{{{labels}}} {buckets[-1]}"
    yield f"{name}_count{{{labels}}} {total:g}"
