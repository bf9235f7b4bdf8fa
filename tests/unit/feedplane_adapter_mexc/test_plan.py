"""Options, sockets, control frames, instruments, pages and the book's rule."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from feedplane_adapter_mexc import ADAPTER
from feedplane_core.adapter import Options, Verdict
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.events import DepthDiff
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType


def instrument(name: str, market: MarketType = MarketType.PERP_LINEAR) -> Instrument:
    return Instrument(
        exchange="mexc",
        market_type=market,
        instrument=name,
        pair=name,
        base="B",
        quote="Q",
        contract_size="1",
        contract_unit=ContractUnit.QUOTE if market is MarketType.PERP_INVERSE else ContractUnit.BASE,
    )


SPOT = instrument("BTCUSDT", MarketType.SPOT)
LINEAR = instrument("BTC_USDT")
INVERSE = instrument("BTC_USD", MarketType.PERP_INVERSE)


def requests(frames: Any) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in frames]


def test_markets_have_sockets_of_their_own_and_a_frame_a_stream() -> None:
    plan = {c.key: c for c in ADAPTER().subscriptions([SPOT, LINEAR, INVERSE], list(Feed))}

    assert {key: c.url for key, c in plan.items()} == {
        "spot-0": "wss://wbs-api.mexc.com/ws",
        "futures-0": "wss://contract.mexc.com/edge",
    }
    spot, futures = requests(plan["spot-0"].subscribe), requests(plan["futures-0"].subscribe)
    assert [r["params"] for r in spot] == [
        ["spot@public.aggre.deals.v3.api.pb@10ms@BTCUSDT"],
        ["spot@public.aggre.bookTicker.v3.api.pb@10ms@BTCUSDT"],
        ["spot@public.aggre.depth.v3.api.pb@10ms@BTCUSDT"],
        ["spot@public.kline.v3.api.pb@BTCUSDT@Min1"],
    ]
    assert len({r["id"] for r in spot}) == len(spot)
    linear = [(r["method"], r["param"]) for r in futures if r["param"]["symbol"] == "BTC_USDT"]
    assert linear == [
        ("sub.funding.rate", {"symbol": "BTC_USDT"}),
        ("sub.deal", {"symbol": "BTC_USDT", "compress": False}),
        ("sub.depth", {"symbol": "BTC_USDT"}),
        ("sub.kline", {"symbol": "BTC_USDT", "interval": "Min1"}),
        ("sub.ticker", {"symbol": "BTC_USDT"}),
    ]
    assert "sub.kline" not in [r["method"] for r in futures if r["param"]["symbol"] == "BTC_USD"]


def test_spot_sockets_carry_what_the_venue_allows() -> None:
    many = [instrument(f"A{number}USDT", MarketType.SPOT) for number in range(500)]
    plan = ADAPTER().subscriptions(many, list(Feed))

    assert max(len(c.subscribe) for c in plan) <= 24
    assert {c.capacity for c in plan} == {30}
    assert all(c.min_send_gap_ns >= NS_PER_S // 100 for c in plan)


def test_switches_shape_the_frames() -> None:
    switches = {"spot_speed": "100ms", "futures_deals": "merged", "futures_depth": "every"}
    plan = ADAPTER(Options(switches=switches)).subscriptions([SPOT, LINEAR], [Feed.TRADES, Feed.OB_DIFFS])
    asked = {c.key: requests(c.subscribe) for c in plan}

    assert all("@100ms@" in r["params"][0] for r in asked["spot-0"])
    assert [r["param"] for r in asked["futures-0"]] == [
        {"symbol": "BTC_USDT"},
        {"symbol": "BTC_USDT", "compress": False},
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"kline_intervals": ("3m",)},
        {"switches": {"spot_speed": "1ms"}},
        {"switches": {"spot_streams_per_socket": "31"}},
        {"switches": {"futures_streams_per_socket": "x"}},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ADAPTER(Options(**options))


def test_a_shared_stream_goes_with_the_last_that_wants_it() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([LINEAR], [Feed.MARK_PRICE, Feed.OPEN_INTEREST])
    mark, interest = connection.channels

    assert adapter.change_subscription(connection, [], [mark]) == []
    gone = requests(adapter.change_subscription(connection, [], [mark, interest]))
    assert gone == [{"method": "unsub.ticker", "param": {"symbol": "BTC_USDT"}}]


def test_one_channel_is_had_anew() -> None:
    adapter = ADAPTER()
    connections = adapter.subscriptions([SPOT, LINEAR], [Feed.OB_DIFFS])
    frames = [requests(adapter.resubscribe(c, c.channels[0])) for c in connections]

    assert [[r["method"] for r in group] for group in frames] == [
        ["UNSUBSCRIPTION", "SUBSCRIPTION"],
        ["unsub.depth", "sub.depth"],
    ]


def diff(first: int, last: int) -> DepthDiff:
    return DepthDiff(
        exchange="mexc",
        market_type=MarketType.SPOT,
        instrument="BTCUSDT",
        ts_event_ns=1,
        ts_recv_ns=1,
        bids=[],
        asks=[],
        first_seq=first,
        last_seq=last,
    )


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (5, 10, Verdict.STALE),
        (11, 11, Verdict.APPLY),
        (11, 15, Verdict.APPLY),
        (8, 12, Verdict.APPLY),
        (12, 12, Verdict.GAP),
    ],
)
def test_diffs_join_at_the_version_after(first: int, last: int, verdict: Verdict) -> None:
    rule = ADAPTER().book_rule(SPOT)

    assert rule.follows(10, diff(first, last)) is verdict
    assert rule.follows(None, diff(first, last)) is Verdict.GAP
    assert (rule.snapshot_depth, ADAPTER().book_rule(LINEAR).snapshot_depth) == (5_000, 1_000)


def test_an_empty_book_of_a_contract_is_no_book() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([LINEAR])
    request = adapter.book_snapshot_request(LINEAR)
    assert request is not None

    with pytest.raises(DecodeError, match="venue_error"):
        adapter.decode_body(request.tag, b'{"success":true,"code":0,"data":{"asks":[],"bids":[],"version":1}}', 1)
    with pytest.raises(DecodeError, match="venue_error"):
        adapter.decode_body(request.tag, b'{"success":false,"code":1001,"message":"Contract does not exist"}', 1)


def test_instruments_need_no_order_of_bodies() -> None:
    detail = (
        b'{"success":true,"code":0,"data":[{"symbol":"A_USDT","baseCoin":"A","quoteCoin":"USDT","settleCoin":"USDT",'
        b'"contractSize":0.10,"state":4,"priceUnit":1E-7,"volUnit":1}]}'
    )
    rates = b'{"success":true,"code":0,"data":[{"symbol":"A_USDT","collectCycle":4}]}'
    found = [ADAPTER().decode_instruments(bodies) for bodies in ([detail, rates], [rates, detail], [detail])]

    (contract,) = found[0]
    assert found[0] == found[1]
    assert (contract.tick, contract.contract_size, contract.status) == ("0.0000001", "0.10", InstrumentStatus.HALTED)
    assert [group[0].funding_interval_s for group in found] == [14_400, 14_400, None]
    with pytest.raises(DecodeError, match="venue_error"):
        ADAPTER().decode_instruments([b'{"success":false,"code":510,"message":"too many"}'])


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def test_candles_are_paged_to_the_end_of_the_window() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([SPOT, LINEAR])
    for one, key, rows, body in (
        (SPOT, "startTime", 1_000, b"[]"),
        (LINEAR, "start", 2_000, b'{"success":true,"code":0,"data":{"time":[],"open":[],"close":[],"high":[],"low":[],"vol":[]}}'),
    ):  # fmt: skip
        end_ns = 60 * NS_PER_S * (2 * rows + 1)
        request = adapter.history_request(one, Feed.KLINES, 60 * NS_PER_S, end_ns, detail="1m")
        starts = []
        while request is not None:
            starts.append(int(query(request.url)[key]))
            request = adapter.decode_page(request, body, 1).next
        scale = 1_000 if key == "startTime" else 1
        assert starts == [60 * scale, (60 + rows * 60) * scale]


def test_markets_without_candles_have_none_of_the_past() -> None:
    adapter = ADAPTER()

    assert adapter.history_request(INVERSE, Feed.KLINES, 0, NS_PER_S) is None
    assert adapter.history_request(SPOT, Feed.KLINES, 0, NS_PER_S, detail="8h") is None
    assert adapter.history_request(SPOT, Feed.FUNDING, 0, NS_PER_S) is None


def test_rates_are_paged_back_to_the_start_of_the_window() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([LINEAR])

    def body(*times: int) -> bytes:
        rows = [{"symbol": "BTC_USDT", "fundingRate": 0.5, "settleTime": t} for t in times]
        return json.dumps({"success": True, "code": 0, "data": {"totalPage": 3, "resultList": rows}}).encode()

    request = adapter.history_request(LINEAR, Feed.FUNDING, 20 * NS_PER_MS, 50 * NS_PER_MS)
    assert request is not None
    first = adapter.decode_page(request, body(60, 40), 1)
    assert first.next is not None
    second = adapter.decode_page(first.next, body(30, 10), 1)

    assert [e.ts_event_ns for e in [*first.events, *second.events]] == [40 * NS_PER_MS, 30 * NS_PER_MS]
    assert query(first.next.url)["page_num"] == "2"
    assert second.next is None


def test_a_page_of_trades_says_how_far_back_it_reaches() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([SPOT])
    rows = [{"id": None, "price": "2", "qty": "1", "time": t, "isBuyerMaker": t == 7} for t in (9, 7, 7)]
    request = adapter.history_request(SPOT, Feed.TRADES, 0, NS_PER_S)
    assert request is not None
    page = adapter.decode_page(request, json.dumps(rows).encode(), 1)

    assert page.reaches_back_to_ns == 8 * NS_PER_MS
    assert [getattr(e, "ordinal", None) for e in page.events] == [0, 1, 0]
    assert [str(getattr(e, "aggressor", "")) for e in page.events] == ["sell", "sell", "buy"]
    with pytest.raises(DecodeError, match="venue_error"):
        adapter.decode_page(request, b'{"code":-1121,"msg":"Invalid symbol."}', 1)
