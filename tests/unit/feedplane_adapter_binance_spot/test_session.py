"""What a socket says beside data, and data in unusual dress."""

from __future__ import annotations

import json

import pytest
from feedplane_adapter_binance_spot import ADAPTER
from feedplane_core.adapter import Channel, Connection, Reconnect, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, Kline, TopOfBook, Trade
from feedplane_core.names import Feed

TRADE = {"e": "trade", "E": 1672515782136, "s": "BNBBTC", "t": 12345, "p": "0.001", "q": "100", "T": 1672515782136}
PARTIAL = b'{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}'


def connection(*instruments: str) -> Connection:
    channels = tuple(
        Channel(instrument=name, feed=Feed.OB_DIFFS, name=f"{name.lower()}@depth5") for name in instruments
    )
    return Connection(key="k", url="wss://host/ws", channels=channels, subscribe=())


@pytest.mark.parametrize(
    "frame",
    [
        b'{"e":"serverShutdown","E":1770123456789}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_server_shutdown_asks_for_a_planned_replacement_once(frame: bytes) -> None:
    session = ADAPTER().session()

    assert session.decode(frame, 1) == []
    assert session.decode(frame, 2) == []
    assert session.actions() == [Reconnect("serverShutdown", planned=True)]
    assert session.actions() == []


@pytest.mark.parametrize(("maker_is_buyer", "aggressor"), [(True, "sell"), (False, "buy")])
def test_buyer_as_maker_means_the_aggressor_sold(maker_is_buyer: bool, aggressor: str) -> None:
    frame = json.dumps({"stream": "bnbbtc@trade", "data": {**TRADE, "m": maker_is_buyer}}).encode()

    (trade,) = ADAPTER().session().decode(frame, 1)

    assert isinstance(trade, Trade)
    assert trade.aggressor == aggressor


@pytest.mark.parametrize(
    ("time", "ns"), [(1672515782136, 1672515782136000000), (1672515782136417, 1672515782136417000)]
)
def test_time_is_exact_in_both_units(time: int, ns: int) -> None:
    (trade,) = ADAPTER().session().decode(json.dumps({**TRADE, "T": time, "m": True}).encode(), 1)

    assert trade.ts_event_ns == ns


@pytest.mark.parametrize("time", [0, -1, 9_223_372_036_855, 10**14, 9_223_372_036_854_776, 1672515782136000000])
def test_time_of_no_unit_is_refused(time: int) -> None:
    with pytest.raises(DecodeError) as refused:
        ADAPTER().session().decode(json.dumps({**TRADE, "T": time, "m": True}).encode(), 1)

    assert refused.value.code == "number_range"


def test_quote_has_no_time_and_none_is_filled_in() -> None:
    frame = b'{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'

    (quote,) = ADAPTER().session().decode(frame, 7)

    assert isinstance(quote, TopOfBook)
    assert (quote.ts_event_ns, quote.ts_recv_ns, quote.seq) == (None, 7, 400900217)


def test_nameless_partial_book_belongs_to_the_only_instrument_of_its_socket() -> None:
    adapter = ADAPTER()

    (book,) = adapter.session(connection("BNBBTC")).decode(PARTIAL, 1)
    assert isinstance(book, BookSnapshot)
    assert (book.instrument, book.last_seq) == ("BNBBTC", 160)
    for shared in (adapter.session(connection("BNBBTC", "ETHBTC")), adapter.session()):
        with pytest.raises(DecodeError) as refused:
            shared.decode(PARTIAL, 1)
        assert refused.value.code == "unknown_instrument"


def test_partial_book_is_named_by_its_stream() -> None:
    session = ADAPTER().session()
    for name, symbol, depth in (("bnbbtc@depth5", "BNBBTC", 5), ("ethbtc@depth20@100ms", "ETHBTC", 20)):
        (book,) = session.decode(b'{"stream":"%b","data":%b}' % (name.encode(), PARTIAL), 1)
        assert isinstance(book, BookSnapshot)
        assert (book.instrument, book.depth) == (symbol, depth)


def test_escaped_stream_name_is_read() -> None:
    """A JSON encoder may write a non-ASCII symbol as \\uXXXX."""
    frame = json.dumps({"stream": "币安人生usdt@depth5", "data": json.loads(PARTIAL)}, separators=(",", ":")).encode()
    assert b"\\u" in frame

    (book,) = ADAPTER().session().decode(frame, 1)

    assert book.instrument == "币安人生USDT"


def test_candle_with_offset_day_keeps_utc_times() -> None:
    candle = {"t": 1672502400000, "T": 1672588799999, "s": "BNBBTC", "i": "1d", "o": "1", "c": "1", "h": "1", "l": "1"}
    data = {"e": "kline", "E": 1672515782136, "s": "BNBBTC", "k": {**candle, "v": "0", "n": 0, "x": False}}

    (kline,) = ADAPTER().session().decode(json.dumps({"stream": "bnbbtc@kline_1d@+08:00", "data": data}).encode(), 1)

    assert isinstance(kline, Kline)
    assert (kline.open_ns, kline.interval_s, kline.is_closed) == (1672502400000000000, 86_400, False)


def test_unknown_streams_do_not_become_labels() -> None:
    """`channel` is a metric label: a venue (or a stranger) must not be able to make up new ones."""
    session = ADAPTER().session()
    for frame, channel in (
        (b'{"stream":"bnbbtc@blockTrade","data":{}}', "blockTrade"),
        (b'{"stream":"bnbbtc@made-up-9","data":{}}', "-"),
        (b'{"e":"made-up-9","E":1}', "-"),
    ):
        with pytest.raises(DecodeError) as refused:
            session.decode(frame, 1)
        assert (refused.value.code, refused.value.channel) == ("unknown_channel", channel)


def test_bottomless_nesting_is_refused() -> None:
    for frame in (b'{"stream":"bnbbtc@trade","data":' + b"[" * 200_000, b"[" * 200_000):
        with pytest.raises(DecodeError):
            ADAPTER().session().decode(frame, 1)


def test_nothing_is_delivered_that_was_not_asked_for() -> None:
    with pytest.raises(DecodeError):
        ADAPTER().session().deliver(Tag(kind="history"), b"[]", 1)
