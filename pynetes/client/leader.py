"""Leader election through a Lease: of many that want to, one acts.

A candidate takes the Lease when nobody holds it or when its holder has not renewed it for `lease_duration` as watched
by the candidate's own clock (clocks of different machines are never compared). The leader renews every
`retry_period`; if it cannot for `renew_deadline` it stops acting. Leaving in good order releases the Lease, so the
next one need not wait. The times are upstream's defaults.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pynetes.client.backoff import Backoff
from pynetes.client.client import Client, Unreachable
from pynetes.machinery import clock
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

LEASES = "leases.coordination.k8s.io"


class LeadershipLost(Exception):
    """The Lease could not be renewed in time."""


@dataclass(frozen=True, slots=True)
class LeaderConfig:
    """Which Lease, and the times."""

    name: str
    identity: str
    namespace: str = "kube-system"
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


class LeaderElector:
    """One candidate."""

    def __init__(self, client: Client, config: LeaderConfig) -> None:
        self._client = client
        self._config = config
        self._lease: Obj | None = None
        self._observed_at = 0.0
        self._held_by_other = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Become the leader, run `lead()`, release when it ends; raises LeadershipLost if the Lease is lost before."""
        # An API server that is just starting is asked again soon; a Lease that another holds, when it may be free.
        backoff = Backoff(0.1, self._config.retry_period)
        while not await self._try():
            await (clock.sleep(self._config.retry_period) if self._held_by_other else backoff.wait())
        log.info("%s is the leader (%s)", self._config.identity, self._config.name)
        work = asyncio.ensure_future(lead())
        renewal = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                renewal.result()
        finally:
            lost = renewal.done()
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)
            if not lost:
                await self._release()

    async def _renew(self) -> None:
        renewed = clock.monotonic()
        while True:
            await clock.sleep(self._config.retry_period)
            if await self._try():
                renewed = clock.monotonic()
            elif clock.monotonic() - renewed > self._config.renew_deadline:
                raise LeadershipLost(f"{self._config.identity} could not renew {self._config.name}")

    async def _try(self) -> bool:
        """Take or renew the Lease; False if another holds it or the server says no."""
        self._held_by_other = False
        try:
            acquired = await self._acquire()
            self._held_by_other = not acquired
            return acquired
        except (StatusError, Unreachable) as error:
            log.debug("lease %s: %s", self._config.name, error)
            return False

    async def _acquire(self) -> bool:
        config = self._config
        if self._lease is not None and self._lease["spec"].get("holderIdentity") == config.identity:
            with contextlib.suppress(StatusError):
                await self._write(self._lease)
                return True
        try:
            lease = await self._client.get(LEASES, config.name, config.namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            fresh = {"metadata": {"name": config.name, "namespace": config.namespace}, "spec": self._spec({}, 0)}
            self._observe(await self._client.create(LEASES, fresh))
            return True
        if self._lease is None or lease["spec"] != self._lease["spec"]:
            self._observe(lease)
        spec = lease["spec"]
        holder = spec.get("holderIdentity")
        lasts = spec.get("leaseDurationSeconds") or 0
        if holder and holder != config.identity and clock.monotonic() < self._observed_at + lasts:
            return False
        await self._write(lease)
        return True

    async def _write(self, lease: Obj) -> None:
        spec = lease["spec"]
        transitions = spec.get("leaseTransitions", 0) + (spec.get("holderIdentity") != self._config.identity)
        self._observe(await self._client.update(LEASES, {**lease, "spec": self._spec(spec, transitions)}))

    def _spec(self, old: Obj, transitions: int) -> Obj:
        now = clock.micro_timestamp()
        kept = old.get("holderIdentity") == self._config.identity
        return {
            "holderIdentity": self._config.identity,
            "leaseDurationSeconds": int(self._config.lease_duration),
            "acquireTime": old.get("acquireTime", now) if kept else now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _observe(self, lease: Obj) -> None:
        self._lease = lease
        self._observed_at = clock.monotonic()

    async def _release(self) -> None:
        """Let go of the Lease, if it is still ours."""
        with contextlib.suppress(StatusError, Unreachable):
            lease = await self._client.get(LEASES, self._config.name, self._config.namespace)
            if lease["spec"].get("holderIdentity") != self._config.identity:
                return
            now = clock.micro_timestamp()
            spec = {k: v for k, v in lease["spec"].items() if k != "holderIdentity"}
            spec |= {"leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
            await self._client.update(LEASES, {**lease, "spec": spec})
