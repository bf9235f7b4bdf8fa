import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from feedplane_ops.health import Health
from feedplane_ops.http import MAX_CONNECTIONS, HealthServer


@pytest.fixture
def health() -> Health:
    return Health()


@pytest_asyncio.fixture
async def server(health: Health) -> AsyncIterator[HealthServer]:
    server = HealthServer(health, lambda: b"feedplane_x_total 1\n", request_timeout_s=0.3)
    await server.start()
    yield server
    await server.stop()


async def exchange(server: HealthServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def get(server: HealthServer, path: str) -> tuple[int, dict[str, str], bytes]:
    answer = await exchange(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["Content-Length"]) == len(body)
    return int(status.split()[1]), headers, body


async def test_metrics_are_served_as_prometheus_text(server: HealthServer) -> None:
    status, headers, body = await get(server, "/metrics")

    assert (status, body) == (200, b"feedplane_x_total 1\n")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_probes_tell_their_reasons(server: HealthServer, health: Health) -> None:
    status, _, body = await get(server, "/readyz")
    assert (status, json.loads(body)) == (200, {"ok": True, "reasons": []})

    health.add_readiness("redis", lambda: "connection refused")
    status, _, body = await get(server, "/readyz")
    assert (status, json.loads(body)) == (503, {"ok": False, "reasons": ["redis: connection refused"]})
    assert (await get(server, "/healthz"))[0] == 200

    health.add_liveness("loop", lambda: "blocked")
    assert (await get(server, "/healthz"))[0] == 503


async def test_routes_may_be_plain_or_coroutines(server: HealthServer) -> None:
    async def later() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"books": 3}

    server.route("/status", lambda: {"ok": 1})
    server.route("/later", later)

    assert json.loads((await get(server, "/status?pretty=1"))[2]) == {"ok": 1}
    assert json.loads((await get(server, "/later"))[2]) == {"books": 3}


async def test_a_broken_route_does_not_take_the_others_with_it(server: HealthServer) -> None:
    server.route("/status", lambda: 1 / 0)

    status, _, body = await get(server, "/status")
    assert (status, json.loads(body)) == (500, {"error": "internal server error"})
    assert (await get(server, "/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\n\r\n", 404),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"DELETE /healthz HTTP/1.1\r\n\r\n", 405),
        (b"GET /healthz\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\r\n\r\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nX: never finished", 408),
    ],
)
async def test_what_is_refused(server: HealthServer, request_: bytes, status: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request_)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()

    assert int(head.split()[1]) == status


async def test_connections_are_bounded_and_idle_ones_end(server: HealthServer) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()

    for idle_reader, idle_writer in idle:
        await asyncio.wait_for(idle_reader.read(), 5)  # the server answers 408 and closes
        idle_writer.close()
    assert (await get(server, "/healthz"))[0] == 200


async def test_stop_cuts_open_connections(health: Health) -> None:
    server = HealthServer(health, request_timeout_s=30)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await asyncio.sleep(0.05)
    await asyncio.wait_for(server.stop(), 2)

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 2)
    writer.close()
