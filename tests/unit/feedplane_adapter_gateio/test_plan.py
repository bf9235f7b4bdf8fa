"""Sockets, subscribe frames and history requests, as data."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from feedplane_adapter_gateio import ADAPTER
from feedplane_core.adapter import Connection, Options, Request
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.sending import stamped

BEGIN_S = 1_785_548_200


def made(
    name: str, market: MarketType, settle: str = "", status: InstrumentStatus = InstrumentStatus.TRADING
) -> Instrument:
    size = None if market is MarketType.SPOT else "1"
    base, _, quote = name.partition("_")
    return Instrument(
        exchange="gateio", market_type=market, instrument=name, pair=name, base=base, quote=quote, settle=settle,
        contract_size=size, status=status,
    )  # fmt: skip


SPOT = made("BTC_USDT", MarketType.SPOT)
LINEAR = made("BTC_USDT", MarketType.PERP_LINEAR, "USDT")
INVERSE = made("BTC_USD", MarketType.PERP_INVERSE, "BTC")
NEWER = made("BTC_USD1", MarketType.PERP_LINEAR, "USD1")


def requests_of(connection: Connection) -> list[dict[str, Any]]:
    return [json.loads(stamped(frame, BEGIN_S * NS_PER_S)) for frame in connection.subscribe]


def test_a_socket_serves_one_market() -> None:
    plan = ADAPTER().subscriptions([SPOT, LINEAR, INVERSE, NEWER], [Feed.TRADES])

    assert {c.key: c.url for c in plan} == {
        "spot-0": "wss://api.gateio.ws/ws/v4/",
        "usdt-0": "wss://fx-ws.gateio.ws/v4/ws/usdt",
        "btc-0": "wss://fx-ws.gateio.ws/v4/ws/btc",
        "usd1-0": "wss://fx-ws.gateio.ws/v4/ws/usd1",
    }
    headers = {c.key: dict(c.headers) for c in plan}
    assert headers.pop("spot-0") == {}
    assert all(header == {"X-Gate-Size-Decimal": "1"} for header in headers.values())


def test_lists_share_frames_and_books_do_not() -> None:
    pairs = [made(f"C{n}_USDT", MarketType.SPOT) for n in range(60)]
    (connection,) = ADAPTER().subscriptions(pairs, [Feed.TRADES, Feed.OB_DIFFS])
    asked = requests_of(connection)

    assert [len(r["payload"]) for r in asked if r["channel"] == "spot.trades"] == [50, 10]
    assert {len(r["payload"]) for r in asked if r["channel"] == "spot.obu"} == {1}
    assert {r["time"] for r in asked} == {BEGIN_S}
    assert [r["id"] for r in asked] == list(range(1, len(asked) + 1))


def test_payloads_are_those_of_the_documents() -> None:
    options = Options(kline_intervals=("1m",), switches={"book_channel": "order_book_update"})
    spot, linear = (ADAPTER(options).subscriptions([i], [Feed.OB_DIFFS, Feed.KLINES])[0] for i in (SPOT, LINEAR))

    assert [(r["channel"], r["payload"]) for r in requests_of(spot)] == [
        ("spot.order_book_update", ["BTC_USDT", "100ms"]),
        ("spot.candlesticks", ["1m", "BTC_USDT"]),
    ]
    assert [(r["channel"], r["payload"]) for r in requests_of(linear)] == [
        ("futures.order_book_update", ["BTC_USDT", "100ms", "100"]),
        ("futures.candlesticks", ["1m", "BTC_USDT"]),
    ]


def test_mark_funding_and_interest_share_a_topic() -> None:
    adapter = ADAPTER()
    (connection,) = adapter.subscriptions([LINEAR], [Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST])
    mark, funding, interest = connection.channels

    assert len(connection.subscribe) == 1
    assert adapter.change_subscription(connection, [], [mark]) == []
    (dropped,) = adapter.change_subscription(connection, [], [mark, funding, interest])
    assert json.loads(dropped)["event"] == "unsubscribe"
    assert [json.loads(frame)["event"] for frame in adapter.resubscribe(connection, mark)] == [
        "unsubscribe",
        "subscribe",
    ]


def test_what_does_not_trade_has_no_deadline() -> None:
    halted = made("OLD_USDT", MarketType.SPOT, status=InstrumentStatus.HALTED)
    (connection,) = ADAPTER().subscriptions([halted], [Feed.OB_DIFFS])

    assert [channel.stale_after_ns for channel in connection.channels] == [None]


def test_quanto_dated_and_foreign_contracts_are_left_out() -> None:
    rows = [
        {"name": "BTC_USDT", "type": "direct", "quanto_multiplier": "0.0001"},
        {"name": "ETH_USD", "type": "direct", "quanto_multiplier": "0.0001"},
        {"name": "BTC_USDT_20261225", "type": "direct", "quanto_multiplier": "0.0001"},
        {"name": "XAU_USDT", "type": "direct", "quanto_multiplier": "0.01", "contract_type": "metals"},
    ]
    body = json.dumps(rows).encode()

    assert [i.instrument for i in ADAPTER().decode_instruments([body])] == ["BTC_USDT"]
    everything = ADAPTER(Options(switches={"contracts": "all"}))
    assert [i.instrument for i in everything.decode_instruments([body])] == ["BTC_USDT", "XAU_USDT"]
    with pytest.raises(DecodeError):
        ADAPTER().decode_instruments([b'[{"name":"BTC_USDT","type":"direct","quanto_multiplier":"0"}]'])


def given(request: Request | None) -> Request:
    assert request is not None
    return request


def query_of(request: Request | None) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(given(request).url).query).items()}


def spot_rows(*milliseconds: int) -> bytes:
    """Newest first, as the venue sends them."""
    rows = [
        {
            "id": str(n),
            "create_time_ms": f"{ms}.0",
            "currency_pair": "BTC_USDT",
            "side": "buy",
            "amount": "1",
            "price": "2",
        }
        for n, ms in enumerate(milliseconds)
    ]
    return json.dumps(rows[::-1]).encode()


def test_spot_trades_are_paged_until_a_page_is_short() -> None:
    adapter = ADAPTER()
    window = (BEGIN_S * NS_PER_S, (BEGIN_S + 5) * NS_PER_S)
    request = given(adapter.history_request(SPOT, Feed.TRADES, *window))
    assert (query_of(request)["page"], query_of(request)["limit"]) == ("1", "1000")
    full = adapter.decode_page(request, spot_rows(*(BEGIN_S * 1_000 + n for n in range(1_000))), 2**62)
    short = adapter.decode_page(
        given(full.next), spot_rows((BEGIN_S - 1) * 1_000, BEGIN_S * 1_000 + 4_999, BEGIN_S * 1_000 + 5_000), 2**62
    )

    assert query_of(full.next)["page"] == "2"
    assert len(full.events) == 1_000
    assert [event.ts_event_ns for event in short.events] == [(BEGIN_S + 5) * NS_PER_S - 10**6]
    assert short.next is None


def futures_rows(*seconds: int) -> bytes:
    rows = [
        {"id": n, "create_time_ms": s, "contract": "BTC_USDT", "size": 1, "price": "2"} for n, s in enumerate(seconds)
    ]
    return json.dumps(rows[::-1]).encode()


def test_futures_trades_go_back_by_narrower_windows() -> None:
    adapter = ADAPTER()
    adapter.use_instruments([LINEAR])
    window = (BEGIN_S * NS_PER_S, (BEGIN_S + 60) * NS_PER_S)
    request = given(adapter.history_request(LINEAR, Feed.TRADES, *window))
    seen = []
    for oldest in (40, 40, 39, 0):
        page = adapter.decode_page(request, futures_rows(*[BEGIN_S + oldest] * 1_000), 2**62)
        seen.append(query_of(request)["to"])
        request = given(page.next)

    # A second that fills a page twice cannot be narrowed any further: the next window ends before it.
    assert [int(to) - BEGIN_S for to in seen] == [60, 41, 40, 39]
    assert "page" not in query_of(adapter.history_request(LINEAR, Feed.TRADES, *window))


@pytest.mark.parametrize("instrument", [SPOT, LINEAR, INVERSE])
def test_windows_of_candles_cover_all_once(instrument: Instrument) -> None:
    adapter = ADAPTER()
    adapter.use_instruments([SPOT, LINEAR, INVERSE])
    last_s = BEGIN_S + 2_500 * 60
    request = adapter.history_request(instrument, Feed.KLINES, BEGIN_S * NS_PER_S, last_s * NS_PER_S, detail="1m")
    windows = []
    while request is not None:
        query = query_of(request)
        assert "limit" not in query
        windows.append((int(query["from"]), int(query["to"])))
        request = adapter.decode_page(request, b"[]", 2**62).next

    assert windows[0][0] == BEGIN_S
    assert windows[-1][1] == last_s - 1
    assert all(after[0] == before[1] + 1 for before, after in pairwise(windows))
    assert all((to - begin) // 60 < 1_000 for begin, to in windows)


def test_tags_tell_markets_apart_and_refuse_other_candles() -> None:
    adapter = ADAPTER()
    book = adapter.tag_of("https://x.y/api/v4/futures/btc/order_book?contract=BTC_USD&limit=100&with_id=true")

    assert book is not None
    assert (book.instrument, book.detail) == ("BTC_USD", "btc:100")
    assert adapter.tag_of("https://x.y/api/v4/futures/usdt/candlesticks?contract=mark_BTC_USDT&interval=1m") is None
    assert adapter.tag_of("https://x.y/api/v4/spot/funding_rate?currency_pair=BTC_USDT") is None
    assert adapter.tag_of("https://x.y/api/v4/futures/eur/trades?contract=BTC_EUR") is None
