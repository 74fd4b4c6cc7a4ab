"""What an agent leaves in its machine's own network, and taking it away.

A node of `pynetes up` has a network namespace, which goes as a whole. An agent's pods hang on a bridge in the machine's
own: while the agent is merely stopped all of that stays, because its pods run on; `down` and `delete` take it away.
"""

import contextlib
import subprocess

from pynetes.network import podnetwork, rules
from pynetes.network.table import KernelTable, Plan


def remove(cluster_dns: str) -> None:
    """Remove the agent's bridge, tunnel, routes, nftables table and DNS address, whatever there is of them."""
    for protocol in (podnetwork.ROUTE_PROTOCOL, podnetwork.FORWARDING_PROTOCOL):
        _ip("route", "flush", "proto", protocol)
    for link in (podnetwork.BRIDGE, podnetwork.TUNNEL):
        _ip("link", "delete", link)
    _ip("address", "delete", f"{cluster_dns}/32", "dev", "lo")
    with contextlib.closing(KernelTable(Plan(rules.TABLE))) as table:
        table.remove()


def _ip(*arguments: str) -> None:
    """What is not there need not be removed, so a refusal is no error."""
    subprocess.run(["ip", *arguments], capture_output=True, check=False)
