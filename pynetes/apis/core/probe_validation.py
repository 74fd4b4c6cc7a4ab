"""Validation of probes and lifecycle hooks, and of the handlers both have."""

from typing import Any

from pynetes.apis.checks import Errors
from pynetes.machinery import names
from pynetes.machinery.meta import Obj

SCHEMES = ("HTTP", "HTTPS")
PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
STOP_SIGNALS = {
    "linux": (
        *("SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT"),
        *("SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX"),
        *(f"SIGRTMAX-{number}" for number in range(1, 15)),
        "SIGRTMIN",
        *(f"SIGRTMIN+{number}" for number in range(1, 16)),
        *("SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU"),
        *("SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ"),
    ),
    "windows": ("SIGKILL", "SIGTERM"),
}
LIFECYCLE_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")


def probe(errors: Errors, value: Obj, spec: Obj, path: str) -> None:
    """A probe: one handler, no negative numbers."""
    _handler(errors, value, PROBE_HANDLERS, spec, path)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        errors.non_negative(f"{path}.{field}", value.get(field))
    grace = value.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def lifecycle(errors: Errors, hooks: Obj, spec: Obj, where: str) -> None:
    """`lifecycle`: the hooks after start and before stop."""
    for hook in ("postStart", "preStop"):
        if hooks.get(hook) is not None:
            _handler(errors, hooks[hook], LIFECYCLE_HANDLERS, spec, f"{where}.lifecycle.{hook}")
    signal = hooks.get("stopSignal")
    if signal is not None:
        path, system = f"{where}.lifecycle.stopSignal", (spec.get("os") or {}).get("name")
        if not system:
            errors.forbidden(path, "may not be set for containers with empty `spec.os.name`")
        else:
            errors.one_of(path, signal, STOP_SIGNALS.get(system, STOP_SIGNALS["linux"]))


def _handler(errors: Errors, handler: Obj, kinds: tuple[str, ...], spec: Obj, path: str) -> None:
    found = [kind for kind in kinds if handler.get(kind) is not None]
    for extra in found[1:]:
        errors.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if not found:
        errors.required(path, "must specify a handler type")
        return
    kind = found[0]
    action, where = handler[kind], f"{path}.{kind}"
    if kind == "exec":
        errors.present(f"{where}.command", action.get("command"))
    elif kind == "httpGet":
        errors.present(f"{where}.path", action.get("path"))
        port_or_name(errors, action.get("port"), f"{where}.port")
        errors.one_of(f"{where}.scheme", action.get("scheme"), SCHEMES)
        for position, header in enumerate(action.get("httpHeaders") or []):
            name = header.get("name", "")
            errors.check(f"{where}.httpHeaders[{position}].name", name, names.http_header_name(name))
    elif kind == "tcpSocket":
        port_or_name(errors, action.get("port"), f"{where}.port")
    elif kind == "grpc":
        errors.port(f"{where}.port", action.get("port", 0))
    else:
        seconds, limit = action.get("seconds", 0), spec.get("terminationGracePeriodSeconds") or 0
        if not 0 <= seconds <= limit:
            errors.invalid(
                f"{where}.seconds",
                seconds,
                f"must be non-negative and less than terminationGracePeriodSeconds ({limit})",
            )


def port_or_name(errors: Errors, value: Any, path: str) -> None:
    """A port by number or by name."""
    if isinstance(value, str):
        errors.check(path, value, names.port_name(value))
    else:
        errors.port(path, value or 0)
