"""Lifecycle hooks: what runs after a container has started and before it is stopped."""

from collections.abc import Callable

from pynetes.kubelet import actions
from pynetes.kubelet.cri.client import Cri, CriError
from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

HTTP_TIMEOUT = 30.0
TCP_TIMEOUT = 10.0


class HookError(Exception):
    """The hook failed; the text is for the event."""


async def run(
    hook: Obj,
    runtime: Cri,
    container: Obj,
    container_id: str,
    address: Callable[[], str],
    name: str,
    event: Callable[[str, str, str], None],
) -> None:
    """Carry out a hook; raises HookError. `event` tells of the pod."""
    if action := hook.get("exec"):
        command = action.get("command") or []
        try:
            result = await runtime.exec_sync(container_id, command)
        except CriError as error:
            raise HookError(
                f"Exec lifecycle hook ({_list(command)}) for Container {name} failed - error: {error}"
            ) from None
        if result.exit_code != 0:
            output = (result.stdout + result.stderr)[: actions.MAX_BODY].decode(errors="replace")
            raise HookError(
                f'Exec lifecycle hook ({_list(command)}) for Container "{container["name"]}" in Pod "{name}" failed - '
                f"error: command '{' '.join(command)}' exited with {result.exit_code}: {output}, message: "
                f'"{_escaped(output)}"'
            )
    elif action := hook.get("httpGet"):
        await _http(action, container, address, name, event)
    elif action := hook.get("tcpSocket"):
        port = _port(action, container)
        outcome = await actions.connect(action.get("host") or address(), port, TCP_TIMEOUT)
        if not outcome.ok:
            raise HookError(outcome.output)
    elif action := hook.get("sleep"):
        await clock.sleep(float(action.get("seconds") or 0))


async def _http(
    action: Obj, container: Obj, address: Callable[[], str], name: str, event: Callable[[str, str, str], None]
) -> None:
    """The answer's status does not matter, that there is one does; hooks were always asked without TLS once."""
    port = _port({"port": 80, **action}, container)
    host = action.get("host") or address()
    outcome = await actions.http_get(action, host, port, HTTP_TIMEOUT, actions.HOOK_USER_AGENT)
    if outcome.output.endswith(actions.NOT_SECURE):
        plain = await actions.http_get({**action, "scheme": "HTTP"}, host, port, HTTP_TIMEOUT, actions.HOOK_USER_AGENT)
        if _answered(plain):
            where = actions.address(host, port)
            text = f"request to HTTPS lifecycle hook {where} got HTTP response, retry with HTTP succeeded"
            event("Warning", "LifecycleHTTPFallback", text)
            return
    if not _answered(outcome):
        path = action.get("path") or ""
        raise HookError(
            f'HTTP lifecycle hook ({path}) for Container "{container["name"]}" in Pod "{name}" failed - '
            f"error: {outcome.output}"
        )


def _answered(outcome: actions.Outcome) -> bool:
    return outcome.ok or outcome.output.startswith("HTTP probe failed")


def _port(action: Obj, container: Obj) -> int:
    try:
        return actions.port_of(action["port"], container)
    except ValueError as error:
        raise HookError(str(error)) from None


def _list(command: list[str]) -> str:
    return f"[{' '.join(command)}]"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
