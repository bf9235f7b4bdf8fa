"""Contracts, spellings, and what is not known."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import orjson
import pytest
from feedplane_adapter_kucoin import ADAPTER
from feedplane_core.adapter import Options
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, MarkPrice, Trade
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import MarketType

NOW_NS = 1_790_984_885_240_000_000
LINEAR = Instrument(
    exchange="kucoin",
    market_type=MarketType.PERP_LINEAR,
    instrument="XBTUSDTM",
    pair="BTC-USDT-PERP",
    base="BTC",
    quote="USDT",
    contract_size="0.001",
)
INVERSE = msgspec.structs.replace(
    LINEAR,
    market_type=MarketType.PERP_INVERSE,
    instrument="XBTUSDM",
    contract_size="1",
    contract_unit=ContractUnit.QUOTE,
)


def trade(symbol: str, qty: str = "12", price: str = "90000", kind: str = "FUTURES") -> bytes:
    data = {"p": price, "q": qty, "s": symbol, "S": "buy", "E": 1, "ti": "1", "M": NOW_NS}
    return orjson.dumps({"T": f"trade.{kind}", "P": NOW_NS, "d": data})


def decoded(frame: bytes, options: Options | None = None, *known: Instrument) -> Trade:
    adapter = ADAPTER(options or Options())
    adapter.use_instruments(known)
    (event,) = adapter.session().decode(frame, NOW_NS)
    assert isinstance(event, Trade)
    return event


@pytest.mark.parametrize(("contracts", "base"), [("1", "0.001"), ("12", "0.012"), ("1000", "1"), ("123456", "123.456")])
def test_linear_contracts_are_multiplied_exactly(contracts: str, base: str) -> None:
    for _ in range(2):  # also when the product is remembered
        assert decoded(trade("XBTUSDTM", contracts), None, LINEAR).qty == base


def test_inverse_contracts_are_divided_by_the_price() -> None:
    assert decoded(trade("XBTUSDM", "900"), None, INVERSE).qty == "0.01"
    third = decoded(trade("XBTUSDM", "1", "30000"), None, INVERSE).qty
    assert third == "0.000033333333333333"
    assert abs(Decimal(third) - Decimal(1) / 30000) <= Decimal("0.5e-18")


def test_levels_are_converted_at_their_own_price() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([INVERSE])
    data = {"C": 1, "O": 1, "M": NOW_NS, "s": "XBTUSDM"}
    data |= {"a": [["100000", "50000"]], "b": [["50000", "50000"], ["40000", "0"]]}
    frame = {"T": "obu.FUTURES", "dp": "increment@10ms", "t": "snapshot", "P": NOW_NS, "d": data}
    (book,) = adapter.session().decode(orjson.dumps(frame), NOW_NS)

    assert isinstance(book, BookSnapshot)
    assert list(map(list, book.asks)) == [["100000", "0.5"]]
    assert list(map(list, book.bids)) == [["50000", "1"], ["40000", "0"]]


@pytest.mark.parametrize("symbol", ["NEWUSDTM", "NEWUSDCM", "NEWUSDM", "XBTMZ26"])
def test_unknown_contracts_are_refused_unless_a_size_is_assumed(symbol: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decoded(trade(symbol))
    assert refused.value.code == "contract_size"
    assert symbol in refused.value.detail


@pytest.mark.parametrize(
    ("symbol", "market", "qty"),
    [
        ("NEWUSDTM", MarketType.PERP_LINEAR, "12"),
        ("NEWUSDCM", MarketType.PERP_LINEAR, "12"),
        ("NEWUSDM", MarketType.PERP_INVERSE, "0.12"),
        ("XBTMZ26", MarketType.DELIVERY, "0.12"),
    ],
)
def test_the_spelling_tells_what_an_assumed_size_counts(symbol: str, market: MarketType, qty: str) -> None:
    found = decoded(trade(symbol, price="100"), Options(assume_contract_size="1"))

    assert (found.market_type, found.qty) == (market, qty)


def test_prices_of_unknown_contracts_are_told() -> None:
    frame = (
        b'{"topic":"/contract/instrument:NEWUSDTM","type":"message","subject":"mark.index.price",'
        b'"data":{"markPrice":0.8,"indexPrice":0.9,"granularity":1000,"timestamp":1790984885000}}'
    )
    (mark,) = ADAPTER().session().decode(frame, NOW_NS)

    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price, mark.market_type) == ("0.8", "0.9", MarketType.PERP_LINEAR)


def test_a_live_session_admits_named_instruments_only() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([LINEAR])
    (connection,) = adapter.subscriptions([LINEAR], adapter.offers.feeds)
    session = adapter.session(connection)

    assert session.decode(trade("XBTUSDTM"), NOW_NS)
    with pytest.raises(DecodeError) as refused:
        session.decode(trade("BTC-USDT", kind="SPOT"), NOW_NS)
    assert refused.value.code == "unknown_instrument"
    adapter.use_instruments([INVERSE])  # listed while the socket is open
    assert session.decode(trade("XBTUSDM"), NOW_NS)


def test_a_quantity_that_would_vanish_is_refused() -> None:
    with pytest.raises(DecodeError) as refused:
        decoded(trade("XBTUSDM", "1", "99999999999999999999"), None, INVERSE)
    assert refused.value.code == "number_range"


def test_instruments_tell_what_a_contract_is_worth() -> None:
    row = (
        '{"symbol":"%s","type":"FFWCSX","baseCurrency":"XBT","quoteCurrency":"USDT","settleCurrency":"USDT",'
        '"lotSize":1,"tickSize":0.1,"multiplier":%s,"isInverse":%s,"status":"Open","fundingRateGranularity":28800000}'
    )
    rows = (
        row % ("AUSDTM", "0.001", "false")
        + ","
        + row % ("BUSDM", "-1", "true")
        + ","
        + row % ("CUSDTM", "1E+3", "false")
    )
    body = ('{"code":"200000","data":[' + rows + "]}").encode()
    found = ADAPTER().decode_instruments([body])

    assert [(i.contract_size, i.contract_unit) for i in found] == [
        ("0.001", ContractUnit.BASE),
        ("1", ContractUnit.QUOTE),
        ("1000", ContractUnit.BASE),
    ]
    assert {i.base for i in found} == {"BTC"}
    assert {i.funding_interval_s for i in found} == {28_800}
