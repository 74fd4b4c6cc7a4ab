"""kubectl's logs, exec, attach, cp's tar stream and port-forward, over WebSocket and over SPDY."""

import asyncio
import os
import shutil
from dataclasses import dataclass

import pytest

from pynetes.testing.apiserver import RunningApiServer
from tests.component.tunnels.fake_kubelet import FakeKubelet

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl"),
]

OVER = {"websocket": "true", "spdy": "false"}


@dataclass
class Output:
    code: int
    out: bytes
    err: str


@pytest.fixture(params=["websocket", "spdy"])
def environment(request: pytest.FixtureRequest, server: RunningApiServer) -> dict[str, str]:
    chosen = OVER[request.param]
    return {
        **os.environ,
        "KUBECONFIG": str(server.admin_kubeconfig),
        "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": chosen,
        "KUBECTL_PORT_FORWARD_WEBSOCKETS": chosen,
    }


async def kubectl(environment: dict[str, str], *arguments: str, stdin: bytes | None = None) -> Output:
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 30)
    assert process.returncode is not None
    return Output(process.returncode, out, err.decode())


async def test_exec_writes_what_the_command_writes(kubelet: FakeKubelet, environment: dict[str, str]) -> None:
    result = await kubectl(environment, "exec", "p", "--", "hello", "wor ld")
    assert (result.code, result.out) == (0, b"hello wor ld\n"), result.err


async def test_exec_ends_with_the_commands_code(kubelet: FakeKubelet, environment: dict[str, str]) -> None:
    result = await kubectl(environment, "exec", "p", "--", "fail", "42")
    assert result.code == 42
    assert result.err == "it failed\ncommand terminated with exit code 42\n"


@pytest.mark.parametrize("size", [0, 1, 1000, 5_000_000])
async def test_exec_carries_its_input_and_its_end(kubelet: FakeKubelet, environment: dict[str, str], size: int) -> None:
    data = os.urandom(size)
    result = await kubectl(environment, "exec", "-i", "p", "--", "cat", stdin=data)
    assert result.code == 0, result.err
    assert result.out == data


async def test_exec_loses_nothing_of_a_large_output(kubelet: FakeKubelet, environment: dict[str, str]) -> None:
    result = await kubectl(environment, "exec", "p", "--", "yes", "20000000")
    assert (result.code, len(result.out)) == (0, 20_000_000), result.err


async def test_attach_hears_the_container(kubelet: FakeKubelet, environment: dict[str, str]) -> None:
    result = await kubectl(environment, "attach", "p")
    assert b"attached" in result.out, result.err


async def test_what_the_kubelet_refuses_is_shown(kubelet: FakeKubelet, environment: dict[str, str]) -> None:
    result = await kubectl(environment, "exec", "p", "--", "refuse")
    websocket = environment["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] == OVER["websocket"]
    where = "Internal error occurred: " if websocket else ""
    assert (result.code, result.err) == (1, f"error: {where}unable to upgrade connection: container not running\n")


async def test_a_pod_that_is_not_there(kubelet: FakeKubelet, environment: dict[str, str]) -> None:
    result = await kubectl(environment, "exec", "none", "--", "hello")
    assert (result.code, result.err) == (1, 'Error from server (NotFound): pods "none" not found\n')


async def test_port_forward_carries_several_connections(kubelet: FakeKubelet, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        "kubectl", "port-forward", "pod/p", ":80", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        port = int(line.split("127.0.0.1:")[1].split(" ")[0])

        async def shout(text: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(text)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(-1), 10)
            writer.close()
            return answer

        answers = await asyncio.gather(*(shout(f"hello {number}".encode()) for number in range(5)))
        assert answers == [f"HELLO {number}".encode() for number in range(5)]
        assert await shout(b"x" * 1_000_000) == b"X" * 1_000_000
    finally:
        process.terminate()
        await process.wait()


async def test_logs_are_carried_as_they_come(kubelet: FakeKubelet, environment: dict[str, str]) -> None:
    assert (await kubectl(environment, "logs", "p")).out == b"hello\n"
    kubelet.follow.clear()
    process = await asyncio.create_subprocess_exec(
        "kubectl", "logs", "-f", "p", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 10) == b"hello\n"
    kubelet.follow.set()
    assert await asyncio.wait_for(process.stdout.read(), 10) == b"more\n"
    assert await process.wait() == 0
