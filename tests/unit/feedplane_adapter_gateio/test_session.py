"""Frames of one socket: vectors of the venue's documents, what is refused, and what the session asks for."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from feedplane_adapter_gateio import ADAPTER
from feedplane_core.adapter import Options, Reconnect, Send, SnapshotSource, Verdict
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.events import BookSnapshot, DepthDiff, FundingRate, MarketEvent, MarkPrice, OpenInterest, Trade
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import Aggressor, Feed, MarketType
from hypothesis import given
from hypothesis import strategies as st

NOW_NS = 1_785_548_248_000_000_000


def instrument(name: str, market: MarketType, size: str | None = None, **more: Any) -> Instrument:
    unit = ContractUnit.QUOTE if market is MarketType.PERP_INVERSE else ContractUnit.BASE
    return Instrument(
        exchange="gateio",
        market_type=market,
        instrument=name,
        pair=name,
        base="BTC",
        quote="USDT",
        contract_size=size,
        contract_unit=unit,
        **more,
    )


SPOT = instrument("BTC_USDT", MarketType.SPOT)
LINEAR = instrument("BTC_USDT", MarketType.PERP_LINEAR, "0.0001", funding_interval_s=28_800)
INVERSE = instrument("BTC_USD", MarketType.PERP_INVERSE, "1", funding_interval_s=28_800)
ALL = (SPOT, LINEAR, INVERSE)


def adapter(**options: Any) -> Any:
    made = ADAPTER(Options(**options))
    made.use_instruments(ALL)
    return made


def frame(channel: str, result: Any, **more: Any) -> bytes:
    body = {"time": 1785548247, "time_ms": 1785548247000, "channel": channel, "event": "update", "result": result}
    return json.dumps(body | more).encode().replace(b'": ', b'":')


def decode(channel: str, result: Any, **more: Any) -> list[MarketEvent]:
    return list(adapter().session().decode(frame(channel, result, **more), NOW_NS))


def futures_trade(size: Any, contract: str = "BTC_USDT") -> dict[str, Any]:
    return {"size": size, "id": 7, "create_time_ms": 1785548246123, "price": "62914.3", "contract": contract}


@pytest.mark.parametrize("size", [-4, "-4", "-4.0"])
def test_sizes_are_contracts_as_number_or_text(size: Any) -> None:
    (trade,) = decode("futures.trades", [futures_trade(size)])

    assert isinstance(trade, Trade)
    assert (Decimal(trade.qty), trade.aggressor) == (Decimal("0.0004"), Aggressor.SELL)


@given(contracts=st.decimals(min_value="0.0001", max_value="99999999", places=4), price=st.integers(1, 10**7))
def test_conversion_is_that_of_the_instrument(contracts: Decimal, price: int) -> None:
    text = format(contracts, "f")
    for contract in (LINEAR, INVERSE):
        row = futures_trade(text, contract.instrument) | {"price": str(price)}
        (trade,) = decode("futures.trades", [row])
        assert isinstance(trade, Trade)
        assert trade.qty == contract.base_qty(text, str(price))


def test_a_contract_that_is_not_known_needs_a_size() -> None:
    row = futures_trade(3, "NEW_USDT")
    with pytest.raises(DecodeError) as refused:
        ADAPTER().session().decode(frame("futures.trades", [row]), NOW_NS)
    assert refused.value.code == "contract_size"

    assumed = ADAPTER(Options(assume_contract_size="1")).session()
    (linear,) = assumed.decode(frame("futures.trades", [row]), NOW_NS)
    (inverse,) = assumed.decode(frame("futures.trades", [row | {"contract": "NEW_USD", "price": "2"}]), NOW_NS)
    assert isinstance(linear, Trade)
    assert isinstance(inverse, Trade)
    assert (linear.market_type, linear.qty) == (MarketType.PERP_LINEAR, "3")
    assert (inverse.market_type, inverse.qty) == (MarketType.PERP_INVERSE, "1.5")


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("1606292218213.4578", 1606292218213457800),
        ("1606292218213", 1606292218213000000),
        ("1606292218.213", 1606292218213000000),
        ("1606292218213457", 1606292218213457000),
    ],
)
def test_times_are_told_by_their_magnitude(text: str, expected_ns: int) -> None:
    row = {"id": 1, "create_time_ms": text, "side": "buy", "currency_pair": "BTC_USDT", "amount": "1", "price": "2"}

    assert [event.ts_event_ns for event in decode("spot.trades", row)] == [expected_ns]


@pytest.mark.parametrize("time", ["-1", "1e12", "", "0", "99999999999999999999", "1.2.3", None, []])
def test_what_is_no_time_is_refused(time: Any) -> None:
    row = {"id": 1, "create_time_ms": time, "side": "buy", "currency_pair": "BTC_USDT", "amount": "1", "price": "2"}
    with pytest.raises(DecodeError) as refused:
        decode("spot.trades", row)
    assert refused.value.code == "schema"


def test_the_channel_is_found_wherever_it_stands() -> None:
    result = {"t": 1785548246983, "s": "ob.BTC_USDT.50", "u": 9, "full": True, "b": [["1", "2"]], "a": []}
    late = json.dumps({"pad": "x" * 500, "result": result, "event": "update", "channel": "spot.obu"}).encode()

    (book,) = adapter().session().decode(late, NOW_NS)

    assert isinstance(book, BookSnapshot)
    assert (book.market_type, book.depth, book.last_seq, book.bids) == (MarketType.SPOT, 50, 9, [("1", "2")])


def test_a_frame_that_names_its_channel_twice_is_judged_by_the_last() -> None:
    twice = frame("spot.trades", futures_trade(1)).replace(b'"event"', b'"channel":"futures.trades","event"')

    with pytest.raises(DecodeError):
        adapter().session().decode(twice, NOW_NS)


def test_increments_without_sides_move_the_number() -> None:
    (diff,) = decode("futures.obu", {"t": 1, "s": "ob.BTC_USDT.400", "U": 10, "u": 12})

    assert isinstance(diff, DepthDiff)
    assert (diff.first_seq, diff.last_seq, list(diff.bids), list(diff.asks)) == (10, 12, [], [])


def test_levels_are_in_base_units() -> None:
    obu = {"t": 1785548246983, "s": "ob.BTC_USDT.400", "U": 10, "u": 12, "b": [["100", "0.4"], ["99", "0"]]}
    update = {"t": 1785548246983, "s": "BTC_USD", "U": 1, "u": 2, "a": [{"p": "100", "s": 50}, {"p": "101", "s": "0"}]}
    (linear,) = decode("futures.obu", obu)
    (inverse,) = decode("futures.order_book_update", update)

    assert isinstance(linear, DepthDiff)
    assert isinstance(inverse, DepthDiff)
    assert [list(level) for level in linear.bids] == [["100", "0.00004"], ["99", "0"]]
    assert [list(level) for level in inverse.asks] == [["100", "0.5"], ["101", "0"]]


def test_tickers_say_what_they_have() -> None:
    row = {"contract": "BTC_USDT", "mark_price": "62914.3", "index_price": "", "funding_rate": "-0.00001"}
    mark, funding = decode("futures.tickers", row)

    assert isinstance(mark, MarkPrice)
    assert isinstance(funding, FundingRate)
    assert (mark.mark_price, mark.index_price, mark.ts_event_ns) == ("62914.3", None, 1785548247000000000)
    assert (funding.rate, funding.interval_s, funding.next_funding_ns) == ("-0.00001", 28_800, None)


def test_inverse_open_interest_needs_a_mark() -> None:
    row = {"contract": "BTC_USD", "mark_price": "50000", "total_size": "100000"}

    assert [e.open_interest for e in decode("futures.tickers", [row]) if isinstance(e, OpenInterest)] == ["2"]
    assert decode("futures.tickers", [row | {"mark_price": ""}]) == []


def refusal(number: int | None, message: str, channel: str = "spot.trades") -> bytes:
    error = {"code": 2, "message": message}
    return frame(channel, {"status": "fail"}, id=number, event="subscribe", error=error)


def test_a_refused_list_is_asked_for_one_by_one_once() -> None:
    other = instrument("ETH_USDT", MarketType.SPOT)
    made = adapter()
    (connection,) = made.subscriptions([SPOT, other], [Feed.TRADES])
    session = made.session(connection)
    asked = json.loads(connection.subscribe[0])
    for _ in range(2):
        with pytest.raises(DecodeError) as refused:
            session.decode(refusal(asked["id"], "unknown currency pair ETH_USDT"), NOW_NS)
        assert refused.value.code == "venue_error"

    singles = [json.loads(action.frame) for action in session.actions() if isinstance(action, Send)]
    assert [single["payload"] for single in singles] == [["BTC_USDT"], ["ETH_USDT"]]
    assert all("id" not in single for single in singles)  # a refusal of one is final


def test_a_stream_that_the_socket_has_already_is_no_error() -> None:
    session = adapter().session()

    assert session.decode(refusal(3, "Alert sub ob.BTC_USDT.400", "futures.obu"), NOW_NS) == []
    assert session.actions() == []


@pytest.mark.parametrize(
    "notice", [frame("futures.system", {"type": "upgrade"}), frame("futures.trades", None, event="upgrade")]
)
def test_an_upgrade_asks_for_another_socket(notice: bytes) -> None:
    session = adapter().session()

    assert session.decode(notice, NOW_NS) == []
    (asked,) = session.actions()
    assert isinstance(asked, Reconnect)
    assert asked.planned
    assert session.actions() == []


def test_a_live_socket_refuses_what_was_not_discovered() -> None:
    made = adapter()
    (connection,) = made.subscriptions([SPOT], [Feed.TRADES])
    row = {"id": 1, "create_time_ms": "1785548246000", "side": "buy", "currency_pair": "NEW_USDT"}
    row |= {"amount": "1", "price": "2"}
    with pytest.raises(DecodeError) as refused:
        made.session(connection).decode(frame("spot.trades", row), NOW_NS)
    assert refused.value.code == "unknown_instrument"
    assert len(made.session().decode(frame("spot.trades", row), NOW_NS)) == 1


def test_the_rule_joins_and_follows_by_numbers() -> None:
    def diff(first: int, last: int) -> DepthDiff:
        (event,) = decode("spot.obu", {"t": 1, "s": "ob.BTC_USDT.400", "U": first, "u": last})
        assert isinstance(event, DepthDiff)
        return event

    (book,) = decode("spot.obu", {"t": 1, "full": True, "s": "ob.BTC_USDT.400", "u": 100})
    rule = adapter().book_rule(SPOT)
    assert isinstance(book, BookSnapshot)
    joined = [rule.joins(book, diff(*n)) for n in ((90, 100), (95, 101), (101, 101), (102, 103))]
    assert joined == [Verdict.STALE, Verdict.APPLY, Verdict.APPLY, Verdict.GAP]
    followed = [rule.follows(100, diff(*n)) for n in ((90, 100), (95, 101), (101, 101), (102, 103))]
    assert followed == [Verdict.STALE, Verdict.GAP, Verdict.APPLY, Verdict.GAP]
    assert (rule.source, rule.max_depth) == (SnapshotSource.SOCKET, None)

    by_rest = adapter(switches={"book_channel": "order_book_update"})
    assert (by_rest.book_rule(SPOT).source, by_rest.book_rule(SPOT).max_depth) == (SnapshotSource.REST, 100)
    assert by_rest.book_snapshot_request(LINEAR).headers == {"X-Gate-Size-Decimal": "1"}


@pytest.mark.parametrize(
    "options",
    [
        {"kline_intervals": ("2m",)},
        {"switches": {"book_channel": "obv"}},
        {"switches": {"settles": "usdt,eur"}},
        {"switches": {"topics_per_socket": "5"}},
    ],
)
def test_wrong_options_name_what_is_wrong(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ADAPTER(Options(**options))
