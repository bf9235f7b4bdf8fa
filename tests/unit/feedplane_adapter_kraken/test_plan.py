"""Sockets, requests, switches."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from feedplane_adapter_kraken import ADAPTER
from feedplane_adapter_kraken.plan import CHANNELS_PER_SOCKET, SYMBOLS_PER_FRAME
from feedplane_core.adapter import Connection, Options
from feedplane_core.errors import UsageError
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_testing.venues import Venue

ALL = [feed for feed, offer in ADAPTER.offers.feeds.items() if offer.live]


def instrument(name: str, market: MarketType = MarketType.SPOT) -> Instrument:
    return Instrument(exchange="kraken", market_type=market, instrument=name, pair=name, base="", quote="")


def bodies(connection: Connection) -> list[dict[str, Any]]:
    return [orjson.loads(frame) for frame in connection.subscribe]


def test_spot_and_futures_have_sockets_of_their_own() -> None:
    spot, futures = ADAPTER().subscriptions(
        [instrument("BTC/USD"), instrument("PF_XBTUSD", MarketType.PERP_LINEAR)], ALL
    )

    assert (spot.url, futures.url) == ("wss://ws.kraken.com/v2", "wss://futures.kraken.com/ws/v1")
    assert [(b["params"]["channel"], b["params"].get("snapshot")) for b in bodies(spot)] == [
        ("instrument", False),
        ("book", True),
        ("ohlc", True),
        ("ticker", True),
        ("trade", True),
    ]
    assert bodies(futures) == [
        {"event": "subscribe", "feed": feed, "product_ids": ["PF_XBTUSD"]} for feed in ("book", "ticker", "trade")
    ]
    assert (spot.ping, futures.ping) != (None, None)
    assert {c.feed for c in futures.channels} == set(ALL) - {Feed.KLINES}


def test_what_is_asked_for_says_all_that_the_venue_wants_repeated() -> None:
    adapter = ADAPTER(Options(kline_intervals=("1h",), switches={"book_depth": "500"}))
    (socket,) = adapter.subscriptions([instrument("BTC/USD")], ALL)
    params = {body["params"]["channel"]: body["params"] for body in bodies(socket)}

    assert params["book"] == {"channel": "book", "depth": 500, "symbol": ["BTC/USD"], "snapshot": True}
    assert params["ohlc"] == {"channel": "ohlc", "interval": 60, "symbol": ["BTC/USD"], "snapshot": True}
    assert params["ticker"]["event_trigger"] == "bbo"
    for channel in socket.channels:
        stop, start = map(orjson.loads, adapter.resubscribe(socket, channel))
        assert (stop["method"], start["method"]) == ("unsubscribe", "subscribe")
        assert start["params"] == {**stop["params"], "snapshot": True} == params[channel.name.partition("-")[0]]


def test_many_symbols_are_split_over_frames_and_sockets() -> None:
    sockets = ADAPTER().subscriptions([instrument(f"C{n}/USD") for n in range(500)], ALL)
    asked = [body["params"] for socket in sockets for body in bodies(socket) if "symbol" in body["params"]]

    assert max(len(socket.channels) for socket in sockets) <= CHANNELS_PER_SOCKET
    assert max(len(params["symbol"]) for params in asked) <= SYMBOLS_PER_FRAME
    assert sorted(symbol for params in asked if params["channel"] == "book" for symbol in params["symbol"]) == sorted(
        f"C{n}/USD" for n in range(500)
    )


def test_a_shared_channel_goes_with_the_last_feed() -> None:
    adapter, contract = ADAPTER(), instrument("PI_XBTUSD", MarketType.PERP_INVERSE)
    (socket,) = adapter.subscriptions([contract], ALL)
    ticker = [channel for channel in socket.channels if channel.name == "ticker"]
    (other,) = adapter.subscriptions([instrument("PI_ETHUSD", MarketType.PERP_INVERSE)], ALL)

    assert len(ticker) == 4
    assert adapter.change_subscription(socket, (), ticker[:-1]) == []
    assert adapter.change_subscription(socket, ticker[:1], ()) == []
    (frame,) = adapter.change_subscription(socket, (), ticker)
    assert orjson.loads(frame) == {"event": "unsubscribe", "feed": "ticker", "product_ids": ["PI_XBTUSD"]}
    joined = [orjson.loads(frame) for frame in adapter.change_subscription(socket, other.channels, ())]
    assert joined == [
        {"event": "subscribe", "feed": feed, "product_ids": ["PI_ETHUSD"]} for feed in ("book", "ticker", "trade")
    ]


def test_dated_contracts_are_not_funded_and_only_linear_perpetuals_are_polled() -> None:
    adapter = ADAPTER()
    listed = Venue("kraken").instruments
    channels = [c for connection in adapter.subscriptions(listed, ALL) for c in connection.channels]

    assert {c.instrument for c in channels if c.feed is Feed.FUNDING} == {
        i.instrument for i in listed if i.market_type in (MarketType.PERP_INVERSE, MarketType.PERP_LINEAR)
    }
    polls = adapter.polls(listed, {Feed.KLINES, Feed.TRADES})
    assert {poll.channel.instrument for poll in polls} == {"PF_XBTUSD", "PF_PEPEUSD", "PF_DOGEUSD"}
    assert {poll.every_ns for poll in polls} == {60 * NS_PER_S}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (Options(switches={"book_depth": "50"}), "switches.book_depth"),
        (Options(switches={"speed": "1"}), "switches.speed"),
        (Options(kline_intervals=("12h",)), "klineIntervals"),
    ],
)
def test_wrong_options_are_named(options: Options, field: str) -> None:
    with pytest.raises(UsageError) as refused:
        ADAPTER(options)
    assert refused.value.field == field


def test_depth_is_a_switch_that_rules_follow() -> None:
    adapter = ADAPTER(Options(switches={"book_depth": "25"}))

    assert adapter.book_rule(None).max_depth == 25
    assert ADAPTER().book_rule(instrument("BTC/USD")).max_depth == 100
    assert ADAPTER().book_rule(instrument("PF_XBTUSD", MarketType.PERP_LINEAR)).max_depth is None
