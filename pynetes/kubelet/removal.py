"""The last traces of a pod: its directories on the node, then its object; `pod.py` calls this when all has stopped."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from pynetes.client.client import Client, Unreachable
from pynetes.kubelet import mounts, spec
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)


def remove_directories(volumes: Path, logs: Path) -> None:
    """What the pod had on disk; nothing may be mounted there when it is deleted."""
    mounts.unmount_below(volumes)
    shutil.rmtree(volumes, ignore_errors=True)
    shutil.rmtree(logs, ignore_errors=True)


async def delete_object(client: Client, pod: Obj, wake: asyncio.Event, gone: Callable[[], bool]) -> None:
    """Nothing is left of the pod: the object may go. Ends when it went, by whomever; `wake` is set when it may have."""
    delay = 0.1
    while not gone():
        try:
            await client.delete("pods", meta.name(pod), meta.namespace(pod), uid=meta.uid(pod), grace_period_seconds=0)
            return
        except StatusError as error:
            if error.code in (404, 409):
                return
            log.warning("deleting %s: %s", spec.describe(pod), error.message)
        except Unreachable as error:
            log.warning("deleting %s: %s", spec.describe(pod), error)
        with contextlib.suppress(TimeoutError):
            wake.clear()
            await clock.wait_for(wake.wait(), delay)
        delay = min(delay * 2, 5.0)
