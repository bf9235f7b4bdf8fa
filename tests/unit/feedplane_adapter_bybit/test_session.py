"""Frames of one socket: vectors of the venue's documents, what state they leave, and what tells one market from another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from feedplane_adapter_bybit import ADAPTER
from feedplane_core.adapter import Connection, Options, Send, Session
from feedplane_core.errors import DecodeError
from feedplane_core.events import (
    BookSnapshot,
    DepthDiff,
    FundingRate,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    TopOfBook,
    Trade,
)
from feedplane_core.identity import identity_of
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import Aggressor, Feed, Liquidated, MarketType
from feedplane_core.sequence import FeedTracker

NOW_NS = 1_760_325_053_000_000_000


def instrument(name: str, market: MarketType, *, is_inverse: bool = False, **more: Any) -> Instrument:
    return Instrument(
        exchange="bybit",
        market_type=market,
        instrument=name,
        pair=name,
        base="BTC",
        quote="USD" if is_inverse else "USDT",
        contract_size=None if market is MarketType.SPOT else "1",
        contract_unit=ContractUnit.QUOTE if is_inverse else ContractUnit.BASE,
        **more,
    )


SPOT = instrument("BTCUSDT", MarketType.SPOT)
LINEAR = instrument("BTCUSDT", MarketType.PERP_LINEAR, funding_interval_s=14_400)
INVERSE = instrument("BTCUSD", MarketType.PERP_INVERSE, is_inverse=True)
DATED = instrument("BTCUSDH26", MarketType.DELIVERY, is_inverse=True)


def sockets(*instruments: Instrument, feeds: tuple[Feed, ...] = tuple(Feed)) -> dict[str, tuple[Connection, Session]]:
    """A live session for each category of the plan."""
    adapter = ADAPTER()
    adapter.use_instruments(instruments)
    plan = adapter.subscriptions(instruments, feeds)
    return {connection.url.rpartition("/")[2]: (connection, adapter.session(connection)) for connection in plan}


def offline(*instruments: Instrument, contract_size: str | None = None) -> Session:
    adapter = ADAPTER(Options(assume_contract_size=contract_size))
    adapter.use_instruments(instruments)
    return adapter.session()


def decode(session: Session, frame: dict[str, Any]) -> list[MarketEvent]:
    return session.decode(json.dumps(frame, separators=(",", ":")).encode(), NOW_NS)


def trade_frame(symbol: str, trade_id: str, **row: Any) -> dict[str, Any]:
    fill = {"T": 1760325052630, "s": symbol, "S": "Buy", "v": "3", "p": "64000.00", "i": trade_id, "BT": False} | row
    return {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": 1760325052631, "data": [fill]}


def ticker_frame(symbol: str, kind: str = "delta", **fields: str) -> dict[str, Any]:
    data = {"symbol": symbol, **fields}
    return {"topic": f"tickers.{symbol}", "type": kind, "data": data, "cs": 1, "ts": 1760325052630}


def book_frame(symbol: str, depth: int, kind: str, u: int, b: Any = (), a: Any = (), **rest: Any) -> dict[str, Any]:
    data = {"s": symbol, "b": list(b), "a": list(a), "u": u, "seq": 7 * u}
    frame = {"topic": f"orderbook.{depth}.{symbol}", "type": kind, "ts": 1760325052632, "data": data}
    return frame | {"cts": 1760325052630} | rest


# One name, two markets ----------------------------------------------------------------------------------------------------------


def test_one_name_on_two_sockets_is_two_instruments() -> None:
    live = sockets(SPOT, LINEAR, INVERSE)
    assert set(live) == {"spot", "linear", "inverse"}

    markets = {}
    for category in ("spot", "linear"):
        (event,) = decode(live[category][1], trade_frame("BTCUSDT", "1"))
        markets[category] = (event.instrument, event.market_type)

    assert markets == {"spot": ("BTCUSDT", MarketType.SPOT), "linear": ("BTCUSDT", MarketType.PERP_LINEAR)}


def test_offline_a_shared_name_is_the_derivative_unless_a_trade_says_otherwise() -> None:
    session = offline(LINEAR, SPOT)

    (fill,) = decode(session, trade_frame("BTCUSDT", "20f43950-d8dd-5b31-9112-a178eb6023af"))
    (spot_fill,) = decode(session, trade_frame("BTCUSDT", "2100000000007764263"))
    (book,) = decode(session, book_frame("BTCUSDT", 50, "snapshot", 9))

    assert fill.market_type is book.market_type is MarketType.PERP_LINEAR
    assert spot_fill.market_type is MarketType.SPOT


def test_offline_a_name_that_spot_alone_has_is_spot() -> None:
    (book,) = decode(offline(SPOT), book_frame("BTCUSDT", 50, "snapshot", 9))

    assert book.market_type is MarketType.SPOT


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("NEWUSDT", MarketType.PERP_LINEAR),
        ("1000PEPEUSDT", MarketType.PERP_LINEAR),
        ("NEWPERP", MarketType.PERP_LINEAR),
        ("BTC-26DEC25", MarketType.DELIVERY),
        ("BTCUSDT-5SEP25", MarketType.DELIVERY),
        ("ETHBTC", MarketType.SPOT),
        ("BTCUSDC", MarketType.SPOT),
        ("币安人生USDT", MarketType.PERP_LINEAR),
    ],
)
def test_spelling_tells_unknown_symbols(symbol: str, market: MarketType) -> None:
    (event,) = decode(offline(), book_frame(symbol, 200, "snapshot", 9))

    assert event.market_type is market


@pytest.mark.parametrize("symbol", ["", "btcusdt", "BTC-USDT", "BTC-26DEC25-90000-C", "A" * 65, "BTC USDT", "BTC_USDT"])
def test_spellings_that_cannot_be_are_refused(symbol: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(offline(), book_frame(symbol, 200, "snapshot", 9))

    assert refused.value.code == "unknown_instrument"


def test_a_live_socket_admits_only_what_its_category_lists() -> None:
    live = sockets(SPOT, INVERSE)

    with pytest.raises(DecodeError, match="unknown_instrument"):
        decode(live["inverse"][1], trade_frame("BTCUSDT", "1"))


def test_instruments_that_come_later_are_known_to_live_sockets() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([LINEAR])
    (connection,) = adapter.subscriptions([LINEAR], [Feed.TRADES])
    session = adapter.session(connection)
    frame = trade_frame("ETHUSDT", "x")
    with pytest.raises(DecodeError):
        decode(session, frame)

    adapter.use_instruments([instrument("ETHUSDT", MarketType.PERP_LINEAR)])

    assert len(decode(session, frame)) == 1


# Contracts of 1 USD -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", [INVERSE, DATED])
def test_inverse_quantities_are_divided_by_their_own_price(contract: Instrument) -> None:
    session, name = offline(contract), contract.instrument
    frames = [
        trade_frame(name, "x", v="32000"),
        book_frame(name, 1, "snapshot", 5, [["64000", "16000"]], [["65000", "0"], ["65500", "1"]]),
        book_frame(name, 50, "delta", 6, [["64000", "0"]], [["3", "1"]]),
        {
            "topic": f"allLiquidation.{name}",
            "type": "snapshot",
            "ts": 1,
            "data": [{"T": 1, "s": name, "S": "Buy", "v": "6400", "p": "64000"}],
        },
    ]
    trade, quote, diff, liquidation = (event for frame in frames for event in decode(session, frame))

    assert isinstance(trade, Trade)
    assert trade.qty == "0.5"
    assert isinstance(quote, TopOfBook)
    assert (quote.bid_qty, quote.ask_price, quote.ask_qty) == ("0.25", "65500", "0.000015267175572519")
    assert isinstance(diff, DepthDiff)
    assert [list(level) for level in diff.bids] == [["64000", "0"]]
    assert [list(level) for level in diff.asks] == [["3", "0.333333333333333333"]]
    assert isinstance(liquidation, Liquidation)
    assert (liquidation.liquidated, liquidation.qty) == (Liquidated.LONG, "0.1")


def test_an_unknown_inverse_contract_needs_a_size() -> None:
    frame = trade_frame("ADAUSD", "x", v="30", p="0.3")
    with pytest.raises(DecodeError) as refused:
        decode(offline(), frame)
    (trade,) = decode(offline(contract_size="10"), frame)

    assert (refused.value.code, "ADAUSD" in refused.value.detail) == ("contract_size", True)
    assert isinstance(trade, Trade)
    assert (trade.qty, trade.market_type) == ("1000", MarketType.PERP_INVERSE)


def test_a_quantity_that_would_vanish_is_refused_and_not_taken_for_a_removal() -> None:
    with pytest.raises(DecodeError, match="number_range"):
        decode(offline(INVERSE), book_frame("BTCUSD", 50, "delta", 6, [["10000000000000000000", "1"]]))
    with pytest.raises(DecodeError, match="number"):
        decode(offline(INVERSE), book_frame("BTCUSD", 50, "delta", 6, [["0.0", "1"]]))


def test_open_interest_of_inverse_needs_a_mark() -> None:
    session = offline(INVERSE)

    assert decode(session, ticker_frame("BTCUSD", openInterest="64000")) == []
    decode(session, ticker_frame("BTCUSD", markPrice="32000"))
    (event,) = decode(session, ticker_frame("BTCUSD", openInterest="64000"))

    assert isinstance(event, OpenInterest)
    assert event.open_interest == "1"


# Tickers ------------------------------------------------------------------------------------------------------------------------


def test_a_field_that_is_absent_has_not_changed() -> None:
    session = offline(LINEAR)
    decode(session, ticker_frame("BTCUSDT", "snapshot", markPrice="10", indexPrice="11", fundingRate="0.1"))

    (mark,) = decode(session, ticker_frame("BTCUSDT", markPrice="12"))
    (funding,) = decode(session, ticker_frame("BTCUSDT", nextFundingTime="1760342400000"))

    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price) == ("12", "11")
    assert isinstance(funding, FundingRate)
    assert (funding.rate, funding.interval_s) == ("0.1", 14_400)
    assert funding.next_funding_ns == 1_760_342_400 * 10**9


def test_a_snapshot_forgets_what_was_before() -> None:
    session = offline(LINEAR)
    decode(session, ticker_frame("BTCUSDT", "snapshot", markPrice="10", indexPrice="11"))
    decode(session, ticker_frame("BTCUSDT", "snapshot", markPrice="10"))

    (mark,) = decode(session, ticker_frame("BTCUSDT", markPrice="12"))

    assert isinstance(mark, MarkPrice)
    assert mark.index_price is None


@pytest.mark.parametrize("broken", ["markPrice", "nextFundingTime", "fundingIntervalHour"])
def test_after_a_refused_ticker_nothing_is_told_as_unchanged(broken: str) -> None:
    session = offline(LINEAR)
    decode(session, ticker_frame("BTCUSDT", "snapshot", markPrice="10", indexPrice="11"))
    with pytest.raises(DecodeError):
        decode(session, ticker_frame("BTCUSDT", indexPrice="12", **{broken: "x"}))

    (mark,) = decode(session, ticker_frame("BTCUSDT", markPrice="13"))

    assert isinstance(mark, MarkPrice)
    assert mark.index_price is None


def test_dated_contracts_have_no_funding_and_empty_is_no_value() -> None:
    session = offline(DATED)
    fields = {"markPrice": "10", "indexPrice": "", "fundingRate": "", "nextFundingTime": "", "openInterest": ""}
    (mark,) = decode(session, ticker_frame("BTCUSDH26", "snapshot", **fields))

    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price) == ("10", None)


# Quotes and books ---------------------------------------------------------------------------------------------------------------


def test_a_repeated_quote_is_a_sign_of_life_and_nothing_new() -> None:
    session = offline(LINEAR)
    first = book_frame("BTCUSDT", 1, "snapshot", 5, [["10", "1"]], [["11", "2"]])
    events = [*decode(session, first), *decode(session, first | {"ts": 1760325055632})]
    tracker = FeedTracker("bybit", MarketType.PERP_LINEAR, "BTCUSDT", Feed.L1)

    assert [tracker.on_event(event).is_new for event in events] == [True, False]


def test_quotes_of_old_come_as_deltas() -> None:
    session = offline(LINEAR)
    assert decode(session, book_frame("BTCUSDT", 1, "delta", 4, [["9", "1"]])) == []
    decode(session, book_frame("BTCUSDT", 1, "snapshot", 5, [["10", "1"]], [["11", "2"]]))
    (moved,) = decode(session, book_frame("BTCUSDT", 1, "delta", 6, [["10", "0"], ["9", "3"]]))
    (emptied,) = decode(session, book_frame("BTCUSDT", 1, "delta", 7, [], [["11", "0"]]))

    assert isinstance(moved, TopOfBook)
    assert isinstance(emptied, TopOfBook)
    assert (moved.bid_price, moved.bid_qty, moved.ask_price, moved.ask_qty) == ("9", "3", "11", "2")
    assert (emptied.bid_price, emptied.ask_price, emptied.ask_qty) == ("9", "0", "0")


def test_number_one_is_a_snapshot_whatever_it_is_called() -> None:
    (event,) = decode(offline(LINEAR), book_frame("BTCUSDT", 200, "delta", 1, [["10", "1"]], [["11", "2"]]))

    assert isinstance(event, BookSnapshot)
    assert (event.last_seq, event.depth) == (1, 200)


def test_event_time_is_the_engines_where_it_is_told() -> None:
    frame = book_frame("BTCUSDT", 200, "delta", 5)
    (engine,) = decode(offline(LINEAR), frame)
    del frame["cts"]
    (push,) = decode(offline(LINEAR), frame)

    assert engine.ts_event_ns == 1_760_325_052_630_000_000
    assert push.ts_event_ns == 1_760_325_052_632_000_000


# Trades and liquidations --------------------------------------------------------------------------------------------------------


def test_the_same_letter_means_taker_in_trades_and_position_in_liquidations() -> None:
    session = offline(LINEAR)
    (trade,) = decode(session, trade_frame("BTCUSDT", "x", S="Sell"))
    rows = [{"T": 1, "s": "BTCUSDT", "S": "Sell", "v": "1", "p": "2"}] * 2
    twins = decode(session, {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": 1, "data": rows})

    assert isinstance(trade, Trade)
    assert trade.aggressor is Aggressor.SELL
    assert [event.liquidated for event in twins if isinstance(event, Liquidation)] == [Liquidated.SHORT] * 2
    assert len({identity_of(event) for event in twins}) == 2


def test_block_trades_are_no_part_of_the_tape() -> None:
    assert decode(offline(LINEAR), trade_frame("BTCUSDT", "x", BT=True)) == []


# Acks ---------------------------------------------------------------------------------------------------------------------------


def refuse(session: Session, req_id: str, op: str = "subscribe") -> list[Any]:
    answer = {"success": False, "ret_msg": "error:handler not found", "conn_id": "c", "req_id": req_id, "op": op}
    with pytest.raises(DecodeError) as refused:
        decode(session, answer)
    assert refused.value.code == "venue_error"
    return session.actions()


def test_topics_of_a_refused_frame_are_asked_for_one_by_one_once() -> None:
    connection, session = sockets(LINEAR)["linear"]
    asked = json.loads(connection.subscribe[0])

    actions = refuse(session, asked["req_id"])
    singles = [json.loads(action.frame) for action in actions if isinstance(action, Send)]

    assert [single["args"] for single in singles] == [[topic] for topic in asked["args"]]
    assert len(singles) > 1
    assert refuse(session, asked["req_id"]) == []
    assert refuse(session, singles[0]["req_id"]) == []
    assert refuse(session, "") == []


def test_topics_in_any_place_of_the_frame_are_found() -> None:
    session = offline(LINEAR)
    frame = trade_frame("BTCUSDT", "x")
    turned = {"data": frame["data"], "ts": frame["ts"], "topic": frame["topic"]}

    assert decode(session, turned) == decode(session, frame) == decode(session, turned)
