"""Sockets, subscriptions, and how they change."""

from __future__ import annotations

import orjson
import pytest
from feedplane_adapter_okx import ADAPTER
from feedplane_core.adapter import Channel, Options
from feedplane_core.errors import UsageError
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import Feed, MarketType

FEEDS = list(ADAPTER.offers.feeds)


def instrument(name: str, market: MarketType) -> Instrument:
    base, quote = name.split("-")[:2]
    return Instrument(
        exchange="okx",
        market_type=market,
        instrument=name,
        pair=name,
        base=base,
        quote=quote.partition("_")[0],
        contract_size=None if market is MarketType.SPOT else "1",
        contract_unit=ContractUnit.BASE,
    )


SWAPS = [instrument(f"C{n}-USDT-SWAP", MarketType.PERP_LINEAR) for n in range(200)]
BTC = instrument("BTC-USDT-SWAP", MarketType.PERP_LINEAR)
DATED = instrument("BTC-USDT-261225", MarketType.DELIVERY)
SPOT = instrument("BTC-USDT", MarketType.SPOT)
XPERP = instrument("BTC-USD_UM_XPERP-310404", MarketType.DELIVERY)


def args(frame: bytes) -> list[dict[str, str]]:
    found: list[dict[str, str]] = orjson.loads(frame)["args"]
    return found


def asked(*frames: bytes) -> list[tuple[str, str]]:
    return [(a["channel"], a.get("instId") or a["instType"]) for frame in frames for a in args(frame)]


def test_each_channel_is_asked_for_on_the_path_that_serves_it() -> None:
    by_path: dict[str, set[str]] = {}
    for connection in ADAPTER().subscriptions([BTC, DATED, SPOT], FEEDS):
        by_path.setdefault(connection.url, set()).update(channel for channel, _ in asked(*connection.subscribe))

    assert by_path == {
        "wss://ws.okx.com:8443/ws/v5/public": {
            "books",
            "bbo-tbt",
            "mark-price",
            "index-tickers",
            "funding-rate",
            "open-interest",
            "liquidation-orders",
        },
        "wss://ws.okx.com:8443/ws/v5/business": {"trades-all", "candle1m"},
    }


def test_no_socket_has_more_books_than_the_venue_advises() -> None:
    for feeds in ([Feed.OB_DIFFS], FEEDS):
        for connection in ADAPTER().subscriptions(SWAPS, feeds):
            books = sum(channel.feed is Feed.OB_DIFFS for channel in connection.channels)
            assert books <= 29
            assert len(connection.channels) <= max(200, connection.capacity)


def test_books_per_socket_is_a_switch() -> None:
    few = ADAPTER(Options(switches={"books_per_socket": "10"})).subscriptions(SWAPS, [Feed.OB_DIFFS])

    assert len(few) == 20
    with pytest.raises(UsageError, match="books_per_socket"):
        ADAPTER(Options(switches={"books_per_socket": "0"}))


def test_contracts_of_one_index_share_a_socket_and_the_index() -> None:
    plan = ADAPTER().subscriptions([*SWAPS, BTC, DATED], [Feed.MARK_PRICE])
    (together,) = (c for c in plan if any(channel.instrument == "BTC-USDT-SWAP" for channel in c.channels))

    names = asked(*together.subscribe)

    assert ("mark-price", "BTC-USDT-261225") in names
    assert names.count(("index-tickers", "BTC-USDT")) == 1


def test_an_x_perp_is_funded_and_follows_the_dollar() -> None:
    (connection,) = ADAPTER().subscriptions([XPERP, DATED], [Feed.FUNDING, Feed.MARK_PRICE])

    names = asked(*connection.subscribe)

    assert ("funding-rate", XPERP.instrument) in names
    assert ("funding-rate", DATED.instrument) not in names
    assert ("index-tickers", "BTC-USD") in names


def test_liquidations_are_two_subscriptions_however_many_follow_them() -> None:
    (connection,) = ADAPTER().subscriptions([*SWAPS, DATED], [Feed.LIQUIDATIONS])

    assert sorted(asked(*connection.subscribe)) == [("liquidation-orders", "FUTURES"), ("liquidation-orders", "SWAP")]
    assert len(connection.channels) == 201


def test_restarting_a_book_touches_it_alone() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([BTC, DATED], [Feed.OB_DIFFS, Feed.L1])
    channel = connection.channels[0]

    frames = adapter.resubscribe(connection, channel)

    assert [orjson.loads(frame)["op"] for frame in frames] == ["unsubscribe", "subscribe"]
    assert asked(*frames) == [(channel.name, channel.instrument)] * 2


def test_an_index_stays_until_its_last_contract_goes() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([BTC, DATED], [Feed.MARK_PRICE])
    btc, dated = sorted(connection.channels, key=lambda c: c.instrument, reverse=True)

    one = adapter.change_subscription(connection, [], [btc])
    both = adapter.change_subscription(connection, [], [btc, dated])

    assert asked(*one) == [("mark-price", btc.instrument)]
    assert ("index-tickers", "BTC-USDT") in asked(*both)


def test_a_new_listing_joins_liquidations_by_asking_again() -> None:
    """No new subscription is needed, and none to send would be taken for a refusal."""
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([BTC], [Feed.LIQUIDATIONS])
    added = Channel(instrument="NEW-USDT-SWAP", feed=Feed.LIQUIDATIONS, name="liquidation-orders")

    frames = adapter.change_subscription(connection, [added], [])

    assert asked(*frames) == [("liquidation-orders", "SWAP")]


def test_bars_of_six_hours_and_more_begin_at_midnight_utc() -> None:
    adapter = ADAPTER(Options(kline_intervals=("1h", "4h", "6h", "1d", "1w")))
    (connection,) = adapter.subscriptions([SPOT], [Feed.KLINES])

    assert [name for name, _ in asked(*connection.subscribe)] == [
        "candle1H",
        "candle4H",
        "candle6Hutc",
        "candle1Dutc",
        "candle1Wutc",
    ]


def test_pings_are_text_and_in_time() -> None:
    (connection,) = ADAPTER().subscriptions([SPOT], [Feed.TRADES])

    assert connection.ping is not None
    assert connection.ping.frame == b"ping"
    assert connection.ping.every_ns < 30 * 10**9
    assert connection.protocol_ping_every_ns is None


@pytest.mark.parametrize("options", [Options(kline_intervals=("7m",)), Options(switches={"colour": "blue"})])
def test_wrong_options_name_their_field(options: Options) -> None:
    with pytest.raises(UsageError):
        ADAPTER(options)
