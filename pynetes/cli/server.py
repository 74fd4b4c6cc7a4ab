"""`pynetes server`: the control plane for real machines, in the foreground."""

import argparse
import ipaddress
import re
from dataclasses import replace
from pathlib import Path

from pynetes.cli.common import Commands, add_name, command
from pynetes.cluster import config, join, kubeconfig, lifecycle, pki, supervisor
from pynetes.cluster.config import ClusterError

_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")

EPILOG = """\
examples:
  pynetes server --address 192.0.2.10                  run the control plane; Ctrl-C stops it
  pynetes server --join web1=192.0.2.11 > web1.join    sign the machine web1 in; then, on web1:
  pynetes agent --join-file web1.join

The join file holds private keys. The agents' machines and this one must share a network.
"""


def register(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands, "server", "run the control plane for real machines, in the foreground", run, epilog=EPILOG
    )
    add_name(parser)
    parser.add_argument("--address", help="the address of this machine where agents find it")
    parser.add_argument("--port", type=int, default=6443, help="the API server's port (default: 6443)")
    parser.add_argument("--join", metavar="NODE=ADDRESS", help="write the join file of a machine and end")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where --join writes (default: NODE.join)")


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


def run(arguments: argparse.Namespace) -> int:
    """Run the control plane, or write a join file."""
    if arguments.address and not _is_address(arguments.address):
        raise ClusterError(f"--address wants an IPv4 address of this machine, not {arguments.address!r}")
    existing = config.load(arguments.name)
    if arguments.join:
        return _join(config.require(arguments.name), arguments)
    if existing is None:
        if not arguments.address:
            raise ClusterError("the first start needs --address: where do the agents find this machine?")
        cluster = config.Cluster(
            arguments.name,
            node_count=0,
            role="server",
            server_address=arguments.address,
            api_port=arguments.port,
        )
    elif existing.role != "server":
        raise ClusterError(f"cluster {arguments.name!r} exists and is no server; choose another --name")
    else:
        cluster = replace(existing, server_address=arguments.address or existing.server_address)
    cluster.save()
    pki.ensure(cluster)
    kubeconfig.write_component_files(cluster)
    print(f"kubectl uses context {cluster.context} ({kubeconfig.merge(cluster)}); Ctrl-C stops the server")
    lifecycle.refuse_second_supervisor(cluster)
    return supervisor.become(cluster)


def _join(cluster: config.Cluster, arguments: argparse.Namespace) -> int:
    node, separator, address = arguments.join.partition("=")
    if not separator or not _NODE_NAME.fullmatch(node) or not _is_address(address):
        raise ClusterError(
            f"--join wants NODE=ADDRESS, a lower-case host name and an IPv4 address, not {arguments.join!r}"
        )
    target = arguments.output or Path(f"{node}.join")
    join.write_join_file(cluster, node, address, target)
    print(f"wrote {target}; on {address}: pynetes agent --join-file {target.name}")
    return 0
