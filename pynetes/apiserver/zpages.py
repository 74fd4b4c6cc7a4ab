"""`/statusz` and `/flagz`: what this server is and how it was started, for people who look for a fault.

Text unless a client asks for the structured form by its full name, `application/json;v=v1beta1;g=config.k8s.io;as=…`.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from pynetes.apiserver import negotiate, version
from pynetes.apiserver.options import Options
from pynetes.apiserver.request import JSON, Request, Response, json_response, text_response
from pynetes.machinery import clock, errors, wire
from pynetes.machinery.meta import Obj

NAME = "kube-apiserver"
_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees "
    "and is for debugging purposes only."
)
_GROUP, _VERSION = "config.k8s.io", "v1beta1"


def _answer(request: Request, kind: str, text: Callable[[], str], content: Callable[[], Obj]) -> Response:
    for media, parameters in negotiate.clauses(request.headers.get("accept") or "*/*"):
        if media in ("*/*", "text/*", "text/plain"):
            return text_response(text())
        wanted = {"as": kind, "g": _GROUP, "v": _VERSION}
        if media in (JSON, "application/*") and parameters == wanted:
            head = {"kind": kind, "apiVersion": f"{_GROUP}/{_VERSION}", "metadata": {"name": NAME}}
            return json_response(wire.encode({**head, **content()}))
    raise errors.not_acceptable(("text/plain", f"{JSON};as={kind};g={_GROUP};v={_VERSION}"))


class Status:
    """`/statusz` of a server that begins now; `paths` says where else to look."""

    def __init__(self, paths: Callable[[], Iterable[str]]) -> None:
        self._paths = paths
        self._started = clock.time()

    def answer(self, request: Request, path: str) -> Response:
        """The version, the time since the start, and the other paths."""
        return _answer(request, "Statusz", self._text, self._content)

    def _text(self) -> str:
        minutes, seconds = divmod(int(clock.time() - self._started), 60)
        hours, minutes = divmod(minutes, 60)
        started = datetime.fromtimestamp(self._started, UTC)
        lines = [
            f"\n{NAME} statusz",
            _WARNING,
            "",
            f"Started: {started:%a %b %e %H:%M:%S UTC %Y}",
            f"Up: {hours} hr {minutes:02} min {seconds:02} sec",
            f"Binary version: {version.GIT_VERSION.lstrip('v')}",
            f"Emulation version: {version.MAJOR}.{version.MINOR}",
            f"Minimum Compatibility version: {version.OLDEST}",
            f"Paths: {' '.join(sorted(self._paths()))}",
        ]
        return "\n".join(lines) + "\n"

    def _content(self) -> Obj:
        return {
            "startTime": clock.format_time(datetime.fromtimestamp(self._started, UTC)),
            "uptimeSeconds": int(clock.time() - self._started),
            "binaryVersion": version.GIT_VERSION.lstrip("v"),
            "emulationVersion": f"{version.MAJOR}.{version.MINOR}",
            "minimumCompatibilityVersion": version.OLDEST,
            "paths": sorted(self._paths()),
        }


class Flags:
    """`/flagz` of a server that was started with these options."""

    def __init__(self, options: Options) -> None:
        self._flags = {
            each.name.replace("_", "-"): _shown(getattr(options, each.name))
            for each in sorted(fields(options), key=lambda each: each.name)
        }

    def answer(self, request: Request, path: str) -> Response:
        """Every flag and its value."""
        return _answer(request, "Flagz", self._text, lambda: {"flags": self._flags})

    def _text(self) -> str:
        lines = [f"{name}={value}" for name, value in self._flags.items()]
        return "\n".join([f"\n{NAME} flags", _WARNING, "", *lines]) + "\n"


def _shown(value: Any) -> str:
    """A value as a flag of Go's shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(value)}]"
    if isinstance(value, float):
        return clock.format_duration(value)
    return str(value)
