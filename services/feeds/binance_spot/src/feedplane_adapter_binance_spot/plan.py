"""Sockets and control frames: which streams, on which socket, asked for how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import orjson
from feedplane_core.adapter import Channel, Connection, Frame
from feedplane_core.instruments import Instrument
from feedplane_core.names import DERIVED_FEEDS, NS_PER_MS, NS_PER_S, Feed
from feedplane_core.plan import place

from .symbols import stream_symbol
from .wire import EXCHANGE

STREAMS_PER_SOCKET = 200  # the venue allows 1024; a fifth keeps what one lost socket costs small
NAMES_PER_FRAME = 100
MIN_SEND_GAP_NS = 250 * NS_PER_MS  # 5 messages/s are allowed and pongs count: one place is left for them
LIFETIME_NS = 24 * 3_600 * NS_PER_S
STALE_AFTER_NS = 90 * NS_PER_S

_CHANGE_ID = 1_000_000
"""Ids of later control frames; those of the first subscription count from 1."""


def native_feeds(feeds: Iterable[Feed]) -> frozenset[Feed]:
    """Feeds that are streams; a derived one stands for the book and the trades it is computed from."""
    wanted = set(feeds)
    if wanted & DERIVED_FEEDS:
        wanted |= {Feed.OB_DIFFS, Feed.TRADES}
    return frozenset(wanted - DERIVED_FEEDS)


def channels_of(
    instrument: Instrument, feeds: frozenset[Feed], trade_stream: str, kline_intervals: Sequence[str]
) -> Iterator[Channel]:
    """The streams of one instrument, in the order of `Feed`."""
    symbol = stream_symbol(instrument)
    kinds = {
        Feed.TRADES: (trade_stream,),
        Feed.L1: ("bookTicker",),
        Feed.OB_DIFFS: ("depth@100ms",),
        Feed.KLINES: tuple(f"kline_{interval}" for interval in kline_intervals),
    }
    for feed, names in kinds.items():
        if feed in feeds:
            for name in names:
                stale = STALE_AFTER_NS if feed in (Feed.L1, Feed.OB_DIFFS) else None
                yield Channel(
                    instrument=instrument.instrument, feed=feed, name=f"{symbol}@{name}", stale_after_ns=stale
                )


def connections(channels: dict[str, tuple[Channel, ...]], url: str) -> list[Connection]:
    """Sockets for the channels of each instrument; all of an instrument share one socket, and placement is stable."""
    placed = place({name: len(own) for name, own in channels.items() if own}, STREAMS_PER_SOCKET)
    return [
        _connection(number, [channel for name in names for channel in channels[name]], url)
        for number, names in placed.items()
    ]


def _connection(number: int, channels: Sequence[Channel], url: str) -> Connection:
    return Connection(
        key=f"{EXCHANGE}:{number}",
        url=url,
        channels=tuple(channels),
        subscribe=tuple(control_frames("SUBSCRIBE", channels, first_id=1)),
        min_send_gap_ns=MIN_SEND_GAP_NS,
        protocol_ping_every_ns=None,  # they count as messages, and the venue pings by itself every 20 s
        lifetime_ns=LIFETIME_NS,
        max_frame_bytes=4 << 20,
        capacity=STREAMS_PER_SOCKET,
    )


def control_frames(method: str, channels: Sequence[Channel], first_id: int) -> Iterator[Frame]:
    """`{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}`, at most `NAMES_PER_FRAME` names each."""
    for index in range(0, len(channels), NAMES_PER_FRAME):
        names = [channel.name for channel in channels[index : index + NAMES_PER_FRAME]]
        yield orjson.dumps({"method": method, "params": names, "id": first_id + index // NAMES_PER_FRAME})


def change_frames(added: Sequence[Channel], removed: Sequence[Channel]) -> list[Frame]:
    return [
        *control_frames("UNSUBSCRIBE", removed, _CHANGE_ID),
        *control_frames("SUBSCRIBE", added, 2 * _CHANGE_ID),
    ]
