"""Fixtures of the end-to-end tests: a folder, simulated venues, a plane on top of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from feedplane_testing.plane import write_feedset

FUTURES = "trades l1 ob_diffs ob_top5 ob_top20 liquidations klines mark_price funding open_interest advanced".split()
SPOT = "trades l1 ob_diffs ob_top5 ob_top20 klines advanced".split()
FEEDS = {"binance_futures": FUTURES, "binance_spot": SPOT, "coinbase": SPOT}
SYMBOLS = {
    "binance_futures": ["BTCUSDT", "ETHUSDT"],
    "binance_spot": ["BTCUSDT", "ETHUSDT"],
    "coinbase": ["BTC-USD", "ETH-USD"],
}


@pytest.fixture
def feedset(tmp_path: Path) -> Path:
    """Three venues, two symbols each, all feeds."""
    return write_feedset(tmp_path / "feedset.json", SYMBOLS, FEEDS)


@pytest.fixture
def simulated() -> list[str]:
    """Arguments of a simulator that lists just what the FeedSet wants."""
    args = []
    for exchange, symbols in SYMBOLS.items():
        args += ["--exchange", exchange, "--symbols", ",".join(f"{exchange}:{symbol}" for symbol in symbols)]
    return args
