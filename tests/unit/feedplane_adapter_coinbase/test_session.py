"""Self-tests of the venue's file: sides, oddities of levels and times, and the losses a session asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from feedplane_adapter_coinbase import ADAPTER
from feedplane_core.adapter import Channel, Connection, Fetch, Reconnect, Session
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent, Trade
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.sync import BookSync

TIME = "2014-11-07T08:19:27.028459Z"
TIME_NS = 1415348367028459000
ZERO = "0001-01-01T00:00:00.000000Z"


def frame(**fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def match(number: int, side: str = "sell", product: str = "BTC-USD") -> bytes:
    return frame(
        type="match", trade_id=number, product_id=product, size="5.23512", price="400.23", side=side, time=TIME
    )


def heartbeat(number: int, time: str = TIME, product: str = "BTC-USD") -> bytes:
    return frame(type="heartbeat", sequence=90, last_trade_id=number, product_id=product, time=time)


def update(*changes: list[str], time: str = TIME) -> bytes:
    return frame(type="l2update", product_id="BTC-USD", changes=changes, time=time)


def snapshot(bids: list[list[str]], asks: list[list[str]]) -> bytes:
    return frame(type="snapshot", product_id="BTC-USD", bids=bids, asks=asks, time=TIME)


def urls(session: Session) -> list[str]:
    return [action.request.url for action in session.actions() if isinstance(action, Fetch)]


@pytest.mark.parametrize(("maker", "aggressor"), [("sell", "buy"), ("buy", "sell")])
def test_match_names_the_maker(maker: str, aggressor: str) -> None:
    (trade,) = ADAPTER().session().decode(match(10, maker), 7)

    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.aggressor, trade.ts_event_ns, trade.ts_recv_ns) == ("10", aggressor, TIME_NS, 7)


def test_last_match_and_ticker_are_no_trades() -> None:
    session = ADAPTER().session()
    last = json.loads(match(10)) | {"type": "last_match"}
    ticker = {"type": "ticker", "product_id": "BTC-USD", "price": "400.23", "side": "buy", "trade_id": 10, "time": TIME}

    assert session.decode(frame(**last), 1) == []
    assert session.decode(frame(**ticker), 2) == []
    assert session.actions() == []


def test_one_lost_trade_is_fetched_by_the_cursor_after_the_jump() -> None:
    session = ADAPTER().session()
    for number in (10, 11, 13):
        session.decode(match(number), 1)

    (fetch,) = session.actions()
    assert isinstance(fetch, Fetch)
    assert fetch.request.url == "https://api.exchange.coinbase.com/products/BTC-USD/trades?after=13&limit=1"
    assert fetch.request.headers["User-Agent"]
    rows = [
        {"trade_id": n, "time": TIME, "price": "400.23", "size": "1", "side": "buy"} for n in (12, 11)
    ]  # more than was asked for
    (trade,) = session.deliver(fetch.request.tag, json.dumps(rows).encode(), 9)
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.aggressor, trade.ts_recv_ns) == ("12", "sell", 9)


def test_trade_that_the_heartbeat_names_and_nobody_sent_is_fetched() -> None:
    session = ADAPTER().session()
    session.decode(match(19), 0)
    for second in range(3):
        assert session.decode(heartbeat(20), second * NS_PER_S) == []
        assert len(urls(session)) == (1 if second == 2 else 0)


def test_long_losses_are_fetched_in_pages_and_the_rest_is_left_to_backfill() -> None:
    session = ADAPTER().session()
    session.decode(match(1), 0)
    session.decode(match(2_502), 0)
    assert [url.partition("?")[2] for url in urls(session)] == [
        "after=1002&limit=1000",
        "after=2002&limit=1000",
        "after=2502&limit=500",
    ]
    session.decode(match(1_000_000), 0)
    assert len(urls(session)) == 5


def test_waiting_actions_are_bounded() -> None:
    session = ADAPTER().session()
    for number in range(0, 2_000, 2):
        session.decode(match(number), 0)

    assert len(session.actions()) == 256


def test_session_of_books_alone_asks_for_no_trades() -> None:
    channel = Channel(instrument="BTC-USD", feed=Feed.OB_DIFFS, name="level2_batch")
    session = ADAPTER().session(Connection(key="k", url="wss://x", channels=(channel,), subscribe=()))
    for second in range(6):
        session.decode(heartbeat(20 + second), second * NS_PER_S)

    assert session.actions() == []


def test_watch_over_trades_follows_the_subscription() -> None:
    """A product that joins a live socket is watched, one that leaves is not."""
    channel = Channel(instrument="BTC-USD", feed=Feed.TRADES, name="matches")
    session = ADAPTER().session(Connection(key="k", url="wss://x", channels=(channel,), subscribe=()))
    session.decode(match(19), 0)
    session.decode(frame(type="subscriptions", channels=[{"name": "matches", "product_ids": ["ETH-USD"]}]), 0)
    session.decode(match(5, product="ETH-USD"), 0)
    for second in range(4):
        session.decode(heartbeat(20), second * NS_PER_S)
        session.decode(heartbeat(6, product="ETH-USD"), second * NS_PER_S)

    assert urls(session) == ["https://api.exchange.coinbase.com/products/ETH-USD/trades?after=7&limit=1"]


def test_silent_heartbeat_of_one_product_ends_the_socket() -> None:
    session = ADAPTER().session()
    session.decode(heartbeat(1, TIME, "ETH-USD"), 0)
    session.decode(heartbeat(1, "2014-11-07T08:19:38.028459Z"), 0)

    assert session.actions() == [Reconnect("heartbeat_missing")]


def test_ack_without_a_product_ends_the_watch_over_it() -> None:
    session = ADAPTER().session()
    session.decode(heartbeat(1, TIME, "ETH-USD"), 0)
    session.decode(frame(type="subscriptions", channels=[{"name": "heartbeat", "product_ids": ["BTC-USD"]}]), 0)
    session.decode(heartbeat(1, "2014-11-07T08:19:38.028459Z"), 0)

    assert session.actions() == []


def synced(*frames: bytes) -> BookSync:
    session, sync = ADAPTER().session(), BookSync("coinbase", MarketType.SPOT, "BTC-USD", ADAPTER().book_rule(None))
    for number, one in enumerate(frames):
        for event in session.decode(one, number):
            if isinstance(event, BookSnapshot):
                sync.on_snapshot(event)
            elif isinstance(event, DepthDiff):
                sync.on_diff(event)
    return sync


def test_level_is_removed_in_any_zero_padding_of_price_and_size() -> None:
    sync = synced(snapshot([["9.9", "1"]], [["10.0", "2"], ["10.1", "3"]]), update(["sell", "10.00", "0.00000000"]))

    assert [list(level) for level in sync.book.asks.top()] == [["10.1", "3"]]


def test_second_snapshot_replaces_the_book() -> None:
    sync = synced(
        snapshot([["9.9", "1"]], [["10.0", "2"]]), update(["buy", "9.8", "4"]), snapshot([["9.7", "1"]], [["9.8", "2"]])
    )

    assert [list(level) for level in sync.book.bids.top()] == [["9.7", "1"]]
    assert sync.is_publishable
    assert sync.counts.gaps == 0


def test_zero_time_keeps_the_time_before_and_the_data() -> None:
    session = ADAPTER().session()
    events: list[MarketEvent] = []
    for one in (
        update(["buy", "1", "1"], time=ZERO),
        update(["buy", "2", "1"]),
        update(["buy", "3", "1"], time=ZERO),
    ):
        events += session.decode(one, 1)

    assert [event.ts_event_ns for event in events] == [None, TIME_NS, TIME_NS]
    assert [list(event.bids[0]) for event in events if isinstance(event, DepthDiff)] == [
        ["1", "1"],
        ["2", "1"],
        ["3", "1"],
    ]


@pytest.mark.parametrize("bad", ["NaN", "nan", "-NaN", "-1.5", "-0.00000001"])
def test_unusable_level_is_dropped_and_the_rest_stays(bad: str) -> None:
    (diff,) = (
        ADAPTER()
        .session()
        .decode(update(["buy", "9.0", bad], ["sell", "10.0", "1e-7"], ["sell", bad, "4"], ["buy", "9.1", "-0.0"]), 1)
    )

    assert isinstance(diff, DepthDiff)
    assert [list(level) for level in diff.bids] == [["9.1", "0.0"]]
    assert [list(level) for level in diff.asks] == [["10.0", "0.0000001"]]


@pytest.mark.parametrize("bad", ["", "abc", "Infinity", "-Infinity", "1,2", "0x10", "1_0", " 1"])
def test_level_that_is_no_number_refuses_the_frame(bad: str) -> None:
    with pytest.raises(DecodeError):
        ADAPTER().session().decode(update(["buy", "9.0", bad]), 1)


def test_error_frame_is_told() -> None:
    with pytest.raises(DecodeError) as refused:
        ADAPTER().session().decode(frame(type="error", message="Failed to subscribe", reason="FOO is unknown"), 1)

    assert (refused.value.channel, refused.value.code) == ("error", "venue_error")
    assert "FOO is unknown" in refused.value.detail
