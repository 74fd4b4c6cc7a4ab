"""Bringing a cluster up and taking it away, step by step; each step looks first and does only what is missing.

`up` is safe to repeat: on a running cluster it changes nothing. `down` ends every process, container and network
namespace and keeps the files; `delete` removes those too. Both work on whatever is left after a crash.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pynetes.client.client import Client, Unreachable
from pynetes.cluster import (
    cni_cache,
    config,
    control,
    doctor,
    hostnet,
    kubeconfig,
    netns,
    nodes,
    oci,
    pki,
    supervisor,
    units,
)
from pynetes.cluster.config import Cluster, ClusterError
from pynetes.cluster.containerd import ContainerdError, unmount_below
from pynetes.kubelet.cgroups import Cgroups
from pynetes.machinery import clock
from pynetes.machinery.errors import StatusError

Tell = Callable[[str], None]

READY_SECONDS = 60.0
POD_STOP_SECONDS = 30.0
HOPELESS_RESTARTS = 5


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold while a cluster starts: until its addresses and its port are taken, another would choose the same."""
    directory = Path("/run/pynetes") if os.geteuid() == 0 else config.state_root()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / "up.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# -- up -------------------------------------------------------------------------------------------------------------


def prepare(
    name: str,
    node_count: int,
    upstream_dns: list[str] | None = None,
    feature_gates: list[str] | None = None,
    extra_config: list[str] | None = None,
) -> Cluster:
    """The cluster called `name` as it is, or a new one with its addresses chosen."""
    config.check_name(name)
    existing = config.load(name)
    if existing is not None and existing.role != "machine":
        raise ClusterError(
            f"{name!r} is a {existing.role} of real machines: {existing.how_to_start}; or choose another --name"
        )
    if existing is not None:
        if existing.node_count == node_count or control.supervisor_pid(existing) is None:
            cluster = replace(existing, node_count=node_count)
        else:
            raise ClusterError(
                f"cluster {name!r} runs with {existing.node_count} node(s); to change that: "
                f"pynetes down{existing.option}, then up{existing.option} --nodes {node_count}"
            )
        if control.supervisor_pid(existing) is None and not _is_free(existing.api_port):
            cluster = replace(cluster, api_port=_free_port())  # somebody took it meanwhile
        if upstream_dns is not None:
            cluster = replace(cluster, upstream_dns=upstream_dns)
    else:
        _refuse_foreign(name)
        reserved = [other.index for other in config.list_all()]
        try:
            index = netns.choose(name, reserved).index if node_count else _first_index(reserved)
        except netns.NetworkError as error:
            raise ClusterError(str(error)) from error
        cluster = Cluster(name, index, node_count, _free_port(), upstream_dns=upstream_dns or [])
    if feature_gates is not None:
        cluster = replace(cluster, feature_gates=feature_gates)
    if extra_config is not None:
        cluster = replace(cluster, extra_config=extra_config)
    cluster.save()
    return cluster


def _refuse_foreign(name: str) -> None:
    """A cluster of this name may run from another state directory; its nodes' namespaces carry the name."""
    if os.geteuid() == 0 and (pids := netns.processes_of(name)):
        raise ClusterError(
            f"a cluster named {name!r} runs from another state directory (process {pids[0]}); choose another --name"
        )


def _first_index(reserved: list[int]) -> int:
    return next(index for index in range(len(reserved) + 1) if index not in reserved)


def _free_port(first: int = 6443) -> int:
    """The first port from 6443 on that neither a process nor another cluster has."""
    taken = {other.api_port for other in config.list_all()}
    for port in range(first, first + 1000):
        if port not in taken and _is_free(port):
            return port
    raise ClusterError("no free port for the API server between 6443 and 7442")


def _is_free(port: int) -> bool:
    """Whether nobody listens at a port of this machine's loopback address."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def missing_programs() -> str:
    """What this machine lacks for nodes, as one text; empty if nothing."""
    return "\n".join(f"  {check.what}: {check.cure}" for check in doctor.missing_for_nodes())


async def up(cluster: Cluster, tell: Tell) -> None:
    """Start what does not run; returns when the API answers and every node is Ready."""
    pki.ensure(cluster)
    kubeconfig.write_component_files(cluster)
    if control.supervisor_pid(cluster) is None:
        if cluster.nodes:
            _make_network(cluster)
            _write_runtime_files(cluster)
        supervisor.launch(cluster)
    else:
        for node in nodes.stopped(cluster):
            await nodes.power_on(cluster, node)
    async with Client.from_kubeconfig(str(cluster.kubeconfig("admin"))) as client:
        await _api_ready(cluster, client)
        tell(f"API server ready at {cluster.server}")
        await nodes.forget_removed(cluster, client)
        await asyncio.gather(*(nodes.load_sandbox_image(cluster, node) for node in cluster.nodes))
        for node in cluster.nodes:
            await nodes.ready(cluster, client, node)
            tell(f"{node} is Ready")


def refuse_second_supervisor(cluster: Cluster) -> None:
    """One supervisor per cluster."""
    if (pid := control.supervisor_pid(cluster)) is not None:
        raise ClusterError(f"{cluster.name!r} runs already (process {pid})")


def prepare_agent(cluster: Cluster) -> None:
    """What an agent's processes read."""
    kubeconfig.write_component_files(cluster)
    _write_runtime_files(cluster)


def load_sandbox_image_beside(cluster: Cluster) -> None:
    """In a child process: wait for the agent's containerd and give it the pause image."""
    if os.fork() == 0:
        supervisor.die_with_parent("pause-image")
        code = 1
        try:
            asyncio.run(nodes.load_sandbox_image(cluster, cluster.node_name))
            code = 0
        finally:
            os._exit(code)


def _make_network(cluster: Cluster) -> None:
    try:
        netns.create(cluster.network)
        for number, node in enumerate(cluster.nodes, 1):
            netns.add_node(cluster.network, number, node)
    except netns.NetworkError as error:
        raise ClusterError(f"cannot make the cluster's network: {error}") from error


def _write_runtime_files(cluster: Cluster) -> None:
    """What the nodes' containerd reads, and the one image every pod needs."""
    pause = cluster.path("pause.tar")
    if not pause.exists():
        oci.write_pause_image(pause, units.SANDBOX_IMAGE)
    for node in cluster.nodes:
        units.runtime(cluster, node).write_config()


async def _api_ready(cluster: Cluster, client: Client) -> None:
    deadline = clock.monotonic() + READY_SECONDS
    while True:
        reason = "it does not listen yet"
        try:
            answer = await client.raw("GET", "/readyz")
            if answer.status == 200:
                return
            reason = answer.body.decode(errors="replace").strip()
        except Unreachable as error:
            reason = str(error)
        except StatusError as error:
            reason = error.message
        if _ends_again_and_again(cluster, "apiserver"):
            raise ClusterError(f"the API server cannot start: {_last_words(cluster, 'apiserver')}")
        if clock.monotonic() > deadline:
            raise ClusterError(
                f"the API server is not ready after {READY_SECONDS:.0f} s ({reason}); {nodes.see(cluster, 'apiserver')}"
            )
        await clock.sleep(0.02)


def _ends_again_and_again(cluster: Cluster, component: str) -> bool:
    """Whether the supervisor has started it so often that another time will not help."""
    with contextlib.suppress(ClusterError):  # the supervisor does not listen yet
        return any(u["name"] == component and u["restarts"] >= HOPELESS_RESTARTS for u in control.units(cluster))
    return False


def _last_words(cluster: Cluster, component: str) -> str:
    """The last line of a component's log, and where to read the rest."""
    file = cluster.log(component)
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    words = next((line.strip() for line in reversed(lines) if line.strip()), "it gave no reason")
    return f"{words}; {nodes.see(cluster, component)}"


# -- down and delete ------------------------------------------------------------------------------------------------


async def down(cluster: Cluster) -> None:
    """End every process, container and namespace of the cluster; its files stay."""
    if control.supervisor_pid(cluster) is not None:
        for node in nodes.on(cluster):
            await stop_pods(cluster, node)
        control.stop_all(cluster)
    await _end_leftovers(cluster)
    if os.geteuid() == 0 and cluster.role == "machine":
        netns.remove(cluster.name)
    elif os.geteuid() == 0 and cluster.role == "agent":
        hostnet.remove(cluster.network.dns)


async def stop_pods(cluster: Cluster, node: str) -> None:
    """Stop a node's kubelet, so that it restarts nothing, then all its pods."""
    await asyncio.to_thread(control.request, cluster, "stop", f"kubelet-{node}")
    # A runtime that does not answer leaves its containers to `_end_leftovers`.
    with contextlib.suppress(ContainerdError, TimeoutError):
        await clock.wait_for(units.runtime(cluster, node).remove_pods(), POD_STOP_SECONDS)


async def _end_leftovers(cluster: Cluster) -> None:
    """Kill what still runs in the cluster's cgroups or for its containerd, and detach its mounts."""
    if os.geteuid() == 0:  # nobody else has any, and another user's cluster may have the same name
        await Cgroups(f"/pynetes/{cluster.name}").remove_all()
    for directory in cluster.directory.glob("nodes/*/containerd"):
        nodes.kill_users_of(directory)
    unmount_below(cluster.directory)


async def delete(cluster: Cluster) -> None:
    """Take the cluster down and remove its files and its context."""
    await down(cluster)
    if os.geteuid() == 0:
        cni_cache.forget(cluster.directory)
    try:
        if cluster.role != "agent":
            kubeconfig.remove(cluster)
    finally:
        cluster.remove_files()
