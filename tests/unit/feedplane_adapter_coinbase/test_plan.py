"""Options and control frames."""

from __future__ import annotations

import json

import pytest
from feedplane_adapter_coinbase import ADAPTER
from feedplane_core.adapter import Options
from feedplane_core.errors import UsageError
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType


def product(name: str) -> Instrument:
    base, quote = name.split("-")
    return Instrument(
        exchange="coinbase", market_type=MarketType.SPOT, instrument=name, pair=name, base=base, quote=quote
    )


BTC, ETH = product("BTC-USD"), product("ETH-USD")


def test_first_frame_asks_for_everything() -> None:
    (connection,) = ADAPTER().subscriptions([ETH, BTC], [Feed.TRADES, Feed.OB_DIFFS])

    assert connection.url == "wss://ws-feed.exchange.coinbase.com"
    assert connection.max_frame_bytes == 16 * 1024 * 1024
    assert connection.compression
    assert [json.loads(frame) for frame in connection.subscribe] == [
        {
            "type": "subscribe",
            "product_ids": ["BTC-USD", "ETH-USD"],
            "channels": ["matches", "level2_batch", "heartbeat"],
        }
    ]


@pytest.mark.parametrize("feed", [Feed.L1, Feed.OB_TOP5, Feed.ADVANCED])
def test_feeds_without_a_channel_stand_for_book_and_trades(feed: Feed) -> None:
    (connection,) = ADAPTER().subscriptions([BTC], [feed])

    assert [channel.feed for channel in connection.channels] == [Feed.TRADES, Feed.OB_DIFFS]


def test_candles_alone_need_no_socket() -> None:
    adapter = ADAPTER(Options(kline_intervals=("1m", "1h")))

    assert adapter.subscriptions([BTC], [Feed.KLINES]) == []
    polls = adapter.polls([BTC], [Feed.KLINES])
    assert [(p.request.url, p.every_ns) for p in polls] == [
        ("https://api.exchange.coinbase.com/products/BTC-USD/candles?granularity=60", 60 * NS_PER_S),
        ("https://api.exchange.coinbase.com/products/BTC-USD/candles?granularity=3600", 300 * NS_PER_S),
    ]
    assert adapter.polls([BTC], [Feed.TRADES]) == []


def test_one_channel_starts_anew() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([BTC, ETH], [Feed.TRADES, Feed.OB_DIFFS])
    book = next(c for c in connection.channels if c.instrument == "ETH-USD" and c.feed is Feed.OB_DIFFS)

    wanted = [{"name": "level2_batch", "product_ids": ["ETH-USD"]}]
    assert [json.loads(frame) for frame in adapter.resubscribe(connection, book)] == [
        {"type": "unsubscribe", "channels": wanted},
        {"type": "subscribe", "channels": wanted},
    ]


def test_heartbeat_follows_the_product() -> None:
    """It joins with the first channel of a product and leaves with the last."""
    adapter = ADAPTER()
    (old,) = adapter.subscriptions([BTC], [Feed.TRADES, Feed.OB_DIFFS])
    (new,) = adapter.subscriptions([ETH], [Feed.TRADES])
    trades, book = old.channels

    only_book = adapter.change_subscription(old, new.channels, [book])
    assert [json.loads(frame) for frame in only_book] == [
        {"type": "unsubscribe", "channels": [{"name": "level2_batch", "product_ids": ["BTC-USD"]}]},
        {
            "type": "subscribe",
            "channels": [
                {"name": "matches", "product_ids": ["ETH-USD"]},
                {"name": "heartbeat", "product_ids": ["ETH-USD"]},
            ],
        },
    ]
    (gone,) = adapter.change_subscription(old, [], [trades, book])
    assert json.loads(gone)["channels"][-1] == {"name": "heartbeat", "product_ids": ["BTC-USD"]}
    assert adapter.change_subscription(old, [], []) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [(Options(kline_intervals=("3m",)), "klineIntervals"), (Options(switches={"a": "b"}), "switches.a")],
)
def test_wrong_options_are_named(options: Options, field: str) -> None:
    with pytest.raises(UsageError) as wrong:
        ADAPTER(options)

    assert wrong.value.field == field
