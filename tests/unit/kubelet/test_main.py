"""How the kubelet begins."""

from pathlib import Path

from pynetes.kubelet.main import connect
from pynetes.kubelet.options import parse

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


async def test_the_api_server_is_told_who_asks(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG)
    async with connect(parse(["--kubeconfig", str(file)])) as client:
        assert client.user_agent == "kubelet/pynetes"
