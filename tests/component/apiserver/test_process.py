"""The server as a process of its own: its command line, an orderly end, and `kill -9`."""

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pynetes.apiserver.options import Options, parse
from pynetes.cluster.pki import Authority
from pynetes.testing.apiserver import options_for

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def _flags(options: Options) -> list[str]:
    flags = []
    for each in fields(options):
        value = getattr(options, each.name)
        if value != getattr(Options(), each.name):
            flags += [
                f"--{each.name.replace('_', '-')}={item}" for item in (value if isinstance(value, list) else [value])
            ]
    return flags


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """An API server over a store on disk, which may be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.port = _free_port()
        options, self.authority = options_for(
            directory, storage=f"sqlite:///{directory}/store.db", secure_port=self.port
        )
        self.flags = _flags(options)
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pynetes.apiserver", *self.flags, stderr=asyncio.subprocess.DEVNULL
        )
        async with session(self.authority) as http, asyncio.timeout(20):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(self.url("/readyz")) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 15)


@contextlib.asynccontextmanager
async def session(authority: Authority) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cafile=str(authority.certificate_file))
    context.load_cert_chain(*authority.ensure("admin", "kubernetes-admin", ("system:masters",)))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as made:
        yield made


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(tmp_path)
    await process.start()
    yield process
    await process.end(signal.SIGKILL)


async def test_sigterm_ends_it_in_good_order(process: Process) -> None:
    async with session(process.authority) as http, http.get(process.url(f"{CONFIGMAPS}?watch=1")) as watching:
        assert watching.status == 200
        assert await process.end(signal.SIGTERM) == 0
        assert await watching.content.read() == b"", "the watch ended with its last chunk"


async def test_an_acknowledged_create_survives_kill_9(process: Process) -> None:
    acknowledged: dict[str, int] = {}
    async with session(process.authority) as http:
        async with http.get(process.url(CONFIGMAPS)) as answer:
            started = (await answer.json())["metadata"]["resourceVersion"]
        events: list[tuple[str, str, int]] = []

        def note(line: dict[str, Any]) -> None:
            metadata = line["object"]["metadata"]
            events.append((line["type"], metadata["name"], int(metadata["resourceVersion"])))

        async def follow(version: str) -> None:
            url = process.url(f"{CONFIGMAPS}?watch=1&resourceVersion={version}")
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(url) as answer:
                    async for line in answer.content:
                        note(json.loads(line))

        async def create(worker: int) -> None:
            for index in range(1000):
                body: dict[str, Any] = {"metadata": {"name": f"c-{worker}-{index}"}, "data": {"a": "b"}}
                try:
                    async with http.post(process.url(CONFIGMAPS), json=body) as answer:
                        metadata = (await answer.json())["metadata"]
                except (aiohttp.ClientError, json.JSONDecodeError):
                    return
                assert answer.status == 201
                acknowledged[metadata["name"]] = int(metadata["resourceVersion"])

        following = asyncio.create_task(follow(started))
        creating = [asyncio.create_task(create(worker)) for worker in range(16)]
        while len(acknowledged) < 1000:
            await asyncio.sleep(0.005)
        await process.end(signal.SIGKILL)
        await asyncio.gather(*creating)
        await following
        assert len(acknowledged) >= 1000

        await process.start()
        async with http.get(process.url(CONFIGMAPS)) as answer:
            stored = {
                item["metadata"]["name"]: int(item["metadata"]["resourceVersion"])
                for item in (await answer.json())["items"]
            }
        assert acknowledged.items() <= stored.items(), "every acknowledged object is there, at its revision"

        last = str(max([version for _, _, version in events], default=int(started)))
        following = asyncio.create_task(follow(last))
        async with http.post(process.url(CONFIGMAPS), json={"metadata": {"name": "last"}}) as answer:
            assert answer.status == 201
        async with asyncio.timeout(10):
            while not events or events[-1][1] != "last":
                await asyncio.sleep(0.01)
        following.cancel()
    seen = [(name, version) for kind, name, version in events if kind == "ADDED"]
    assert len(seen) == len(events) == len(set(seen)), "nothing is repeated"
    assert {name for name, _ in seen} == stored.keys() | {"last"}, "and nothing is missed"
    assert [version for _, version in seen] == sorted(version for _, version in seen)


def test_flags_are_upstreams() -> None:
    options = parse(
        [
            "--secure-port=7443",
            "--bind-address=127.0.0.1",
            "--bind-address=10.0.0.1:6443",
            "--authorization-mode=Node,RBAC",
            "--anonymous-auth=false",
            "--request-timeout=1m30s",
        ]
    )
    assert options.secure_port == 7443
    assert options.bind_address == ["127.0.0.1", "10.0.0.1:6443"]
    assert options.authorization_mode == ["Node", "RBAC"]
    assert not options.anonymous_auth
    assert options.request_timeout == 90


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(SystemExit):
        parse(["--no-such-flag"])
