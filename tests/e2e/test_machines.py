"""`pynetes server` and `pynetes agent` on real machines, which here are two network namespaces with a cable between.

The first machine runs the control plane and is a node as well; the second is a node only. Each has its own state
directory, as it would have its own disk.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import BUSYBOX, PYNETES, busybox_image, container, eventually, run

SERVER = f"srv-{os.getpid()}"


@dataclass(frozen=True)
class Machine:
    """A network namespace with an address, and a directory for what is on its disk."""

    number: int
    directory: Path

    @property
    def namespace(self) -> str:
        return f"machine{self.number}-{os.getpid()}"

    @property
    def address(self) -> str:
        return f"198.51.100.{self.number}"

    @property
    def agent(self) -> str:
        """What the agent is called on this machine."""
        return f"agent{self.number}-{os.getpid()}"

    @property
    def environment(self) -> dict[str, str]:
        here = str(self.directory)
        return {**os.environ, "PYNETES_STATE_DIR": here, "KUBECONFIG": f"{here}/kubeconfig", "HOME": here}

    def _inside(self, *command: str) -> list[str]:
        # Only the network: `ip netns exec` would hide the cgroups.
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *command]

    def run(self, *command: str, **more: Any) -> str:
        return run(*self._inside(*command), env=self.environment, **more)

    def pynetes(self, *arguments: str, **more: Any) -> str:
        return self.run(*PYNETES, *arguments, **more)

    def foreground(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.directory / f"{arguments[0]}.out").open("ab") as output:
            command = self._inside(*PYNETES, *arguments)
            return subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)

    def addresses(self) -> set[str]:
        listed = json.loads(run("ip", "-n", self.namespace, "-j", "-4", "address"))
        return {address["local"] for link in listed for address in link["addr_info"]}


def is_ready(first: Machine) -> bool:
    answer = first.run("kubectl", "get", "--raw", "/readyz", ok=False)
    assert answer == "ok", answer + (first.directory / "server.out").read_text()
    return True


def interrupt(process: "subprocess.Popen[bytes]") -> int:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)
    return process.wait(timeout=30)


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    root = Path(f"/tmp/pynetes-m-{os.getpid()}")  # short: a socket's path has at most 107 characters
    pair = Machine(1, root / "1"), Machine(2, root / "2")
    for machine in pair:
        machine.directory.mkdir(parents=True)
        run("ip", "netns", "add", machine.namespace)
    first, second = (machine.namespace for machine in pair)
    run("ip", "link", "add", "wire0", "netns", first, "type", "veth", "peer", "name", "wire0", "netns", second)
    for machine in pair:
        inside = ["ip", "-n", machine.namespace]
        run(*inside, "address", "add", f"{machine.address}/24", "dev", "wire0")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "link", "set", "wire0", "up")
        run(*inside, "route", "add", "default", "dev", "wire0")
    try:
        yield pair
    finally:
        for machine in reversed(pair):
            machine.pynetes("delete", "--all", ok=False)
            run("ip", "netns", "delete", machine.namespace)
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def running(machines: tuple[Machine, Machine]) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    """The server and both agents, each in the foreground of somebody's terminal."""
    first, _ = machines
    processes = {"server": first.foreground("server", "--name", SERVER, "--address", first.address)}
    try:
        eventually(lambda: is_ready(first))
        archive = busybox_image(first.directory / "busybox.tar")
        for machine in machines:
            name, file = f"m{machine.number}", machine.directory / "join"
            first.pynetes("server", "--name", SERVER, "--join", f"{name}={machine.address}", "--output", str(file))
            assert file.stat().st_mode & 0o077 == 0  # it holds keys
            processes[name] = machine.foreground("agent", "--name", machine.agent, "--join-file", str(file))
            eventually(lambda m=machine: "running" in m.pynetes("status", "--name", m.agent, ok=False))
        for machine in machines:
            run_node = ["wait", "--for=condition=Ready", f"node/m{machine.number}", "--timeout=60s"]
            eventually(lambda m=machine: f"m{m.number}" in first.run("kubectl", "get", "nodes"))
            first.run("kubectl", *run_node)
            machine.pynetes("image", "load", "--name", machine.agent, str(archive))
        first.run("kubectl", "apply", "-f", "-", stdin=json.dumps(web()))
        first.run("kubectl", "rollout", "status", "daemonset/web", "--timeout=60s")
        yield processes
    finally:
        for process in processes.values():
            with contextlib.suppress(ProcessLookupError):
                interrupt(process)


def web() -> dict[str, Any]:
    """A page on every node that says the pod's name, and a service in front."""
    command = "mkdir -p /tmp/www; hostname >/tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    probe = {"httpGet": {"path": "/", "port": 8080}}
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container(command=command, readinessProbe=probe)]},
    }
    daemons = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [daemons, service]}


def pods(first: Machine) -> dict[str, dict[str, Any]]:
    """The pods by the node they are on."""
    listed = json.loads(first.run("kubectl", "get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return {pod["spec"]["nodeName"]: pod for pod in listed}


def page(first: Machine, client: str, host: str) -> str:
    return first.run("kubectl", "exec", client, "--", "timeout", "3", "wget", "-q", "-O", "-", f"http://{host}").strip()


def test_pods_on_two_machines_reach_each_other_and_services(
    machines: tuple[Machine, Machine], running: dict[str, Any]
) -> None:
    first, second = machines
    found = pods(first)
    assert set(found) == {"m1", "m2"}
    names = {pod["metadata"]["name"] for pod in found.values()}
    for client in names:
        for server in found.values():
            assert page(first, client, f"{server['status']['podIP']}:8080") == server["metadata"]["name"]
        assert page(first, client, "web.default.svc.cluster.local") in names
    service = json.loads(first.run("kubectl", "get", "service", "web", "-o", "json"))["spec"]
    for machine, other in ((first, second), (second, first)):
        for host in (service["clusterIP"], f"{other.address}:{service['ports'][0]['nodePort']}"):
            assert machine.run("curl", "-s", "-m", "5", f"http://{host}/").strip() in names


def test_the_server_reaches_the_kubelet_of_another_machine(
    machines: tuple[Machine, Machine], running: dict[str, Any]
) -> None:
    first, _ = machines
    there = pods(first)["m2"]["metadata"]["name"]
    assert first.run("kubectl", "exec", there, "--", "hostname").strip() == there
    assert first.run("kubectl", "logs", there) == ""
    assert first.run("kubectl", "get", "--raw", f"/api/v1/namespaces/default/pods/{there}:8080/proxy/").strip() == there


def test_commands_know_what_runs_in_the_foreground(machines: tuple[Machine, Machine], running: dict[str, Any]) -> None:
    first, second = machines
    assert "apiserver" in first.pynetes("status", "--name", SERVER)
    assert "kubelet-m2" in second.pynetes("status", "--name", second.agent)
    assert BUSYBOX in second.pynetes("image", "ls", "--name", second.agent)
    assert "runs already" in first.pynetes("server", "--name", SERVER, ok=False)
    assert "runs already" in second.pynetes("agent", "--name", second.agent, ok=False)
    assert "`pynetes server" in first.pynetes("up", "--name", SERVER, "--control-plane-only", ok=False)


def test_a_wrong_join_is_refused(machines: tuple[Machine, Machine], running: dict[str, Any]) -> None:
    first, second = machines
    for wrong in ("m3", "m3=", "=198.51.100.3", "m3=198.51.100", "M_3=198.51.100.3"):
        assert "--join wants NODE=ADDRESS" in first.pynetes("server", "--name", SERVER, "--join", wrong, ok=False)
    assert "is not a join file" in second.pynetes("agent", "--name", "x", "--join-file", "/dev/null", ok=False)
    assert "needs --join-file" in second.pynetes("agent", "--name", "x", ok=False)


def test_pods_run_on_while_agent_and_server_are_stopped(
    machines: tuple[Machine, Machine], running: dict[str, "subprocess.Popen[bytes]"]
) -> None:
    first, second = machines
    before = pods(first)["m2"]
    assert interrupt(running["m2"]) == 0
    assert interrupt(running["server"]) == 0
    assert f"`pynetes server --name {SERVER}` runs it" in first.pynetes("status", "--name", SERVER, ok=False)
    assert second.run("curl", "-s", "-m", "5", f"http://{before['status']['podIP']}:8080/").strip()
    running["server"] = first.foreground("server", "--name", SERVER)
    running["m2"] = second.foreground("agent", "--name", second.agent)
    eventually(lambda: is_ready(first))
    eventually(lambda: "kubelet-m2" in second.pynetes("status", "--name", second.agent, ok=False))
    name = before["metadata"]["name"]
    eventually(lambda: first.run("kubectl", "exec", name, "--", "hostname", ok=False).strip() == name)
    after = pods(first)["m2"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


def test_deleting_an_agent_leaves_nothing_on_its_machine(
    machines: tuple[Machine, Machine], running: dict[str, "subprocess.Popen[bytes]"]
) -> None:
    _, second = machines
    assert len(second.addresses()) > 2
    second.pynetes("delete", "--name", second.agent)
    assert running["m2"].wait(timeout=30) == 0
    assert second.addresses() == {"127.0.0.1", second.address}
    assert {link["ifname"] for link in json.loads(second.run("ip", "-j", "link"))} == {"lo", "wire0"}
    assert second.run("ip", "route", "show", "proto", "137") == ""
    assert second.run("nft", "list", "tables") == ""
    assert not (second.directory / second.agent).exists()
