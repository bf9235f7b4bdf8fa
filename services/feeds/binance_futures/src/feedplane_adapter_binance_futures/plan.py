"""Streams and sockets: which stream carries what, on which route, and the frames that ask for it.

Source: "Important WebSocket Change Notice" and "Connect", USD-M docs, read 2026-11-20: since 2026-04-23 a stream is served only on the route of its kind; on another
one it is acknowledged and stays silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson
from feedplane_core.adapter import Channel, Connection
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place

from .klines import INTERVALS_S
from .symbols import stream_symbol

MAX_STREAMS = 1_024
"""Of one connection, by the documents."""
STREAMS_PER_SOCKET = 200
"""Planned: a socket that dies then takes fewer books along, and its burst fits one reader. Switch `streams_per_socket`."""
NAMES_PER_FRAME = 200
LIFETIME_NS = 24 * 3_600 * NS_PER_S
SEND_GAP_NS = NS_PER_S // 5
"""The venue disconnects above 10 inbound messages a second, pongs included; 5 leaves room."""

_FIRST_CHANGE_ID = 1_000_000


class Stream(NamedTuple):
    """How one feed is carried."""

    route: str
    suffix: str
    stale_after_ns: int | None  # None: may be silent for ever


STREAMS = {
    Feed.L1: Stream("public", "bookTicker", 10 * NS_PER_S),
    Feed.OB_DIFFS: Stream("public", "depth@100ms", 10 * NS_PER_S),
    Feed.TRADES: Stream("market", "aggTrade", None),
    Feed.LIQUIDATIONS: Stream("market", "forceOrder", None),
    Feed.MARK_PRICE: Stream("market", "markPrice@1s", 5 * NS_PER_S),
    Feed.FUNDING: Stream("market", "markPrice@1s", 5 * NS_PER_S),
}
_KLINE_GRACE_S = 10
"""Beyond its own length a traded candle is not silent: it is pushed on change and once when it closes."""


def _streams_of(feed: Feed, kline_intervals: Sequence[str]) -> list[Stream]:
    if feed is Feed.KLINES:
        return [
            Stream("market", f"kline_{interval}", (INTERVALS_S[interval] + _KLINE_GRACE_S) * NS_PER_S)
            for interval in kline_intervals
        ]
    return [STREAMS[feed]] if feed in STREAMS else []


def wanted(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds with what derived ones are computed from, in a fixed order."""
    asked = set(feeds)
    if asked & DERIVED_FEEDS:
        asked |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in Feed if feed in asked and feed not in DERIVED_FEEDS]


def carries(instrument: Instrument, feed: Feed) -> bool:
    """Dated contracts are not funded."""
    return not (feed is Feed.FUNDING and instrument.market_type is MarketType.DELIVERY)


def channels(
    instrument: Instrument, feeds: Sequence[Feed], kline_intervals: Sequence[str]
) -> list[tuple[str, Channel]]:
    """(route, channel) for all that one instrument needs."""
    is_trading = instrument.status is InstrumentStatus.TRADING
    return [
        (
            stream.route,
            Channel(
                instrument=instrument.instrument,
                feed=feed,
                name=f"{stream_symbol(instrument.instrument)}@{stream.suffix}",
                stale_after_ns=stream.stale_after_ns if is_trading else None,
            ),
        )
        for feed in feeds
        if carries(instrument, feed)
        for stream in _streams_of(feed, kline_intervals)
    ]


def connections(
    root: str,
    instruments: Iterable[Instrument],
    feeds: Iterable[Feed],
    kline_intervals: Sequence[str],
    streams_per_socket: int,
) -> list[Connection]:
    """Sockets of both routes; those of one instrument and route share a socket."""
    by_route: dict[str, dict[str, list[Channel]]] = {}
    asked = wanted(feeds)
    for instrument in instruments:
        for route, channel in channels(instrument, asked, kline_intervals):
            by_route.setdefault(route, {}).setdefault(channel.instrument, []).append(channel)
    plan = []
    for route, by_instrument in sorted(by_route.items()):
        loads = {name: len({channel.name for channel in group}) for name, group in by_instrument.items()}
        for number, names in place(loads, streams_per_socket).items():
            carried = tuple(channel for name in names for channel in by_instrument[name])
            plan.append(_connection(f"{route}-{number}", f"{root}/{route}/stream", carried, streams_per_socket))
    return plan


def _connection(key: str, url: str, carried: tuple[Channel, ...], capacity: int) -> Connection:
    return Connection(
        key=key,
        url=url,
        channels=carried,
        subscribe=tuple(subscribe_frames("SUBSCRIBE", _names(carried), first_id=1)),
        min_send_gap_ns=SEND_GAP_NS,
        protocol_ping_every_ns=None,  # the venue pings every 3 minutes, and counts pings of ours as inbound messages
        lifetime_ns=LIFETIME_NS,
        capacity=capacity,
    )


def subscribe_frames(method: str, names: Sequence[str], first_id: int) -> list[bytes]:
    """`{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}`, as few as the venue's frame size wants."""
    chunks = [names[at : at + NAMES_PER_FRAME] for at in range(0, len(names), NAMES_PER_FRAME)]
    return [
        orjson.dumps({"method": method, "params": chunk, "id": first_id + number})
        for number, chunk in enumerate(chunks)
    ]


def resubscribe_frames(name: str) -> list[bytes]:
    return [
        *subscribe_frames("UNSUBSCRIBE", [name], _FIRST_CHANGE_ID),
        *subscribe_frames("SUBSCRIBE", [name], _FIRST_CHANGE_ID + 1),
    ]


def change_frames(connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]) -> list[bytes]:
    """Mark price and funding share a stream: it goes when the last of them goes, and is not asked for twice."""
    gone = {(channel.instrument, channel.feed, channel.name) for channel in removed}
    kept = [c for c in connection.channels if (c.instrument, c.feed, c.name) not in gone]
    held = {channel.name for channel in connection.channels}
    still_wanted = set(_names([*kept, *added]))
    dropped = [name for name in _names(removed) if name not in still_wanted]
    new = [name for name in _names(added) if name not in held]
    return [
        *subscribe_frames("UNSUBSCRIBE", dropped, _FIRST_CHANGE_ID),
        *subscribe_frames("SUBSCRIBE", new, _FIRST_CHANGE_ID + 1_000),
    ]


def _names(carried: Iterable[Channel]) -> list[str]:
    return list(dict.fromkeys(channel.name for channel in carried))
