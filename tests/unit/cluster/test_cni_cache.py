"""What CNI remembers of a deleted cluster's sandboxes goes; what it remembers of others stays."""

import base64
import json
from pathlib import Path

from pynetes.cluster import cni_cache


def note(cache: Path, network: str, sandbox: str, link: str, state: str) -> None:
    configuration = json.dumps({"plugins": [{"ipam": {"dataDir": state}}]}).encode()
    content = {"containerId": sandbox, "config": base64.b64encode(configuration).decode()}
    (cache / f"{network}-{sandbox}-{link}").write_text(json.dumps(content))


def test_only_the_notes_of_the_cluster_are_removed(tmp_path: Path) -> None:
    note(tmp_path, "pynetes", "ours", "eth0", "/state/a/nodes/node-1/cni/state")
    note(tmp_path, "cni-loopback", "ours", "lo", "")
    note(tmp_path, "pynetes", "other", "eth0", "/state/ab/nodes/node-1/cni/state")
    note(tmp_path, "cni-loopback", "other", "lo", "")
    (tmp_path / "strange-x-eth0").write_text("{")
    cni_cache.forget(Path("/state/a"), tmp_path)
    left = {"pynetes-other-eth0", "cni-loopback-other-lo", "strange-x-eth0"}
    assert {file.name for file in tmp_path.iterdir()} == left
