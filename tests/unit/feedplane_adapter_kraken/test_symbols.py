"""Names of both systems, and what the three kinds of instrument bodies say."""

from __future__ import annotations

import orjson
import pytest
from feedplane_adapter_kraken import ADAPTER
from feedplane_adapter_kraken.symbols import guessed_spot_name, market_of, rest_name, spot_name
from feedplane_core.adapter import Options
from feedplane_core.errors import DecodeError
from feedplane_core.events import DepthDiff, Trade
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_S, MarketType
from feedplane_testing.venues import Venue

NOW_NS = 1_700_000_000 * NS_PER_S


@pytest.mark.parametrize(
    ("wsname", "name", "altname"),
    [("XBT/USD", "BTC/USD", "XBTUSD"), ("ETH/XBT", "ETH/BTC", "ETHXBT"), ("XDG/EUR", "DOGE/EUR", "XDGEUR")],
)
def test_spot_names_there_and_back(wsname: str, name: str, altname: str) -> None:
    assert spot_name(wsname) == name
    assert rest_name(name) == altname
    assert guessed_spot_name(altname) == name


def test_letter_case_is_kept() -> None:
    assert spot_name("AAPLx/USD") == "AAPLx/USD"
    assert guessed_spot_name("USDTUSD") == "USDT/USD"
    assert guessed_spot_name("USD") == ""


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("PI_XBTUSD", MarketType.PERP_INVERSE),
        ("PF_XBTUSD", MarketType.PERP_LINEAR),
        ("FI_XBTUSD_261127", MarketType.DELIVERY),
        ("FF_ETHUSD_261225", MarketType.DELIVERY),
        ("PI_XBTUSD_261127", None),
        ("FI_XBTUSD", None),
        ("PV_XRPXBT", None),
        ("in_xbtusd", None),
        ("BTC/USD", None),
    ],
)
def test_futures_names_tell_their_market(symbol: str, market: MarketType | None) -> None:
    assert market_of(symbol) is market


PAIR = {
    "symbol": "BTC/USD",
    "base": "BTC",
    "quote": "USD",
    "status": "reduce_only",
    "price_precision": 2,
    "price_increment": 0.5,
    "qty_precision": 8,
    "qty_increment": 1e-08,
    "qty_min": 0.0001,
    "tick_size": 0.1,
}
CHANNEL_BODY = orjson.dumps({"channel": "instrument", "type": "snapshot", "data": {"assets": [], "pairs": [PAIR]}})


def test_instrument_channel_goes_before_asset_pairs() -> None:
    bodies = [answer.body for case in Venue("kraken").labelled("instruments") for answer in case.answers]
    for order in ([*bodies, CHANNEL_BODY], [CHANNEL_BODY, *bodies]):
        (btc,) = (i for i in ADAPTER().decode_instruments(order) if i.instrument == "BTC/USD")

        assert (btc.tick, btc.step, btc.stream_id) == ("0.50", "0.00000001", "XBTUSD")
        assert btc.status is InstrumentStatus.TRADING


def test_listed_statuses() -> None:
    statuses = {i.instrument: i.status for i in Venue("kraken").instruments}

    assert statuses["ALGO/USD"] is InstrumentStatus.TRADING  # limit_only
    assert {statuses[name] for name in ("DOGE/EUR", "ETH/BTC", "AAPLx/USD")} == {InstrumentStatus.HALTED}
    assert statuses["LUNA/USD"] is InstrumentStatus.DELISTED
    assert not {name for name in statuses if name.endswith(".d") or name.startswith(("PV_", "in_"))}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error":["EGeneral:Too many requests"]}', "venue_error"),
        (b'{"error":["EService:Unavailable"],"result":{}}', "venue_error"),
        (b'{"result":"error","error":"apiLimitExceeded"}', "venue_error"),
        (b"{}", "schema"),
        (b'{"error":[],"result":{"X":{"altname":"X"}}}', "schema"),
        (b"<html>", "json"),
    ],
)
def test_what_is_no_listing_is_refused(body: bytes, code: str) -> None:
    """Spot answers HTTP 200 even where it refuses."""
    with pytest.raises(DecodeError) as refused:
        ADAPTER().decode_instruments([body])
    assert refused.value.code == code


def change(product: str, price: str, qty: str) -> bytes:
    head = f'{{"feed":"book","product_id":"{product}","side":"sell","seq":7,"price":{price},"qty":{qty}'
    return f'{head},"timestamp":1700000000000}}'.encode()


@pytest.mark.parametrize(
    ("product", "qty", "price", "base"),
    [
        ("PI_XBTUSD", "10000", "25000", "0.4"),
        ("PI_XBTUSD", "1", "3", "0.333333333333333333"),
        ("PI_XBTUSD", "2", "3", "0.666666666666666667"),
        ("FI_XBTUSD_261127", "350", "35000", "0.01"),
        ("PF_XBTUSD", "0.0375", "34970", "0.0375"),
        ("PF_DOGEUSD", "1.5", "0.08122", "15"),
        ("PI_XBTUSD", "0", "25000", "0"),
        ("PI_XBTUSD", "-3", "25000", "0"),
    ],
)
def test_contracts_are_base_units(product: str, qty: str, price: str, base: str) -> None:
    (diff,) = Venue("kraken").adapter().session().decode(change(product, price, qty), NOW_NS)

    assert isinstance(diff, DepthDiff)
    assert [list(level) for level in diff.asks] == [[price, base]]


@pytest.mark.parametrize(
    ("product", "base"), [("PI_XBTUSD", "0.4"), ("PF_XBTUSD", "10000"), ("FI_X1USD_261127", "0.4")]
)
def test_contracts_that_are_not_known_need_a_size(product: str, base: str) -> None:
    frame = change(product, "25000", "10000")
    with pytest.raises(DecodeError) as refused:
        ADAPTER().session().decode(frame, NOW_NS)
    (diff,) = ADAPTER(Options(assume_contract_size="1")).session().decode(frame, NOW_NS)

    assert refused.value.code == "contract_size"
    assert product in str(refused.value)
    assert isinstance(diff, DepthDiff)
    assert diff.asks[0][1] == base


def test_nothing_is_lost_of_a_quantity_silently() -> None:
    with pytest.raises(DecodeError) as refused:
        Venue("kraken").adapter().session().decode(change("PI_XBTUSD", "99999999999999999999", "0.1"), NOW_NS)
    assert refused.value.code == "number_range"


@pytest.mark.parametrize(("choice", "kept"), [("keep", 1), ("drop", 0)])
def test_blocks_are_on_the_tape_by_choice(choice: str, kept: int) -> None:
    adapter = ADAPTER(Options(switches={"block_trades": choice}, assume_contract_size="1"))
    frame = b'{"feed":"trade","product_id":"PF_XBTUSD","uid":"u","side":"buy","type":"block","seq":1,"time":1700000000000,"qty":1,"price":2}'

    events = adapter.session().decode(frame, NOW_NS)

    assert [type(event) for event in events] == [Trade] * kept
