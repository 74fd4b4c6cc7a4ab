"""A small world in network namespaces: a host, nodes with real agents, pods that are namespaces on a node's bridge.

The test's own thread is the host: it is moved into a namespace of its own, so nothing touches the machine's network.
Servers and clients are sockets opened inside a pod's namespace and served by the test's event loop.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pynetes.cluster import netns
from pynetes.testing.apiserver import RunningApiServer, running_apiserver

Obj = dict[str, Any]


def ip(*arguments: str, namespace: str = "") -> str:
    where = ["-n", namespace] if namespace else []
    return subprocess.run(["ip", *where, *arguments], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def private_host() -> Iterator[None]:
    """Move the calling thread into a fresh network namespace for the length of the block."""
    name = f"pynetes-lab-{os.getpid()}"
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    ip("netns", "add", name)
    try:
        netns.enter(f"/run/netns/{name}")
        ip("link", "set", "lo", "up")
        yield
    finally:
        netns.enter(f"/proc/self/fd/{before}")
        os.close(before)
        ip("netns", "delete", name)


@dataclass
class Pod:
    """A namespace on a node's bridge, with an address."""

    address: str
    namespace: str
    node: str

    @property
    def path(self) -> str:
        return f"/run/netns/{self.namespace}"

    def socket(self, kind: int = socket.SOCK_STREAM, bind: tuple[str, int] | None = None) -> socket.socket:
        return open_in(self.path, kind, bind)


def open_in(path: str, kind: int = socket.SOCK_STREAM, bind: tuple[str, int] | None = None) -> socket.socket:
    """A socket inside the namespace at `path` (the host's if empty)."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        if bind is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(bind)
        return made

    return netns.call_in(path, make) if path else make()


@dataclass
class Node:
    name: str
    address: str
    namespace: str
    pod_cidr: str
    process: subprocess.Popen[bytes] | None = None
    pods: int = 1

    @property
    def path(self) -> str:
        return f"/run/netns/{self.namespace}"

    @property
    def gateway(self) -> str:
        return self.pod_cidr.replace("0/24", "1")

    def nft(self, *arguments: str) -> str:
        command = ["nsenter", f"--net={self.path}", "nft", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@dataclass
class Lab:
    """The world; see `lab`."""

    network: netns.ClusterNetwork
    directory: Path
    api: RunningApiServer
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    # Nodes and pods

    async def add_node(self, number: int, *, agent: bool = True, flags: tuple[str, ...] = ()) -> Node:
        name = f"node-{number}"
        place = netns.add_node(self.network, number, name)
        node = Node(name, place.address, place.namespace, f"10.{244 - self.network.index}.{number}.0/24")
        self.nodes[name] = node
        client = self.api.client()
        obj = {
            "metadata": {"name": name},
            "spec": {"podCIDR": node.pod_cidr, "podCIDRs": [node.pod_cidr]},
        }
        await client.create("nodes", obj)
        addresses = [{"type": "InternalIP", "address": node.address}]
        await client.patch("nodes", name, {"status": {"addresses": addresses}}, subresource="status")
        ip("link", "add", "cni0", "type", "bridge", "forward_delay", "0", namespace=node.namespace)
        ip("address", "add", f"{node.gateway}/24", "dev", "cni0", namespace=node.namespace)
        ip("link", "set", "cni0", "up", namespace=node.namespace)
        if agent:
            self.start_agent(node, *flags)
            await self.until(lambda: self.agent_ready(node))
        return node

    def start_agent(self, node: Node, *extra: str) -> None:
        log = (self.directory / f"{node.name}.log").open("ab")
        net = self.network
        node.process = subprocess.Popen(
            [
                *("nsenter", f"--net={node.path}", sys.executable, "-m", "pynetes.network"),
                *(f"--kubeconfig={self.kubeconfig()}", f"--hostname-override={node.name}", f"--node-ip={node.address}"),
                *(f"--cluster-cidr={net.pods}", f"--service-cluster-ip-range={net.services}"),
                *(f"--load-balancer-range={net.load_balancers}", f"--cluster-dns={net.dns}", "--upstream-dns=none"),
                *(f"--cni-conf-dir={self.directory / node.name}", f"--cni-state-dir={self.directory / 'cni'}"),
                *extra,
            ],
            stdout=log,
            stderr=log,
        )

    async def stop_agent(self, node: Node, *, kill: bool = False) -> None:
        if node.process is not None:
            node.process.kill() if kill else node.process.terminate()
            assert await asyncio.to_thread(node.process.wait, 10) in (0, -9)
            node.process = None

    async def agent_ready(self, node: Node) -> bool:
        try:
            status, _ = await self.http(node.address, 10256, "/healthz", where=node.path)
        except OSError:
            return False
        return status == 200

    def kubeconfig(self) -> Path:
        """The agents' kubeconfig: the API server at the host's address, as the identity they have in a cluster."""
        document = yaml.safe_load(self.api.kubeconfig_for("system:kube-proxy").read_text())
        document["clusters"][0]["cluster"] |= {
            "server": f"https://{self.network.host_address}:{self.api.server.port}",
            "tls-server-name": "localhost",
        }
        path = self.directory / "network.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def add_pod(self, node: Node) -> Pod:
        node.pods += 1
        address = node.pod_cidr.replace("0/24", str(node.pods))
        pod = Pod(address, f"{node.namespace}-p{node.pods}", node.name)
        ip("netns", "add", pod.namespace)
        host_end = f"veth{node.pods}"
        ip(
            "link",
            "add",
            host_end,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            pod.namespace,
            namespace=node.namespace,
        )
        ip("link", "set", host_end, "master", "cni0", "up", namespace=node.namespace)
        ip("link", "set", host_end, "type", "bridge_slave", "hairpin", "on", namespace=node.namespace)
        ip("link", "set", "lo", "up", namespace=pod.namespace)
        ip("link", "set", "eth0", "up", namespace=pod.namespace)
        ip("address", "add", f"{address}/24", "dev", "eth0", namespace=pod.namespace)
        ip("route", "add", "default", "via", node.gateway, namespace=pod.namespace)
        self.pods.append(pod)
        return pod

    # Servers that answer with their name and the client's address

    def serve(self, where: Pod | Node, port: int, name: str) -> None:
        """An HTTP server that answers every request with `name`, the client's address and the request's path."""
        listener = open_in(where.path, bind=("0.0.0.0", port))
        listener.listen(128)
        self.sockets.append(listener)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    path = head.split()[1].decode()
                    body = f"{name} {writer.get_extra_info('peername')[0]} {path}".encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                    await writer.drain()
            writer.close()

        async def run() -> None:
            await asyncio.start_server(handle, sock=listener)

        self.tasks.append(asyncio.get_running_loop().create_task(run()))

    def serve_udp(self, where: Pod | Node, port: int, name: str) -> None:
        """A UDP server that answers every datagram with `name` and the client's address."""
        listener = open_in(where.path, socket.SOCK_DGRAM, bind=("0.0.0.0", port))
        self.sockets.append(listener)

        async def run() -> None:
            loop = asyncio.get_running_loop()
            while True:
                _, peer = await loop.sock_recvfrom(listener, 2048)
                await loop.sock_sendto(listener, f"{name} {peer[0]}".encode(), peer)

        self.tasks.append(asyncio.get_running_loop().create_task(run()))

    # Clients

    async def http(
        self, address: str, port: int, path: str = "/", where: str = "", timeout: float = 2.0, host: str = "x"
    ) -> tuple[int, str]:
        """One GET over a new connection from the namespace `where` (the host if empty): status and body."""
        connection = open_in(where)
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
                reader, writer = await asyncio.open_connection(sock=connection)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                lengths = (line for line in head.split("\r\n") if line.startswith("content-length:"))
                length = int(next(lengths).split(":")[1])
                body = (await reader.readexactly(length)).decode()
                return int(head.split()[1]), body
        finally:
            if writer is None:
                connection.close()
            else:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def get(self, address: str, port: int, where: Pod | Node | None = None, timeout: float = 2.0) -> str:
        """What the server there answers; "refused", "timeout" or "unreachable" if none does."""
        try:
            return (await self.http(address, port, where=where.path if where else "", timeout=timeout))[1]
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "timeout"
        except OSError:
            return "unreachable"

    async def ask_udp(self, sender: socket.socket, address: str, port: int, timeout: float = 1.0) -> str:
        """One datagram and its answer; "refused" or "timeout" if there is none."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                await loop.sock_connect(sender, (address, port))
                await loop.sock_sendall(sender, b"?")
                return (await loop.sock_recv(sender, 2048)).decode()
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "timeout"

    async def until(self, condition: Any, timeout: float = 10.0) -> None:
        """Wait until the (async) condition holds."""
        async with asyncio.timeout(timeout):
            while True:
                outcome = condition()
                if asyncio.iscoroutine(outcome):
                    outcome = await outcome
                if outcome:
                    return
                await asyncio.sleep(0.02)

    # API objects

    async def service(self, name: str, ports: list[Obj], backends: list[Pod | Node] | None = None, **spec: Any) -> Obj:
        """A service with an EndpointSlice of `backends`; the stored service."""
        body = {"metadata": {"name": name}, "spec": {"ports": ports, **spec}}
        made = await self.api.client().create("services", body, "default")
        if backends is not None:
            await self.endpoints(name, made["spec"]["ports"], backends, create=True)
        return made

    async def endpoints(
        self,
        service: str,
        ports: list[Obj],
        backends: list[Any],
        *,
        create: bool = False,
        conditions: Obj | None = None,
    ) -> None:
        """Write the service's EndpointSlice. A backend is a pod, or a dict that is the endpoint itself."""
        endpoints = [
            backend
            if isinstance(backend, dict)
            else {
                "addresses": [backend.address],
                "nodeName": backend.node if isinstance(backend, Pod) else backend.name,
                "conditions": conditions or {"ready": True},
            }
            for backend in backends
        ]
        piece = {
            "metadata": {
                "name": f"{service}-1",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [
                {
                    "name": p.get("name", ""),
                    "protocol": p.get("protocol", "TCP"),
                    "port": p.get("targetPort", p["port"]),
                }
                for p in ports
            ],
        }
        client = self.api.client()
        if create:
            await client.create("endpointslices", piece, "default")
        else:
            await client.update("endpointslices", piece)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for each in self.sockets:
            each.close()
        for node in self.nodes.values():
            if node.process is not None:
                node.process.kill()
                node.process.wait()
        for pod in self.pods:
            ip("netns", "delete", pod.namespace)


@contextlib.asynccontextmanager
async def lab(directory: Path) -> AsyncIterator[Lab]:
    """A host with an API server; the test adds nodes."""
    network = netns.ClusterNetwork(f"t{os.getpid()}", 0)
    with private_host():
        netns.create(network, egress=False)
        try:
            async with running_apiserver(bind_address=["0.0.0.0"], service_cluster_ip_range=network.services) as api:
                world = Lab(network, directory, api)
                try:
                    yield world
                finally:
                    await world.close()
        finally:
            netns.remove(network.cluster)
