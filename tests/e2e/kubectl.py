"""What tests of kubectl share: kubectl in the background and on a terminal, and the objects it is given."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

from tests.e2e.conftest import Cluster, Failed, container, pod

WEB = "mkdir -p /tmp/www; echo hello >/tmp/www/index.html; echo listening; exec httpd -f -p 8080 -h /tmp/www"


def minor(k: Cluster) -> int:
    return int(json.loads(k.kubectl("version", "--client", "-o", "json"))["clientVersion"]["minor"].rstrip("+"))


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    metadata = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(name: str, replicas: int = 1, **spec: Any) -> dict[str, Any]:
    """A Deployment whose pods say where they stop waiting: they end at once."""
    template = pod(name, container(command="exec sleep 3600"))
    metadata = {"labels": template["metadata"]["labels"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": metadata["labels"]},
            "template": {"metadata": metadata, "spec": template["spec"]},
            **spec,
        },
    }


def start(k: Cluster, obj: dict[str, Any]) -> str:
    """Apply a pod and wait until it is ready; returns its name."""
    k.apply(obj)
    k.wait("condition=Ready", f"pod/{obj['metadata']['name']}")
    return str(obj["metadata"]["name"])


@contextlib.contextmanager
def background(k: Cluster, *arguments: str, **more: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A kubectl that runs until the block ends."""
    process = k.popen(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[bytes]", wanted: str, seconds: float = 15) -> str:
    """What a background kubectl prints, up to and with `wanted`."""
    assert process.stdout is not None
    return read_from(process.stdout.fileno(), wanted, seconds)


def read_from(descriptor: int, wanted: str, seconds: float) -> str:
    seen, deadline = "", time.monotonic() + seconds
    while wanted not in seen:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(descriptor, 65536) if readable else b""
        except OSError:  # a terminal whose other side is closed
            data = b""
        if not data:
            raise Failed(f"{wanted!r} did not come; got: {seen!r}")
        seen += data.decode(errors="replace")
    return seen


class Terminal:
    """A kubectl on a terminal of its own."""

    def __init__(self, k: Cluster, *arguments: str, rows: int = 24, columns: int = 80) -> None:
        self.master, terminal = pty.openpty()
        self._set_size(rows, columns)
        self.process = k.popen(*arguments, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
        os.close(terminal)

    def _set_size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        self._set_size(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, wanted: str, seconds: float = 15) -> str:
        return read_from(self.master, wanted, seconds)

    def close(self) -> int:
        try:
            return self.process.wait(timeout=10)
        finally:
            self.process.kill()
            os.close(self.master)
