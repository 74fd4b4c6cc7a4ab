"""An API server with a node whose kubelet is a fake, and a pod on it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from pynetes.testing.apiserver import RunningApiServer
from pynetes.testing.rest import Rest
from tests.component.tunnels.fake_kubelet import FakeKubelet, running_kubelet


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def kubelet(server: RunningApiServer, admin: Rest) -> AsyncIterator[FakeKubelet]:
    """The kubelet of node `n1`; the pod `default/p` runs there."""
    certificate, key = server.authority.ensure(
        "kubelet", "system:node:n1", ("system:nodes",), addresses=("127.0.0.1",), server=True
    )
    async with running_kubelet(certificate, key, server.ca_file) as running:
        await admin.make("/api/v1/nodes", {"metadata": {"name": "n1"}})
        status = {
            "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": running.port}},
        }
        answer = await admin.patch("/api/v1/nodes/n1/status", {"status": status})
        assert answer.status == 200, answer.body
        await admin.make("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}
        await admin.make("/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": spec})
        running_status = {
            "phase": "Running",
            "podIP": "10.1.2.3",
            "podIPs": [{"ip": "10.1.2.3"}],
            "containerStatuses": [
                {
                    "name": "c",
                    "ready": True,
                    "restartCount": 0,
                    "image": "i",
                    "imageID": "i",
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        }
        answer = await admin.patch("/api/v1/namespaces/default/pods/p/status", {"status": running_status})
        assert answer.status == 200, answer.body
        yield running
