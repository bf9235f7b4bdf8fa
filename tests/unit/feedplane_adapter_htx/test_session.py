"""What a session owes the venue, and what it knows beyond one frame: pongs, books to ask for, candles that end, compression."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from feedplane_adapter_htx import ADAPTER
from feedplane_adapter_htx.wire import MAX_PLAIN_BYTES
from feedplane_core.adapter import Options, Reconnect, Send, Session, Verdict
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Gap, Kline, Trade
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType
from feedplane_core.sync import BookSync

NOW = 1_698_359_289_000 * NS_PER_MS
TOPIC = "market.btcusdt.mbp.150"
REQUEST = b'{"req":"market.btcusdt.mbp.150","id":"market.btcusdt.mbp.150"}'


def zipped(text: str | bytes) -> bytes:
    return gzip.compress(text.encode() if isinstance(text, str) else text)


def increment(prev: int, seq: int, at_ms: int = 1_698_359_289_000, symbol: str = "btcusdt") -> bytes:
    return json.dumps(
        {
            "ch": f"market.{symbol}.mbp.150",
            "ts": at_ms,
            "tick": {"seqNum": seq, "prevSeqNum": prev, "bids": [[1, 2]], "asks": [[3, 4]]},
        }
    ).encode()


def answer(seq: int) -> bytes:
    return json.dumps(
        {"id": TOPIC, "rep": TOPIC, "status": "ok", "ts": 1_698_359_289_050, "data": {"seqNum": seq, "bids": [[1, 2]]}}
    ).encode()


def sent(session: Session) -> list[bytes]:
    return [action.frame for action in session.actions() if isinstance(action, Send)]


@pytest.mark.parametrize(
    ("ping", "pong"),
    [
        ('{"ping":1492420473027}', b'{"pong":1492420473027}'),
        ('{"op":"ping","ts":"1492420473058"}', b'{"op":"pong","ts":"1492420473058"}'),
    ],
)
def test_each_dialects_ping_is_answered_in_it(ping: str, pong: bytes) -> None:
    session = ADAPTER().session()

    assert session.decode(zipped(ping), NOW) == []
    assert sent(session) == [pong]
    assert session.actions() == []


def test_the_venues_end_is_a_reconnect() -> None:
    session = ADAPTER().session()

    assert session.decode(b'{"op":"close","ts":1492420473058}', NOW) == []
    assert session.actions() == [Reconnect("venue_close")]


# Books that are asked for


def test_a_book_is_asked_for_once_after_its_first_increment() -> None:
    session = ADAPTER().session()

    session.decode(increment(10, 12), NOW)
    assert sent(session) == [REQUEST]
    session.decode(increment(12, 15), NOW + NS_PER_S)
    session.decode(answer(12), NOW + NS_PER_S)
    session.decode(increment(15, 16), NOW + 2 * NS_PER_S)
    assert sent(session) == []


def test_requests_keep_their_distance() -> None:
    session = ADAPTER().session()
    asked: list[tuple[int, bytes]] = []
    for step in range(60):
        now = NOW + step * 20 * NS_PER_MS
        for symbol in ("btcusdt", "ethusdt", "xrpusdt"):
            session.decode(increment(step, step + 1, symbol=symbol), now)
        asked += [(now, frame) for frame in sent(session)]

    assert [json.loads(frame)["req"] for _, frame in asked] == [
        f"market.{symbol}.mbp.150" for symbol in ("btcusdt", "ethusdt", "xrpusdt")
    ]
    times = [at for at, _ in asked]
    assert all(b - a >= 100 * NS_PER_MS for a, b in pairwise(times))


@pytest.mark.parametrize(
    "late",
    [
        answer(9),  # ends before the first increment begins
        b'{"status":"error","ts":1,"id":"market.btcusdt.mbp.150","err-code":"bad-request","err-msg":"429 too many request"}',
    ],
)
def test_an_answer_that_does_not_help_is_asked_for_again_a_second_later(late: bytes) -> None:
    session = ADAPTER().session()
    session.decode(increment(10, 12), NOW)
    assert sent(session) == [REQUEST]

    with suppress(DecodeError):  # a refusal is told as well
        session.decode(late, NOW + 50 * NS_PER_MS)
    session.decode(increment(12, 13), NOW + 900 * NS_PER_MS)
    assert sent(session) == []
    session.decode(increment(13, 14), NOW + 1_060 * NS_PER_MS)
    assert sent(session) == [REQUEST]


def test_a_spot_book_joins_by_the_number_before() -> None:
    adapter = ADAPTER()
    session = adapter.session()
    sync = BookSync("htx", MarketType.SPOT, "btcusdt", adapter.book_rule(None))
    kept: list[Any] = []
    for frame in (
        increment(10, 12),
        increment(12, 15),
        answer(13),  # inside the second increment: cannot be joined
        answer(15),
        increment(15, 15),  # empty ones may keep the number
        increment(15, 21),
        increment(23, 24),
    ):
        for event in session.decode(frame, NOW):
            if isinstance(event, BookSnapshot):
                kept += sync.on_snapshot(event)
            elif isinstance(event, DepthDiff):
                kept += sync.on_diff(event)

    assert [type(event) for event in kept] == [BookSnapshot, Gap, DepthDiff, DepthDiff, Gap]
    assert [gap.reason for gap in kept if isinstance(gap, Gap)] == ["start", "sequence"]


def test_a_linear_book_may_be_numbered_anew_by_its_next_snapshot() -> None:
    adapter = ADAPTER(Options(assume_contract_size="1"))
    rule = adapter.book_rule(adapter.decode_instruments([_CONTRACTS])[0])
    old, fresh = _linear(900, "update", 1_000), _linear(5, "snapshot", 1_001)
    session = adapter.session()
    (diff,), (snapshot,) = session.decode(old, NOW), session.decode(fresh, NOW)
    assert isinstance(diff, DepthDiff)
    assert isinstance(snapshot, BookSnapshot)
    (following,) = session.decode(_linear(6, "update", 1_001), NOW)
    assert isinstance(following, DepthDiff)

    assert rule.joins(snapshot, diff) is Verdict.STALE
    assert rule.joins(snapshot, following) is Verdict.APPLY
    assert rule.follows(6, diff) is Verdict.GAP


_CONTRACTS = (
    b'{"status":"ok","data":[{"contract_code":"BTC-USDT","contract_size":0.001,"price_tick":0.1,"contract_status":1}]}'
)


def _linear(version: int, event: str, at_ms: int) -> bytes:
    topic = "market.BTC-USDT.depth.size_150.high_freq"
    tick = {"asks": [[3, 1]], "bids": [[2, 1]], "event": event, "ts": at_ms, "version": version}
    return json.dumps({"ch": topic, "tick": tick, "ts": at_ms}).encode()


# Candles


def candle(open_s: int, amount: str, at_s: int) -> bytes:
    tick = f'{{"id":{open_s},"open":1,"close":2,"low":1,"high":2,"amount":{amount},"vol":1,"count":3}}'
    return f'{{"ch":"market.btcusdt.kline.1min","ts":{at_s}000,"tick":{tick}}}'.encode()


def closed(session: Session, frame: bytes) -> list[tuple[int, str]]:
    found = [event for event in session.decode(frame, NOW) if isinstance(event, Kline)]
    return [(kline.open_ns // NS_PER_S, kline.volume) for kline in found if kline.is_closed]


def test_a_candle_is_closed_by_the_next_one_in_its_last_state() -> None:
    session = ADAPTER().session()

    assert closed(session, candle(600, "1", 610)) == []
    assert closed(session, candle(600, "2.5", 659)) == []
    assert closed(session, candle(660, "1", 661)) == [(600, "2.5")]
    assert closed(session, candle(660, "4", 670)) == []
    assert closed(session, candle(900, "1", 905)) == [(660, "4")]


def test_a_new_socket_closes_nothing_that_it_has_not_seen() -> None:
    adapter = ADAPTER()
    adapter.session().decode(candle(600, "1", 610), NOW)

    assert closed(adapter.session(), candle(660, "1", 661)) == []


@pytest.mark.parametrize("strange", [candle(6_000, "1", 620), candle(60, "1", 620)])
def test_a_candle_far_from_its_own_push_closes_nothing(strange: bytes) -> None:
    session = ADAPTER().session()
    session.decode(candle(600, "1", 610), NOW)

    assert closed(session, strange) == []
    assert closed(session, candle(660, "1", 661)) == [(600, "1")]


# Compression, units, instruments


def test_a_frame_that_inflates_beyond_bounds_is_refused() -> None:
    with pytest.raises(DecodeError, match="too_large"):
        ADAPTER().session().decode(zipped(b" " * (MAX_PLAIN_BYTES + 1)), NOW)


@pytest.mark.parametrize("damage", [lambda f: f[:-9], lambda f: f[:20] + b"\0\0\0" + f[23:], lambda f: f[:12]])
def test_a_damaged_member_is_refused(damage: Any) -> None:
    with pytest.raises(DecodeError, match="compression"):
        ADAPTER().session().decode(damage(zipped('{"ping":1492420473027,"pad":"abcdefghijklmnop"}')), NOW)


TRADE = (
    b'{"ch":"market.BTC-USDT.trade.detail","ts":1603708208346,"tick":{"id":1,"ts":1603708208335,'
    b'"data":[{"amount":2,"ts":1603708208335,"id":1316022650000,"price":13073.3,"direction":"buy"}]}}'
)


def traded(options: Options, *bodies: bytes) -> str:
    adapter = ADAPTER(options)
    adapter.use_instruments(adapter.decode_instruments(bodies))
    (trade,) = adapter.session().decode(TRADE, NOW)
    assert isinstance(trade, Trade)
    return trade.qty


def test_contracts_are_converted_by_their_instrument_or_refused() -> None:
    assert traded(Options(), _CONTRACTS) == "0.001"
    assert traded(Options(assume_contract_size="1")) == "1"
    assert traded(Options(assume_contract_size="1"), _CONTRACTS) == "0.001"
    with pytest.raises(DecodeError, match="contract_size"):
        traded(Options())


def test_a_live_socket_admits_only_what_is_listed() -> None:
    adapter = ADAPTER()
    instruments = adapter.decode_instruments([_CONTRACTS])
    adapter.use_instruments(instruments)
    (connection,) = adapter.subscriptions(instruments, [Feed.TRADES])
    live = adapter.session(connection)

    assert len(live.decode(TRADE, NOW)) == 1
    for other in (TRADE.replace(b"BTC-USDT", b"ETH-USDT"), TRADE.replace(b"BTC-USDT", b"btcusdt")):
        with pytest.raises(DecodeError, match="unknown_instrument"):
            live.decode(other, NOW)


def test_a_changed_contract_size_holds_at_once() -> None:
    adapter = ADAPTER()
    adapter.use_instruments(adapter.decode_instruments([_CONTRACTS]))
    session = adapter.session()
    (before,) = session.decode(TRADE, NOW)
    adapter.use_instruments(adapter.decode_instruments([_CONTRACTS.replace(b"0.001", b"0.01")]))
    (after,) = session.decode(TRADE, NOW)

    assert [event.qty for event in (before, after) if isinstance(event, Trade)] == ["0.001", "0.01"]
