"""The kubelet's own HTTPS interface: logs, exec, attach, port-forward, pods, statistics, metrics.

Callers present a client certificate of the cluster's CA, or a bearer token that the API server vouches for. The API
server's own identity may do everything; anyone else is asked about with a SubjectAccessReview for the matching
subresource of the node, as upstream does. Interactive streams are tunnelled to the runtime (see `tunnel.py`).
"""

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from pynetes.client.client import Unreachable
from pynetes.kubelet import spec
from pynetes.kubelet.configuration import configuration
from pynetes.kubelet.cri.client import CriError
from pynetes.kubelet.logs import LogOptions, read
from pynetes.kubelet.observed import Container
from pynetes.kubelet.pod import PodWorker
from pynetes.kubelet.stats import Stats
from pynetes.kubelet.tunnel import tunnel
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.kubelet.kubelet import Kubelet

log = logging.getLogger(__name__)

SUPERUSERS = ("system:masters",)
ANONYMOUS = "system:anonymous"
TRUSTED_NAMES = ("kube-apiserver-kubelet-client",)
DECISION_SECONDS = 30.0
MAX_HEADER_BYTES = 1 << 20
# What a path is a subresource of the node as: the first that fits, and for the second kind nodes/proxy does as well.
NODE_SUBRESOURCES = (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"), ("/checkpoint", "checkpoint"))
FINE_GRAINED = (("/pods", "pods"), ("/runningpods", "pods"), ("/healthz", "healthz"), ("/configz", "configz"))

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """A request that cannot be answered: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class KubeletServer:
    """Serves one kubelet."""

    def __init__(self, kubelet: "Kubelet") -> None:
        self.kubelet = kubelet
        self.port = kubelet.options.port
        self._stats = Stats(
            kubelet.runtime, kubelet.context.cgroups, kubelet.options.node_name, kubelet.options.root_dir
        )
        self._decisions: dict[tuple[str, ...], tuple[float, bool]] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen; without a certificate there is nothing to serve."""
        options = self.kubelet.options
        if not options.tls_cert_file:
            log.warning("no --tls-cert-file: the kubelet serves no logs, exec or metrics")
            return
        app = web.Application(middlewares=[self._guard])
        app.add_routes(self._routes())
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            max_line_size=MAX_HEADER_BYTES,  # commands to execute stand in the URL
            max_field_size=MAX_HEADER_BYTES,
        )
        await self._runner.setup()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.tls_cert_file, options.tls_private_key_file)
        if options.client_ca_file:
            tls.load_verify_locations(options.client_ca_file)
            tls.verify_mode = ssl.CERT_OPTIONAL
        await web.TCPSite(self._runner, options.address, options.port, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _routes(self) -> list[web.RouteDef]:
        routes = [
            web.get("/healthz", self._healthz),
            web.get("/healthz/{check}", self._healthz),
            web.get("/pods", self._pods),
            web.get("/runningpods/", self._pods),
            web.get("/containerLogs/{namespace}/{pod}/{container}", self._container_logs),
            web.get("/stats/summary", self._summary),
            web.get("/metrics", self._metrics),
            web.get("/metrics/resource", self._resource_metrics),
            web.get("/metrics/cadvisor", self._cadvisor_metrics),
            web.get("/metrics/probes", self._metrics),
            web.get("/configz", self._configz),
            web.get("/logs/{path:.*}", self._node_logs),
        ]
        for method in ("GET", "POST"):
            routes += [
                web.route(method, "/exec/{namespace}/{pod}/{container}", self._exec),
                web.route(method, "/exec/{namespace}/{pod}/{uid}/{container}", self._exec),
                web.route(method, "/attach/{namespace}/{pod}/{container}", self._attach),
                web.route(method, "/attach/{namespace}/{pod}/{uid}/{container}", self._attach),
                web.route(method, "/portForward/{namespace}/{pod}", self._port_forward),
                web.route(method, "/portForward/{namespace}/{pod}/{uid}", self._port_forward),
            ]
        for path in ("/run/{namespace}/{pod}/{container}", "/run/{namespace}/{pod}/{uid}/{container}"):
            routes.append(web.post(path, self._run))
        return routes

    # Who may

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            user, groups = await self._authenticate(request)
            parts = subresources(request.path)
            if not await self._authorized(user, groups, request, parts):
                which = f"resource=nodes, subresource(s)=[{' '.join(parts)}]"
                raise Refused(403, f"Forbidden (user={user}, verb={_verb(request)}, {which})")
            return await handler(request)
        except Refused as refused:
            return web.Response(status=refused.status, text=str(refused))
        except CriError as error:
            return web.Response(status=404 if error.code == "NOT_FOUND" else 500, text=str(error))

    async def _authenticate(self, request: web.Request) -> tuple[str, list[str]]:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        if certificate:
            subject = [pair for part in certificate.get("subject", ()) for pair in part]
            name = next((value for key, value in subject if key == "commonName"), "")
            return name, [value for key, value in subject if key == "organizationName"]
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return await self._token_user(token.strip())
        if request.path.startswith("/healthz"):
            return ANONYMOUS, ["system:unauthenticated"]
        raise Refused(401, "Unauthorized")

    async def _token_user(self, token: str) -> tuple[str, list[str]]:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            answer = await self.kubelet.client.create("tokenreviews.authentication.k8s.io", review)
        except (StatusError, Unreachable) as error:
            raise Refused(401, "Unauthorized") from error
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            raise Refused(401, "Unauthorized")
        user = status.get("user") or {}
        return user.get("username", ""), user.get("groups") or []

    async def _authorized(self, user: str, groups: list[str], request: web.Request, parts: list[str]) -> bool:
        if user in TRUSTED_NAMES or any(g in SUPERUSERS for g in groups):
            return True
        if user == ANONYMOUS:  # got this far for its health only
            return True
        for part in parts:
            if await self._may(user, groups, request, part):
                return True
        return False

    async def _may(self, user: str, groups: list[str], request: web.Request, part: str) -> bool:
        key = (user, *groups, _verb(request), part)
        known = self._decisions.get(key)
        if known is not None and known[0] > clock.monotonic():
            return known[1]
        attributes = {
            "verb": _verb(request),
            "version": "v1",
            "resource": "nodes",
            "subresource": part,
            "name": self.kubelet.options.node_name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
        }
        try:
            answer = await self.kubelet.client.create("subjectaccessreviews.authorization.k8s.io", review)
        except (StatusError, Unreachable):
            return False
        allowed = bool((answer.get("status") or {}).get("allowed"))
        self._decisions[key] = (clock.monotonic() + DECISION_SECONDS, allowed)
        return allowed

    # Finding things

    def _worker(self, request: web.Request) -> PodWorker:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        worker = self.kubelet.worker_of(namespace, name)
        uid = request.match_info.get("uid")
        if worker is None or (uid and worker.uid != uid):
            raise Refused(404, f'pod "{name}_{namespace}" not found' if not uid else "pod does not exist")
        return worker

    def _running(self, request: web.Request) -> Container:
        worker, name = self._worker(request), request.match_info["container"]
        container = worker.view.latest(name)
        if container is None or not container.running:
            raise Refused(404 if container is None else 500, f'container not found ("{name}")')
        return container

    # Simple answers

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _pods(self, request: web.Request) -> web.Response:
        items = [{**worker.pod, "status": worker.status} for worker in self.kubelet.workers.values()]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _configz(self, request: web.Request) -> web.Response:
        return _json({"kubeletconfig": configuration(self.kubelet.options)})

    async def _summary(self, request: web.Request) -> web.Response:
        return _json(await self._stats.summary(self.kubelet.workers.values()))

    async def _metrics(self, request: web.Request) -> web.Response:
        workers = list(self.kubelet.workers.values())
        running = sum(len(worker.view.running()) for worker in workers)
        lines = [
            "# TYPE kubelet_running_pods gauge",
            f"kubelet_running_pods {sum(bool(worker.view.running()) for worker in workers)}",
            "# TYPE kubelet_running_containers gauge",
            f'kubelet_running_containers{{container_state="running"}} {running}',
            "# TYPE kubelet_node_name gauge",
            f'kubelet_node_name{{node="{self.kubelet.options.node_name}"}} 1',
        ]
        return _text("\n".join(lines) + "\n")

    async def _resource_metrics(self, request: web.Request) -> web.Response:
        return _text(await self._stats.resource_metrics(self.kubelet.workers.values()))

    async def _cadvisor_metrics(self, request: web.Request) -> web.Response:
        return _text(await self._stats.cadvisor_metrics(self.kubelet.workers.values()))

    async def _node_logs(self, request: web.Request) -> web.StreamResponse:
        """Files below /var/log, and the listings of its directories."""
        root = Path("/var/log")
        target = (root / request.match_info["path"]).resolve()
        if target != root and root not in target.parents:
            raise Refused(404, "404 page not found")
        if target.is_dir():
            names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in target.iterdir())
            links = "\n".join(f'<a href="{name}">{name}</a>' for name in names)
            return web.Response(text=f"<pre>\n{links}\n</pre>\n", content_type="text/html")
        if not target.is_file():
            raise Refused(404, "404 page not found")
        return web.FileResponse(target)

    # Logs

    async def _container_logs(self, request: web.Request) -> web.StreamResponse:
        worker, name = self._worker(request), request.match_info["container"]
        options, previous = _log_options(request)
        container = _container_for_logs(worker, name, previous)
        path = Path(container.log_path)
        if not path.exists():
            raise Refused(404, f'failed to open log file "{path}": open {path}: no such file or directory')
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        ended = worker.ended.setdefault(container.id, asyncio.Event())
        with contextlib.suppress(ConnectionResetError):
            async for block in read(path, options, ended):
                await response.write(block)
            await response.write_eof()
        return response

    # Streams

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        container, query = self._running(request), request.query
        tty = _flag(query, "tty")
        stdin, stdout, stderr = (_flag(query, name, old) for name, old in _STREAMS)
        if not (stdin or stdout or stderr):
            raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
        command = query.getall("command", [])
        url = await self.kubelet.runtime.exec(
            container.id, command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr and not tty
        )
        return await tunnel(request, url)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        worker, container, query = self._worker(request), self._running(request), request.query
        described = spec.container_named(worker.pod, container.name) or {}
        tty = bool(described.get("tty"))
        stdin, stdout, stderr = (_flag(query, name, old) for name, old in _STREAMS)
        if not (stdin or stdout or stderr):
            raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
        url = await self.kubelet.runtime.attach(
            container.id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr and not tty
        )
        return await tunnel(request, url)

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        worker = self._worker(request)
        sandbox = worker.view.sandbox
        if sandbox is None or not sandbox.ready:
            raise Refused(500, f"unable to do port forwarding: pod is not running ({meta.name(worker.pod)})")
        ports = [int(port) for value in request.query.getall("port", []) for port in value.split(",") if port.isdigit()]
        return await tunnel(request, await self.kubelet.runtime.port_forward(sandbox.id, ports))

    async def _run(self, request: web.Request) -> web.Response:
        container = self._running(request)
        text = str(request.query.get("cmd") or (await request.post()).get("cmd", ""))
        result = await self.kubelet.runtime.exec_sync(container.id, text.split())
        output: bytes = result.stdout + result.stderr
        if result.exit_code != 0:
            said = output.decode(errors="replace")
            raise Refused(500, f"command '{text}' exited with {result.exit_code}: {said}")
        return web.Response(body=output, content_type="text/plain")


def subresources(path: str) -> list[str]:
    """The subresources of the node of which one must be allowed for a path (KEP-2862)."""

    def matching(table: tuple[tuple[str, str], ...]) -> list[str]:
        return [name for prefix, name in table if path == prefix or path.startswith(f"{prefix}/")][:1]

    return matching(NODE_SUBRESOURCES) or [*matching(FINE_GRAINED), "proxy"]


_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}
_STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"))


def _verb(request: web.Request) -> str:
    return {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}.get(
        request.method, "get"
    )


def _flag(query: Any, name: str, old_name: str = "") -> bool:
    """A boolean parameter; kubelets have always known two names for the streams."""
    return query.get(name, query.get(old_name, "")) in ("1", "true", "True")


def _json(value: Obj) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), content_type="application/json")


def _text(text: str) -> web.Response:
    return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _log_options(request: web.Request) -> tuple[LogOptions, bool]:
    query = request.query
    options = LogOptions(follow=_flag(query, "follow"), timestamps=_flag(query, "timestamps"))
    try:
        if "tailLines" in query:
            options.tail = int(query["tailLines"])
        if "limitBytes" in query:
            options.limit_bytes = int(query["limitBytes"])
        if "sinceSeconds" in query:
            options.since = clock.now() - timedelta(seconds=int(query["sinceSeconds"]))
        if "sinceTime" in query:
            options.since = clock.parse_time(query["sinceTime"])
    except ValueError as error:
        raise Refused(400, f"Bad Request: {error}") from None
    options.stream = query.get("stream", "All")
    return options, _flag(query, "previous")


def _container_for_logs(worker: PodWorker, name: str, previous: bool) -> Container:
    """The instance whose log is meant; refuses in upstream's words."""
    pod = meta.name(worker.pod)
    if spec.container_named(worker.pod, name) is None:
        raise Refused(404, f'container "{name}" not found in pod "{pod}"')
    latest = worker.view.latest(name)
    groups = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    status: Obj = next((s for group in groups for s in worker.status.get(group) or [] if s["name"] == name), {})
    state = status.get("state") or {}
    if previous:
        instance = worker.view.previous(name)
        if "terminated" in (status.get("lastState") or {}) and "waiting" in state:
            instance = latest
        if instance is None:
            raise Refused(400, f'previous terminated container "{name}" in pod "{pod}" not found')
        return instance
    if latest is not None and latest.state in ("running", "exited"):
        return latest
    reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
    why = {
        "ErrImagePull": "image can't be pulled",
        "ImagePullBackOff": "trying and failing to pull image",
    }.get(reason, reason)
    raise Refused(400, f'container "{name}" in pod "{pod}" is waiting to start: {why}')
