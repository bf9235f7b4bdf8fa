"""Instruments and history."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from feedplane_adapter_bybit import ADAPTER
from feedplane_core.adapter import Request
from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, Kline, Trade
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType
from feedplane_core.paging import next_page

MINUTE_MS = 60_000
START_MS = 1_672_324_800_000


def body(result: Any, code: int = 0) -> bytes:
    return json.dumps({"retCode": code, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}).encode()


def info(category: str, **row: Any) -> bytes:
    shown = {"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading"} | row
    return body({"category": category, "list": [shown], "nextPageCursor": "abc%3D"})


def instrument(market: MarketType = MarketType.PERP_LINEAR, name: str = "BTCUSDT") -> Instrument:
    unit = ContractUnit.QUOTE if market is MarketType.PERP_INVERSE else ContractUnit.BASE
    return Instrument(
        exchange="bybit",
        market_type=market,
        instrument=name,
        pair=name,
        base="BTC",
        quote="USDT",
        contract_size="1",
        contract_unit=unit,
    )


def query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.url).query))


def test_spot_and_linear_of_one_name_come_in_this_order() -> None:
    linear = info("linear", contractType="LinearPerpetual")
    found = ADAPTER().decode_instruments([linear, info("spot")])

    assert [(i.instrument, i.market_type) for i in found] == [
        ("BTCUSDT", MarketType.SPOT),
        ("BTCUSDT", MarketType.PERP_LINEAR),
    ]


def test_listings_are_followed_to_their_last_page() -> None:
    requests = ADAPTER().instruments_requests()
    linear = next(r for r in requests if query(r) == {"category": "linear", "limit": "1000"})
    following = next_page(linear, info("linear", contractType="LinearPerpetual"))

    assert following is not None
    assert query(following)["cursor"] == "abc%3D"
    assert next_page(requests[0], info("spot")) is None
    assert {query(r).get("status") for r in requests} == {None, "PreLaunch", "Delivering"}


@pytest.mark.parametrize(
    ("status", "phase", "expected"),
    [
        ("Trading", None, InstrumentStatus.TRADING),
        ("PreLaunch", "CallAuction", InstrumentStatus.HALTED),
        ("PreLaunch", "ContinuousTrading", InstrumentStatus.TRADING),
        ("Delivering", None, InstrumentStatus.HALTED),
        ("Closed", "ContinuousTrading", InstrumentStatus.DELISTED),
    ],
)
def test_status(status: str, phase: str | None, expected: InstrumentStatus) -> None:
    listing = None if phase is None else {"curAuctionPhase": phase}
    row = info("linear", contractType="LinearPerpetual", status=status, preListingInfo=listing)

    assert ADAPTER().decode_instruments([row])[0].status is expected


def test_a_kind_of_contract_that_is_new_hides_no_other() -> None:
    new, known = ({"symbol": s, "baseCoin": "B", "quoteCoin": "USDT"} for s in ("XUSDT", "YUSDT"))
    rows = [new | {"contractType": "LinearMystery"}, known | {"contractType": "LinearPerpetual"}]
    found = ADAPTER().decode_instruments([body({"category": "linear", "list": rows})])

    assert [i.instrument for i in found] == ["YUSDT"]


def test_refusals_inside_http_200_are_refused() -> None:
    with pytest.raises(DecodeError) as refused:
        ADAPTER().decode_instruments([body({}, code=10006)])

    assert refused.value.code == "venue_error"


def test_klines_page_forward_in_time_and_end_with_the_window() -> None:
    adapter, end_ms = ADAPTER(), START_MS + 1_500 * MINUTE_MS
    request = adapter.history_request(instrument(), Feed.KLINES, START_MS * NS_PER_MS, end_ms * NS_PER_MS, detail="1m")
    assert request is not None
    assert request.url.startswith("https://api.bybit.com/v5/market/kline?category=linear&symbol=BTCUSDT&interval=1&")
    rows = [[str(START_MS + n * MINUTE_MS), "1", "3", "1", "2", "10", "20"] for n in (1, 0)]
    page = adapter.decode_page(request, body({"list": rows}), (START_MS + MINUTE_MS + 30_000) * NS_PER_MS)
    first, second = page.events

    assert isinstance(first, Kline)
    assert isinstance(second, Kline)
    assert (first.open_ns, second.open_ns) == (START_MS * NS_PER_MS, (START_MS + MINUTE_MS) * NS_PER_MS)
    assert (first.is_closed, second.is_closed) == (True, False)
    assert page.next is not None
    asked = query(page.next)
    assert (int(asked["start"]), int(asked["end"])) == (START_MS + 1_000 * MINUTE_MS, end_ms - 1)
    assert adapter.decode_page(page.next, body({"list": []}), 1).next is None


def test_volume_of_inverse_candles_is_their_turnover() -> None:
    adapter = ADAPTER()
    contract = instrument(MarketType.PERP_INVERSE, "BTCUSD")
    request = adapter.history_request(contract, Feed.KLINES, START_MS * NS_PER_MS, (START_MS + 1) * NS_PER_MS)
    assert request is not None
    rows = [[str(START_MS), "1", "3", "1", "2", "32000", "1.5"]]
    (kline,) = adapter.decode_page(request, body({"list": rows}), 1).events

    assert isinstance(kline, Kline)
    assert (kline.volume, kline.market_type) == ("1.5", MarketType.PERP_INVERSE)


def test_trades_say_how_far_back_they_reach() -> None:
    adapter = ADAPTER()
    request = adapter.history_request(instrument(), Feed.TRADES, 5 * NS_PER_S, 7 * NS_PER_S)
    spot = adapter.history_request(instrument(MarketType.SPOT), Feed.TRADES, 5 * NS_PER_S, 7 * NS_PER_S)
    assert request is not None
    assert spot is not None
    rows = [
        {"execId": f"t{at}", "symbol": "BTCUSDT", "price": "1", "size": "2", "side": "Sell", "time": str(at)}
        for at in (7_000, 6_999, 5_500, 4_000)
    ]
    page = adapter.decode_page(request, body({"category": "linear", "list": rows}), 8 * NS_PER_S)

    assert (query(request)["limit"], query(spot)["limit"]) == ("1000", "60")
    assert [event.trade_id for event in page.events if isinstance(event, Trade)] == ["t5500", "t6999"]
    assert page.next is None
    assert page.reaches_back_to_ns == 4_001 * NS_PER_MS


@pytest.mark.parametrize("symbol", ["", "ETHUSDT"])
def test_pages_of_another_instrument_are_refused(symbol: str) -> None:
    adapter = ADAPTER()
    trade = {"execId": "t", "symbol": symbol, "price": "1", "size": "2", "side": "Sell", "time": "5500"}
    rate = {"symbol": symbol, "fundingRate": "0.1", "fundingRateTimestamp": "5500"}
    for feed, row in ((Feed.TRADES, trade), (Feed.FUNDING, rate)):
        request = adapter.history_request(instrument(), feed, 5 * NS_PER_S, 7 * NS_PER_S)
        assert request is not None
        with pytest.raises(DecodeError, match="schema"):
            adapter.decode_page(request, body({"list": [row]}), 8 * NS_PER_S)


def test_funding_is_asked_for_with_both_ends() -> None:
    adapter = ADAPTER()
    request = adapter.history_request(
        instrument(), Feed.FUNDING, START_MS * NS_PER_MS, (START_MS + 201 * 3_600_000) * NS_PER_MS
    )
    assert request is not None
    rates = [
        {"symbol": "BTCUSDT", "fundingRate": rate, "fundingRateTimestamp": str(START_MS + n)}
        for n, rate in ((9, "-0.1"), (3, "0.2"))
    ]
    page = adapter.decode_page(request, body({"list": rates}), 1)

    assert int(query(request)["endTime"]) - START_MS == 200 * 3_600_000 - 1
    assert [event.rate for event in page.events if isinstance(event, FundingRate)] == ["0.2", "-0.1"]
    assert page.next is not None
    assert int(query(page.next)["startTime"]) == START_MS + 200 * 3_600_000
    spot = instrument(MarketType.SPOT)
    assert adapter.history_request(spot, Feed.FUNDING, 0, 1) is None


def test_what_has_no_history_has_no_request() -> None:
    assert ADAPTER().history_request(instrument(), Feed.OPEN_INTEREST, 0, 1) is None
    assert ADAPTER().history_request(instrument(), Feed.KLINES, 0, 1, detail="7m") is None


def test_urls_below_another_root_are_told_apart_too() -> None:
    adapter = ADAPTER()
    url = "http://127.0.0.1:9/bybit/v5/market/kline?category=linear&symbol=BTCUSDT&interval=5"
    tag = adapter.tag_of(url)

    assert tag is not None
    assert (tag.kind, tag.instrument, tag.feed, tag.detail) == ("history", "BTCUSDT", Feed.KLINES, "5")
    assert adapter.tag_of("https://api.bybit.com/v5/market/orderbook?category=linear&symbol=BTCUSDT") is None
