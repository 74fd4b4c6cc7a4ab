"""Starting the kubelet: `run` for a supervisor that forked us, `main` for the command line."""

import asyncio
from collections.abc import Sequence

from pynetes.client.client import Client
from pynetes.kubelet.kubelet import Kubelet
from pynetes.kubelet.options import Options, parse
from pynetes.machinery import logs
from pynetes.machinery.process import run_until_stopped, until


def connect(options: Options) -> Client:
    """The API server, which is told who asks: that name stands in `managedFields`."""
    return Client.from_kubeconfig(options.kubeconfig or None, user_agent="kubelet/pynetes")


async def run(options: Options, stop: asyncio.Event) -> None:
    """Run a kubelet until `stop` is set; containers keep running afterwards."""
    async with connect(options) as client:
        await until(stop, Kubelet(options, client).run())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parse(arguments)
    logs.setup()
    return run_until_stopped(lambda stop: run(options, stop))
