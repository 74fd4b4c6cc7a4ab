"""What a node watches of the objects that its pods refer to: what it may watch, and no more."""

import asyncio

import pytest

from pynetes.kubelet.sources import ObjectSource
from pynetes.testing.apiserver import RunningApiServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def watched() -> set[str]:
    return {name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("watch-")}


async def test_a_claim_is_read_and_not_watched_for_nodes_may_only_get_it(server: RunningApiServer) -> None:
    client = server.client()
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await client.create("persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": spec}, namespace="default")
    await client.create("configmaps", {"metadata": {"name": "m"}}, namespace="default")
    source = ObjectSource(client, lambda user, key: None)
    for plural, name in (("persistentvolumeclaims", "c"), ("configmaps", "m")):
        assert (await source.get(plural, "default", name, "u"))["metadata"]["name"] == name
    assert watched() == {"watch-configmaps-default-m"}
    await source.close()
