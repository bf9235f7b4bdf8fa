"""Frames of one socket: what is told by which instruments are known, and what the session asks for."""

from __future__ import annotations

import orjson
import pytest
from feedplane_adapter_okx import ADAPTER
from feedplane_core.adapter import Adapter, Options, Reconnect
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, Liquidation, MarkPrice, OpenInterest, TopOfBook, Trade
from feedplane_core.identity import identity_of
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import Feed, Liquidated, MarketType
from feedplane_core.sequence import FeedTracker

NOW = 1_780_000_000_000_000_000
TS = "1779999999990"


def derivative(name: str, market: MarketType, size: str, unit: ContractUnit = ContractUnit.BASE) -> Instrument:
    return Instrument(
        exchange="okx",
        market_type=market,
        instrument=name,
        pair=name,
        base="BTC",
        quote="USDT",
        contract_size=size,
        contract_unit=unit,
    )


SWAP = derivative("BTC-USDT-SWAP", MarketType.PERP_LINEAR, "0.01")
DATED = derivative("BTC-USDT-261225", MarketType.DELIVERY, "0.01")
INVERSE = derivative("BTC-USD-SWAP", MarketType.PERP_INVERSE, "100", ContractUnit.QUOTE)
XPERP = derivative("BTC-USD_UM_XPERP-310404", MarketType.DELIVERY, "0.0001")
SPOT = Instrument(
    exchange="okx", market_type=MarketType.SPOT, instrument="BTC-USDT", pair="BTC-USDT", base="BTC", quote="USDT"
)
ALL = (SPOT, SWAP, DATED, INVERSE, XPERP)


def adapter(*known: Instrument, assume_contract_size: str | None = None) -> Adapter:
    made = ADAPTER(Options(assume_contract_size=assume_contract_size))
    made.use_instruments(known)
    return made


def message(channel: str, name: str, *rows: object, key: str = "instId", **more: object) -> bytes:
    return orjson.dumps({"arg": {"channel": channel, key: name}, **more, "data": rows})


def trade(name: str, **changes: str) -> bytes:
    row = {"instId": name, "tradeId": "5", "px": "80000", "sz": "8", "side": "sell", "ts": TS, "source": "0"}
    return message("trades-all", name, row | changes)


def test_an_unknown_contract_has_no_size() -> None:
    with pytest.raises(DecodeError) as refused:
        adapter().session().decode(trade("BTC-USDT-SWAP"), NOW)

    assert refused.value.code == "contract_size"


@pytest.mark.parametrize(
    ("name", "market", "qty"),
    [
        ("BTC-USDT-SWAP", MarketType.PERP_LINEAR, "8"),
        ("BTC-USD-SWAP", MarketType.PERP_INVERSE, "0.0001"),
        ("BTC-USD-261225", MarketType.DELIVERY, "0.0001"),
        ("BTC-USD_UM_XPERP-310404", MarketType.DELIVERY, "8"),
        ("BTC-USDT", MarketType.SPOT, "8"),
    ],
)
def test_a_size_may_be_assumed_and_the_spelling_tells_the_rest(name: str, market: MarketType, qty: str) -> None:
    (event,) = adapter(assume_contract_size="1").session().decode(trade(name), NOW)

    assert isinstance(event, Trade)
    assert (event.market_type, event.qty) == (market, qty)


def test_an_instrument_that_changes_its_size_is_taken_at_its_word() -> None:
    """Sessions live for days; contracts have been resized."""
    made = adapter(SWAP)
    session = made.session()
    (before,) = session.decode(trade("BTC-USDT-SWAP"), NOW)
    made.use_instruments([derivative("BTC-USDT-SWAP", MarketType.PERP_LINEAR, "0.001")])
    (after,) = session.decode(trade("BTC-USDT-SWAP", tradeId="6"), NOW)

    assert isinstance(before, Trade)
    assert isinstance(after, Trade)
    assert (before.qty, after.qty) == ("0.08", "0.008")


def test_a_live_socket_refuses_a_name_that_is_not_listed() -> None:
    made = adapter(SPOT)
    (connection,) = made.subscriptions([SPOT], [Feed.TRADES])

    with pytest.raises(DecodeError) as refused:
        made.session(connection).decode(trade("BTC-USDX"), NOW)

    assert refused.value.code == "unknown_instrument"


def test_an_index_is_told_for_every_contract_that_follows_it() -> None:
    session = adapter(*ALL).session()
    row = {"instId": "BTC-USD", "idxPx": "80001.5", "ts": TS}

    events = session.decode(message("index-tickers", "BTC-USD", row), NOW)

    assert {e.instrument for e in events} == {"BTC-USD-SWAP", "BTC-USD_UM_XPERP-310404"}
    assert {(e.mark_price, e.index_price) for e in events if isinstance(e, MarkPrice)} == {(None, "80001.5")}


def test_mark_and_index_of_one_millisecond_are_two() -> None:
    session = adapter(SWAP).session()
    (mark,) = session.decode(
        message("mark-price", "BTC-USDT-SWAP", {"instId": "BTC-USDT-SWAP", "markPx": "80000", "ts": TS}), NOW
    )
    (index,) = session.decode(
        message("index-tickers", "BTC-USDT", {"instId": "BTC-USDT", "idxPx": "80001", "ts": TS}), NOW
    )
    tracker = FeedTracker("okx", MarketType.PERP_LINEAR, "BTC-USDT-SWAP", Feed.MARK_PRICE)

    assert identity_of(mark) != identity_of(index)
    assert [tracker.on_event(event).is_new for event in (mark, index, mark, index)] == [True, True, False, False]


def test_liquidations_of_others_are_left_out_of_a_live_socket() -> None:
    made = adapter(SWAP)
    (connection,) = made.subscriptions([SWAP], [Feed.LIQUIDATIONS])
    order = {"bkPx": "80000", "side": "buy", "sz": "8", "ts": TS, "posSide": "short", "bkLoss": "0", "ccy": ""}
    rows = [{"instId": name, "details": [order]} for name in ("XYZ-USDT-SWAP", "BTC-USDT-SWAP")]

    events = made.session(connection).decode(message("liquidation-orders", "SWAP", *rows, key="instType"), NOW)

    (event,) = events
    assert isinstance(event, Liquidation)
    assert (event.instrument, event.liquidated, event.qty) == ("BTC-USDT-SWAP", Liquidated.SHORT, "0.08")


def test_two_equal_orders_of_one_frame_are_two() -> None:
    order = {"bkPx": "80000", "side": "sell", "sz": "8", "ts": TS}
    row = {"instId": "BTC-USDT-SWAP", "details": [order, order]}

    events = adapter(SWAP).session().decode(message("liquidation-orders", "SWAP", row, row, key="instType"), NOW)

    assert len({identity_of(event) for event in events}) == len(events) == 4


def test_open_interest_is_the_base_coin() -> None:
    row = {"instId": "BTC-USD-SWAP", "instType": "SWAP", "oi": "6302113", "oiCcy": "7877.6412", "ts": TS}

    (event,) = adapter(INVERSE).session().decode(message("open-interest", "BTC-USD-SWAP", row), NOW)

    assert isinstance(event, OpenInterest)
    assert event.open_interest == "7877.6412"


@pytest.mark.parametrize(("name", "volume"), [("BTC-USDT", "3"), ("BTC-USDT-SWAP", "0.03"), ("BTC-USD-SWAP", "0.03")])
def test_candles_count_the_base_coin(name: str, volume: str) -> None:
    row = ["1779999960000", "1", "4", "1", "2", "3", "0.03", "6", "1"]

    (event,) = adapter(*ALL).session().decode(message("candle1m", name, row), NOW)

    assert isinstance(event, Kline)
    assert (event.volume, event.is_closed, event.ts_event_ns) == (volume, True, None)


def test_a_side_without_orders_is_zero() -> None:
    quote = {"asks": [], "bids": [["80000", "8", "0", "1"]], "ts": TS, "seqId": 9}

    (event,) = adapter(SWAP).session().decode(message("bbo-tbt", "BTC-USDT-SWAP", quote), NOW)

    assert isinstance(event, TopOfBook)
    assert (event.bid_price, event.bid_qty, event.ask_price, event.ask_qty) == ("80000", "0.08", "0", "0")


def test_a_notice_of_an_upgrade_asks_for_another_socket_first() -> None:
    session = adapter().session()
    notice = b'{"event":"notice","code":"64008","msg":"The connection will soon be closed.","connId":"a4d3ae55"}'

    assert session.decode(notice, NOW) == []
    assert session.actions() == [Reconnect("service_upgrade", planned=True)]
    assert session.actions() == []


def test_keys_in_another_order_and_white_space_change_nothing() -> None:
    session = adapter(SPOT).session()
    plain = trade("BTC-USDT")
    document = orjson.loads(plain)
    turned = orjson.dumps({"data": document["data"], "arg": document["arg"]})
    spaced = plain.replace(b'{"arg":{', b'{ "arg": { ').replace(b",", b" , ")

    assert session.decode(plain, NOW) == session.decode(turned, NOW) == session.decode(spaced, NOW)


def test_a_quantity_that_rounds_to_nothing_is_refused() -> None:
    tiny = derivative("SHIB-USD-SWAP", MarketType.PERP_INVERSE, "0.0000001", ContractUnit.QUOTE)

    with pytest.raises(DecodeError) as refused:
        adapter(tiny).session().decode(trade("SHIB-USD-SWAP", sz="1", px="99999999999999"), NOW)

    assert refused.value.code == "number_range"
