"""Every venue folder at once, simulated: whatever stands in services/feeds/ streams through the whole plane, and the ledger judges all of it."""

from __future__ import annotations

import json
import os
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.adapter import Options
from feedplane_feedset.known import KnownExchange
from feedplane_testing.oracle import account_faults, hot_state_faults, judge_history
from feedplane_testing.plane import Plane, Simulator
from feedplane_testing.simulated import simulated_instruments, two_of_one_market

pytestmark = pytest.mark.faults

RUN_S = int(os.environ.get("FEEDPLANE_TEST_SECONDS", "60"))
"""Of the run before it is judged; set it for a longer one."""
RATE = 3_000


def entry_of(exchange: str, endpoints: dict[str, str]) -> dict[str, Any]:
    """One entry of a FeedSet: two symbols of a single market, all feeds."""
    adapter = entry_points(group="feedplane.adapters")[exchange].load()(Options(endpoints=endpoints))
    chosen = two_of_one_market(simulated_instruments(adapter))
    return {
        "exchange": exchange,
        "markets": [chosen[0].market_type],
        "feeds": list(KnownExchange.from_offers(exchange, adapter.offers).selectable),
        "symbols": {"include": [instrument.instrument for instrument in chosen]},
    }


@pytest.mark.timeout(400 + 2 * RUN_S)
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
            lines = venues.ledger(lambda line: (line["exchange"], line["instrument"]) in followed)
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
