"""Bitfinex: sockets of 25 channels, instruments, and pages of history."""

from __future__ import annotations

import msgspec
import orjson
import pytest
from feedplane_adapter_bitfinex import Bitfinex
from feedplane_core.adapter import Options, Request
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.events import Kline, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

LISTS = [
    ["BTCUSD", "AAVE:USD", "TESTBTC:TESTUSD", "IOTUST"],
    ["BTCF0:USTF0", "ETHF0:BTCF0", "TESTBTCF0:TESTUSDTF0"],
    [],
    [],
    [["UST", "USDt"], ["IOT", "IOTA"]],
]


def instruments() -> dict[str, Instrument]:
    return {i.instrument: i for i in Bitfinex().decode_instruments([orjson.dumps(LISTS)])}


def test_lists_become_instruments() -> None:
    found = instruments()

    assert {name: i.pair for name, i in found.items()} == {
        "tBTCUSD": "BTC-USD",
        "tAAVE:USD": "AAVE-USD",
        "tIOTUST": "IOTA-USDT",
        "tBTCF0:USTF0": "BTC-USDT-PERP",
        "tETHF0:BTCF0": "ETH-BTC-PERP",
    }
    perpetual = found["tETHF0:BTCF0"]
    assert (perpetual.market_type, perpetual.settle, perpetual.contract_size) == (MarketType.PERP_LINEAR, "BTC", "1")
    assert perpetual.base_qty("3.5", "0.05") == "3.5"


@pytest.mark.parametrize("body", [b'["error",20060,"maintenance"]', b'{"error":"ERR_RATE_LIMIT"}'])
def test_refused_bodies_are_told(body: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        Bitfinex().decode_instruments([body])
    assert refused.value.code == "venue_error"


def test_sockets_are_filled_to_25_subscriptions_and_liquidations_have_their_own() -> None:
    model = instruments()["tBTCF0:USTF0"]
    many = [msgspec.structs.replace(model, instrument=f"tX{n}F0:USTF0") for n in range(60)]
    adapter = Bitfinex()

    plan = adapter.subscriptions(many, adapter.offers.feeds)

    own = {c.key: c for c in plan}.pop("liquidations")
    assert len(own.channels) == 60
    assert [orjson.loads(f).get("key") for f in own.subscribe] == [None, "liq:global"]
    for connection in plan:
        conf, *asked = map(orjson.loads, connection.subscribe)
        assert conf == {"event": "conf", "flags": 229_376}
        assert len(asked) <= 25
        assert len({frame["subId"] for frame in asked}) == len(asked)
    assert len(plan) == 1 + 60 * 4 // 24


def test_spot_has_nothing_of_what_derivatives_have() -> None:
    adapter = Bitfinex()

    (connection,) = adapter.subscriptions([instruments()["tAAVE:USD"]], adapter.offers.feeds)

    assert {c.feed for c in connection.channels} == {Feed.TRADES, Feed.OB_DIFFS, Feed.KLINES}


@pytest.mark.parametrize("switches", [{"book_length": "1"}, {"channels_per_socket": "37"}, {"index_price": "x"}])
def test_bad_switches_are_refused(switches: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(switches))):
        Bitfinex(Options(switches=switches))


def narrowed(request: Request, limit: int) -> Request:
    url = request.url.replace("limit=10000", f"limit={limit}")
    return msgspec.structs.replace(request, url=url)


def test_a_full_page_ends_before_its_last_millisecond() -> None:
    adapter, pair = Bitfinex(), instruments()["tBTCUSD"]
    request = adapter.history_request(pair, Feed.TRADES, 1_000 * NS_PER_MS, 9_000_000_000_000 * NS_PER_MS)
    assert request is not None
    rows = [[1, 1_790_133_734_000, 1, 10], [2, 1_790_133_734_001, -1, 10], [3, 1_790_133_734_001, 1, 11]]

    page = adapter.decode_page(narrowed(request, 3), orjson.dumps(rows), 1)

    assert [event.trade_id for event in page.events if isinstance(event, Trade)] == ["1"]
    assert page.next is not None
    assert "start=1790133734001" in page.next.url
    last = adapter.decode_page(page.next, orjson.dumps(rows[1:]), 1)
    assert [event.trade_id for event in last.events if isinstance(event, Trade)] == ["2", "3"]
    assert last.next is None


def test_a_page_of_one_millisecond_moves_on() -> None:
    adapter, pair = Bitfinex(), instruments()["tBTCUSD"]
    request = adapter.history_request(pair, Feed.TRADES, 0, 9_000_000_000_000 * NS_PER_MS)
    assert request is not None
    rows = [[1, 1_790_133_734_000, 1, 10], [2, 1_790_133_734_000, -1, 10]]

    page = adapter.decode_page(narrowed(request, 2), orjson.dumps(rows), 1)

    assert len(page.events) == 2
    assert page.next is not None
    assert "start=1790133734001" in page.next.url


def test_rows_of_one_id_and_time_are_not_compared_by_their_numbers() -> None:
    """A whole price comes as an int, one with decimals as its digits: the two have no order."""
    adapter = Bitfinex()
    request = adapter.history_request(instruments()["tBTCUSD"], Feed.TRADES, 0, NS_PER_S)
    assert request is not None

    page = adapter.decode_page(request, b"[[7,1,0.5,100],[7,1,0.5,100.5]]", 1)

    assert [event.price for event in page.events if isinstance(event, Trade)] == ["100", "100.5"]


def test_candles_of_a_page_are_closed_but_for_a_fresh_last_one() -> None:
    adapter, pair = Bitfinex(), instruments()["tBTCUSD"]
    request = adapter.history_request(pair, Feed.KLINES, 0, 2_000_000_000 * NS_PER_S, detail="1h")
    assert request is not None
    assert "/v2/candles/trade:1h:tBTCUSD/hist" in request.url
    rows = orjson.dumps([[1_790_132_400_000, 1, 2, 4, 0.5, 10], [1_790_136_000_000, 2, 3, 4, 1, 0]])

    fresh, settled = (
        [e.is_closed for e in adapter.decode_page(request, rows, at_s * NS_PER_S).events if isinstance(e, Kline)]
        for at_s in (1_790_137_000, 1_790_139_700)
    )

    assert (fresh, settled) == ([True, False], [True, True])


def test_one_path_serves_three_feeds() -> None:
    adapter, perpetual = Bitfinex(), instruments()["tBTCF0:USTF0"]
    row = [1_790_133_734_000, None, 1, 2, None, 0, None, None, 0, 0, None, 0.0001, None, None, 3, None, None, 9]

    for feed in (Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST):
        request = adapter.history_request(perpetual, feed, 0, 2_000_000_000 * NS_PER_S)
        assert request is not None
        assert [e.feed for e in adapter.decode_page(request, orjson.dumps([row]), 1).events] == [feed]
    assert adapter.history_request(instruments()["tBTCUSD"], Feed.FUNDING, 0, NS_PER_S) is None
