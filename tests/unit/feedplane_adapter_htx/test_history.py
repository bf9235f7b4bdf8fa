"""Pages: windows, what a page reaches, and how the next one is asked for."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from feedplane_adapter_htx import ADAPTER
from feedplane_core.adapter import Page, Request
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

NOW = 1_700_100_000 * NS_PER_S
START, END = 1_700_000_000 * NS_PER_S, 1_700_003_000 * NS_PER_S
SPOT = Instrument(
    exchange="htx", market_type=MarketType.SPOT, instrument="btcusdt", pair="BTC-USDT", base="BTC", quote="USDT"
)
PERPETUAL = Instrument(
    exchange="htx",
    market_type=MarketType.PERP_LINEAR,
    instrument="BTC-USDT",
    pair="BTC-USDT-PERP",
    base="BTC",
    quote="USDT",
    contract_size="0.001",
    funding_interval_s=28_800,
)


def asked(instrument: Instrument, feed: Feed, end_ns: int = END, detail: str = "") -> Request:
    adapter = ADAPTER()
    request = adapter.history_request(instrument, feed, START, end_ns, detail=detail)
    assert request is not None
    return request


def page(request: Request, body: Any) -> Page:
    adapter = ADAPTER()
    adapter.use_instruments([SPOT, PERPETUAL])
    return adapter.decode_page(request, json.dumps(body).encode(), NOW)


def test_urls() -> None:
    assert asked(SPOT, Feed.TRADES).url == "https://api.huobi.pro/market/history/trade?symbol=btcusdt&size=2000"
    assert (
        asked(SPOT, Feed.KLINES, detail="1h").url
        == "https://api.huobi.pro/market/history/kline?symbol=btcusdt&period=60min&size=2000"
    )
    assert asked(PERPETUAL, Feed.KLINES).url == (
        "https://api.hbdm.com/linear-swap-ex/market/history/kline?contract_code=BTC-USDT&period=1min&from=1700000000&to=1700002999"
    )
    assert asked(PERPETUAL, Feed.LIQUIDATIONS).url == (
        "https://api.hbdm.com/linear-swap-api/v3/swap_liquidation_orders?contract=BTC-USDT&trade_type=0"
        "&start_time=1700000000000&end_time=1700002999999&direct=next"
    )


@pytest.mark.parametrize(
    ("instrument", "feed", "detail"),
    [
        (SPOT, Feed.FUNDING, ""),
        (SPOT, Feed.LIQUIDATIONS, ""),
        (PERPETUAL, Feed.KLINES, "3m"),
        (SPOT, Feed.OB_DIFFS, ""),
    ],
)
def test_what_has_no_history_is_not_asked_for(instrument: Instrument, feed: Feed, detail: str) -> None:
    assert ADAPTER().history_request(instrument, feed, START, END, detail=detail) is None


def trade(number: int, at_ms: int) -> dict[str, Any]:
    row = {"id": 1, "trade-id": number, "ts": at_ms, "amount": 1, "price": 2, "direction": "buy"}
    return {"id": number, "ts": at_ms, "data": [row]}


def test_trades_are_those_of_the_window_and_the_page_says_how_far_it_reaches() -> None:
    first_ms = START // NS_PER_MS
    found = page(
        asked(SPOT, Feed.TRADES),
        {
            "status": "ok",
            "data": [
                trade(4, first_ms + 3_000_000),
                trade(3, first_ms + 9),
                trade(2, first_ms),
                trade(1, first_ms - 5),
            ],
        },
    )

    assert [event.trade_id for event in found.events] == ["2", "3"]  # type: ignore[union-attr]
    assert found.reaches_back_to_ns == (first_ms - 4) * NS_PER_MS
    assert found.next is None
    assert page(asked(SPOT, Feed.TRADES), {"status": "ok", "data": []}).reaches_back_to_ns == NOW


def candle(open_s: int) -> dict[str, Any]:
    return {"id": open_s, "open": 1, "close": 1, "high": 1, "low": 1, "amount": 2, "vol": 2, "count": 2}


def test_linear_candles_go_on_to_the_end_of_the_window() -> None:
    request: Request | None = asked(PERPETUAL, Feed.KLINES, end_ns=START + 5_000 * 60 * NS_PER_S)
    spans = []
    while request is not None:
        query = dict(pair.split("=") for pair in request.url.partition("?")[2].split("&"))
        spans.append((int(query["from"]), int(query["to"])))
        request = page(request, {"status": "ok", "data": [candle(spans[-1][0])]}).next

    assert spans[0][0] == 1_700_000_000
    assert spans[-1][1] == 1_700_000_000 + 5_000 * 60 - 1
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(spans))
    assert all(last - first < 2_000 * 60 for first, last in spans)


def test_candles_of_a_page_are_closed_by_our_clock() -> None:
    request = asked(PERPETUAL, Feed.KLINES, end_ns=NOW + 1)
    rows = [candle(NOW // NS_PER_S - 62), candle(NOW // NS_PER_S - 61)]

    assert [event.is_closed for event in page(request, {"status": "ok", "data": rows}).events] == [True, False]  # type: ignore[union-attr]


def rate(at_ms: int) -> dict[str, str]:
    return {
        "contract_code": "BTC-USDT",
        "funding_rate": "0.0001",
        "realized_rate": "0.0002",
        "funding_time": str(at_ms),
    }


def test_funding_goes_back_page_by_page_until_the_window_is_left() -> None:
    request = asked(PERPETUAL, Feed.FUNDING, end_ns=START + 86_400 * NS_PER_S)
    first_ms = START // NS_PER_MS
    data = {"total_page": 9, "current_page": 1, "data": [rate(first_ms + 7_200_000), rate(first_ms + 3_600_000)]}
    found = page(request, {"status": "ok", "data": data})

    assert [event.ts_event_ns for event in found.events] == [START + 3_600 * NS_PER_S, START + 7_200 * NS_PER_S]
    assert {(event.rate, event.interval_s) for event in found.events} == {("0.0002", 28_800)}  # type: ignore[union-attr]
    assert found.next is not None
    assert "page_index=2" in found.next.url
    last = {"total_page": 9, "current_page": 2, "data": [rate(first_ms), rate(first_ms - 1)]}
    ended = page(found.next, {"status": "ok", "data": last})
    assert len(ended.events) == 1
    assert ended.next is None


def test_liquidations_go_on_from_the_last_id_and_end() -> None:
    row = {
        "contract_code": "BTC-USDT",
        "direction": "sell",
        "volume": 4,
        "price": 5,
        "created_at": START // NS_PER_MS,
        "query_id": 77,
    }
    found = page(asked(PERPETUAL, Feed.LIQUIDATIONS), {"code": 200, "data": [row]})

    assert len(found.events) == 1
    assert found.next is not None
    assert found.next.url.endswith("&from_id=77")
    assert page(found.next, {"code": 200, "data": [row]}).next is None
    assert page(found.next, {"code": 200, "data": []}).next is None


@pytest.mark.parametrize(
    "body",
    [
        {"status": "error", "err-code": "invalid-parameter", "err-msg": "invalid symbol"},
        {"status": "error", "err_code": 1032, "err_msg": "too many requests"},
        {"code": 1017, "msg": "no such contract", "data": None},
    ],
)
def test_a_refusal_is_told_although_it_is_http_200(body: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as refused:
        page(asked(SPOT, Feed.TRADES), body)
    assert refused.value.code == "venue_error"
