"""Sockets, control frames, options."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from feedplane_adapter_htx import ADAPTER
from feedplane_core.adapter import Options
from feedplane_core.errors import UsageError
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType


def instrument(name: str) -> Instrument:
    parts = name.split("-")
    market = (MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.DELIVERY)[len(parts) - 1]
    size = None if market is MarketType.SPOT else "0.001"
    return Instrument(
        exchange="htx", market_type=market, instrument=name, pair=name, base="BTC", quote="USDT", contract_size=size
    )


SPOT, PERPETUAL, DATED = map(instrument, ("btcusdt", "BTC-USDT", "BTC-USDT-261225"))
ALL = [feed for feed, offer in ADAPTER.offers.feeds.items() if offer.live]


def frames(connection: Any) -> list[dict[str, str]]:
    return [json.loads(frame) for frame in connection.subscribe]


def test_each_kind_of_topic_has_its_address() -> None:
    by_url = {c.url: frames(c) for c in ADAPTER().subscriptions([SPOT, PERPETUAL, DATED], ALL)}

    def topics(url: str) -> list[str]:
        return [frame.get("sub") or frame["topic"] for frame in by_url[url]]

    assert topics("wss://api.huobi.pro/ws") == [
        "market.btcusdt.trade.detail",
        "market.btcusdt.bbo",
        "market.btcusdt.kline.1min",
    ]
    assert topics("wss://api.huobi.pro/feed") == ["market.btcusdt.mbp.150"]
    assert topics("wss://api.hbdm.com/linear-swap-ws") == [
        f"market.{code}.{kind}"
        for code in ("BTC-USDT", "BTC-USDT-261225")
        for kind in ("trade.detail", "bbo", "depth.size_150.high_freq", "kline.1min")
    ]
    assert topics("wss://api.hbdm.com/ws_index") == [
        "market.BTC-USDT.mark_price.1min",
        "market.BTC-USDT.index.1min",
        "market.BTC-USDT-261225.mark_price.1min",
    ]
    assert topics("wss://api.hbdm.com/linear-swap-notification") == [
        "public.BTC-USDT.funding_rate",
        "public.BTC-USDT.liquidation_orders",
        "public.BTC-USDT-261225.liquidation_orders",
    ]
    assert len(by_url) == 5


def test_frames_say_what_their_topic_needs() -> None:
    plan = {c.url.rpartition("/")[2]: frames(c) for c in ADAPTER().subscriptions([PERPETUAL], ALL)}

    incremental = [frame["sub"] for frame in plan["linear-swap-ws"] if frame.get("data_type") == "incremental"]
    assert incremental == ["market.BTC-USDT.depth.size_150.high_freq"]
    assert all(frame["id"] == frame["sub"] for frame in plan["linear-swap-ws"])
    assert plan["linear-swap-notification"][1] == {
        "op": "sub",
        "cid": "public.BTC-USDT.liquidation_orders",
        "topic": "public.BTC-USDT.liquidation_orders",
        "business_type": "all",
    }


def test_a_spot_book_starts_anew_by_a_request_and_any_other_channel_by_its_subscription() -> None:
    adapter = ADAPTER()
    restarted = {}
    for connection in adapter.subscriptions([SPOT, PERPETUAL], ALL):
        for channel in connection.channels:
            restarted[channel.name] = [json.loads(f) for f in adapter.resubscribe(connection, channel)]

    assert [next(iter(f)) for f in restarted["market.btcusdt.mbp.150"]] == ["req"]
    assert [next(iter(f)) for f in restarted["market.BTC-USDT.depth.size_150.high_freq"]] == ["unsub", "sub"]
    assert [f["op"] for f in restarted["public.BTC-USDT.funding_rate"]] == ["unsub", "sub"]
    assert [next(iter(f.values())) for f in restarted["market.BTC-USDT.mark_price.1min"]] == [
        "market.BTC-USDT.mark_price.1min",
        "market.BTC-USDT.index.1min",
    ] * 2


def test_live_sockets_take_and_lose_channels() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([SPOT], [Feed.TRADES])
    (other,) = adapter.subscriptions([instrument("ethusdt")], [Feed.TRADES])

    changed = adapter.change_subscription(connection, other.channels, connection.channels)

    assert connection.capacity >= 100
    assert [json.loads(frame) for frame in changed] == [
        {"unsub": "market.btcusdt.trade.detail", "id": "market.btcusdt.trade.detail"},
        {"sub": "market.ethusdt.trade.detail", "id": "market.ethusdt.trade.detail"},
    ]


def test_no_socket_carries_more_than_its_share() -> None:
    many = [instrument(f"c{n}usdt") for n in range(200)] + [instrument(f"C{n}-USDT") for n in range(200)]
    plan = ADAPTER().subscriptions(many, ALL)

    assert max(len(c.subscribe) for c in plan) <= 100
    assert max(len(c.subscribe) for c in plan if c.url.endswith("/feed")) <= 40
    assert len({c.key for c in plan}) == len(plan)
    wide = ADAPTER(Options(switches={"topics_per_socket": "500"})).subscriptions(many, ALL)
    assert len(wide) < len(plan)


def test_the_address_of_mark_prices_is_a_switch() -> None:
    plan = ADAPTER(Options(switches={"mark_price_socket": "linear-swap-ws"})).subscriptions(
        [PERPETUAL], [Feed.MARK_PRICE]
    )

    assert {c.url.rpartition("/")[2]: [f["sub"] for f in frames(c)] for c in plan} == {
        "linear-swap-ws": ["market.BTC-USDT.mark_price.1min"],
        "ws_index": ["market.BTC-USDT.index.1min"],
    }


def test_the_depth_of_spot_books_is_a_switch() -> None:
    adapter = ADAPTER(Options(switches={"spot_book": "400"}))
    (connection,) = adapter.subscriptions([SPOT], [Feed.OB_DIFFS])

    assert connection.channels[0].name == "market.btcusdt.mbp.400"
    assert adapter.book_rule(SPOT).max_depth == 400
    assert adapter.book_rule(PERPETUAL).max_depth == 150


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (Options(switches={"spot_book": "200"}), "switches.spot_book"),
        (Options(switches={"colour": "red"}), "switches.colour"),
        (Options(switches={"topics_per_socket": "5"}), "switches.topics_per_socket"),
        (Options(kline_intervals=("3m",)), "klineIntervals"),
    ],
)
def test_wrong_options_are_named(options: Options, field: str) -> None:
    with pytest.raises(UsageError) as refused:
        ADAPTER(options)
    assert refused.value.field == field


def test_open_interest_slows_down_with_the_number_of_contracts() -> None:
    adapter = ADAPTER(Options(open_interest_every_ns=NS_PER_S))
    few = adapter.polls([SPOT, PERPETUAL, DATED], [Feed.OPEN_INTEREST])
    many = adapter.polls([instrument(f"C{n}-USDT") for n in range(400)], [Feed.OPEN_INTEREST])

    assert Counter(poll.channel.instrument for poll in few) == {"BTC-USDT": 1, "BTC-USDT-261225": 1}
    assert {poll.every_ns for poll in few} == {NS_PER_S}
    assert {poll.every_ns for poll in many} == {10 * NS_PER_S}
