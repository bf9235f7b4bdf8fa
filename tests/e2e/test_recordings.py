"""Real frames, recorded from real sockets, through the whole plane: what arrives is what an independent count finds in the recordings."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from feedplane_testing.oracle import account_faults
from feedplane_testing.plane import Plane, Simulator, wait_until, write_feedset

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"
_RECEIVED = re.compile(r"\d+(?:\.\d+)?: (.*)", re.DOTALL)

pytestmark = pytest.mark.skipif(not CAPTURES.is_dir(), reason="no ../shared/captures beside the checkout")


def binance_feed(message: dict[str, Any]) -> str | None:
    """The feed of a combined frame, told from its stream's name alone."""
    kind = message.get("stream", "").partition("@")[2]
    return {"aggTrade": "trades", "bookTicker": "l1", "depth@100ms": "ob_diffs", "kline_1m": "klines"}.get(kind)


def coinbase_feed(message: dict[str, Any]) -> str | None:
    return {"match": "trades", "l2update": "ob_diffs", "snapshot": "ob_diffs"}.get(message["type"])


class Recording(NamedTuple):
    """One venue's capture: its files, its symbols, and which feed each frame belongs to."""

    exchange: str
    prefix: str
    symbols: list[str]
    feed_of: Callable[[dict[str, Any]], str | None]
    switches: dict[str, str]


RECORDINGS = [
    Recording("binance_futures", "BINANCE_FUTURES", ["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"], binance_feed, {}),
    Recording("binance_spot", "BINANCE", ["NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR"], binance_feed, {"trades": "aggTrade"}),
    Recording("coinbase", "COINBASE",
              "SKL-USD SKL-BTC BAND-GBP NMR-EUR BAND-BTC YFI-BTC DASH-BTC NU-GBP CRV-EUR SKL-GBP".split(), coinbase_feed, {}),
]  # fmt: skip
FEEDS = {"binance_futures": ["trades", "l1", "ob_diffs", "klines"], "binance_spot": ["trades", "l1", "ob_diffs", "klines"], "coinbase": ["trades", "ob_diffs"]}  # fmt: skip


def counted(recording: Recording) -> Counter[str]:
    """Frames per feed, from the text of the capture."""
    counts: Counter[str] = Counter()
    for path in sorted(CAPTURES.glob(f"{recording.prefix}.ws.*.gz")):
        for line in gzip.open(path, "rt", encoding="utf-8"):
            match = _RECEIVED.fullmatch(line.rstrip("\n"))
            feed = recording.feed_of(json.loads(match[1])) if match else None
            if feed is not None:
                counts[feed] += 1
    return counts


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.exchange)
def test_a_recording_arrives_whole(tmp_path: Path, recording: Recording) -> None:
    expected = counted(recording)
    files = sorted(CAPTURES.glob(f"{recording.prefix}.*gz"))
    exchange = recording.exchange
    plays = [arg for path in files for arg in ("--play", f"{exchange}={path}")]
    feedset = write_feedset(tmp_path / "feedset.json", {exchange: recording.symbols}, FEEDS)
    environment = {"FEEDPLANE_SWITCHES": json.dumps({exchange: recording.switches})}
    with (
        Simulator(tmp_path, "--exchange", exchange, *plays, "--speed", "20") as venues,
        Plane(tmp_path, feedset, "--endpoints", str(venues.ready_path), environment=environment) as plane,
    ):
        plane.wait_ready()

        def received() -> dict[str, int]:
            rows = plane.status()["accounts"]
            return {row["feed"]: row["received"] for row in rows if row["feed"] in expected}

        wait_until(lambda: all(received().get(feed, 0) >= n for feed, n in expected.items()), f"all of {expected}", 60)
        time.sleep(1.0)
        plane.wait_drained()
        trades = plane.query("SELECT count() AS n, uniqExact(instrument, trade_id) AS ids FROM trades_dedup")[0]
        modes = plane.query("SELECT currentDatabase() AS name")
        account = plane.stop()

    rows = {row["feed"]: row for row in account["accounts"]}
    snapshots = len(recording.symbols) if exchange != "coinbase" else 0  # served by REST beside the frames
    assert rows["trades"]["received"] == expected["trades"]
    assert trades == {"n": expected["trades"], "ids": expected["trades"]}
    assert rows["ob_diffs"]["received"] - snapshots == expected["ob_diffs"]
    for feed in ("l1", "klines"):
        assert rows.get(feed, {}).get("received", 0) == expected[feed] or feed not in expected
    assert sum(row["rejected"] for row in account["accounts"]) == 0
    assert account["mode"] == "replay"
    assert modes == [{"name": "feedplane_replay"}]
    assert account_faults(account) == []
