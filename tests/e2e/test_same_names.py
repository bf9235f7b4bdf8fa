"""One venue, one name, two markets: both are collected, neither overwrites the other, and the ledger judges each by itself."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from feedplane_testing.judge import issued_of_ledger, judge
from feedplane_testing.oracle import account_faults, hot_state_faults
from feedplane_testing.plane import Plane, Simulator, wait_until, write_feedset
from feedplane_testing.stores import Query, holes_of_tables, kept_of_tables

NAMES = {"bybit": "BTCUSDT", "gateio": "BTC_USDT"}
FEEDS = "trades l1 ob_diffs ob_top5 ob_top20 liquidations klines mark_price funding open_interest advanced".split()


def of_market(query: Query, market: str) -> Query:
    """The same tables with one market's rows."""

    def narrowed(sql: str) -> list[dict[str, Any]]:
        return query(re.sub(r"FROM (\w+)", rf"FROM (SELECT * FROM \1 WHERE market_type = '{market}')", sql))

    return narrowed


def both_are_under_way(query: Query) -> bool:
    """Whether history holds something worth judging of each market, however busy the machine is."""
    rows = query("SELECT market_type, count() AS n FROM trades GROUP BY ALL HAVING n > 30")
    rows += query("SELECT market_type, count() AS n FROM ob_diffs GROUP BY ALL HAVING n > 100")
    return len(rows) == 4


@pytest.mark.parametrize("exchange", sorted(NAMES))
def test_both_markets_of_a_name_are_whole(exchange: str, tmp_path: Path) -> None:
    name = NAMES[exchange]
    feedset = write_feedset(tmp_path / "feedset.json", {exchange: [name]}, {exchange: FEEDS})
    verdicts, hot = {}, {}
    with (
        Simulator(tmp_path, "--exchange", exchange, "--instruments", "4", "--rate", "400", "--seed", "5") as venues,
        Plane(tmp_path, feedset, "--endpoints", str(venues.ready_path)) as plane,
    ):
        plane.wait_ready()
        wait_until(lambda: both_are_under_way(plane.query), "trades and changes of books on both markets", 90)
        venues.stop()
        time.sleep(0.5)
        plane.wait_drained()
        lines = [line for line in venues.ledger() if line["instrument"] == name]
        for market, key in (("spot", name), ("perp_linear", f"{name}:perp_linear")):
            own = [line for line in lines if line["event"]["market_type"] == market]
            issued = [line for line in issued_of_ledger(own) if line.key[2] != "top_of_book"]
            query = of_market(plane.query, market)
            verdicts[market] = judge(issued, kept_of_tables(query), holes_of_tables(query))
            hot[market] = hot_state_faults(plane, [{**line, "instrument": key} for line in own])
        account = plane.stop()

    for market, verdict in verdicts.items():
        assert verdict.is_clean, f"{market}: {verdict.text()}"
        assert verdict.kept > 50, market
    assert hot == {"spot": [], "perp_linear": []}
    assert account_faults(account) == []
    assert sum(row["rejected"] for row in account["accounts"]) == 0
