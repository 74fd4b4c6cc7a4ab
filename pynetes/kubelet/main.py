"""Starting the kubelet: `run` for a supervisor that forked us, `main` for the command line."""

import asyncio
import contextlib
import logging
import signal
import sys

from pynetes.client.client import Client
from pynetes.kubelet.kubelet import Kubelet
from pynetes.kubelet.options import Options, parse


async def run(options: Options, stop: asyncio.Event) -> None:
    """Run a kubelet until `stop` is set; containers keep running afterwards."""
    async with Client.from_kubeconfig(options.kubeconfig or None) as client:
        kubelet = Kubelet(options, client)
        work = asyncio.ensure_future(kubelet.run())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        else:
            work.result()


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run(options, stop)

    import uvloop

    uvloop.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
