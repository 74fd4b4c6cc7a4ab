"""What is sent to the API, and when."""

import asyncio
from typing import Any, cast

from pynetes.client.client import Client
from pynetes.kubelet.reporter import Reporter
from pynetes.machinery.meta import Obj


class FakeApi:
    """Keeps one pod's status; notes each patch of it."""

    def __init__(self) -> None:
        self.status: Obj = {}
        self.patches: list[Obj] = []

    async def patch(self, plural: str, name: str, body: Obj, *arguments: Any, **options: Any) -> Obj:
        self.patches.append(body["status"])
        self.status = self.status | body["status"]
        return {"status": self.status}


def status(phase: str, generation: int) -> Obj:
    condition = {"type": "Ready", "status": "True", "observedGeneration": generation}
    return {"phase": phase, "observedGeneration": generation, "conditions": [condition]}


POD: Obj = {"metadata": {"name": "p", "namespace": "d", "uid": "u"}}


async def test_that_a_new_spec_was_seen_waits_for_what_it_brings_about() -> None:
    api = FakeApi()
    reporter = Reporter(cast(Client, api))
    reporter.report(POD, status("Running", 1))
    await reporter.flush(POD)
    reporter.report(POD, status("Running", 2))
    await asyncio.sleep(0)  # the sender has begun
    reporter.report(POD, status("Failed", 2))
    await reporter.flush(POD)
    assert [patch.get("phase") for patch in api.patches] == ["Running", "Failed"]
    assert api.status["observedGeneration"] == 2


async def test_that_a_new_spec_was_seen_is_told_in_the_end() -> None:
    api = FakeApi()
    reporter = Reporter(cast(Client, api))
    for generation in (1, 2):
        reporter.report(POD, status("Running", generation))
        await reporter.flush(POD)
    assert [patch["observedGeneration"] for patch in api.patches] == [1, 2]
