"""Pages: windows, cursors, and where they end."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from feedplane_core.adapter import Page, Request
from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, Kline, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed
from feedplane_testing.venues import Venue

START_S = 1_700_000_040
START_NS = START_S * NS_PER_S
RECV_NS = (START_S + 1_000_000) * NS_PER_S
VENUE = Venue("kraken")


def named(name: str) -> Instrument:
    return next(i for i in VENUE.instruments if i.instrument == name)


def asked(name: str, feed: Feed, end_ns: int, detail: str = "") -> Request:
    request = VENUE.adapter().history_request(named(name), feed, START_NS, end_ns, detail=detail)
    assert request is not None
    return request


def query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.url).query))


def page(request: Request, body: object) -> Page:
    return VENUE.adapter().decode_page(request, orjson.dumps(body), RECV_NS)


def trade_rows(*offsets: float) -> list[list[object]]:
    return [["1.50", "2.0", START_S + offset, "b", "l", "", int(1000 + 10 * offset)] for offset in offsets]


def result(rows: list[list[object]], last: object) -> dict[str, object]:
    return {"error": [], "result": {"XXBTZUSD": rows, "last": last}}


def test_trades_go_on_from_last_until_the_window_is_over() -> None:
    first = asked("BTC/USD", Feed.TRADES, START_NS + 10 * NS_PER_S)
    assert query(first) == {"pair": "XBTUSD", "since": str(START_NS - 1), "count": "1000"}

    one = page(first, result(trade_rows(-1, 0, 5.5), str(START_NS + 5_500_000_000)))
    assert one.next is not None
    two = page(one.next, result(trade_rows(6, 10, 11), str(START_NS + 11 * NS_PER_S)))

    assert [t.trade_id for t in one.events if isinstance(t, Trade)] == ["1000", "1055"]
    assert query(one.next)["since"] == str(START_NS + 5_500_000_000)
    assert [t.trade_id for t in two.events if isinstance(t, Trade)] == ["1060"]
    assert two.next is None


def test_trades_end_where_the_venue_has_no_more() -> None:
    first = asked("BTC/USD", Feed.TRADES, START_NS + 10 * NS_PER_S)

    assert page(first, result([], str(START_NS - 1))) == Page(events=[])
    assert page(first, result(trade_rows(1), str(START_NS - 1))).next is None


@pytest.mark.parametrize("time", [b"-0", b"0", b"0.5", b"-0.0"])
def test_a_trade_of_no_time_is_refused(time: bytes) -> None:
    body = b'{"error":[],"result":{"XXBTZUSD":[["1.5","1",%s,"s","m","",7]],"last":"0"}}' % time
    with pytest.raises(DecodeError, match="number_range"):
        VENUE.adapter().decode_page(asked("BTC/USD", Feed.TRADES, START_NS + 10**12), body, RECV_NS)


def test_times_are_cut_to_the_sockets_microseconds_and_zeros_left_out() -> None:
    body = (
        b'{"error":[],"result":{"XXBTZUSD":[["105910.50000","1.00000000",1700000041.2234567,"s","m","",7]],"last":"0"}}'
    )
    (trade,) = VENUE.adapter().decode_page(asked("BTC/USD", Feed.TRADES, START_NS + 10**12), body, RECV_NS).events

    assert isinstance(trade, Trade)
    assert (trade.ts_event_ns, trade.price, trade.qty) == (1_700_000_041_223_456_000, "105910.5", "1")


def ohlc_rows(first_s: int, count: int) -> list[list[object]]:
    return [[first_s + 60 * n, "1.0", "2.0", "1.0", "1.5", "1.2", "3.00", 4] for n in range(count)]


def test_candles_go_forward_and_stop_when_they_do_not_get_on() -> None:
    first = asked("BTC/USD", Feed.KLINES, START_NS + 6_000 * NS_PER_S, "1m")
    assert query(first) == {"pair": "XBTUSD", "interval": "1", "since": str(START_S - 60)}

    one = page(first, result(ohlc_rows(START_S, 50), START_S + 48 * 60))
    assert one.next is not None
    two = page(one.next, result(ohlc_rows(START_S + 50 * 60, 1), START_S + 49 * 60))

    assert len(one.events) == 50
    assert all(isinstance(kline, Kline) and kline.is_closed for kline in one.events)  # settled long ago
    assert two.next is None
    assert (one.reaches_back_to_ns, two.reaches_back_to_ns) == (None, None)


def test_the_newest_720_say_how_far_back_they_reach() -> None:
    first = asked("BTC/USD", Feed.KLINES, RECV_NS, "1m")
    newest = page(first, result(ohlc_rows(START_S + 900_000, 720), 0))

    assert newest.reaches_back_to_ns == (START_S + 900_000) * NS_PER_S


def test_the_last_candle_is_open_until_a_minute_after_its_end() -> None:
    first = asked("BTC/USD", Feed.KLINES, START_NS + 600 * NS_PER_S, "1m")
    body = orjson.dumps(result(ohlc_rows(START_S, 2), START_S))
    ends_ns = START_NS + 120 * NS_PER_S
    closed = [
        [
            kline.is_closed
            for kline in VENUE.adapter().decode_page(first, body, at_ns).events
            if isinstance(kline, Kline)
        ]
        for at_ns in (ends_ns, ends_ns + 60 * NS_PER_S)
    ]

    assert closed == [[True, False], [True, True]]


def chart(open_s: int) -> dict[str, object]:
    return {"time": open_s * 1000, "open": "1", "high": "2", "low": "1", "close": "2", "volume": "5"}


def test_charts_go_window_by_window() -> None:
    end_ns = START_NS + 90_000 * NS_PER_S
    request: Request | None = asked("PF_XBTUSD", Feed.KLINES, end_ns, "1m")
    windows = []
    while request is not None:
        asked_for = query(request)
        windows.append((int(asked_for["from"]), int(asked_for["to"])))
        body = {"candles": [chart(windows[-1][0])], "more_candles": False}
        request = page(request, body).next

    assert windows[0][0] == START_S
    assert windows[-1][1] == START_S + 90_000 - 1
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(windows))


def test_contracts_that_count_dollars_have_no_candles() -> None:
    adapter = VENUE.adapter()
    for name in ("PI_XBTUSD", "FI_XBTUSD_261127"):
        assert adapter.history_request(named(name), Feed.KLINES, START_NS, RECV_NS, detail="1m") is None
    assert adapter.history_request(named("FF_ETHUSD_261225"), Feed.KLINES, START_NS, RECV_NS, detail="1m") is not None
    assert adapter.history_request(named("BTC/USD"), Feed.FUNDING, START_NS, RECV_NS) is None
    assert adapter.history_request(named("BTC/USD"), Feed.KLINES, START_NS, RECV_NS, detail="12h") is None


def execution(uid: str, at_ms: int) -> dict[str, object]:
    orders = {"makerOrder": {"direction": "Sell"}, "takerOrder": {"direction": "Buy"}}
    happened = {"uid": uid, "timestamp": at_ms, "quantity": "100", "price": "50", **orders}
    return {"uid": "x", "timestamp": at_ms, "event": {"Execution": {"execution": happened}}}


def test_executions_are_paged_by_token() -> None:
    first = asked("PI_XBTUSD", Feed.TRADES, START_NS + 10 * NS_PER_S)
    other = {"uid": "y", "timestamp": 1, "event": {"SomethingElse": {}}}
    elements = [execution("a", START_S * 1000), other, execution("b", START_S * 1000 + 10_000)]

    one = page(first, {"elements": elements, "len": 3, "continuationToken": "c2F5"})
    assert one.next is not None
    two = page(one.next, {"elements": [], "len": 0, "continuationToken": "c2F5"})

    assert [(t.trade_id, t.qty) for t in one.events if isinstance(t, Trade)] == [("a", "2")]
    assert query(one.next) == {**query(first), "continuation_token": "c2F5"}
    assert two == Page(events=[])


def test_funding_is_the_relative_rate_of_the_window() -> None:
    first = asked("PF_XBTUSD", Feed.FUNDING, START_NS + 7_200 * NS_PER_S)
    body = (
        b'{"result":"success","rates":[{"timestamp":"2023-11-14T22:00:00.000Z","fundingRate":9,"relativeFundingRate":1e-6},'
        b'{"timestamp":"2023-11-14T23:00:00.000Z","fundingRate":0.5,"relativeFundingRate":-1.25e-05}]}'
    )
    rates = VENUE.adapter().decode_page(first, body, RECV_NS).events

    assert [(r.rate, r.interval_s) for r in rates if isinstance(r, FundingRate)] == [("-0.0000125", 3600)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error":["EAPI:Rate limit exceeded"]}', "venue_error"),
        (b'{"error":[],"result":{"A":[],"B":[],"last":"1"}}', "schema"),
        (b'{"error":[],"result":{"A":[["1","2",3.5,"x","l","",7]],"last":"1"}}', "schema"),
        (b'{"error":[],"result":{"A":[["1","2",99999999999,"b","l","",7]],"last":"1"}}', "number_range"),
        (b'{"error":[],"result":{"A":[["nan","2",3.5,"b","l","",7]],"last":"1"}}', "number"),
    ],
)
def test_refusals(body: bytes, code: str) -> None:
    with pytest.raises(DecodeError) as refused:
        VENUE.adapter().decode_page(asked("BTC/USD", Feed.TRADES, RECV_NS), body, RECV_NS)
    assert refused.value.code == code


def test_recorded_pages_are_told_apart_without_instruments() -> None:
    adapter = VENUE.adapter_class()
    urls = {
        "https://api.kraken.com/0/public/Trades?pair=XBTUSD&since=1": ("history", "BTC/USD", Feed.TRADES),
        "https://api.kraken.com/0/public/OHLC?pair=XDGUSDT&interval=5": ("history", "DOGE/USDT", Feed.KLINES),
        "https://futures.kraken.com/api/charts/v1/trade/PF_XBTUSD/1m": ("poll", "PF_XBTUSD", Feed.KLINES),
        "https://futures.kraken.com/api/charts/v1/trade/PF_XBTUSD/1m?from=1&to=2": (
            "history",
            "PF_XBTUSD",
            Feed.KLINES,
        ),
    }
    for url, expected in urls.items():
        tag = adapter.tag_of(url)
        assert tag is not None
        assert (tag.kind, tag.instrument, tag.feed) == expected
    assert adapter.tag_of("https://api.kraken.com/0/public/Depth?pair=XBTUSD") is None
