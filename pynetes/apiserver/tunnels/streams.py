"""Logs, exec, attach and port-forward: what a pod's containers say and hear, through their node's kubelet.

The handlers turn the API's options into the kubelet's, choose the container, let admission have its say, and hand the
connection to `kubelet.tunnel` (protocols alike on both sides) or `translate` (WebSocket here, SPDY there).
"""

import base64
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import aiohttp

from pynetes.apiserver.admission import Attributes
from pynetes.apiserver.authz.authorizer import forbidden
from pynetes.apiserver.registry import Context
from pynetes.apiserver.request import Request, Response, Stream, Upgrade
from pynetes.apiserver.subresources import subresource
from pynetes.apiserver.tunnels import translate, websocket
from pynetes.apiserver.tunnels.kubelet import Location, dial_error, http_client, node_location, tls, tunnel
from pynetes.machinery import errors, meta
from pynetes.machinery.errors import FieldError, StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

_LONGEST_COMPLAINT = 50_000
BINARY, BASE64_BINARY = "binary.k8s.io", "base64.binary.k8s.io"
_LOG_PROTOCOLS = [BINARY, BASE64_BINARY]


def _boolean(request: Request, name: str, default: bool = False) -> bool:
    value = request.param(name)
    return default if name not in request.query else value.lower() not in ("false", "0")


def _pod(server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Obj:
    pod = server.registry.get(rt, namespace, name)
    if pod is None:
        raise errors.not_found("", "pods", name)
    return pod


def choose_container(pod: Obj, wanted: str, *, ephemeral: bool = True) -> str:
    """The container that is meant: the one named, or the only one."""
    spec = pod.get("spec") or {}
    apps = [container["name"] for container in spec.get("containers") or ()]
    inits = [container["name"] for container in spec.get("initContainers") or ()]
    others = [container["name"] for container in spec.get("ephemeralContainers") or ()] if ephemeral else []
    name = meta.name(pod)
    if wanted:
        if wanted not in (*apps, *inits, *others):
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(apps) == 1:
        return apps[0]
    if not apps:
        raise errors.bad_request(f"a container name must be specified for pod {name}")
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(apps)}]"
    if inits:
        message += f" or one of the init containers: [{' '.join(inits)}]"
    raise errors.bad_request(message)


# Logs.

_LOG_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")


def log_options(request: Request) -> tuple[dict[str, str], list[FieldError]]:
    """The kubelet's query for the client's PodLogOptions, and what is wrong with them."""
    found: dict[str, str] = {}
    findings: list[FieldError] = []
    for name in ("follow", "previous", "timestamps"):
        if _boolean(request, name):
            found[name] = "true"
    numbers: dict[str, int] = {}
    for name in _LOG_NUMBERS:
        text = request.param(name)
        if not text:
            continue
        try:
            numbers[name] = int(text)
        except ValueError:
            said = f"strconv.ParseInt: parsing {errors.quote(text)}: invalid syntax"
            raise errors.bad_request(said) from None
        found[name] = text
    if numbers.get("tailLines", 0) < 0:
        findings.append(errors.invalid_value("tailLines", numbers["tailLines"], "must be greater than or equal to 0"))
    if numbers.get("limitBytes", 1) < 1:
        findings.append(errors.invalid_value("limitBytes", numbers["limitBytes"], "must be greater than 0"))
    since_time = request.param("sinceTime")
    if since_time:
        found["sinceTime"] = since_time
    if "sinceSeconds" in numbers and since_time:
        findings.append(errors.forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif numbers.get("sinceSeconds", 1) < 1:
        findings.append(errors.invalid_value("sinceSeconds", numbers["sinceSeconds"], "must be greater than 0"))
    stream = request.param("stream")
    if stream and stream != "All":
        if stream not in ("Stdout", "Stderr"):
            findings.append(errors.not_supported("stream", stream, ["All", "Stderr", "Stdout"]))
        elif "tailLines" in numbers:
            findings.append(
                errors.forbidden_field("", "`tailLines` and specific `stream` are mutually exclusive for now")
            )
        found["stream"] = stream
    return found, findings


@subresource("pods", "log", verbs=("get",), streaming=True)
async def log(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """`pods/log`: what a container wrote, as far as asked for, and for as long as it writes with `follow`."""
    options, findings = log_options(request)
    if findings:
        raise errors.invalid("", "PodLogOptions", name, findings)
    pod = _pod(server, rt, namespace, name)
    container = choose_container(pod, request.param("container"))
    node = (pod.get("spec") or {}).get("nodeName")
    if not node:
        return Response(204)
    location = node_location(server, node)
    if _boolean(request, "insecureSkipTLSVerifyBackend"):
        location = replace(location, tls=tls(server, verify=False))
    path = f"/containerLogs/{quote(namespace)}/{quote(name)}/{quote(container)}"
    if options:
        path += f"?{urlencode(options)}"
    if websocket.is_requested(request):
        return await _over_websocket(request, await _fetch(server, location, path, name))
    return Response(200, {"Content-Type": "text/plain"}, _chunks(await _fetch(server, location, path, name)))


async def _over_websocket(request: Request, answer: aiohttp.ClientResponse) -> Response:
    """The log as the messages of a WebSocket, one for each piece: what browsers and old clients read logs with."""
    offered = websocket.subprotocols(request)
    protocol = next((each for each in offered if each in _LOG_PROTOCOLS), "")
    if offered and not protocol:
        answer.close()
        raise errors.bad_request(f"unable to negotiate protocol: client offers {offered}, server has {_LOG_PROTOCOLS}")

    async def run(stream: Stream) -> None:
        socket = websocket.WebSocket(stream)
        async for piece in _chunks(answer):
            if protocol == BASE64_BINARY:
                await socket.send(base64.b64encode(piece), websocket.TEXT)
            else:
                await socket.send(piece)
        await socket.close()
        await socket.farewell()

    return Response(101, websocket.accept(request, protocol), Upgrade(run))


async def _fetch(server: "ApiServer", location: Location, path: str, name: str) -> aiohttp.ClientResponse:
    url = location.url(path)
    try:
        answer = await http_client(server).get(url, ssl=location.tls or True)
    except (aiohttp.ClientError, OSError, TimeoutError, ssl.SSLError) as error:
        raise StatusError(500, "", f"Get {errors.quote(url)}: {dial_error(error)}") from None
    if not 200 <= answer.status <= 206:
        text = (await answer.content.read(_LONGEST_COMPLAINT)).decode(errors="replace")
        answer.release()
        raise complaint(answer.status, text, name)
    return answer


def complaint(status: int, text: str, name: str) -> StatusError:
    """The kubelet's refusal as ours."""
    if status == 500:
        return errors.internal(text)
    if status == 400:
        return errors.bad_request(text)
    about = f"( pods/log {name})"
    details = {"name": name, "kind": "pods/log", "causes": [{"reason": "UnexpectedServerResponse", "message": text}]}
    if status == 404:
        return StatusError(404, "NotFound", f"the server could not find the requested resource {about}", details)
    said = f"an error on the server ({errors.quote(text)}) has prevented the request from succeeding {about}"
    return StatusError(status, "", said, details)


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError):
        return  # the node went away: what was read is all there is
    finally:
        answer.close()


# Exec, attach, port-forward.


async def _admit(
    request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str, options: Obj
) -> None:
    """Authorize the second verb that a WebSocket's GET hides, and ask admission about the connection."""
    assert request.user is not None and request.info is not None
    if request.info.verb == "get":
        info = replace(request.info, verb="create")
        decision = server.authorizer.authorize(request.user, info)
        if not decision.allowed:
            raise forbidden(request.user, info, decision.reason)
    attributes = Attributes(
        "CONNECT", rt, request.info.subresource, namespace, name, options, None, request.user, warnings=request.warnings
    )
    ctx = Context(user=request.user)
    await server.registry.admit(attributes, ctx)
    await server.registry.validate(attributes, ctx)


def _assigned_node(pod: Obj) -> str:
    node = (pod.get("spec") or {}).get("nodeName")
    if not node:
        raise errors.bad_request(f"pod {meta.name(pod)} does not have a host assigned")
    return node


def stream_options(request: Request, kind: str, container: str) -> dict[str, Any]:
    """The PodExecOptions or PodAttachOptions in a request's query."""
    attach = kind == "PodAttachOptions"
    options: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": kind,
        "stdin": _boolean(request, "stdin"),
        "stdout": _boolean(request, "stdout", attach),
        "stderr": _boolean(request, "stderr", attach),
        "tty": _boolean(request, "tty"),
        "container": container,
    }
    if not attach:
        options["command"] = request.query.get("command", [])
    return options


def kubelet_query(options: dict[str, Any]) -> str:
    """The kubelet's names for the streams and the command."""
    pairs = [("command", word) for word in options.get("command", ())]
    names = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
    pairs += [(theirs, "1") for ours, theirs in names if options[ours]]
    return urlencode(pairs)


def _check_streams(options: dict[str, Any], name: str) -> None:
    findings = []
    if not (options["stdin"] or options["stdout"] or options["stderr"]):
        findings.append(errors.required("", "must specify at least one of stdin, stdout, stderr"))
    if options["kind"] == "PodExecOptions" and not options["command"]:
        findings.append(errors.required("command"))
    if findings:
        raise errors.invalid("", options["kind"], name, findings)


async def _connect(
    request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str, kind: str, verb: str
) -> Response:
    pod = _pod(server, rt, namespace, name)
    options = stream_options(request, kind, request.param("container"))
    await _admit(request, server, rt, namespace, name, options)
    _check_streams(options, name)
    container = choose_container(pod, options["container"])
    location = node_location(server, _assigned_node(pod))
    path = f"/{verb}/{quote(namespace)}/{quote(name)}/{quote(container)}?{kubelet_query(options)}"
    if not request.is_upgrade:
        raise errors.bad_request("Upgrade request required")
    if websocket.is_requested(request) and translate.STREAMS_PROTOCOL in websocket.subprotocols(request):
        standard = translate.Standard(options["stdin"], options["stdout"], options["stderr"], options["tty"])
        return await translate.standard_streams(request, location, path, standard)
    return await tunnel(request, location, path)


@subresource("pods", "exec", verbs=("create", "get"), streaming=True)
async def exec_(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """`pods/exec`: run a command in a container."""
    return await _connect(request, server, rt, namespace, name, "PodExecOptions", "exec")


@subresource("pods", "attach", verbs=("create", "get"), streaming=True)
async def attach(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """`pods/attach`: the standard streams of a container's own process."""
    return await _connect(request, server, rt, namespace, name, "PodAttachOptions", "attach")


@subresource("pods", "portforward", verbs=("create", "get"), streaming=True)
async def port_forward(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """`pods/portforward`: connections to ports of a pod."""
    pod = _pod(server, rt, namespace, name)
    ports = [port for value in request.query.get("ports", []) for port in value.split(",") if port]
    options: Obj = {"apiVersion": "v1", "kind": "PodPortForwardOptions"}
    if ports:
        options["ports"] = [int(port) for port in ports if port.isdigit()]
    await _admit(request, server, rt, namespace, name, options)
    location = node_location(server, _assigned_node(pod))
    path = f"/portForward/{quote(namespace)}/{quote(name)}"
    if ports:
        path += "?" + urlencode([("port", port) for port in ports])
    if not request.is_upgrade:
        raise errors.bad_request("Upgrade request required")
    if websocket.is_requested(request) and translate.PORT_FORWARD_PROTOCOL in websocket.subprotocols(request):
        return await translate.port_forward(request, location, path)
    return await tunnel(request, location, path)
