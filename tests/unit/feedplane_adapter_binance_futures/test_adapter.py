"""Binance USD-M futures: the book rule's vectors, the plan's routes, pages, and what options and instruments change."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from feedplane_adapter_binance_futures import ADAPTER
from feedplane_adapter_binance_futures.book import Rule
from feedplane_core.adapter import Channel, Options, Request, Tag, Verdict
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.events import BookSnapshot, DepthDiff, FundingRate, Trade
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

RECV_NS = 1_700_000_000 * NS_PER_S
LIVE = [Feed.TRADES, Feed.L1, Feed.OB_DIFFS, Feed.LIQUIDATIONS, Feed.KLINES, Feed.MARK_PRICE, Feed.FUNDING]


def instrument(
    name: str = "BTCUSDT",
    market: MarketType = MarketType.PERP_LINEAR,
    status: InstrumentStatus = InstrumentStatus.TRADING,
    funding_s: int | None = None,
) -> Instrument:
    return Instrument(
        exchange="binance_futures",
        market_type=market,
        instrument=name,
        pair="BTC-USDT-PERP",
        base="BTC",
        quote="USDT",
        status=status,
        funding_interval_s=funding_s,
    )


def snapshot(last: int) -> BookSnapshot:
    return BookSnapshot(
        exchange="binance_futures",
        market_type=MarketType.PERP_LINEAR,
        instrument="X",
        ts_event_ns=None,
        ts_recv_ns=1,
        bids=[],
        asks=[],
        last_seq=last,
    )


def diff(first: int, last: int, previous: int) -> DepthDiff:
    return DepthDiff(
        exchange="binance_futures",
        market_type=MarketType.PERP_LINEAR,
        instrument="X",
        ts_event_ns=None,
        ts_recv_ns=1,
        bids=[],
        asks=[],
        first_seq=first,
        last_seq=last,
        prev_seq=previous,
    )


@pytest.mark.parametrize(
    ("last", "first", "verdict"),
    [
        (600859605926, (600859605926, 600859607423, 600859604824), Verdict.APPLY),  # U == L
        (600859605486, (600859603597, 600859605486, 600859599831), Verdict.APPLY),  # u == L
        (167006089178, (167006088829, 167006089315, 167006088786), Verdict.APPLY),  # L between
        (100, (140, 150, 100), Verdict.APPLY),  # follows exactly: pu == L
        (100, (80, 99, 70), Verdict.STALE),
        (100, (101, 110, 99), Verdict.GAP),  # the spot rule (U <= L + 1) would take it
        (100, (140, 150, 120), Verdict.GAP),
    ],
)
def test_first_diff_joins_by_the_futures_rule(last: int, first: tuple[int, int, int], verdict: Verdict) -> None:
    assert Rule().joins(snapshot(last), diff(*first)) is verdict


@pytest.mark.parametrize(
    ("last", "later", "verdict"),
    [
        (160, (163, 165, 160), Verdict.APPLY),
        (160, (161, 165, 159), Verdict.GAP),  # adjoining ids prove nothing here
        (160, (157, 160, 149), Verdict.STALE),
        (160, (170, 175, 165), Verdict.GAP),
    ],
)
def test_later_diffs_follow_by_pu(last: int, later: tuple[int, int, int], verdict: Verdict) -> None:
    assert Rule().follows(last, diff(*later)) is verdict


def test_streams_go_to_the_route_of_their_kind() -> None:
    plan = ADAPTER().subscriptions([instrument()], LIVE)

    routes = {c.url: sorted(channel.name for channel in c.channels) for c in plan}
    assert routes == {
        "wss://fstream.binance.com/public/stream": ["btcusdt@bookTicker", "btcusdt@depth@100ms"],
        "wss://fstream.binance.com/market/stream": [
            "btcusdt@aggTrade",
            "btcusdt@forceOrder",
            "btcusdt@kline_1m",
            "btcusdt@markPrice@1s",
            "btcusdt@markPrice@1s",
        ],
    }


def test_shared_stream_is_subscribed_once() -> None:
    (connection,) = ADAPTER().subscriptions([instrument()], [Feed.MARK_PRICE, Feed.FUNDING])

    assert [orjson.loads(frame) for frame in connection.subscribe] == [
        {"method": "SUBSCRIBE", "params": ["btcusdt@markPrice@1s"], "id": 1}
    ]


def test_shared_stream_goes_with_its_last_feed() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([instrument()], [Feed.MARK_PRICE, Feed.FUNDING])
    mark, funding = connection.channels

    assert adapter.change_subscription(connection, [], [funding]) == []
    (frame,) = adapter.change_subscription(connection, [], [mark, funding])
    assert orjson.loads(frame)["method"] == "UNSUBSCRIBE"


def test_new_channel_is_asked_for_alone() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([instrument()], [Feed.TRADES])
    added = Channel(instrument="ETHUSDT", feed=Feed.TRADES, name="ethusdt@aggTrade")

    (frame,) = adapter.change_subscription(connection, [added], [])

    assert orjson.loads(frame)["params"] == ["ethusdt@aggTrade"]


def test_streams_per_socket_is_a_switch() -> None:
    instruments = [instrument(f"A{n}USDT") for n in range(10)]

    plan = ADAPTER(Options(switches={"streams_per_socket": "4"})).subscriptions(instruments, [Feed.L1, Feed.OB_DIFFS])

    assert len(plan) >= 5
    assert all(len(c.channels) <= 4 for c in plan)


def test_halted_instrument_may_be_silent() -> None:
    plan = ADAPTER().subscriptions([instrument(status=InstrumentStatus.HALTED)], [Feed.L1])

    assert plan[0].channels[0].stale_after_ns is None


@pytest.mark.parametrize(
    "options", [Options(kline_intervals=("7m",)), Options(switches={"streams_per_socket": "2000"})]
)
def test_wrong_options_are_refused(options: Options) -> None:
    with pytest.raises(UsageError):
        ADAPTER(options)


def test_endpoints_are_overridden() -> None:
    adapter = ADAPTER(Options(endpoints={"ws": "ws://127.0.0.1:9/", "rest": "http://127.0.0.1:8"}))

    assert adapter.subscriptions([instrument()], [Feed.L1])[0].url == "ws://127.0.0.1:9/public/stream"
    assert adapter.instruments_requests()[0].url == "http://127.0.0.1:8/fapi/v1/exchangeInfo"


def test_open_interest_slows_down_before_it_eats_the_budget() -> None:
    adapter = ADAPTER()

    assert adapter.polls([instrument()], [Feed.OPEN_INTEREST])[0].every_ns == 10 * NS_PER_S
    many = adapter.polls([instrument(f"A{n}USDT") for n in range(1_000)], [Feed.OPEN_INTEREST])
    assert many[0].every_ns == 50 * NS_PER_S


def _trade_frame(symbol: str) -> bytes:
    return orjson.dumps({"e": "aggTrade", "E": 1, "s": symbol, "a": 1, "p": "1", "q": "1", "T": 1, "m": True})


def test_live_session_admits_only_known_instruments() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([instrument()])
    (connection,) = adapter.subscriptions([instrument()], [Feed.TRADES])
    live = adapter.session(connection)

    assert len(live.decode(_trade_frame("BTCUSDT"), RECV_NS)) == 1
    with pytest.raises(DecodeError, match="unknown_instrument"):
        live.decode(_trade_frame("BTCUSDX"), RECV_NS)
    adapter.use_instruments([instrument("BTCUSDX")])
    assert len(live.decode(_trade_frame("BTCUSDX"), RECV_NS)) == 1
    assert len(adapter.session().decode(_trade_frame("ETHUSDT"), RECV_NS)) == 1


@pytest.mark.parametrize("symbol", ["BTCUSD_PERP", "BTC:USDT", "{X}", "btcusdt", "", "A" * 65, "BTCUSDT_2603271"])
def test_symbols_of_other_venues_are_refused(symbol: str) -> None:
    with pytest.raises(DecodeError, match="unknown_instrument"):
        ADAPTER().session().decode(_trade_frame(symbol), RECV_NS)


def test_whitespace_and_key_order_do_not_matter() -> None:
    frame = b'{ "data": {"T":1,"m":false,"q":"2","p":"1","a":7,"s":"BTCUSDT","E":1,"e":"aggTrade"}, "stream": "btcusdt@aggTrade" }'

    (event,) = ADAPTER().session().decode(frame, RECV_NS)

    assert isinstance(event, Trade)
    assert (event.trade_id, event.aggressor.value) == ("7", "buy")


def test_funding_interval_is_unknown_until_the_venue_says() -> None:
    frame = orjson.dumps({"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "1", "i": "1", "r": "0.1", "T": 2})
    adapter = ADAPTER()

    def interval_s() -> int | None:
        (funding,) = (e for e in adapter.session().decode(frame, RECV_NS) if isinstance(e, FundingRate))
        return funding.interval_s

    assert interval_s() is None
    adapter.use_instruments([instrument(funding_s=14_400)])
    assert interval_s() == 14_400


def test_bodies_without_a_symbol_are_refused() -> None:
    adapter = ADAPTER()
    poll = Tag(kind="poll", instrument="BTCUSDT", feed=Feed.OPEN_INTEREST)
    rates = adapter.history_request(instrument(), Feed.FUNDING, 0, NS_PER_S)
    assert isinstance(rates, Request)

    with pytest.raises(DecodeError):
        adapter.decode_body(poll, b'{"openInterest":"8","symbol":"","time":7}', RECV_NS)
    with pytest.raises(DecodeError):
        adapter.decode_page(rates, b'[{"symbol":"","fundingRate":"0.1","fundingTime":7}]', RECV_NS)


def _agg_rows(first: int, count: int, at_ms: int) -> bytes:
    return orjson.dumps(
        [{"a": first + n, "p": "1", "q": "1", "f": 1, "l": 1, "T": at_ms, "m": True} for n in range(count)]
    )


def _query(url: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}


def test_trades_are_paged_by_hours_and_then_by_id() -> None:
    adapter, start_ms, hours = ADAPTER(), 1_700_000_000_000, 3
    end_ns = (start_ms + hours * 3_600_000) * NS_PER_MS
    request = adapter.history_request(instrument(), Feed.TRADES, start_ms * NS_PER_MS, end_ns)
    assert request is not None
    window = _query(request.url)
    assert "fromId" not in window
    assert int(window["endTime"]) - int(window["startTime"]) < 3_600_000

    full = adapter.decode_page(request, _agg_rows(10, 1_000, start_ms), RECV_NS)
    assert full.next is not None
    assert _query(full.next.url) == {"symbol": "BTCUSDT", "fromId": "1010", "limit": "1000"}

    short = adapter.decode_page(request, _agg_rows(10, 3, start_ms), RECV_NS)
    assert short.next is not None
    assert _query(short.next.url)["startTime"] == str(int(window["endTime"]) + 1)

    beyond = adapter.decode_page(full.next, _agg_rows(1010, 1_000, start_ms + hours * 3_600_000), RECV_NS)
    assert (beyond.events, beyond.next) == ([], None)


def test_trades_after_an_id_end_with_a_short_page() -> None:
    adapter = ADAPTER()
    request = adapter.history_request(instrument(), Feed.TRADES, 0, RECV_NS, after_id="41")
    assert request is not None
    assert _query(request.url)["fromId"] == "42"

    page = adapter.decode_page(request, _agg_rows(42, 2, 1_600_000_000_000), RECV_NS)

    assert [event.trade_id for event in page.events if isinstance(event, Trade)] == ["42", "43"]
    assert page.next is None


def test_klines_are_paged_by_time() -> None:
    adapter, start_ms = ADAPTER(), 1_699_920_000_000
    request = adapter.history_request(
        instrument(), Feed.KLINES, start_ms * NS_PER_MS, (start_ms + 1_500 * 60_000) * NS_PER_MS, detail="1m"
    )
    assert request is not None
    rows = [
        [start_ms + n * 60_000, "1", "1", "1", "1", "0", start_ms + (n + 1) * 60_000 - 1, "0", 0, "0", "0", "0"]
        for n in range(1_000)
    ]

    page = adapter.decode_page(request, orjson.dumps(rows), RECV_NS)

    assert len(page.events) == 1_000
    assert page.next is not None
    assert _query(page.next.url)["startTime"] == str(start_ms + 1_000 * 60_000)
    assert adapter.decode_page(page.next, orjson.dumps(rows[:2]), RECV_NS).next is None
    assert adapter.decode_page(page.next, b"[]", RECV_NS).next is None
