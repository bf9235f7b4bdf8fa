"""Walking history: a model venue answers the requests, and every trade or candle of the window comes back once."""

from __future__ import annotations

import json
from bisect import bisect_left
from datetime import UTC, datetime
from itertools import accumulate
from urllib.parse import parse_qs, urlsplit

import pytest
from feedplane_adapter_coinbase import ADAPTER
from feedplane_core.adapter import Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType
from hypothesis import given, settings
from hypothesis import strategies as st

BTC = Instrument(
    exchange="coinbase", market_type=MarketType.SPOT, instrument="BTC-USD", pair="BTC-USD", base="BTC", quote="USD"
)
T0 = 1_700_000_040
NOW_NS = (T0 + 10**8) * NS_PER_S


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ModelVenue:
    """Trades 1..n at `times` (s, ascending), newest first below a cursor; candles each minute but every seventh, more than was asked for."""

    def __init__(self, times: list[int]) -> None:
        self.times = times
        self.calls = 0

    def answer(self, request: Request) -> bytes:
        self.calls += 1
        assert request.headers["User-Agent"]
        split = urlsplit(request.url)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        product, call = split.path.removeprefix("/products/").split("/")
        assert product == "BTC-USD"
        return json.dumps(self.trades(query) if call == "trades" else self.candles(query)).encode()

    def trades(self, query: dict[str, str]) -> list[dict[str, object]]:
        newest = min(len(self.times), int(query.get("after", "9999999999")) - 1)
        oldest = max(0, newest - int(query["limit"]))
        return [
            {"trade_id": n, "time": iso(self.times[n - 1]), "price": "1", "size": "1", "side": "buy"}
            for n in range(newest, oldest, -1)
        ]

    def candles(self, query: dict[str, str]) -> list[list[float]]:
        start, end = (int(datetime.fromisoformat(query[key]).timestamp()) for key in ("start", "end"))
        assert (end - start) // 60 + 1 <= 300, "more than 300 rows are an error"
        return [[t, 1, 3, 2, 2.5, 0.1] for t in range(end, start - 120, -60) if t // 60 % 7]


def walk(venue: ModelVenue, request: Request | None) -> list[MarketEvent]:
    adapter = ADAPTER()
    events: list[MarketEvent] = []
    for _ in range(200):
        if request is None:
            return events
        page = adapter.decode_page(request, venue.answer(request), NOW_NS)
        events += page.events
        request = page.next
    raise AssertionError("history does not end")


@settings(deadline=None, max_examples=80)
@given(
    gaps=st.lists(st.integers(0, 50), max_size=2_600),
    window=st.tuples(st.integers(-100, 70_000), st.integers(1, 60_000)),
)
def test_window_of_trades_comes_back_whole_and_in_order(gaps: list[int], window: tuple[int, int]) -> None:
    times = [T0 + at for at in accumulate(gaps)]
    start, end = T0 + window[0], T0 + window[0] + window[1]

    events = walk(ModelVenue(times), ADAPTER().history_request(BTC, Feed.TRADES, start * NS_PER_S, end * NS_PER_S))

    inside = range(bisect_left(times, start) + 1, bisect_left(times, end) + 1)
    assert [int(event.trade_id) for event in events if isinstance(event, Trade)] == list(inside)


def test_search_of_a_long_tape_is_short() -> None:
    venue = ModelVenue([T0 + n for n in range(200_000)])

    events = walk(
        venue, ADAPTER().history_request(BTC, Feed.TRADES, (T0 + 70_000) * NS_PER_S, (T0 + 70_010) * NS_PER_S)
    )

    assert [int(e.trade_id) for e in events if isinstance(e, Trade)] == list(range(70_001, 70_011))
    assert venue.calls <= 20


def test_trades_after_an_id_need_no_search() -> None:
    venue = ModelVenue([T0 + n for n in range(2_500)])

    events = walk(venue, ADAPTER().history_request(BTC, Feed.TRADES, 0, (T0 + 2_200) * NS_PER_S, after_id="49"))

    assert [int(e.trade_id) for e in events if isinstance(e, Trade)] == list(range(50, 2_201))
    assert venue.calls == 3


def test_candles_are_walked_to_the_end_of_the_window() -> None:
    start, end = T0 - 30, T0 + 1_000 * 60 + 1
    venue = ModelVenue([])

    events = walk(venue, ADAPTER().history_request(BTC, Feed.KLINES, start * NS_PER_S, end * NS_PER_S, detail="1m"))

    opens = [event.open_ns // NS_PER_S for event in events if isinstance(event, Kline)]
    assert opens == [t for t in range(T0, end, 60) if t // 60 % 7]
    assert venue.calls == 4


def test_candle_row_puts_low_first() -> None:
    tag = Tag(kind="poll", instrument="BTC-USD", feed=Feed.KLINES, detail="1m")

    (kline,) = ADAPTER().decode_body(tag, b"[[1415398768,0.32,4.2,0.35,4.2,12.3]]", 1415398768 * NS_PER_S)

    assert isinstance(kline, Kline)
    assert (kline.low, kline.high, kline.open, kline.close, kline.volume) == ("0.32", "4.2", "0.35", "4.2", "12.3")
    assert (kline.trades, kline.ts_event_ns, kline.is_closed) == (None, None, False)


@pytest.mark.parametrize(("age_s", "closed"), [(0, False), (119, False), (120, True)])
def test_candle_is_final_a_minute_after_its_end(age_s: int, closed: bool) -> None:
    tag = Tag(kind="poll", instrument="BTC-USD", feed=Feed.KLINES, detail="1m")

    (kline,) = ADAPTER().decode_body(tag, b"[[%d,1,1,1,1,0]]" % T0, (T0 + age_s) * NS_PER_S)

    assert isinstance(kline, Kline)
    assert kline.is_closed is closed


def test_numbers_of_candles_are_the_digits_of_the_wire() -> None:
    tag = Tag(kind="poll", instrument="BTC-USD", feed=Feed.KLINES, detail="1m")

    body = b"[[%d, 0.100000000000000005, 1e2, 0.30000000000000004, 3.6e-7, 12345678901234567.12345678]]" % T0
    (kline,) = ADAPTER().decode_body(tag, body, 0)

    assert isinstance(kline, Kline)
    assert (kline.low, kline.high, kline.open) == ("0.100000000000000005", "100", "0.30000000000000004")
    assert (kline.close, kline.volume) == ("0.00000036", "12345678901234567.12345678")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"message":"NotFound"}',
        b"[[1]]",
        b"[[1,2,3,4,5,null]]",
        b"[[1,0,1,1,1,1]]",
        b"[[99999999999,1,1,1,1,1]]",
        b"[[0,1,1,1,1,1]]",
    ],
)
def test_bodies_that_are_no_candles_are_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        ADAPTER().decode_body(Tag(kind="poll", instrument="BTC-USD", feed=Feed.KLINES, detail="1m"), body, 1)


def test_pages_that_are_no_trades_are_refused() -> None:
    adapter = ADAPTER()
    request = adapter.history_request(BTC, Feed.TRADES, 0, 10, after_id="1")
    assert request is not None
    for body in (b"", b"{}", b'{"message":"NotFound"}', b'[{"trade_id":1}]'):
        with pytest.raises(DecodeError):
            adapter.decode_page(request, body, 1)


def test_feeds_without_history_have_no_request() -> None:
    assert ADAPTER().history_request(BTC, Feed.OB_DIFFS, 0, 10) is None
    assert ADAPTER().history_request(BTC, Feed.KLINES, 0, 10, detail="3m") is None
