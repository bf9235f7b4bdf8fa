"""Bitfinex: one socket's ids, numbers, acknowledgements and heartbeats."""

from __future__ import annotations

import orjson
import pytest
from feedplane_adapter_bitfinex import Bitfinex
from feedplane_core.adapter import Connection, Options, Reconnect, Send
from feedplane_core.adapter import Session as AnySession
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Kline, Liquidation, MarketEvent, MarkPrice, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Aggressor, Feed, Liquidated, MarketType

T = 1_790_133_734_000
CONF = b'{"event":"conf","status":"OK","flags":229376}'
PERPETUAL = Instrument(
    exchange="bitfinex",
    market_type=MarketType.PERP_LINEAR,
    instrument="tBTCF0:USTF0",
    pair="BTC-USDT-PERP",
    base="BTC",
    quote="USDT",
    contract_size="1",
)


def ack(channel: str, chan_id: int, target: str, **more: str) -> bytes:
    field = "key" if channel in ("status", "candles") else "symbol"
    return orjson.dumps({"event": "subscribed", "channel": channel, "chanId": chan_id, field: target, **more})


def live(feeds: set[Feed], adapter: Bitfinex | None = None) -> tuple[Bitfinex, Connection, AnySession]:
    adapter = adapter or Bitfinex()
    (connection,) = adapter.subscriptions([PERPETUAL], feeds)
    session = adapter.session(connection)
    session.decode(CONF, T * NS_PER_MS)
    return adapter, connection, session


def fed(session: AnySession, *frames: bytes, at_ms: int = T) -> list[MarketEvent]:
    return [event for frame in frames for event in session.decode(frame, at_ms * NS_PER_MS)]


BOOK_ACK = ack("book", 7, "tBTCF0:USTF0", prec="P0", freq="F0", len="100")
SNAPSHOT = b"[7,[[100,1,2],[101,1,-3]],1,1790133734001]"


def test_a_book_is_a_snapshot_then_levels_without_numbers() -> None:
    _, _, session = live({Feed.OB_DIFFS})

    snapshot, diff, gone = fed(
        session, BOOK_ACK, SNAPSHOT, b"[7,[100.5,2,1e-7],2,1790133734005]", b"[7,[101,0,-1],3,1790133734006]"
    )

    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.bids, snapshot.asks, snapshot.depth) == ([("100", "2")], [("101", "3")], 100)
    assert isinstance(diff, DepthDiff)
    assert (diff.bids, diff.asks, diff.last_seq) == ([("100.5", "0.0000001")], [], None)
    assert diff.ts_event_ns == 1_790_133_734_005 * NS_PER_MS
    assert isinstance(gone, DepthDiff)
    assert (gone.bids, gone.asks) == ([], [("101", "0")])


def test_a_hole_in_the_numbers_ends_the_socket_and_its_events() -> None:
    _, _, session = live({Feed.OB_DIFFS})
    fed(session, BOOK_ACK, SNAPSHOT)
    session.actions()

    events = fed(session, b"[7,[100,1,5],3,1790133734009]", b"[7,[100,1,6],4,1790133734010]")

    assert events == []
    assert session.actions() == [Reconnect("sequence")]
    assert session.actions() == []


def test_a_repeated_frame_is_dropped_and_heartbeats_count() -> None:
    _, _, session = live({Feed.OB_DIFFS})
    fed(session, BOOK_ACK, SNAPSHOT)

    events = fed(session, SNAPSHOT, b'[7,"hb",2,1790133734002]', b"[7,[100,1,5],3,1790133734003]")

    assert len(events) == 1
    assert not [a for a in session.actions() if isinstance(a, Reconnect)]


def test_a_recording_from_the_middle_is_decoded_all_the_same() -> None:
    session = Bitfinex().session()

    events = fed(session, CONF, BOOK_ACK, SNAPSHOT, b"[7,[100,1,5],90,1790133734003]")

    assert len(events) == 2


@pytest.mark.parametrize(
    "broken", [b"[7,[100,1,", b'[7,[100,1,{"a":1}],2,1790133734003]', b"[7,[100,1,0],2,1790133734003]"]
)
def test_a_lost_level_ends_the_socket(broken: bytes) -> None:
    _, _, session = live({Feed.OB_DIFFS})
    fed(session, BOOK_ACK, SNAPSHOT)
    session.actions()

    with pytest.raises(DecodeError):
        fed(session, broken)

    assert [type(action) for action in session.actions()] == [Reconnect]
    assert fed(session, b"[7,[100,1,5],3,1790133734004]") == []


def test_what_has_no_answer_is_asked_for_again_and_a_dup_tells_its_id() -> None:
    _, connection, session = live({Feed.TRADES, Feed.OB_DIFFS})
    fed(session, BOOK_ACK)
    assert session.actions() == []

    fed(session, b'[7,"hb",1,1790133744500]', at_ms=T + 10_500)

    (again,) = session.actions()
    assert isinstance(again, Send)
    assert again.frame in connection.subscribe
    assert orjson.loads(again.frame)["channel"] == "trades"
    dup = {"event": "error", "msg": "subscribe: dup", "code": 10301, "channel": "trades", "symbol": "tBTCF0:USTF0"}
    with pytest.raises(DecodeError, match="dup"):
        fed(session, orjson.dumps({**dup, "chanId": 8}), at_ms=T + 10_600)
    (trade,) = fed(session, b'[8,"te",[5,1790133744000,-2,100],2,1790133744700]', at_ms=T + 10_700)
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.qty, trade.aggressor) == ("5", "2", Aggressor.SELL)


def test_a_trade_is_told_once() -> None:
    session = Bitfinex().session()
    row = b"[401,1790133733990,0.5,100.1]"

    first = fed(session, ack("trades", 8, "tBTCUSD"), b'[8,"te",%b]' % row)
    assert fed(session, b'[8,"tu",%b]' % row) == []
    assert len(first) == 1
    assert len(fed(session, b'[8,"tu",[402,1790133733991,0.5,100.1]]')) == 1  # its te never came
    assert fed(session, b"[8,[%b]]" % row) == []


def test_channels_are_restarted_by_the_id_of_the_newest_socket() -> None:
    adapter, connection, session = live({Feed.OB_DIFFS, Feed.TRADES})
    book = next(c for c in connection.channels if c.feed is Feed.OB_DIFFS)
    assert adapter.resubscribe(connection, book) == []
    fed(session, BOOK_ACK)

    stop, start = map(orjson.loads, adapter.resubscribe(connection, book))
    assert stop == {"event": "unsubscribe", "chanId": 7}
    assert (start["channel"], start["symbol"], start["len"]) == ("book", "tBTCF0:USTF0", "100")

    fed(session, b'{"event":"unsubscribed","status":"OK","chanId":7}')
    assert adapter.resubscribe(connection, book) == []
    adapter.session(connection)
    fed(session, BOOK_ACK)
    assert adapter.resubscribe(connection, book) == []


def test_status_comes_in_shares_and_goes_with_the_last_of_them() -> None:
    adapter, connection, session = live({Feed.MARK_PRICE, Feed.FUNDING})
    fed(session, ack("status", 9, "deriv:tBTCF0:USTF0"))
    mark, funding = sorted(connection.channels, key=lambda c: c.feed is Feed.FUNDING)

    assert adapter.change_subscription(connection, (), [mark]) == []
    assert adapter.change_subscription(connection, (), [mark, funding]) == [b'{"event":"unsubscribe","chanId":9}']


def test_a_stamp_that_was_told_is_no_news() -> None:
    _, _, session = live({Feed.MARK_PRICE})
    row = b"1790133734000,null,1,2.5,null,0,null,1790150400000,0,0,null,-1.5e-7,null,null,3.25,null,null,10"

    events = fed(session, ack("status", 9, "deriv:tBTCF0:USTF0"), b"[9,[%b],1]" % row, b"[9,[%b],2]" % row)

    assert [event.feed for event in events] == [Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST]
    assert isinstance(events[0], MarkPrice)
    assert (events[0].mark_price, events[0].index_price) == ("3.25", "3.25")


@pytest.mark.parametrize(("source", "index"), [("spot", "2.5"), ("none", None)])
def test_the_index_is_what_the_switch_says(source: str, index: str | None) -> None:
    session = Bitfinex(Options(switches={"index_price": source})).session()
    row = b"1790133734000,null,1,2.5,null,0,null,null,0,0,null,null,null,null,3.25"

    (mark,) = fed(session, ack("status", 9, "deriv:tBTCF0:USTF0"), b"[9,[%b]]" % row)

    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price) == ("3.25", index)


@pytest.mark.parametrize(("counted", "price"), [("triggers", "9080"), ("fills", "9075.5")])
def test_triggers_or_fills_are_counted_never_both(counted: str, price: str) -> None:
    session = Bitfinex(Options(switches={"liquidations": counted})).session()
    trigger = b'["pos",1,1790133733000,null,"tBTCF0:USTF0",0.5,9135.9,null,0,1,null,9080]'
    fill = b'["pos",1,1790133733001,null,"tBTCF0:USTF0",0.5,9135.9,null,1,1,null,9075.5]'

    (event,) = fed(session, ack("status", 3, "liq:global"), b"[3,[%b,%b],1]" % (trigger, fill), b"[3,null,2]")

    assert isinstance(event, Liquidation)
    assert (event.price, event.qty, event.liquidated) == (price, "0.5", Liquidated.LONG)


def test_a_candle_is_closed_by_a_later_one_and_high_comes_after_close() -> None:
    _, _, session = live({Feed.KLINES})
    fed(session, ack("candles", 4, "trade:1m:tBTCF0:USTF0"), b"[4,[1790133660000,1,2,4,0.5,10],1,1790133734000]")

    closed, opened = fed(session, b"[4,[1790133780000,5,6,8,4,1],2,1790133781000]")

    assert isinstance(closed, Kline)
    assert isinstance(opened, Kline)
    assert (closed.is_closed, opened.is_closed) == (True, False)
    assert (closed.open, closed.close, closed.high, closed.low, closed.volume) == ("1", "2", "4", "0.5", "10")
    assert opened.open_ns == 1_790_133_780 * NS_PER_S


def test_a_silent_channel_asks_for_a_new_socket_once() -> None:
    _, _, session = live({Feed.TRADES, Feed.OB_DIFFS})
    fed(session, BOOK_ACK, ack("trades", 8, "tBTCF0:USTF0"))
    beats = [b'[7,"hb",%d,1790133734000]' % number for number in (1, 2, 3, 4)]

    for number, beat in enumerate(beats):
        fed(session, beat, at_ms=T + 15_000 * (number + 1))

    assert session.actions() == [Reconnect("heartbeat_missing")]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(20051, [Reconnect("server_stopping", planned=True)]), (20060, []), (20061, [Reconnect("maintenance")])],
)
def test_information_of_the_server(code: int, expected: list[Reconnect]) -> None:
    _, _, session = live({Feed.TRADES})

    assert fed(session, b'{"event":"info","code":%d,"msg":"..."}' % code) == []
    assert session.actions() == expected
