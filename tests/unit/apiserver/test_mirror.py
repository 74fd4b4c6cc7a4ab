"""Decoded copies of the store that follow it."""

import asyncio

from pynetes.apiserver.mirror import Mirror
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Draft
from pynetes.storage.memory import MemoryStore


async def test_one_can_wait_until_it_knows_all_that_is_stored() -> None:
    store = MemoryStore()
    mirror: Mirror[Obj] = Mirror(store, "/rbac/roles/")
    mirror.start()
    for name in ("a", "b"):
        await store.create(
            f"/rbac/roles/{name}",
            Draft(b'{"metadata":{"resourceVersion":"', b'","name":"%s"}}' % name.encode(), {}, {}),
        )
    waiting = asyncio.ensure_future(mirror.caught_up())
    await asyncio.wait_for(waiting, 5)
    assert sorted(each["metadata"]["name"] for each in mirror) == ["a", "b"]
    await mirror.stop()
