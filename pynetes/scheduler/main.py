"""Running the scheduler: connect, fill the picture of the cluster, win the Lease, schedule."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence

from pynetes.client.client import Client
from pynetes.client.events import EventRecorder
from pynetes.client.informer import InformerFactory
from pynetes.client.leader import LeaderConfig, LeaderElector
from pynetes.client.startup import healthy
from pynetes.machinery import logs, meta
from pynetes.machinery.process import run_until_stopped, until
from pynetes.scheduler import options as scheduler_options
from pynetes.scheduler import profiles
from pynetes.scheduler.cycle import Scheduler
from pynetes.scheduler.options import Options
from pynetes.scheduler.queue import queue_of
from pynetes.scheduler.snapshot import Nodes
from pynetes.scheduler.sources import Sources, VolumeBinder, cluster_view

log = logging.getLogger(__name__)


async def run(options: Options, stop: asyncio.Event) -> None:
    """Schedule pods until `stop` is set."""
    config = profiles.load(options.config) if options.config else {}
    chosen = profiles.profiles(config, options.scheduler_names, options.scoring_strategy)
    kubeconfig = options.kubeconfig or (config.get("clientConnection") or {}).get("kubeconfig")
    async with Client.from_kubeconfig(kubeconfig, user_agent="kube-scheduler") as client:
        factory = InformerFactory(client)
        host = socket.gethostname()
        events = {name: EventRecorder(client, name, instance=f"{name}-{host}") for name in chosen}
        view = cluster_view(factory)
        binder = VolumeBinder(client, factory)
        scheduler = Scheduler(client, events, Nodes(), queue_of(config), view, chosen, binder)
        Sources(factory, scheduler, list(chosen))

        async def lead() -> None:
            await factory.wait_synced()
            log.info("scheduling over %d nodes", len(scheduler.nodes))
            await scheduler.run()

        async def work() -> None:
            if not options.leader_elect:
                await lead()
                return
            identity = f"{socket.gethostname()}_{os.getpid()}_{meta.new_uid()}"
            await LeaderElector(client, LeaderConfig("kube-scheduler", identity)).run(lead)

        async def run_all() -> None:
            await healthy(client)
            await until(stop, factory.run(), work())

        await until(stop, run_all())
        for recorder in events.values():
            await recorder.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run; returns the exit code."""
    options = scheduler_options.parse(arguments)
    try:
        return run_until_stopped(lambda stop: run(options, stop))
    except profiles.BadConfiguration as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def main_alone() -> int:
    """As `main`, logging to standard error: `python -m pynetes.scheduler`."""
    logs.setup(scheduler_options.parse().verbosity)
    return main()
