"""Sockets, topics, frames and tokens of both systems."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from feedplane_adapter_kucoin import ADAPTER
from feedplane_core.adapter import Adapter, Connection, Options, SnapshotSource
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType

SPOT = Instrument(
    exchange="kucoin", market_type=MarketType.SPOT, instrument="BTC-USDT", pair="BTC-USDT", base="BTC", quote="USDT"
)
PERP = Instrument(
    exchange="kucoin",
    market_type=MarketType.PERP_LINEAR,
    instrument="XBTUSDTM",
    pair="BTC-USDT-PERP",
    base="BTC",
    quote="USDT",
    contract_size="0.001",
)
BULLET = {
    "code": "200000",
    "data": {
        "token": "2neAiu==.x/y",
        "instanceServers": [
            {"endpoint": "wss://ws-api-spot.kucoin.com/", "encrypt": True, "pingInterval": 12000, "pingTimeout": 10000}
        ],
    },
}


def adapter(**switches: str) -> Adapter:
    return ADAPTER(Options(switches=switches))


def many(model: Instrument, count: int) -> list[Instrument]:
    return [msgspec.structs.replace(model, instrument=f"{n}{model.instrument}") for n in range(count)]


def frames(connection: Connection) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in connection.subscribe]


def test_uta_asks_for_one_symbol_a_frame_on_the_host_of_its_book() -> None:
    futures, spot = adapter().subscriptions([SPOT, PERP], [Feed.OB_DIFFS, Feed.TRADES, Feed.KLINES])

    assert (spot.url, futures.url) == ("wss://x-push-spot.kucoin.com", "wss://x-push-futures.kucoin.com")
    assert frames(spot) == [
        {"id": "1", "action": "subscribe", "channel": "trade", "tradeType": "SPOT", "symbol": "BTC-USDT"},
        {
            "id": "2",
            "action": "subscribe",
            "channel": "obu",
            "tradeType": "SPOT",
            "symbol": "BTC-USDT",
            "depth": "increment@10ms",
            "rpiFilter": 0,
        },
        {
            "id": "3",
            "action": "subscribe",
            "channel": "kline",
            "tradeType": "SPOT",
            "symbol": "BTC-USDT",
            "interval": "1min",
        },
    ]
    assert {frame["tradeType"] for frame in frames(futures)} == {"FUTURES"}
    assert spot.awaits_greeting
    assert spot.token is None


def test_uta_mark_price_and_open_interest_share_a_topic() -> None:
    (connection,) = adapter().subscriptions([PERP], [Feed.MARK_PRICE, Feed.OPEN_INTEREST])

    assert len(connection.channels) == 2
    assert [frame["channel"] for frame in frames(connection)] == ["mark-price"]
    mark, interest = connection.channels
    assert adapter().change_subscription(connection, (), (mark,)) == []
    (gone,) = adapter().change_subscription(connection, (), (mark, interest))
    assert json.loads(gone)["action"] == "unsubscribe"


def test_uta_one_channel_restarts_alone() -> None:
    (connection,) = adapter().subscriptions([SPOT], [Feed.OB_DIFFS])
    drop, ask = map(json.loads, adapter().resubscribe(connection, connection.channels[0]))

    assert (drop["action"], drop["channel"], drop["symbol"]) == ("unsubscribe", "obu", "BTC-USDT")
    assert ask | {"id": "1"} == frames(connection)[0]


@pytest.mark.parametrize("system", ["uta", "classic"])
def test_frames_and_pings_stay_below_what_the_venue_takes(system: str) -> None:
    limit = {"uta": 300, "classic": 100}[system]
    for connection in adapter(system=system).subscriptions(many(SPOT, 500) + many(PERP, 500), list(Feed)):
        assert connection.ping is not None
        in_ten_seconds = 10 * NS_PER_S / connection.min_send_gap_ns + 10 * NS_PER_S / connection.ping.every_ns
        assert in_ten_seconds < limit
        assert len({channel.name for channel in connection.channels}) <= 200


def test_classic_joins_symbols_up_to_a_hundred_a_frame() -> None:
    plan = adapter(system="classic", topics_per_socket="400").subscriptions(many(SPOT, 250), [Feed.TRADES])
    topics = [frame["topic"] for connection in plan for frame in frames(connection)]

    assert all(topic.startswith("/market/match:") and topic.count(",") < 100 for topic in topics)
    symbols = [symbol for topic in topics for symbol in topic.partition(":")[2].split(",")]
    assert sorted(symbols) == sorted(i.instrument for i in many(SPOT, 250))


def test_classic_topics_of_both_books() -> None:
    futures, spot = adapter(system="classic").subscriptions([SPOT, PERP], list(Feed))

    assert {frame["topic"] for frame in frames(spot)} == {
        "/market/match:BTC-USDT",
        "/spotMarket/level1:BTC-USDT",
        "/market/level2:BTC-USDT",
        "/market/candles:BTC-USDT_1min",
    }
    assert {frame["topic"] for frame in frames(futures)} == {
        "/contractMarket/execution:XBTUSDTM",
        "/contractMarket/tickerV2:XBTUSDTM",
        "/contractMarket/level2:XBTUSDTM",
        "/contract/instrument:XBTUSDTM",
    }
    assert all(frame["response"] is True and frame["privateChannel"] is False for frame in frames(spot))
    assert futures.token is not None
    assert (futures.token.method, futures.token.url) == ("POST", "https://api-futures.kucoin.com/api/v1/bullet-public")
    assert spot.lifetime_ns == 24 * 3_600 * NS_PER_S


def test_classic_connections_are_completed_by_their_token() -> None:
    kucoin = adapter(system="classic")
    (connection,) = kucoin.subscriptions([SPOT], [Feed.TRADES])
    other = json.loads(json.dumps(BULLET))
    other["data"]["token"] = "another"
    first, second = (kucoin.connection_with_token(connection, json.dumps(body).encode()) for body in (BULLET, other))
    query = parse_qs(urlsplit(first.url).query)

    assert first.url.startswith("wss://ws-api-spot.kucoin.com/?token=")
    assert query["token"] == ["2neAiu==.x/y"]
    assert query["connectId"] != parse_qs(urlsplit(second.url).query)["connectId"]
    assert first.ping is not None
    assert first.ping.every_ns == 6 * NS_PER_S
    assert json.loads(first.ping.frame)["type"] == "ping"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"code":"429000","msg":"Too many requests"}',
        b'{"code":"200000","data":null}',
        b'{"code":"200000","data":{"token":"x","instanceServers":[]}}',
        b'{"code":"200000","data":{"token":"x","instanceServers":[{"endpoint":"ftp://x"}]}}',
        b'{"code":"200000","data":{"token":"x","instanceServers":[{"endpoint":"wss://x","pingInterval":1}]}}',
    ],
)
def test_a_token_body_that_is_none_is_refused(body: bytes) -> None:
    kucoin = adapter(system="classic")
    (connection,) = kucoin.subscriptions([SPOT], [Feed.TRADES])

    with pytest.raises(DecodeError):
        kucoin.connection_with_token(connection, body)


def test_polls_exist_where_the_classic_system_streams_nothing() -> None:
    polls = adapter(system="classic").polls([SPOT, PERP], list(Feed))

    assert {(poll.channel.instrument, poll.channel.feed) for poll in polls} == {
        ("XBTUSDTM", Feed.OPEN_INTEREST),
        ("XBTUSDTM", Feed.KLINES),
    }
    assert adapter().polls([SPOT, PERP], list(Feed)) == []


def test_polls_of_many_contracts_take_half_of_the_budget_at_most() -> None:
    kucoin = adapter(system="classic")
    polls = kucoin.polls(many(PERP, 2_000), list(Feed))

    weight = sum(poll.request.weight * kucoin.limits.rest_window_ns / poll.every_ns for poll in polls)
    assert weight <= kucoin.limits.rest_weight / 2


def test_books_come_from_where_the_system_has_them() -> None:
    uta, classic = adapter(), adapter(system="classic")

    assert uta.book_rule(SPOT).source is SnapshotSource.SOCKET
    assert uta.book_snapshot_request(SPOT) is None
    assert classic.book_rule(SPOT).source is SnapshotSource.REST
    spot, perp = classic.book_snapshot_request(SPOT), classic.book_snapshot_request(PERP)
    assert spot is not None
    assert perp is not None
    assert spot.url == "https://api.kucoin.com/api/v1/market/orderbook/level2_100?symbol=BTC-USDT"
    assert perp.url == "https://api-futures.kucoin.com/api/v1/level2/snapshot?symbol=XBTUSDTM"
    assert (classic.book_rule(SPOT).snapshot_depth, classic.book_rule(PERP).snapshot_depth) == (100, None)


@pytest.mark.parametrize(
    "options",
    [
        Options(switches={"system": "pro"}),
        Options(switches={"colour": "red"}),
        Options(switches={"topics_per_socket": "0"}),
        Options(switches={"topics_per_socket": "601"}),
        Options(switches={"system": "classic", "topics_per_socket": "401"}),
        Options(kline_intervals=("7m",)),
        Options(assume_contract_size="0"),
        Options(assume_contract_size="one"),
    ],
)
def test_wrong_options_name_their_field(options: Options) -> None:
    with pytest.raises(UsageError, match=r"switches\.|klineIntervals|assumeContractSize"):
        ADAPTER(options)
