"""Walking history: a model venue answers the requests, and every trade or candle of the window comes back once."""

from __future__ import annotations

import json
from itertools import accumulate, groupby
from urllib.parse import parse_qs, urlsplit

import pytest
from feedplane_adapter_binance_spot import ADAPTER
from feedplane_core.adapter import Options, Request
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, Feed, MarketType
from hypothesis import given, settings
from hypothesis import strategies as st

BNB = Instrument(
    exchange="binance_spot", market_type=MarketType.SPOT, instrument="BNBBTC", pair="BNB-BTC", base="BNB", quote="BTC"
)
T0 = 1_672_515_780_000
NOW_NS = (T0 + 10**9) * NS_PER_MS


class ModelVenue:
    """Trades with consecutive ids from 100 at `times` (ms, ascending); those of one millisecond are one aggregate, numbered from 10."""

    def __init__(self, times: list[int]) -> None:
        self.times = times
        self.asked: list[str] = []

    def answer(self, request: Request) -> bytes:
        split = urlsplit(request.url)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        call = split.path.removeprefix("/api/v3/")
        self.asked.append(call)
        return json.dumps(getattr(self, call)(query)).encode()

    def _page(self, rows: list[dict[str, object]], key: str, time: str, query: dict[str, str]) -> object:
        start = int(query.get("fromId", "0"))
        since = int(query.get("startTime", "0"))
        return [row for row in rows if int(str(row[key])) >= start and int(str(row[time])) >= since][
            : int(query["limit"])
        ]

    def historicalTrades(self, query: dict[str, str]) -> object:
        rows: list[dict[str, object]] = [
            {"id": 100 + n, "price": "1", "qty": "1", "quoteQty": "1", "time": at, "isBuyerMaker": True}
            for n, at in enumerate(self.times)
        ]
        return self._page(rows, "id", "time", query)

    def aggTrades(self, query: dict[str, str]) -> object:
        rows: list[dict[str, object]] = []
        for time, fills in groupby(range(len(self.times)), key=lambda n: self.times[n]):
            first, *_ = ids = [100 + n for n in fills]
            rows.append({"a": 10 + len(rows), "p": "1", "q": "1", "f": first, "l": ids[-1], "T": time, "m": False})
        return self._page(rows, "a", "T", query)

    def klines(self, query: dict[str, str]) -> object:
        start, end = int(query["startTime"]), int(query["endTime"])
        opens = [t for t in range(T0, T0 + 5_000 * 60_000, 60_000) if start <= t <= end][: int(query["limit"])]
        return [[t, "1", "2", "1", "2", "5", t + 59_999, "9", 3, "1", "1", "0"] for t in opens]


def walk(venue: ModelVenue, request: Request | None, options: Options | None = None) -> list[MarketEvent]:
    adapter = ADAPTER(options or Options())
    events: list[MarketEvent] = []
    for _ in range(100):
        if request is None:
            return events
        page = adapter.decode_page(request, venue.answer(request), NOW_NS)
        events += page.events
        request = page.next
    raise AssertionError("history does not end")


@settings(deadline=None, max_examples=60)
@given(
    gaps=st.lists(st.integers(0, 50), min_size=1, max_size=2_600),
    window=st.tuples(st.integers(-100, 60_000), st.integers(1, 60_000)),
)
def test_window_of_trades_comes_back_whole(gaps: list[int], window: tuple[int, int]) -> None:
    times = [T0 + at for at in accumulate(gaps)]
    start, end = (T0 + window[0]) * NS_PER_MS, (T0 + window[0] + window[1]) * NS_PER_MS

    events = walk(ModelVenue(times), ADAPTER().history_request(BNB, Feed.TRADES, start, end))

    inside = [str(100 + n) for n, at in enumerate(times) if start <= at * NS_PER_MS < end]
    assert [event.trade_id for event in events if isinstance(event, Trade)] == inside


def test_trades_after_an_id_need_no_search() -> None:
    venue = ModelVenue([T0 + n for n in range(2_500)])

    events = walk(venue, ADAPTER().history_request(BNB, Feed.TRADES, 0, (T0 + 2_200) * NS_PER_MS, after_id="149"))

    assert [int(e.trade_id) for e in events if isinstance(e, Trade)] == list(range(150, 2_300))
    assert venue.asked == ["historicalTrades"] * 3


def test_aggregates_are_walked_by_time_and_by_id() -> None:
    options = Options(switches={"trades": "aggTrade"})
    adapter, times = ADAPTER(options), [T0 + n for n in range(4_500)]
    end_ns = (T0 + 4_200) * NS_PER_MS

    by_time = walk(
        ModelVenue(times), adapter.history_request(BNB, Feed.TRADES, (T0 + 300) * NS_PER_MS, end_ns), options
    )
    by_id = walk(ModelVenue(times), adapter.history_request(BNB, Feed.TRADES, 0, end_ns, after_id="309"), options)

    assert [int(e.trade_id) for e in by_time if isinstance(e, Trade)] == list(range(310, 4_210))
    assert by_time == by_id


def test_candles_are_walked_to_the_end_of_the_window() -> None:
    start, end = T0 * NS_PER_MS, (T0 + 2_500 * 60_000) * NS_PER_MS
    venue = ModelVenue([])

    events = walk(venue, ADAPTER().history_request(BNB, Feed.KLINES, start, end, detail="1m"))

    opens = [event.open_ns for event in events if isinstance(event, Kline)]
    assert opens == list(range(start, end, 60_000 * NS_PER_MS))
    assert len(venue.asked) == 3


def test_candle_is_closed_when_its_interval_was_over() -> None:
    adapter = ADAPTER()
    request = adapter.history_request(BNB, Feed.KLINES, T0 * NS_PER_MS, (T0 + 120_000) * NS_PER_MS, detail="1m")
    assert request is not None

    for recv_ms, closed in ((T0 + 59_999, False), (T0 + 60_000, True)):
        page = adapter.decode_page(request, ModelVenue([]).answer(request), recv_ms * NS_PER_MS)
        first = page.events[0]
        assert isinstance(first, Kline)
        assert first.is_closed is closed


def test_pages_that_are_no_rows_are_refused() -> None:
    adapter = ADAPTER()
    request = adapter.history_request(BNB, Feed.TRADES, 0, 10, after_id="1")
    assert request is not None
    for body in (b"", b"{}", b'{"code":-1121,"msg":"Invalid symbol."}', b'[{"id":1}]', b"[1]"):
        with pytest.raises(DecodeError):
            adapter.decode_page(request, body, 1)


def test_feeds_without_history_have_no_request() -> None:
    assert ADAPTER().history_request(BNB, Feed.OB_DIFFS, 0, 10) is None
    assert ADAPTER().history_request(BNB, Feed.KLINES, 0, 10, detail="1M") is None
