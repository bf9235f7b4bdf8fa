"""What one socket remembers: acknowledgements, candles, depths."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
import pytest
from feedplane_adapter_kraken import ADAPTER
from feedplane_adapter_kraken.acks import MAX_REMINDERS, PATIENCE_NS
from feedplane_core.adapter import Adapter, Connection, Send
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, Kline
from feedplane_core.names import NS_PER_S, Feed
from feedplane_testing.venues import Venue

NOW_NS = 1_700_000_000 * NS_PER_S
HEARTBEAT = b'{"channel":"heartbeat"}'


def planned(feeds: set[Feed], *names: str) -> tuple[Adapter, Connection]:
    venue = Venue("kraken")
    adapter = venue.adapter()
    chosen = [i for i in venue.instruments if i.instrument in names]
    (connection,) = adapter.subscriptions(chosen, feeds)
    return adapter, connection


def ack(channel: str, symbol: str, **more: object) -> bytes:
    result = {"channel": channel, "symbol": symbol, "snapshot": True, **more}
    return orjson.dumps({"method": "subscribe", "result": result, "success": True, "req_id": 1})


def test_what_is_not_acknowledged_is_asked_for_again() -> None:
    adapter, connection = planned({Feed.TRADES, Feed.OB_DIFFS}, "BTC/USD", "MATIC/USD")
    session = adapter.session(connection)
    for frame in (ack("book", "BTC/USD", depth=100), ack("book", "MATIC/USD", depth=100), ack("trade", "BTC/USD")):
        assert session.decode(frame, NOW_NS) == []
    session.decode(HEARTBEAT, NOW_NS + PATIENCE_NS - 1)
    assert session.actions() == []

    session.decode(HEARTBEAT, NOW_NS + PATIENCE_NS)

    (action,) = session.actions()
    assert isinstance(action, Send)
    assert orjson.loads(action.frame)["params"] == {"channel": "trade", "symbol": ["MATIC/USD"], "snapshot": True}
    session.decode(ack("trade", "MATIC/USD"), NOW_NS + PATIENCE_NS + 1)
    session.decode(HEARTBEAT, NOW_NS + 10 * PATIENCE_NS)
    assert session.actions() == []


def test_a_venue_that_never_answers_is_not_asked_for_ever() -> None:
    adapter, connection = planned({Feed.TRADES}, "BTC/USD")
    session = adapter.session(connection)
    for second in range(300):
        session.decode(HEARTBEAT, NOW_NS + second * NS_PER_S)

    assert len(session.actions()) == MAX_REMINDERS


@pytest.mark.parametrize(("error", "reminders"), [("Currency pair not supported BTC/USD", 0), ("Exceeded msg rate", 1)])
def test_a_refused_symbol_is_let_go_and_a_dropped_request_is_not(error: str, reminders: int) -> None:
    adapter, connection = planned({Feed.TRADES}, "BTC/USD")
    session = adapter.session(connection)
    session.decode(HEARTBEAT, NOW_NS)
    body = {"method": "subscribe", "success": False, "error": error, "symbol": "BTC/USD"}
    with pytest.raises(DecodeError) as refused:
        session.decode(orjson.dumps(body), NOW_NS)
    session.decode(HEARTBEAT, NOW_NS + PATIENCE_NS)

    assert refused.value.code == "venue_error"
    assert len(session.actions()) == reminders


def test_futures_and_offline_sessions_ask_for_nothing() -> None:
    adapter, connection = planned({Feed.TRADES}, "PI_XBTUSD")
    for session in (adapter.session(connection), adapter.session()):
        session.decode(HEARTBEAT, NOW_NS)
        session.decode(HEARTBEAT, NOW_NS + 10 * PATIENCE_NS)
        assert session.actions() == []


def candle(minute: int, close: str, volume: str, **more: object) -> dict[str, object]:
    row: dict[str, object] = {
        "symbol": "BTC/USD",
        "open": 1.5,
        "high": 2.5,
        "low": 1.5,
        "close": orjson.Fragment(close),
    }
    row |= {"trades": 3, "volume": orjson.Fragment(volume), "vwap": 2.0, "interval": 1}
    return row | {"interval_begin": f"2023-11-14T22:{minute:02d}:00.000000000Z"} | more


def ohlc(kind: str, *rows: dict[str, object]) -> bytes:
    body = {"channel": "ohlc", "type": kind, "timestamp": "2023-11-14T22:13:20.123456789Z", "data": rows}
    return orjson.dumps(body)


def told(events: Iterable[object]) -> list[tuple[int, str, bool]]:
    return [(e.open_ns // NS_PER_S // 60 % 60, e.close, e.is_closed) for e in events if isinstance(e, Kline)]


def test_a_candle_is_closed_by_the_one_that_follows() -> None:
    session = ADAPTER().session()

    assert told(
        session.decode(ohlc("snapshot", candle(10, "2.0", "1"), candle(11, "2.1", "1"), candle(12, "2.2", "1")), NOW_NS)
    ) == [
        (10, "2.0", True),
        (11, "2.1", True),
        (12, "2.2", False),
    ]
    assert told(session.decode(ohlc("update", candle(12, "2.3", "2")), NOW_NS)) == [(12, "2.3", False)]
    assert told(session.decode(ohlc("update", candle(13, "2.4", "1")), NOW_NS)) == [
        (12, "2.3", True),
        (13, "2.4", False),
    ]
    assert told(session.decode(ohlc("update", candle(12, "2.9", "1")), NOW_NS)) == [(12, "2.9", True)]
    assert told(session.decode(ohlc("update", candle(13, "2.5", "1")), NOW_NS)) == [(13, "2.5", False)]


def test_intervals_and_symbols_are_apart() -> None:
    session = ADAPTER().session()
    session.decode(ohlc("update", candle(12, "2.2", "1")), NOW_NS)

    assert told(session.decode(ohlc("update", candle(13, "2.3", "1", symbol="ETH/USD")), NOW_NS)) == [
        (13, "2.3", False)
    ]
    assert told(session.decode(ohlc("update", candle(15, "2.3", "1", interval=5)), NOW_NS)) == [(15, "2.3", False)]


def test_a_second_snapshot_closes_what_the_first_left_open_once() -> None:
    session = ADAPTER().session()
    session.decode(ohlc("snapshot", candle(11, "2.1", "1"), candle(12, "2.2", "1")), NOW_NS)

    again = session.decode(ohlc("snapshot", candle(12, "2.25", "1"), candle(13, "2.3", "1")), NOW_NS)

    assert told(again) == [(12, "2.25", True), (13, "2.3", False)]


def test_after_a_lost_message_no_candle_is_called_closed() -> None:
    """What was refused may have been its last change."""
    session = ADAPTER().session()
    session.decode(ohlc("update", candle(12, "2.2", "1")), NOW_NS)
    with pytest.raises(DecodeError):
        session.decode(ohlc("update", candle(12, "-0", "1")), NOW_NS)

    assert told(session.decode(ohlc("update", candle(13, "2.3", "1")), NOW_NS)) == [(13, "2.3", False)]


def test_the_depth_of_a_snapshot_is_the_subscribed_one() -> None:
    adapter, connection = planned({Feed.OB_DIFFS}, "BTC/USD")
    frame = b'{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":0}]}'
    live, offline = adapter.session(connection), adapter.session()
    offline.decode(ack("book", "BTC/USD", depth=1000), NOW_NS)

    depths = [
        event.depth for s in (live, offline) for event in s.decode(frame, NOW_NS) if isinstance(event, BookSnapshot)
    ]

    assert depths == [100, 1000]
