"""The nginx process: started when first needed, told of new configurations, ended with the agent.

A configuration is tried before it is taken over, so that one bad Ingress leaves the others served as before. nginx
reloads by starting new workers while the old ones finish what they have, so no request is lost.
"""

import asyncio
import logging
import pwd
import signal
from pathlib import Path

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0


class Nginx:
    """One nginx in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.returncode is None

    async def apply(self, configuration: str) -> bool:
        """Serve by this configuration; returns False (and stays as it was) if nginx does not like it."""
        path, draft = self._directory / "nginx.conf", self._directory / "nginx.conf.new"
        draft.write_text(configuration)
        complaint = await self._try(draft)
        if complaint is not None:
            log.error("nginx refuses the configuration in %s: %s", draft, complaint)
            return False
        draft.replace(path)
        if self.running and self._process is not None:
            self._process.send_signal(signal.SIGHUP)
        else:
            await self._start(path)
        return True

    async def accepts(self, configuration: str) -> bool:
        """Whether nginx would take this configuration."""
        draft = self._directory / "nginx.conf.try"
        draft.write_text(configuration)
        complaint = await self._try(draft)
        draft.unlink()
        return complaint is None

    async def _try(self, path: Path) -> str | None:
        process = await asyncio.create_subprocess_exec(
            *("nginx", "-t", "-q", "-p", str(self._directory), "-e", "stderr", "-c", str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, problem = await process.communicate()
        return problem.decode(errors="replace").strip() if process.returncode else None

    async def _start(self, path: Path) -> None:
        # nginx must not outlive the agent, not even one that was killed: nobody would tell it of changes.
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "TERM", "nginx", "-p", str(self._directory), "-e", "stderr", "-c", str(path)),
            stdin=asyncio.subprocess.DEVNULL,
        )
        log.info("nginx runs as %d", self._process.pid)

    async def stop(self) -> None:
        """End nginx, gracefully for a moment."""
        if not self.running or self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT)
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.terminate()
            await self._process.wait()


def worker_user() -> str:
    """The account that nginx's workers run as."""
    for name in ("www-data", "nginx", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    return ""
