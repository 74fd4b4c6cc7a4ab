"""What takes hours, with a clock that runs fast."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pynetes.machinery import clock, meta
from pynetes.testing.clock import FastClock

World = Any


@pytest.fixture(autouse=True)
def fast(request: pytest.FixtureRequest) -> Iterator[None]:
    speed = request.node.get_closest_marker("speed").args[0]
    with clock.use(FastClock(speed)):
        yield


@pytest.mark.speed(300)
async def test_a_cronjob_of_every_five_minutes_over_an_hour(world: World) -> None:
    world.nodes.script = lambda pod: "Succeeded"
    pod = {"restartPolicy": "Never", "containers": [{"name": "app", "image": "a"}]}
    spec = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    cron = {"metadata": {"name": "often"}, "spec": spec}
    made = await world.create("cronjobs.batch", cron)
    began = clock.parse_time(made["metadata"]["creationTimestamp"])

    async def an_hour() -> bool:
        return (clock.now() - began).total_seconds() > 3600

    await world.eventually(an_hour, 60)
    told = [e for e in await world.items("events") if e["message"].startswith("Created job often-")]
    combined = [e for e in await world.items("events") if "similar events): Created job often-" in e["message"]]
    assert 11 <= len(told) + sum(e["count"] for e in combined) <= 13

    async def trimmed() -> bool:
        return len(await world.names("jobs.batch")) == 3

    await world.eventually(trimmed)
    last = (await world.get("cronjobs.batch", "often"))["status"]["lastScheduleTime"]
    assert clock.parse_time(last).minute % 5 == 0
    assert clock.parse_time(last).second == 0


@pytest.mark.speed(60)
async def test_pods_leave_an_unreachable_node_after_five_minutes(world: World) -> None:
    await world.add_node("node-2")
    lease = {"metadata": {"name": "node-2", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "node-2"}}
    await world.client.create("leases.coordination.k8s.io", lease, "kube-node-lease")
    spec = {"containers": [{"name": "app", "image": "a"}], "nodeName": "node-1"}
    made = await world.create("pods", {"metadata": {"name": "p"}, "spec": spec})
    seconds = {t["key"]: t["tolerationSeconds"] for t in made["spec"]["tolerations"]}
    assert seconds == {"node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 300}

    async def live() -> None:
        while True:
            renewed = {"spec": {"renewTime": clock.micro_timestamp(), "leaseDurationSeconds": 40}}
            await world.client.patch("leases.coordination.k8s.io", "node-2", renewed, "kube-node-lease")
            await clock.sleep(10)

    living = asyncio.create_task(live())
    try:
        times: dict[str, float] = {}

        async def evicted() -> bool:
            node = await world.client.get("nodes", "node-1")
            taints = {t["key"] for t in node["spec"].get("taints") or [] if t["effect"] == "NoExecute"}
            if "node.kubernetes.io/unreachable" in taints:
                times.setdefault("tainted", clock.monotonic())
            return await world.gone("pods", "p")

        await world.eventually(evicted, 60)
        assert 250 < clock.monotonic() - times["tainted"] < 400
        assert meta.name(await world.client.get("nodes", "node-2")) == "node-2"
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)


@pytest.mark.speed(1000)
async def test_a_pods_certificate_request_is_removed_after_a_quarter_of_an_hour(world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    stub = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    encoded = base64.b64encode(stub.public_bytes(serialization.Encoding.DER)).decode()
    spec = {"signerName": "example.com/s", "stubPKCS10Request": encoded}
    spec |= {f"{what}{end}": "x" for what in ("pod", "serviceAccount", "node") for end in ("Name", "UID")}
    requests = "podcertificaterequests.certificates.k8s.io"
    made = await world.create(requests, {"metadata": {"name": "r"}, "spec": spec})
    await world.eventually(lambda: world.gone(requests, "r"))
    began = clock.parse_time(made["metadata"]["creationTimestamp"])
    assert (clock.now() - began).total_seconds() > 900
