import asyncio
import json
from urllib.request import urlopen

import pytest
from feedplane_ops.runtime import service_runtime
from feedplane_ops.settings import ServiceSettings


async def test_a_service_shows_its_health_metrics_and_routes() -> None:
    def get(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return str(response.read().decode())

    async with service_runtime("writer", ServiceSettings(instance="w-0")) as runtime:
        port = runtime.server.port
        runtime.metrics.counter("rows_total", "Rows.", ["table"]).add(("trades",), 3)
        runtime.server.route("/status", lambda: {"backlog_rows": 4})
        await asyncio.sleep(0.6)  # one beat of the event loop

        assert json.loads(await asyncio.to_thread(get, "/healthz")) == {"ok": True, "reasons": []}
        assert json.loads(await asyncio.to_thread(get, "/status")) == {"backlog_rows": 4}
        text = await asyncio.to_thread(get, "/metrics")

    assert 'feedplane_writer_rows_total{table="trades"} 3.0' in text
    assert "feedplane_writer_loop_lag_seconds_count 1.0" in text
    assert len(asyncio.all_tasks()) == 1


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind() -> None:
    async with service_runtime("writer", ServiceSettings()) as first:
        taken = ServiceSettings(metrics_port=first.server.port)
        with pytest.raises(OSError, match="in use"):
            async with service_runtime("writer", taken):
                pytest.fail("the port was free")

    assert len(asyncio.all_tasks()) == 1
