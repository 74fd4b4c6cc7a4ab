"""What the processes of a cluster use while nothing happens."""

import os
from pathlib import Path

from bench.report import Report
from pynetes.cli.status import memory_kib
from pynetes.machinery import clock

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_kib(pid: int) -> int:
    """A process's resident memory, shared pages counted in full."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


async def idle(state: Path, seconds: float, report: Report) -> None:
    """Memory of each process, and the share of one core that all of them use together."""
    await clock.sleep(5)
    pids = {file.stem: int(file.read_text()) for file in sorted(state.glob("run/*.pid"))}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await clock.sleep(seconds)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    own = [name for name in pids if not name.startswith("containerd")]
    for name, pid in pids.items():
        report.add(
            f"memory of {name} (resident / own share)", rss_kib(pid) / 1024, f"/ {memory_kib(pid) / 1024:.0f} MiB"
        )
        report.add(f"idle CPU of {name}", 100 * used[name] / seconds, "% of a core")
    report.add("memory, all without containerd (own shares)", sum(memory_kib(pids[n]) for n in own) / 1024, "MiB")
    report.add("idle CPU, all without containerd", 100 * sum(used[n] for n in own) / seconds, "% of a core")
