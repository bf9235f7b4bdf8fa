"""Walking history: a model venue answers the requests, and every trade, candle or rate of the window comes back once, in order."""

from __future__ import annotations

import json
from itertools import accumulate
from urllib.parse import parse_qsl, urlsplit

import pytest
from feedplane_adapter_okx import ADAPTER
from feedplane_core.adapter import Request
from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, Kline, MarketEvent, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, Feed, MarketType
from hypothesis import given, settings
from hypothesis import strategies as st

SWAP = Instrument(
    exchange="okx",
    market_type=MarketType.PERP_LINEAR,
    instrument="BTC-USDT-SWAP",
    pair="BTC-USDT-PERP",
    base="BTC",
    quote="USDT",
    contract_size="0.01",
)
T0 = 1_780_000_020_000
HOUR = 3_600_000
NOW_NS = (T0 + 10**9) * NS_PER_MS
FIRST_ID = 1_000


class ModelVenue:
    """Trades from FIRST_ID on at `times` (ms, ascending) of which those before `kept_from` are forgotten; candles each minute; rates each hour."""

    def __init__(self, times: list[int], kept_from: int = 0) -> None:
        self.trades = [(FIRST_ID + n, time) for n, time in enumerate(times) if time >= kept_from]
        self.calls = 0

    def answer(self, request: Request) -> bytes:
        self.calls += 1
        split = urlsplit(request.url)
        query = dict(parse_qsl(split.query))
        assert query["instId"] == "BTC-USDT-SWAP"
        calls = {
            "/api/v5/market/history-trades": self.history_trades,
            "/api/v5/market/history-candles": self.candles,
            "/api/v5/public/funding-rate-history": self.rates,
        }
        return json.dumps({"code": "0", "msg": "", "data": calls[split.path](query)}).encode()

    def history_trades(self, query: dict[str, str]) -> list[object]:
        after, limit = int(query["after"]), int(query["limit"])
        assert limit <= 100
        key = 1 if query["type"] == "2" else 0
        older = [trade for trade in self.trades if trade[key] < after]
        return [
            {"instId": "BTC-USDT-SWAP", "tradeId": str(n), "px": "80000", "sz": "8", "side": "buy", "ts": str(time)}
            for n, time in reversed(older[-limit:])
        ]

    def candles(self, query: dict[str, str]) -> list[object]:
        after, before = int(query["after"]), int(query["before"])
        times = [t for t in range(T0 - 10 * HOUR, T0 + 40 * HOUR, 60_000) if before < t < after]
        return [[str(t), "1", "3", "1", "2", "500", "5", "10", "1"] for t in reversed(times[-int(query["limit"]) :])]

    def rates(self, query: dict[str, str]) -> list[object]:
        after, before = int(query["after"]), int(query["before"])
        times = [t for t in range(T0 // HOUR * HOUR, T0 + 2_000 * HOUR, HOUR) if before < t < after]
        rows = [{"instId": "BTC-USDT-SWAP", "fundingTime": str(t), "realizedRate": "0.0001"} for t in times]
        return list(reversed(rows[-int(query["limit"]) :]))


def walked(venue: ModelVenue, feed: Feed, start_ms: int, end_ms: int, after_id: str = "") -> list[MarketEvent]:
    adapter = ADAPTER()
    adapter.use_instruments([SWAP])
    request = adapter.history_request(SWAP, feed, start_ms * NS_PER_MS, end_ms * NS_PER_MS, after_id)
    pages: list[list[MarketEvent]] = []
    while request is not None:
        page = adapter.decode_page(request, venue.answer(request), NOW_NS)
        stamps = [e.open_ns if isinstance(e, Kline) else e.ts_event_ns or 0 for e in page.events]
        assert stamps == sorted(stamps), "a page is in time order"
        pages.append(page.events)
        request = page.next
        assert venue.calls < 200, "history does not end"
    return [event for page in pages for event in page]


STEPS = st.lists(st.integers(0, 5_000), min_size=1, max_size=450)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, start=st.integers(0, 1_500_000), length=st.integers(1, 1_500_000))
def test_every_trade_of_the_window_comes_once(steps: list[int], start: int, length: int) -> None:
    times = [T0 + offset for offset in accumulate(steps)]
    first, last = T0 + start, T0 + start + length

    trades = walked(ModelVenue(times), Feed.TRADES, first, last)

    expected = [str(FIRST_ID + n) for n, time in enumerate(times) if first <= time < last]
    found = [trade.trade_id for trade in trades if isinstance(trade, Trade)]
    assert sorted(found, key=int) == expected
    if times[0] < first:
        assert found == expected, "where a trade lies before the window, pages go forward"


def test_a_window_that_begins_before_memory_is_walked_from_its_end() -> None:
    """Three months are kept: nothing is found before the window, yet what is left of it comes."""
    times = [T0 + n * 1_000 for n in range(500)]
    kept_from = T0 + 200_000

    trades = walked(ModelVenue(times, kept_from), Feed.TRADES, T0 - 1_000, T0 + 450_000)

    found = sorted(int(trade.trade_id) for trade in trades if isinstance(trade, Trade))
    assert found == list(range(FIRST_ID + 200, FIRST_ID + 450))


@pytest.mark.parametrize("after", [FIRST_ID - 1, FIRST_ID + 99, FIRST_ID + 249])
def test_trades_after_an_id_are_the_ones_that_follow_it(after: int) -> None:
    times = [T0 + n for n in range(250)]

    trades = walked(ModelVenue(times), Feed.TRADES, T0, T0 + HOUR, str(after))

    ids = [int(trade.trade_id) for trade in trades if isinstance(trade, Trade)]
    assert ids == list(range(after + 1, FIRST_ID + 250))
    assert {trade.qty for trade in trades if isinstance(trade, Trade)} <= {"0.08"}


def test_every_candle_of_the_window_comes_once_and_in_order() -> None:
    klines = walked(ModelVenue([]), Feed.KLINES, T0, T0 + 11 * HOUR)

    opened = [kline.open_ns // NS_PER_MS for kline in klines if isinstance(kline, Kline)]
    assert opened == list(range(T0, T0 + 11 * HOUR, 60_000))


def test_every_rate_of_the_window_comes_once_and_in_order() -> None:
    rates = walked(ModelVenue([]), Feed.FUNDING, T0, T0 + 900 * HOUR)

    charged = [(rate.ts_event_ns or 0) // NS_PER_MS for rate in rates if isinstance(rate, FundingRate)]
    assert charged == list(range((T0 // HOUR + 1) * HOUR, T0 + 900 * HOUR, HOUR))


def test_a_refusal_of_the_venue_is_no_empty_page() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([SWAP])
    request = adapter.history_request(SWAP, Feed.TRADES, T0 * NS_PER_MS, NOW_NS)
    assert request is not None

    with pytest.raises(DecodeError) as refused:
        adapter.decode_page(request, b'{"code":"50011","msg":"Too Many Requests","data":[]}', NOW_NS)

    assert refused.value.code == "venue_error"


def test_calls_weigh_what_their_endpoint_allows() -> None:
    """20 calls in 2 s of pages, 10 of rates: none is exceeded within the common budget."""
    adapter = ADAPTER()
    allowed = {Feed.TRADES: 20, Feed.KLINES: 20, Feed.FUNDING: 10}
    for feed, calls in allowed.items():
        request = adapter.history_request(SWAP, feed, T0 * NS_PER_MS, NOW_NS)
        assert request is not None
        assert request.weight * calls >= adapter.limits.rest_weight
