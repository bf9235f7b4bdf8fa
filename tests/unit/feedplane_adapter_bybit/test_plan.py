"""Options, sockets, control frames and the book's rule."""

from __future__ import annotations

import json
from typing import Any

import pytest
from feedplane_adapter_bybit import ADAPTER
from feedplane_core.adapter import Options, Verdict
from feedplane_core.errors import UsageError
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus
from feedplane_core.names import Feed, MarketType


def instrument(name: str, market: MarketType, **more: Any) -> Instrument:
    return Instrument(exchange="bybit", market_type=market, instrument=name, pair=name, base="B", quote="Q", **more)


BTC = instrument("BTCUSDT", MarketType.PERP_LINEAR)
SPOT = instrument("BTCUSDT", MarketType.SPOT)
DATED = instrument("BTC-26DEC25", MarketType.DELIVERY)
DATED_INVERSE = instrument("BTCUSDH26", MarketType.DELIVERY, contract_unit=ContractUnit.QUOTE)


def topics(frames: list[bytes] | tuple[bytes, ...], op: str = "subscribe") -> list[str]:
    requests = [json.loads(frame) for frame in frames]
    return [topic for request in requests if request["op"] == op for topic in request["args"]]


def test_a_category_a_socket_and_a_topic_once() -> None:
    plan = {c.key: c for c in ADAPTER().subscriptions([BTC, SPOT, DATED, DATED_INVERSE], list(Feed))}

    assert {key: connection.url for key, connection in plan.items()} == {
        f"{category}-0": f"wss://stream.bybit.com/v5/public/{category}" for category in ("spot", "linear", "inverse")
    }
    assert topics(plan["spot-0"].subscribe) == [
        f"{topic}.BTCUSDT" for topic in ("publicTrade", "orderbook.1", "orderbook.200", "kline.1")
    ]
    asked = topics(plan["linear-0"].subscribe)
    assert sorted(asked) == sorted(set(asked))
    assert {"tickers.BTCUSDT", "allLiquidation.BTCUSDT", "tickers.BTC-26DEC25"} <= set(asked)
    carried = {(c.instrument, c.feed) for c in plan["linear-0"].channels}
    assert ("BTCUSDT", Feed.FUNDING) in carried
    assert ("BTC-26DEC25", Feed.FUNDING) not in carried


def test_frames_and_sockets_stay_within_the_venues_limits() -> None:
    many = [instrument(f"A{number}USDT", MarketType.SPOT) for number in range(500)]
    plan = ADAPTER().subscriptions(many, list(Feed))

    assert len(plan) > 9
    for connection in plan:
        requests = [json.loads(frame) for frame in connection.subscribe]
        assert max(len(request["args"]) for request in requests) <= 10
        assert len({request["req_id"] for request in requests}) == len(requests)
        assert sum(map(len, topics(connection.subscribe))) <= 21_000
        assert len(connection.channels) <= connection.capacity
        assert connection.min_send_gap_ns == 100_000_000
        assert connection.ping is not None
        assert (connection.ping.every_ns, json.loads(connection.ping.frame)["op"]) == (20 * 10**9, "ping")


def test_silence_is_no_alarm_on_what_does_not_trade() -> None:
    halted = instrument("PREUSDT", MarketType.PERP_LINEAR, status=InstrumentStatus.HALTED)
    (connection,) = ADAPTER().subscriptions([halted], list(Feed))

    assert {channel.stale_after_ns for channel in connection.channels} == {None}


def test_switches_choose_the_book() -> None:
    adapter = ADAPTER(Options(switches={"book_depth": "1000", "book_sequence": "increasing"}))
    (connection,) = adapter.subscriptions([BTC], [Feed.OB_DIFFS])
    rule = adapter.book_rule(BTC)
    later = diff(9)

    assert topics(connection.subscribe) == ["orderbook.1000.BTCUSDT"]
    assert rule.max_depth == 1000
    assert rule.follows(5, later) is Verdict.APPLY
    assert ADAPTER().book_rule(BTC).follows(5, later) is Verdict.GAP


@pytest.mark.parametrize(
    "switches",
    [
        {"book_depth": "500"},
        {"book_sequence": "any"},
        {"topics_per_socket": "5"},
        {"topics_per_socket": "1000"},
        {"topics_per_socket": "x"},
    ],
)
def test_wrong_switches_are_named(switches: dict[str, str]) -> None:
    with pytest.raises(UsageError) as refused:
        ADAPTER(Options(switches=switches))

    assert refused.value.field == f"switches.{next(iter(switches))}"


def test_months_are_no_interval() -> None:
    with pytest.raises(UsageError, match="1M"):
        ADAPTER(Options(kline_intervals=("1m", "1M")))


def test_one_channel_starts_anew() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([BTC], [Feed.OB_DIFFS, Feed.TRADES])
    book = next(c for c in connection.channels if c.feed is Feed.OB_DIFFS)
    frames = adapter.resubscribe(connection, book)

    assert [json.loads(frame)["op"] for frame in frames] == ["unsubscribe", "subscribe"]
    assert topics(frames) == topics(frames, "unsubscribe") == ["orderbook.200.BTCUSDT"]


def test_a_shared_topic_goes_with_the_last_that_needs_it() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([BTC], [Feed.MARK_PRICE, Feed.FUNDING])
    mark, funding = connection.channels
    (grown,) = adapter.subscriptions([BTC], [Feed.OPEN_INTEREST, Feed.TRADES])

    assert adapter.change_subscription(connection, [], [mark]) == []
    assert topics(adapter.change_subscription(connection, [], [mark, funding]), "unsubscribe") == ["tickers.BTCUSDT"]
    assert topics(adapter.change_subscription(connection, grown.channels, [])) == ["publicTrade.BTCUSDT"]


def diff(u: int) -> DepthDiff:
    return DepthDiff(
        exchange="bybit",
        market_type=MarketType.PERP_LINEAR,
        instrument="BTCUSDT",
        ts_event_ns=1,
        ts_recv_ns=1,
        bids=[],
        asks=[],
        first_seq=u,
        last_seq=u,
    )


def test_numbers_go_on_by_one() -> None:
    rule = ADAPTER().book_rule(BTC)
    snapshot = BookSnapshot(
        exchange="bybit",
        market_type=MarketType.PERP_LINEAR,
        instrument="BTCUSDT",
        ts_event_ns=1,
        ts_recv_ns=1,
        bids=[],
        asks=[],
        last_seq=16165145,
    )

    verdicts = [rule.joins(snapshot, diff(u)) for u in (16165144, 16165145, 16165146, 16165147)]
    assert verdicts == [Verdict.STALE, Verdict.STALE, Verdict.APPLY, Verdict.GAP]
    assert [rule.follows(16165145, diff(u)) for u in (16165145, 16165146, 16165148)] == [
        Verdict.STALE,
        Verdict.APPLY,
        Verdict.GAP,
    ]
    assert rule.max_depth == 200
    assert ADAPTER().book_rule(None).max_depth == 1000
