"""A whole plane on simulated venues, for the benchmarks that need one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feedplane_testing.plane import Plane, Simulator, write_feedset

FEEDS = "trades l1 ob_diffs ob_top5 ob_top20 liquidations klines mark_price funding open_interest advanced".split()
SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]


@contextmanager
def plane_at(rate: int) -> Iterator[tuple[Plane, Simulator]]:
    """Simulated Binance futures at `rate` messages a second, four symbols, all feeds, embedded engines; up when it is given."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        feedset = write_feedset(folder / "feedset.json", {"binance_futures": SYMBOLS}, {"binance_futures": FEEDS})
        args = ["--exchange", "binance_futures", "--symbols", ",".join(SYMBOLS), "--rate", str(rate)]
        with Simulator(folder, *args) as venues, Plane(folder, feedset, "--endpoints", str(venues.ready_path)) as plane:
            plane.wait_ready()
            yield plane, venues
