"""A broken frame is blamed on no fewer channels than it may have been of."""

from __future__ import annotations

from feedplane_collector.suspects import suspects
from feedplane_core.adapter import Channel
from feedplane_core.errors import DecodeError
from feedplane_core.names import Feed

BINANCE = [
    Channel(instrument="BTCUSDT", feed=Feed.TRADES, name="btcusdt@aggTrade"),
    Channel(instrument="BTCUSDT", feed=Feed.L1, name="btcusdt@bookTicker"),
    Channel(instrument="ETHUSDT", feed=Feed.TRADES, name="ethusdt@aggTrade"),
]
COINBASE = [
    Channel(instrument="BTC-USD", feed=Feed.TRADES, name="matches"),
    Channel(instrument="BTC-USD", feed=Feed.OB_DIFFS, name="level2_batch"),
    Channel(instrument="ETH-USD", feed=Feed.OB_DIFFS, name="level2_batch"),
]


def test_it_is_told_by_instrument_and_kind() -> None:
    frame = b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","p":"Na'

    assert list(suspects(BINANCE, DecodeError("aggTrade", "json"), frame)) == BINANCE[:1]


def test_a_kind_that_no_channel_is_called_leaves_all_of_the_instrument() -> None:
    frame = b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","1e400","1"]]}'

    assert list(suspects(COINBASE, DecodeError("l2update", "number_range"), frame)) == COINBASE[:2]


def test_a_frame_that_names_nobody_may_have_been_anybodys() -> None:
    assert list(suspects(COINBASE, DecodeError("-", "json"), b"[" * 10_000)) == COINBASE


def test_what_was_understood_and_is_not_followed_costs_nothing() -> None:
    for code in ("unknown_channel", "unknown_instrument", "venue_error"):
        assert not suspects(BINANCE, DecodeError("-", code), b'{"e":"new","s":"BTCUSDT"}')
