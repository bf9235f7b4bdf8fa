"""History: windows, pages, and how far back the venue answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from feedplane_adapter_kucoin import ADAPTER
from feedplane_core.adapter import Options, Page, Request
from feedplane_core.events import FundingRate, Kline, Trade
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType

SPOT = Instrument(
    exchange="kucoin", market_type=MarketType.SPOT, instrument="BTC-USDT", pair="BTC-USDT", base="BTC", quote="USDT"
)
PERP = Instrument(
    exchange="kucoin",
    market_type=MarketType.PERP_LINEAR,
    instrument="XBTUSDTM",
    pair="BTC-USDT-PERP",
    base="BTC",
    quote="USDT",
    contract_size="0.001",
    funding_interval_s=28_800,
)
DATED = Instrument(
    exchange="kucoin",
    market_type=MarketType.DELIVERY,
    instrument="XBTMZ26",
    pair="BTC-USD-261225",
    base="BTC",
    quote="USD",
    contract_size="1",
    contract_unit=ContractUnit.QUOTE,
)
START_S = 1_700_000_040
START_NS = START_S * NS_PER_S


def first(instrument: Instrument, feed: Feed, seconds: int, detail: str = "") -> Request:
    request = ADAPTER().history_request(instrument, feed, START_NS, START_NS + seconds * NS_PER_S, detail=detail)
    assert request is not None
    return request


def page(request: Request, data: object, recv_ns: int = START_NS + 10**18) -> Page:
    adapter = ADAPTER()
    adapter.use_instruments([SPOT, PERP, DATED])
    return adapter.decode_page(request, orjson.dumps({"code": "200000", "data": data}), recv_ns)


def query(request: Request) -> dict[str, Any]:
    return {key: values[0] for key, values in parse_qs(urlsplit(request.url).query).items()}


def spot_trade(number: int, at_s: int) -> dict[str, object]:
    return {"sequence": str(number), "price": "5", "size": "1", "side": "buy", "time": at_s * NS_PER_S}


def test_a_page_of_trades_is_cut_to_the_window_and_in_time_order() -> None:
    rows = [spot_trade(number, START_S + number) for number in (12, 9, 9, 3, -1)]
    found = page(first(SPOT, Feed.TRADES, 10), rows)

    assert [event.ts_event_ns for event in found.events] == [START_NS + n * NS_PER_S for n in (3, 9, 9)]
    assert found.next is None
    assert found.reaches_back_to_ns is None  # not full: there was nothing before


def test_trades_of_one_moment_keep_the_order_of_the_venue() -> None:
    rows = [spot_trade(number, START_S) for number in (3, 2, 1)]

    assert [e.trade_id for e in page(first(SPOT, Feed.TRADES, 10), rows).events if isinstance(e, Trade)] == [
        "1",
        "2",
        "3",
    ]


def test_a_full_page_of_trades_says_how_far_back_it_reaches() -> None:
    rows = [spot_trade(number, START_S + number) for number in range(105, 5, -1)]
    found = page(first(SPOT, Feed.TRADES, 1_000), rows)

    assert len(found.events) == 100
    assert found.reaches_back_to_ns == START_NS + 6 * NS_PER_S


def test_pages_of_spot_candles_go_forward_until_the_end() -> None:
    request: Request | None = first(SPOT, Feed.KLINES, 2_000 * 60, "1m")
    asked = []
    while request is not None:
        asked.append((int(query(request)["startAt"]), int(query(request)["endAt"])))
        row = [str(asked[-1][0]), "1", "4", "5", "1", "2", "10"]
        found = page(request, [row])
        (kline,) = found.events
        assert isinstance(kline, Kline)
        assert (kline.open, kline.high, kline.low, kline.close, kline.volume) == ("1", "5", "1", "4", "2")
        request = found.next

    assert asked == [(START_S, START_S + 90_000), (START_S + 90_000, START_S + 120_000)]


def test_pages_of_futures_candles_count_minutes_and_milliseconds() -> None:
    request = first(PERP, Feed.KLINES, 300 * 3_600, "1h")

    assert query(request)["granularity"] == "60"
    assert int(query(request)["to"]) - int(query(request)["from"]) == 200 * 3_600_000
    found = page(request, [[START_S * 1_000, 1, 5, 0.5, 4, 2000, 9.0]])
    (kline,) = found.events
    assert isinstance(kline, Kline)
    assert (kline.open, kline.high, kline.low, kline.close, kline.volume) == ("1", "5", "0.5", "4", "2")
    assert found.next is not None
    assert page(found.next, []).next is None


def test_a_candle_is_closed_two_seconds_after_its_end() -> None:
    request = first(SPOT, Feed.KLINES, 600, "1m")
    row = [str(START_S), "1", "4", "5", "1", "2", "10"]

    def is_closed(after_s: int) -> bool:
        (kline,) = page(request, [row], START_NS + after_s * NS_PER_S).events
        assert isinstance(kline, Kline)
        return kline.is_closed

    assert [is_closed(after_s) for after_s in (60, 61, 62)] == [False, False, True]


def test_funding_is_paged_in_time_and_dated_contracts_have_none() -> None:
    request = first(PERP, Feed.FUNDING, 5 * 86_400)
    rows = [{"symbol": "XBTUSDTM", "timepoint": (START_S + n) * 1_000, "fundingRate": 6.1e-4} for n in (2, 1)]
    found = page(request, rows)

    assert [event.ts_event_ns for event in found.events] == [START_NS + NS_PER_S, START_NS + 2 * NS_PER_S]
    assert all(isinstance(e, FundingRate) and (e.rate, e.interval_s) == ("0.00061", 28_800) for e in found.events)
    assert found.next is not None
    assert int(query(found.next)["from"]) == (START_S + 4 * 86_400) * 1_000
    assert page(found.next, []).next is None
    assert ADAPTER().history_request(DATED, Feed.FUNDING, 0, 1) is None
    assert ADAPTER().history_request(SPOT, Feed.FUNDING, 0, 1) is None


def test_there_is_no_history_of_books_quotes_marks_and_interest() -> None:
    for feed in (Feed.OB_DIFFS, Feed.L1, Feed.MARK_PRICE, Feed.OPEN_INTEREST, Feed.LIQUIDATIONS):
        assert ADAPTER().history_request(PERP, feed, 0, 1) is None


def test_open_interest_is_polled_by_contract() -> None:
    adapter = ADAPTER(Options(switches={"system": "classic"}))
    adapter.use_instruments([PERP])
    (poll,) = adapter.polls([PERP], [Feed.OPEN_INTEREST])

    assert urlsplit(poll.request.url).path == "/api/v1/contracts/XBTUSDTM"
    assert adapter.tag_of(poll.request.url) == poll.request.tag
