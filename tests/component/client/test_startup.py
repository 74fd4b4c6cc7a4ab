"""Clients that come before their server."""

import asyncio
from pathlib import Path

from pynetes.client.client import Client
from pynetes.client.startup import healthy
from pynetes.testing.apiserver import running_apiserver


async def test_one_waits_until_the_server_is_there(tmp_path: Path) -> None:
    async with running_apiserver(directory=tmp_path) as server:
        port = server.server.port
        kubeconfig = server.kubeconfig_for("system:kube-scheduler", ("system:authenticated",))
    async with Client.from_kubeconfig(str(kubeconfig)) as client:
        waiting = asyncio.ensure_future(healthy(client))
        await asyncio.sleep(0)
        assert not waiting.done()
        async with running_apiserver(directory=tmp_path, secure_port=port):
            await asyncio.wait_for(waiting, 30)
            # What the bootstrap policy allows is allowed from now on.
            await client.list("replicasets")
