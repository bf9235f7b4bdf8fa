"""Every venue folder at once, simulated: whatever stands in services/feeds/ streams through the whole plane, and the ledger judges all of it."""

from __future__ import annotations

import json
import time
import urllib.request
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.adapter import Adapter, Options
from feedplane_core.instruments import Instrument
from feedplane_core.names import MarketType
from feedplane_core.paging import next_page
from feedplane_feedset.known import KnownExchange
from feedplane_testing.oracle import account_faults, hot_state_faults, judge_history
from feedplane_testing.plane import Plane, Simulator

pytestmark = pytest.mark.faults

RUN_S = 60
RATE = 3_000
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def simulated_instruments(adapter: Adapter) -> list[Instrument]:
    """What the simulated venue lists, as the real adapter reads it."""
    bodies = []
    for request in adapter.instruments_requests():
        following = request
        while following is not None:
            call = urllib.request.Request(
                following.url, data=following.body, headers=dict(following.headers), method=following.method
            )
            body = _OPENER.open(call, timeout=10).read()
            bodies.append(body)
            following = next_page(following, body)
    return adapter.decode_instruments(bodies)


def entry_of(exchange: str, endpoints: dict[str, str]) -> dict[str, Any]:
    """One entry of a FeedSet: a single market (some venues spell two alike), two symbols, all feeds."""
    adapter = entry_points(group="feedplane.adapters")[exchange].load()(Options(endpoints=endpoints))
    listed = simulated_instruments(adapter)
    markets = {i.market_type for i in listed}
    market = next(m for m in (MarketType.PERP_LINEAR, MarketType.SPOT, MarketType.PERP_INVERSE) if m in markets)
    symbols = sorted(i.instrument for i in listed if i.market_type is market and i.base in ("BTC", "XBT", "ETH"))
    return {
        "exchange": exchange,
        "markets": [market],
        "feeds": list(KnownExchange.from_offers(exchange, adapter.offers).selectable),
        "symbols": {"include": symbols[:2]},
    }


@pytest.mark.timeout(400)
def test_all_venues_at_once(tmp_path: Path) -> None:
    with Simulator(tmp_path, "--rate", str(RATE), "--seed", "3", "--instruments", "4") as venues:
        endpoints = json.loads(venues.ready_path.read_text())["endpoints"]
        entries = [entry_of(exchange, urls) for exchange, urls in sorted(endpoints.items())]
        document = {
            "apiVersion": "feedplane.io/v1alpha1",
            "kind": "FeedSet",
            "metadata": {"name": "all"},
            "spec": {"exchanges": entries},
        }
        feedset = tmp_path / "all.json"
        feedset.write_text(json.dumps(document))
        with Plane(tmp_path, feedset, "--endpoints", str(venues.ready_path)) as plane:
            plane.wait_ready(120)
            time.sleep(RUN_S)
            venues.fault("cut:code=0")
            time.sleep(10)
            venues.stop()
            time.sleep(0.5)
            plane.wait_drained(120)
            followed = {(entry["exchange"], symbol) for entry in entries for symbol in entry["symbols"]["include"]}
            # One frame may speak of several instruments; what is not followed is nobody's obligation.
            lines = [line for line in venues.ledger() if (line["exchange"], line["instrument"]) in followed]
            verdict = judge_history(plane, lines)
            hot = hot_state_faults(plane, lines)
            account = plane.stop(30)

    assert verdict.is_clean, verdict.text()
    assert {key[0] for key in (line.key for line in verdict.covered)} | {e["exchange"] for e in entries} == set(
        endpoints
    )
    assert hot == []
    assert account_faults(account) == []
    assert sum(row["rejected"] for row in account["accounts"]) == 0
    assert len(lines) > 0.8 * RATE * RUN_S
