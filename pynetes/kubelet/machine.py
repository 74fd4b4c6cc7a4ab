"""Facts about the machine: capacity, identity, operating system. Read once, or when asked; no state."""

import os
import platform
import re
import uuid
from pathlib import Path

from pynetes.machinery import quantity
from pynetes.machinery.meta import Obj

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
KUBELET_VERSION = "v1.37.0"


def cpus() -> int:
    """Processors that are on line."""
    return os.sysconf("SC_NPROCESSORS_ONLN")


def memory() -> int:
    """Bytes of memory."""
    return _meminfo("MemTotal")


def memory_available() -> int:
    """Bytes that programs could still have."""
    return _meminfo("MemAvailable")


def swap() -> int:
    """Bytes of swap space."""
    return _meminfo("SwapTotal")


def _meminfo(field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def huge_pages() -> dict[str, str]:
    """Resource name → bytes of each size of huge pages the kernel keeps."""
    found = {}
    for directory in Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB"):
        size = int(directory.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        count = int((directory / "nr_hugepages").read_text())
        unit = next((f"{size >> shift}{name}" for name, shift in (("Gi", 30), ("Mi", 20)) if size >> shift), str(size))
        found[f"hugepages-{unit}"] = quantity_of(size * count)
    return found


def quantity_of(size: int) -> str:
    """Bytes as the API likes them: in Ki where that is exact."""
    return f"{size // 1024}Ki" if size and size % 1024 == 0 else str(size)


def file_system(path: Path) -> os.statvfs_result:
    """The file system that holds `path`."""
    return os.statvfs(path)


def file_system_bytes(path: Path) -> int:
    """The size of the file system that holds `path`."""
    info = os.statvfs(path)
    return info.f_blocks * info.f_frsize


def capacity(root: Path, max_pods: int) -> dict[str, str]:
    """`status.capacity` of the node."""
    return {
        "cpu": str(cpus()),
        "memory": quantity_of(memory()),
        "ephemeral-storage": quantity_of(file_system_bytes(root)),
        "pods": str(max_pods),
        **huge_pages(),
    }


def allocatable(total: dict[str, str], reserved: list[dict[str, str]], eviction: dict[str, str]) -> dict[str, str]:
    """What is left for pods: the capacity without what is reserved and what eviction keeps free."""
    result = dict(total)
    for name in ("cpu", "memory", "ephemeral-storage"):
        held = sum(quantity.milli(entry[name]) for entry in reserved if name in entry)
        signal = {"memory": "memory.available", "ephemeral-storage": "nodefs.available"}.get(name, "")
        held += 1000 * threshold(eviction.get(signal, "0"), quantity.value(total[name]))
        left = quantity.milli(total[name]) - held
        if held:
            result[name] = f"{left}m" if name == "cpu" and left % 1000 else _amount(name, left // 1000)
    return result


def _amount(name: str, amount: int) -> str:
    return str(amount) if name in ("cpu", "ephemeral-storage") else quantity_of(amount)


def threshold(text: str, total: int) -> int:
    """An eviction threshold in absolute numbers; a percentage is of `total`."""
    return int(total * float(text[:-1]) / 100) if text.endswith("%") else quantity.value(text)


def node_info(runtime_version: str) -> Obj:
    """`status.nodeInfo`."""
    return {
        "architecture": architecture(),
        "bootID": _read("/proc/sys/kernel/random/boot_id"),
        "containerRuntimeVersion": runtime_version,
        "kernelVersion": platform.release(),
        "kubeProxyVersion": "",
        "kubeletVersion": KUBELET_VERSION,
        "machineID": _read("/etc/machine-id") or _made_up_id(),
        "operatingSystem": "linux",
        "osImage": _os_release(),
        "systemUUID": _read("/sys/class/dmi/id/product_uuid").lower() or _made_up_id(),
        "swap": {"capacity": swap()},
    }


def architecture() -> str:
    """As images and node labels name it."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _made_up_id() -> str:
    """Stable for the host, for machines without an id of their own."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, platform.node()).hex


def _os_release() -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read("/etc/os-release"), re.MULTILINE)
    return match.group(1) if match else "Linux"


def app_armor(module: Path = Path("/sys/module/apparmor/parameters/enabled")) -> bool:
    """Whether the kernel confines processes by AppArmor profiles."""
    try:
        return module.read_text().startswith("Y")
    except OSError:
        return False
