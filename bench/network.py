"""`python -m bench.network`: what services cost in the kernel, and what cluster DNS answers, without the API around it.

For 1, 1,000 and 5,000 services of three endpoints: the first transaction, one change of endpoints, the rebuilding of a
table that is found in the kernel, the table's memory in the agent, and connections per second through a service.
All in a network namespace of its own; needs root.
"""

import argparse
import functools
import os
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.report import Report
from pynetes.cluster import netns
from pynetes.network import rules
from pynetes.network.dns import message
from pynetes.network.dns.forward import Forwarder
from pynetes.network.dns.server import DnsServer
from pynetes.network.dns.zone import Zone
from pynetes.network.endpoints import Backends, Endpoint, ServicePort
from pynetes.network.table import KernelTable, Plan

SIZES = (1, 1_000, 5_000)
ENDPOINT = "10.244.9.9"  # of service 1: an address of the namespace itself
HERE = rules.Here(rules.Ranges("10.244.0.0/16", ("10.96.0.0/12",), "10.89.0.128/25"), ("10.89.0.2",))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.network", description=__doc__.split("\n\n")[0])
    parser.parse_args()
    report = Report()
    name = f"pynetes-bench-{os.getpid()}"
    for size in SIZES:
        subprocess.run(["ip", "netns", "add", name], check=True)
        try:
            netns.call_in(f"/run/netns/{name}", functools.partial(measure_services, size, report))
        finally:
            subprocess.run(["ip", "netns", "delete", name], check=True)
    measure_dns(report)
    print(report.table())


def service(index: int) -> ServicePort:
    """One of many services."""
    return ServicePort(
        key=f"default/service-{index}",
        name="http",
        protocol="TCP",
        port=80,
        node_port=0,
        cluster_ips=(f"10.{96 + (index >> 16)}.{index >> 8 & 255}.{index & 255}",),
        external_ips=(),
        load_balancer_ips=(),
        source_ranges=(),
        external_local=False,
        internal_local=False,
        affinity_seconds=0,
        health_check_port=0,
    )


def backends(index: int, turn: int = 0) -> Backends:
    """Three endpoints, others on every turn; that of service 1 is this namespace itself."""
    if index == 1:
        return Backends((Endpoint(ENDPOINT, 8080),), (), True)
    chosen = tuple(Endpoint(f"10.244.{node}.{(index + turn) % 250 + 1}", 8080) for node in range(3))
    return Backends(chosen, (), True)


def measure_services(size: int, report: Report) -> None:
    """The table of `size` services in the present network namespace."""
    setup = f"link set lo up\naddress add {ENDPOINT}/32 dev lo\nroute add default dev lo src {ENDPOINT}\n"
    subprocess.run(["ip", "-batch", "-"], input=setup, text=True, check=True)
    before, began = _resident(), time.perf_counter()
    plan = Plan(rules.TABLE)
    plan.put("", rules.skeleton(HERE.ranges))
    for index in range(1, size + 1):
        plan.put(f"service {index}", rules.service_fragment([(service(index), backends(index))], HERE))
    table = KernelTable(plan)
    table.sync()
    report.add(f"{size:,} services: first sync", (time.perf_counter() - began) * 1e3, "ms")
    report.add(f"{size:,} services: memory of the plan", (_resident() - before) / 1024, "MB")

    times = []
    for turn in range(1, 101):
        began = time.perf_counter()
        plan.put("service 2", rules.service_fragment([(service(2), backends(2, turn))], HERE))
        table.sync()
        times.append(time.perf_counter() - began)
    report.add(f"{size:,} services: one change of endpoints, median", sorted(times)[50] * 1e3, "ms")

    began = time.perf_counter()
    KernelTable(plan).sync()
    report.add(f"{size:,} services: rebuilding what is found", (time.perf_counter() - began) * 1e3, "ms")
    report.add(f"{size:,} services: connections through one", _connections("10.96.0.1", 80), "/s")


def _connections(address: str, port: int) -> float:
    """Connections per second to a listener of this thread, opened and closed one after the other."""
    with socket.create_server((ENDPOINT, 8080), backlog=128) as listener:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < 1.0:
            with socket.create_connection((address, port), timeout=2) as client:
                # A reset instead of an orderly end: no TIME_WAIT, so ports never run out.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                listener.accept()[0].close()
            count += 1
    return count / (time.perf_counter() - began)


class _OneService:
    """A cache of one service."""

    def service(self, namespace: str, name: str) -> dict[str, Any] | None:
        return {"spec": {"clusterIP": "10.96.0.20", "ports": []}} if name == "web" else None

    def slices(self, namespace: str, name: str) -> list[dict[str, Any]]:
        return []

    def has_namespace(self, name: str) -> bool:
        return True

    def services_at(self, address: str) -> list[dict[str, Any]]:
        return []

    def slices_at(self, address: str) -> list[dict[str, Any]]:
        return []


def measure_dns(report: Report) -> None:
    """Questions answered per second by one core, sockets left out."""
    server = DnsServer(Zone("cluster.local", _OneService(), "10.96.0.10"), Forwarder([]))
    server.ready = True
    tail = message.A.to_bytes(2, "big") + message.IN.to_bytes(2, "big")
    for what, name in (("a service", "web.default.svc"), ("a name that is not", "example.com.default.svc")):
        wire = struct.pack("!6H", 1, message.RD, 1, 0, 0, 0) + message.encode_name(f"{name}.cluster.local") + tail
        began, count = time.perf_counter(), 50_000
        for _ in range(count):
            server.answer_now(wire, udp=True)
        report.add(f"DNS answers for {what}", count / (time.perf_counter() - began), "/s")


def _resident() -> int:
    """Kilobytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


if __name__ == "__main__":
    main()
