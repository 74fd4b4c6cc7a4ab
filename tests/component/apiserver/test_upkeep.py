"""What the server does by itself: old events go, and what must be there comes back."""

import asyncio
import socket

import pytest

from pynetes.apiserver import bootstrap, identity_lease
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.testing.apiserver import RunningApiServer, running_apiserver

LEASES = "leases.coordination.k8s.io"


async def _until_missing(server: RunningApiServer, kind: str, name: str) -> None:
    client = server.client()
    async with asyncio.timeout(5):
        while True:
            try:
                await client.get(kind, name, "default")
            except StatusError as error:
                assert error.code == 404
                return
            await asyncio.sleep(0.02)


def event(name: str) -> dict[str, object]:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "Because",
        "type": "Normal",
        "message": name,
    }


async def test_an_event_is_removed_when_nobody_has_written_it_for_long() -> None:
    async with running_apiserver(event_ttl=0.4) as server:
        client = server.client()
        await client.create("events", event("old"), "default")
        await client.create("events", event("renewed"), "default")
        for count in range(4):
            await asyncio.sleep(0.2)
            await client.patch("events", "renewed", {"message": str(count)}, "default")
        await _until_missing(server, "events", "old")
        assert (await client.get("events", "renewed", "default"))["message"] == "3"
        await _until_missing(server, "events", "renewed")


async def test_the_kubernetes_service_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "KEEP_INTERVAL", 0.2)
    async with running_apiserver() as server:
        client = server.client()
        before = await client.get("services", "kubernetes", "default")
        await client.delete("services", "kubernetes", "default")
        async with asyncio.timeout(5):
            while True:
                try:
                    found = await client.get("services", "kubernetes", "default")
                except StatusError:
                    await asyncio.sleep(0.05)
                    continue
                break
        assert found["metadata"]["uid"] != before["metadata"]["uid"]
        assert found["spec"]["clusterIP"] == before["spec"]["clusterIP"]


async def test_the_rules_of_whose_turn_it_is_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "KEEP_INTERVAL", 0.2)
    async with running_apiserver() as server:
        client = server.client()
        level = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
        before = await client.get(level, "exempt")
        await client.delete(level, "exempt")
        async with asyncio.timeout(5):
            while True:
                try:
                    found = await client.get(level, "exempt")
                except StatusError:
                    await asyncio.sleep(0.05)
                    continue
                break
        assert found["spec"] == before["spec"] and found["metadata"]["uid"] != before["metadata"]["uid"]


async def test_a_server_holds_a_lease_and_those_of_servers_that_are_gone_are_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity_lease, "RENEW_INTERVAL", 0.05)
    async with running_apiserver() as server:
        client = server.client()
        mark = {"apiserver.kubernetes.io/identity": "kube-apiserver"}
        spec = {"holderIdentity": "x", "leaseDurationSeconds": 1, "renewTime": "2020-01-01T00:00:00.000000Z"}
        for name, labels in (("apiserver-gone", mark), ("other", {})):
            await client.create(LEASES, {"metadata": {"name": name, "labels": labels}, "spec": spec}, "kube-system")
        holding = asyncio.create_task(identity_lease.keep(server.server.registry))
        try:
            name = identity_lease.identity(socket.gethostname())
            seen = set()
            async with asyncio.timeout(5):
                while len(seen) < 2:
                    listed = await client.list(LEASES, "kube-system")
                    held = {meta.name(lease): lease for lease in listed.items}
                    if name in held:
                        seen.add(held[name]["spec"]["renewTime"])
                    await asyncio.sleep(0.02)
        finally:
            holding.cancel()
        assert set(held) == {name, "other"}
        assert meta.labels(held[name]) == mark | {"kubernetes.io/hostname": socket.gethostname()}
        assert held[name]["spec"]["holderIdentity"].startswith(f"{name}_")
        assert held[name]["spec"]["leaseDurationSeconds"] == 3600


async def test_an_advertised_address_becomes_the_endpoint_of_the_service() -> None:
    async with running_apiserver(advertise_address="192.0.2.7") as server:
        client = server.client()
        endpoints = await client.get("endpoints", "kubernetes", "default")
        (subset,) = endpoints["subsets"]
        assert subset["addresses"] == [{"ip": "192.0.2.7"}]
        assert subset["ports"] == [{"name": "https", "port": server.server.port, "protocol": "TCP"}]
        found = await client.get("endpointslices.discovery.k8s.io", "kubernetes", "default")
        assert found["endpoints"][0]["addresses"] == ["192.0.2.7"]


async def test_an_address_that_a_service_has_comes_back_and_others_do_not() -> None:
    async with running_apiserver() as server:
        client = server.client()
        kubernetes = await client.get("services", "kubernetes", "default")
        taken = kubernetes["spec"]["clusterIP"]
        before = await client.get("ipaddresses", taken)
        await client.delete("ipaddresses", taken)
        after = await client.get("ipaddresses", taken)
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert after["spec"] == before["spec"]

        service = await client.create(
            "services", {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}, "default"
        )
        address = service["spec"]["clusterIP"]
        assert await client.get("ipaddresses", address)
        await client.delete("services", "a", "default")
        await _until_missing_address(server, address)


async def test_endpoints_go_with_their_service_whoever_wrote_them() -> None:
    async with running_apiserver() as server:
        client = server.client()
        service = {"metadata": {"name": "a", "finalizers": ["example.com/wait"]}, "spec": {"ports": [{"port": 80}]}}
        await client.create("services", service, "default")
        await client.create("endpoints", {"metadata": {"name": "a"}}, "default")
        await client.delete("services", "a", "default")
        assert await client.get("endpoints", "a", "default"), "the service is still there"
        await client.patch("services", "a", {"metadata": {"finalizers": None}}, "default")
        await _until_missing(server, "endpoints", "a")


async def _until_missing_address(server: RunningApiServer, address: str) -> None:
    client = server.client()
    async with asyncio.timeout(5):
        while any(each["metadata"]["name"] == address for each in (await client.list("ipaddresses")).items):
            await asyncio.sleep(0.02)
