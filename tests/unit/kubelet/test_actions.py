"""What probes say of what they found."""

import asyncio

import pytest

from pynetes.kubelet.actions import Outcome, http_get


@pytest.mark.parametrize(
    "answer, outcome",
    [
        ("200 OK\r\n\r\n", Outcome("success")),
        ("500 Oh\r\n\r\n", Outcome("failure", "HTTP probe failed with statuscode: 500")),
        (
            "302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 5\r\n\r\nthere and more",
            Outcome("warning", "Probe terminated redirects, Response body: there"),
        ),
        ("304 No\r\n\r\nnothing", Outcome("warning", "Probe terminated redirects, Response body: nothing")),
    ],
)
async def test_an_http_probe(answer, outcome):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {answer}".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await http_get({"path": "/"}, "127.0.0.1", port, 5.0) == outcome
