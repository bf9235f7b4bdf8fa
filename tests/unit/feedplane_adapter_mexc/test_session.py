"""Frames of one socket: the venue's test vector, what is absent, exact numbers, and what state they leave."""

from __future__ import annotations

from typing import Any

import pytest
from feedplane_adapter_mexc import ADAPTER
from feedplane_adapter_mexc.book import pairs_of
from feedplane_core.adapter import Options, Session
from feedplane_core.errors import DecodeError
from feedplane_core.events import DepthDiff, FundingRate, Kline, MarketEvent, MarkPrice, OpenInterest, TopOfBook, Trade
from feedplane_core.identity import identity_of
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import Aggressor, Feed, MarketType
from feedplane_dialect_mexc import wire
from msgspec import Raw

NOW_NS = 1_789_498_405_600_000_000
VECTOR = bytes.fromhex(
    "0a2e73706f74407075626c69632e61676772652e64657074682e76332e6170692e70624031306d7340425443555344541a074254435553445430e287809fef33"
    "ca135912150a0836313735392e37331209302e303030313737381a2673706f74407075626c69632e61676772652e64657074682e76332e6170692e7062403130"
    "6d73220b37343839313331333236332a0b3734383931333133323633"
)
DEALS = "spot@public.aggre.deals.v3.api.pb@10ms@BTCUSDT"
QUOTES = "spot@public.aggre.bookTicker.v3.api.pb@10ms@BTCUSDT"


def instrument(name: str, market: MarketType, size: str | None = None) -> Instrument:
    unit = ContractUnit.QUOTE if market is MarketType.PERP_INVERSE else ContractUnit.BASE
    return Instrument(
        exchange="mexc",
        market_type=market,
        instrument=name,
        pair=name,
        base="B",
        quote="Q",
        contract_size=size,
        contract_unit=unit,
        funding_interval_s=28_800,
    )


SPOT = instrument("BTCUSDT", MarketType.SPOT)
LINEAR = instrument("BTC_USDT", MarketType.PERP_LINEAR, "0.0001")
INVERSE = instrument("BTC_USD", MarketType.PERP_INVERSE, "100")


def session(**options: Any) -> Session:
    adapter = ADAPTER(Options(**options))
    adapter.use_instruments([SPOT, LINEAR, INVERSE])
    return adapter.session()


def only(events: list[MarketEvent]) -> Any:
    (event,) = events
    return event


def push(channel: str, data: str, symbol: str = "BTC_USDT", ts: int = 1_789_498_405_534) -> bytes:
    return f'{{"symbol":"{symbol}","data":{data},"channel":"{channel}","ts":{ts}}}'.encode()


def deal(*fields: bytes) -> bytes:
    return wire.wrapped(DEALS, "BTCUSDT", wire.DEALS, b"".join(fields), sent_ms=1_789_498_405_534)


def item(price: str, qty: str, trade_id: str = "", side: int = 1) -> bytes:
    texts = wire.text(1, price) + wire.text(2, qty) + wire.integer(3, side)
    return wire.blob(1, texts + wire.integer(4, 1_789_498_405_530) + wire.text(5, trade_id))


def test_the_vector_of_the_schema() -> None:
    event = only(session().decode(VECTOR, NOW_NS))

    assert isinstance(event, DepthDiff)
    assert (event.instrument, event.market_type) == ("BTCUSDT", MarketType.SPOT)
    assert (event.bids, event.asks) == ([("61759.73", "0.0001778")], [])
    assert (event.first_seq, event.last_seq) == (74_891_313_263, 74_891_313_263)
    assert event.ts_event_ns == 1_782_208_005_090 * 10**6


def test_every_shorter_vector_is_refused_or_says_nothing() -> None:
    for length in range(len(VECTOR)):
        try:
            events = session().decode(VECTOR[:length], NOW_NS)
        except DecodeError:
            continue
        assert events == [], length


def test_fields_to_come_are_skipped_and_a_body_to_come_is_told() -> None:
    assert session().decode(VECTOR + wire.text(77, "new"), NOW_NS) == session().decode(VECTOR, NOW_NS)
    with pytest.raises(DecodeError, match="unknown_channel"):
        session().decode(wire.wrapped("spot@public.new.v3.api.pb@BTCUSDT", "BTCUSDT", 400, b""), NOW_NS)
    with pytest.raises(DecodeError, match="unknown_channel"):
        session().decode(wire.wrapped("spot@private.deals.v3.api.pb", "BTCUSDT", 306, b""), NOW_NS)


def test_a_frame_without_its_symbol_is_of_the_channels() -> None:
    frame = wire.text(1, DEALS) + wire.blob(wire.DEALS, item("1", "2"))

    assert only(session().decode(frame, NOW_NS)).instrument == "BTCUSDT"
    with pytest.raises(DecodeError, match="schema"):
        session().decode(wire.wrapped(DEALS, "ETHUSDT", wire.DEALS, item("1", "2")), NOW_NS)


def test_fills_without_ids_keep_apart_and_those_with_ids_need_no_place() -> None:
    bare = session().decode(deal(item("1", "2"), item("1", "2"), item("1", "2", side=2)), NOW_NS)
    named = session().decode(deal(item("1", "2", "aX0_bX0"), item("1", "2", "cX0_dX0")), NOW_NS)

    assert [e.ordinal for e in bare if isinstance(e, Trade)] == [0, 1, 0]
    assert len({identity_of(e) for e in bare}) == 3
    assert [identity_of(e) for e in named] == ["aX0_bX0", "cX0_dX0"]


def test_an_absent_side_of_a_quote_is_zero() -> None:
    body = wire.text(3, "62383.57") + wire.text(4, "0.5")
    event = only(session().decode(wire.wrapped(QUOTES, "BTCUSDT", wire.BOOK_TICKER, body, sent_ms=5), NOW_NS))

    assert isinstance(event, TopOfBook)
    assert (event.bid_price, event.bid_qty, event.ask_price, event.seq) == ("0", "0", "62383.57", None)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("[]", []),
        ("null", []),
        ("[[0.080100,2868,1],[7,0,0]]", [("0.080100", "2868"), ("7", "0")]),
        ("[[7.548E+4, 2868, 1]]", [("75480", "2868")]),
        ("[[1e-7,2.5]]", [("0.0000001", "2.5")]),
        ('[["1.5","2"]]', [("1.5", "2")]),
    ],
)
def test_levels_are_exact_text(text: str, pairs: list[tuple[str, str]]) -> None:
    assert list(pairs_of(Raw(text.encode()), "push.depth")) == pairs


@pytest.mark.parametrize(
    "text", ["[[0,1,1]]", "[[0.00,1,1]]", "[[-1,1,1]]", "[[1,-1,1]]", "[[1]]", "[[1,null,1]]", "{}"]
)
def test_levels_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        pairs_of(Raw(text.encode()), "push.depth")


def test_contracts_become_base_units() -> None:
    row = '[{"p":%s,"v":55,"T":2,"O":3,"M":1,"t":1789498405530,"i":"9"}]'

    linear = only(session().decode(push("push.deal", row % "115309.8"), NOW_NS))
    inverse = only(session().decode(push("push.deal", row % "64000", "BTC_USD"), NOW_NS))

    assert (linear.qty, linear.aggressor, linear.market_type) == ("0.0055", Aggressor.SELL, MarketType.PERP_LINEAR)
    assert (inverse.qty, inverse.market_type) == ("0.0859375", MarketType.PERP_INVERSE)


def test_an_unknown_contract_is_refused_unless_its_size_is_assumed() -> None:
    frame = push("push.deal", '[{"p":2,"v":5,"T":1,"t":1789498405530}]', "NEW_USDT")

    with pytest.raises(DecodeError, match="contract_size"):
        session().decode(frame, NOW_NS)
    assert only(session(assume_contract_size="10").decode(frame, NOW_NS)).qty == "50"


def test_versions_of_merged_and_unmerged_frames() -> None:
    merged = only(session().decode(push("push.depth", '{"asks":[],"bids":[],"begin":5,"end":9,"version":9}'), NOW_NS))
    single = only(session().decode(push("push.depth", '{"asks":[],"bids":[],"begin":0,"version":9}'), NOW_NS))

    assert (merged.first_seq, merged.last_seq) == (5, 9)
    assert (single.first_seq, single.last_seq) == (9, 9)
    assert single.ts_event_ns == 1_789_498_405_534 * 10**6


def test_keys_in_any_order_and_spacing() -> None:
    spaced = b'{ "channel" : "push.fair.price", "symbol": "BTC_USDT", "ts": 5, "data": {"symbol": "BTC_USDT", "price": 75986}}'

    event = only(session().decode(spaced, NOW_NS))
    assert isinstance(event, MarkPrice)
    assert (event.mark_price, event.index_price) == ("75986", None)


def test_a_ticker_is_read_with_the_settlement_that_lies_ahead() -> None:
    live = session()
    ticker = '{"symbol":"BTC_USDT","fundingRate":8.1E-5,"timestamp":%d}'
    before = only(live.decode(push("push.ticker", ticker % 1_000), NOW_NS))
    live.decode(push("push.funding.rate", '{"symbol":"BTC_USDT","rate":0.1,"nextSettleTime":9000}'), NOW_NS)
    ahead = only(live.decode(push("push.ticker", ticker % 2_000), NOW_NS))
    passed = only(live.decode(push("push.ticker", ticker % 9_000), NOW_NS))

    assert isinstance(ahead, FundingRate)
    assert (ahead.rate, ahead.interval_s) == ("0.000081", 28_800)
    assert [e.next_funding_ns for e in (before, ahead, passed)] == [None, 9_000 * 10**6, None]


def test_open_interest_of_inverse_contracts_needs_a_mark() -> None:
    with_mark = session().decode(
        push("push.ticker", '{"symbol":"BTC_USD","fairPrice":50000,"holdVol":1000}', "BTC_USD"), NOW_NS
    )
    without = session().decode(push("push.ticker", '{"symbol":"BTC_USD","holdVol":1000}', "BTC_USD"), NOW_NS)

    assert [e.open_interest for e in with_mark if isinstance(e, OpenInterest)] == ["2"]
    assert without == []


def kline(start: int, close: str = "2", high: str = "3") -> bytes:
    data = f'{{"symbol":"BTC_USDT","interval":"Min1","t":{start},"o":2,"h":{high},"l":1,"c":{close},"q":10,"a":1}}'
    return push("push.kline", data)


def test_a_candle_is_closed_by_the_next_as_it_stood_last() -> None:
    live = session()
    states = [*live.decode(kline(60), 1), *live.decode(kline(60, "2.5"), 2), *live.decode(kline(120), 3)]

    klines = [e for e in states if isinstance(e, Kline)]
    assert [(e.open_ns // 10**9, e.close, e.is_closed) for e in klines] == [
        (60, "2", False),
        (60, "2.5", False),
        (60, "2.5", True),
        (120, "2", False),
    ]
    assert not [e for e in live.decode(kline(60), 4) if isinstance(e, Kline) and e.is_closed]


@pytest.mark.parametrize("broken", [kline(60, high="-1"), kline(60)[:-9]])
def test_a_refused_candle_leaves_none_to_close(broken: bytes) -> None:
    live = session()
    live.decode(kline(60), 1)
    with pytest.raises(DecodeError):
        live.decode(broken, 2)

    assert [e.is_closed for e in live.decode(kline(120), 3) if isinstance(e, Kline)] == [False]


def test_a_live_socket_knows_its_instruments() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([SPOT, LINEAR])
    (connection,) = adapter.subscriptions([LINEAR], [Feed.TRADES])

    with pytest.raises(DecodeError, match="unknown_instrument"):
        adapter.session(connection).decode(push("push.fair.price", '{"symbol":"A_USDT","price":1}', "A_USDT"), NOW_NS)


@pytest.mark.parametrize(
    "reply",
    [
        '{"id":0,"code":0,"msg":"Not Subscribed successfully! [a,b].  Reason： Blocked! "}',
        '{"channel":"rs.error","data":"Contract [NOPE_USDT] not exists","ts":1}',
        '{"channel":"rs.sub.depth","data":"failed","ts":1}',
    ],
)
def test_a_refusal_of_the_venue_is_told(reply: str) -> None:
    with pytest.raises(DecodeError, match="venue_error"):
        session().decode(reply.encode(), NOW_NS)
