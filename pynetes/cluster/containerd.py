"""A containerd of our own: its configuration, its start, its end.

Each node has one, with its own root and socket, so nothing is shared with another node or with a containerd of the
host. A cluster's supervisor runs `command`, in the node's network and under its name; `start` is for tests: the daemon
ends with who started it. `stop` ends the daemon only, for containers outlive it by design; `remove_pods` ends them too.
Pods' network namespaces are kept by mounts in `state_dir`, so whatever way the daemon ends, whoever unmounts what is
below its directory leaves none.
"""

import asyncio
import contextlib
import os
import re
import select
import shutil
import signal
import socket as sockets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from pynetes.kubelet import inotify
from pynetes.machinery import clock

CAP_SYS_RESOURCE = 24
OVERLAYFS_MAGIC = 0x794C7630
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

CONFIG = """\
version = 2
root = "{root}"
state = "{state}"
oom_score = 0
disabled_plugins = [{disabled}]

[grpc]
  address = "{socket}"
  max_recv_message_size = 16777216
  max_send_message_size = 16777216

[ttrpc]
  address = "{socket}.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = {restrict_oom_score_adj}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  stream_idle_timeout = "4h0m0s"
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  max_container_log_line_size = 16384

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin_dir}"
    conf_dir = "{cni_conf_dir}"
    max_conf_num = 1

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{certs_dir}"
"""

DISABLED_PLUGINS = (
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
)


class ContainerdError(Exception):
    """containerd or one of its tools failed; the text says what it said."""


@dataclass
class Containerd:
    """One containerd: everything it writes is under `root_dir`; it listens on `socket`."""

    root_dir: Path
    socket: Path
    sandbox_image: str = "pynetes.local/pause:1"
    cni_bin_dir: Path = Path("/usr/lib/cni")
    cni_conf_dir: Path = Path("/etc/cni/net.d")
    binary: str = "containerd"
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def config_file(self) -> Path:
        """Where `write_config` writes."""
        return self.root_dir / "config.toml"

    @property
    def state_dir(self) -> Path:
        """What it remembers of running containers; on a machine of its own this would be in memory."""
        return self.root_dir / "state"

    @property
    def pid_file(self) -> Path:
        """Holds the daemon's process id while it runs."""
        return self.root_dir / "containerd.pid"

    @property
    def log_file(self) -> Path:
        """Where the daemon's own log goes when `start` starts it."""
        return self.root_dir / "containerd.log"

    def write_config(self) -> Path:
        """Generate config.toml and the directories it names."""
        certs = self.root_dir / "certs.d"
        for directory in (self.root_dir, certs, self.socket.parent, self.cni_conf_dir):
            directory.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(
            root=self.root_dir / "root",
            state=self.state_dir,
            socket=self.socket,
            sandbox_image=self.sandbox_image,
            restrict_oom_score_adj=str(not has_capability(CAP_SYS_RESOURCE)).lower(),
            cni_bin_dir=self.cni_bin_dir,
            cni_conf_dir=self.cni_conf_dir,
            certs_dir=certs,
            snapshotter="native" if _file_system(self.root_dir) == OVERLAYFS_MAGIC else "overlayfs",
            disabled=", ".join(f'"{plugin}"' for plugin in DISABLED_PLUGINS),
        )
        self.config_file.write_text(text)
        return self.config_file

    def command(self) -> list[str]:
        """How to run the daemon in the foreground, for a supervisor; call `write_config` first."""
        return [self.binary, "--config", str(self.config_file), "--log-level", "warn"]

    def pid(self) -> int | None:
        """The process id of the running daemon, or None."""
        try:
            pid = int(self.pid_file.read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.config_file).encode() in arguments.split(b"\0") else None

    async def start(self) -> None:
        """Start the daemon (or adopt the one that runs) and wait until it answers."""
        if self.pid() is None:
            self.write_config()
            command = ["setpriv", "--pdeathsig", "KILL", "--", *self.command()]  # no daemon outlives who started it
            with self.log_file.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: ASYNC220 (returns at once: fork and exec only)
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            self.pid_file.write_text(str(self._process.pid))
        await self.wait_ready()

    async def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Return once the socket accepts connections; woken by the socket's appearance."""
        with inotify.Watcher() as watcher:
            watcher.add(self.socket.parent, inotify.CREATE | inotify.MOVED_TO | inotify.ATTRIB)
            deadline = clock.monotonic() + timeout
            while not self._accepts():
                if self._process is not None and self._process.poll() is not None:
                    raise ContainerdError(f"containerd ended at start:\n{self._last_words()}")
                if clock.monotonic() > deadline:
                    raise ContainerdError(f"containerd did not answer within {timeout:.0f} s:\n{self._last_words()}")
                with contextlib.suppress(TimeoutError):
                    await clock.wait_for(watcher.changes(), 0.25)

    def _accepts(self) -> bool:
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
            return True

    def _last_words(self) -> str:
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-10:])

    async def stop(self) -> None:
        """End the daemon; its containers run on."""
        pid = self.pid()
        if pid is not None:
            await _end_process(pid)
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
            self._process = None
        self.pid_file.unlink(missing_ok=True)

    async def remove_pods(self) -> None:
        """Stop and remove every sandbox and with it every container; the daemon must be running."""
        from pynetes.kubelet.cri.client import Cri, CriError

        cri = Cri(str(self.socket))
        await cri.connect()

        async def remove(sandbox_id: str) -> None:
            with contextlib.suppress(CriError):
                await cri.stop_pod_sandbox(sandbox_id)
                await cri.remove_pod_sandbox(sandbox_id)

        try:
            sandboxes = await cri.list_pod_sandboxes()
            await asyncio.gather(*(remove(sandbox.id) for sandbox in sandboxes))
        finally:
            await cri.close()

    async def delete(self) -> None:
        """Remove all pods, stop the daemon, unmount and delete all it wrote."""
        if self.pid() is not None:
            await self.remove_pods()
            await self.stop()
        unmount_below(self.root_dir)
        shutil.rmtree(self.root_dir, ignore_errors=True)
        self.socket.unlink(missing_ok=True)

    async def ctr(self, *arguments: str) -> str:
        """Run containerd's own client in the namespace of Kubernetes; returns what it printed."""
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        if process.returncode != 0:
            raise ContainerdError(f"{' '.join(command)}: {err.decode(errors='replace').strip()}")
        return out.decode(errors="replace")

    async def import_image(self, archive: Path) -> list[str]:
        """Load an OCI or Docker image archive; returns the names it brought."""
        out = await self.ctr("images", "import", str(archive))
        return re.findall(r"^unpacking (\S+)", out, re.MULTILINE)


def has_capability(number: int) -> bool:
    """Whether this process may use the capability."""
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return bool(effective and int(effective.group(1), 16) >> number & 1)


def unmount_below(directory: Path) -> None:
    """Detach every mount at or under `directory`, deepest first."""
    prefix = f"{directory.resolve()}/"
    points = [line.split()[4].replace("\\040", " ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if f"{point}/".startswith(prefix)), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, stderr=subprocess.DEVNULL)


def _file_system(path: Path) -> int:
    """The magic number of the file system that holds `path`."""
    import ctypes

    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None).statfs(os.fsencode(path), buffer) != 0:
        return 0
    return ctypes.cast(buffer, ctypes.POINTER(ctypes.c_long))[0]


async def _end_process(pid: int) -> None:
    """SIGTERM, and SIGKILL to those that do not listen; waits for the end."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
            ready, _, _ = await asyncio.to_thread(select.select, [fd], [], [], STOP_TIMEOUT)
            if ready:
                return
    finally:
        os.close(fd)
