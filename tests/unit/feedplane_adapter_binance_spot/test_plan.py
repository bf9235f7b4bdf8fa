"""Options and control frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from feedplane_adapter_binance_spot import ADAPTER
from feedplane_core.adapter import Channel, Options
from feedplane_core.errors import UsageError
from feedplane_core.instruments import Instrument
from feedplane_core.names import Feed, MarketType

BTC = Instrument(
    exchange="binance_spot",
    market_type=MarketType.SPOT,
    instrument="BTCUSDT",
    pair="BTC-USDT",
    base="BTC",
    quote="USDT",
    stream_id="btcusdt",
)


def names(options: Options, *feeds: Feed) -> list[str]:
    return [c.name for connection in ADAPTER(options).subscriptions([BTC], feeds) for c in connection.channels]


def test_default_streams() -> None:
    (connection,) = ADAPTER().subscriptions([BTC], [Feed.TRADES, Feed.L1, Feed.OB_DIFFS, Feed.KLINES])

    assert connection.url == "wss://data-stream.binance.vision/stream"
    streams = ["btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@100ms", "btcusdt@kline_1m"]
    assert [json.loads(frame) for frame in connection.subscribe] == [
        {"method": "SUBSCRIBE", "params": streams, "id": 1}
    ]


def test_one_plan_never_mixes_the_two_id_spaces_of_trades() -> None:
    assert names(Options(), Feed.TRADES) == ["btcusdt@trade"]
    assert names(Options(switches={"trades": "aggTrade"}), Feed.TRADES) == ["btcusdt@aggTrade"]
    for switch, call in (("trade", "historicalTrades"), ("aggTrade", "aggTrades")):
        request = ADAPTER(Options(switches={"trades": switch})).history_request(BTC, Feed.TRADES, 0, 10, after_id="7")
        assert request is not None
        assert f"/{call}?symbol=BTCUSDT&fromId=8&" in request.url


def test_endpoints_are_options_and_one_rest_host_serves_all() -> None:
    adapter = ADAPTER(Options(endpoints={"ws": "ws://sim/b", "rest": "http://sim/r"}, switches={"time_unit": "us"}))

    (connection,) = adapter.subscriptions([BTC], [Feed.L1])
    snapshot = adapter.book_snapshot_request(BTC)
    history = adapter.history_request(BTC, Feed.TRADES, 0, 10, after_id="7")

    assert connection.url == "ws://sim/b/stream?timeUnit=MICROSECOND"
    assert snapshot is not None
    assert snapshot.url == "http://sim/r/api/v3/depth?symbol=BTCUSDT&limit=1000"
    assert history is not None
    assert history.url.startswith("http://sim/r/api/v3/historicalTrades?")


@pytest.mark.parametrize(("limit", "weight"), [("100", 5), ("500", 25), ("1000", 50), ("5000", 250)])
def test_snapshot_depth_is_a_switch_with_its_price(limit: str, weight: int) -> None:
    adapter = ADAPTER(Options(switches={"snapshot_limit": limit}))

    request = adapter.book_snapshot_request(BTC)

    assert request is not None
    assert request.weight == weight
    assert adapter.book_rule(BTC).snapshot_depth == int(limit)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (Options(switches={"trades": "blockTrade"}), "switches.trades"),
        (Options(switches={"colour": "red"}), "switches.colour"),
        (Options(kline_intervals=("1m", "1M")), "klineIntervals"),
    ],
)
def test_wrong_options_are_named(options: Options, field: str) -> None:
    with pytest.raises(UsageError) as wrong:
        ADAPTER(options)

    assert wrong.value.field == field


def test_control_frames_keep_to_the_rate_of_the_venue() -> None:
    many = [Channel(instrument=f"A{n}USDT", feed=Feed.L1, name=f"a{n}usdt@bookTicker") for n in range(250)]
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([BTC], [Feed.L1])

    frames: list[dict[str, Any]] = [
        json.loads(f) for f in adapter.change_subscription(connection, many, connection.channels)
    ]

    assert [frame["method"] for frame in frames] == ["UNSUBSCRIBE", "SUBSCRIBE", "SUBSCRIBE", "SUBSCRIBE"]
    assert [name for frame in frames[1:] for name in frame["params"]] == [channel.name for channel in many]
    assert len({frame["id"] for frame in frames}) == 4
    assert connection.min_send_gap_ns * 5 >= 1_000_000_000
    assert connection.protocol_ping_every_ns is None
