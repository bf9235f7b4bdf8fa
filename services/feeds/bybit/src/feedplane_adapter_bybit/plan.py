"""Topics and sockets: which topic carries what, and the frames that ask for it.

Source: v5 docs, "Connect" (limits of `args`, ping) and the topic pages, read 2026-11-20.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson
from feedplane_core.adapter import Channel, Connection, Ping
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place

from .klines import CODES
from .symbols import Category, category_of

TOPICS_PER_FRAME = 10
"""The documented limit on spot; safe everywhere."""
TOPICS_PER_SOCKET = 200
"""Planned: a socket that dies then takes fewer books along. Switch `topics_per_socket`."""
MIN_TOPICS, MAX_TOPICS = 20, 600
"""The topics of a socket may have 21,000 characters together: 35 each, more than any symbol needs."""
CAPACITY = 300
"""Channels that a live socket may come to carry; several of them may share a topic."""
SEND_GAP_NS = NS_PER_S // 10
MAX_FRAME_BYTES = 4 << 20
PING = Ping(every_ns=20 * NS_PER_S, frame=b'{"req_id":"ping","op":"ping"}')

_DERIVATIVE_FEEDS = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST, Feed.LIQUIDATIONS})
_KLINE_STALE_NS = 150 * NS_PER_S  # pushed every 1 to 60 s


class Options(NamedTuple):
    """What shapes a plan."""

    book_depth: int
    kline_intervals: tuple[str, ...]
    topics_per_socket: int


def _topics_of(feed: Feed, options: Options) -> list[tuple[str, int | None]]:
    """(topic without its symbol, silence that means it is dead)."""
    match feed:
        case Feed.TRADES:
            return [("publicTrade", None)]
        case Feed.L1:
            return [("orderbook.1", 10 * NS_PER_S)]  # repeats every 3 s
        case Feed.OB_DIFFS:
            return [(f"orderbook.{options.book_depth}", 30 * NS_PER_S)]
        case Feed.LIQUIDATIONS:
            return [("allLiquidation", None)]
        case Feed.MARK_PRICE | Feed.FUNDING | Feed.OPEN_INTEREST:
            # All of one topic, but the venue repeats no field that has not changed: only the mark always moves.
            return [("tickers", 15 * NS_PER_S if feed is Feed.MARK_PRICE else None)]
        case Feed.KLINES:
            return [(f"kline.{CODES[interval]}", _KLINE_STALE_NS) for interval in options.kline_intervals]
    return []


def wanted(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds with what derived ones are computed from, in a fixed order."""
    asked = set(feeds)
    if asked & DERIVED_FEEDS:
        asked |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in Feed if feed in asked and feed not in DERIVED_FEEDS]


def carries(instrument: Instrument, feed: Feed) -> bool:
    """Dated contracts are not funded, and spot has nothing of what derivatives have."""
    if feed is Feed.FUNDING and instrument.market_type is MarketType.DELIVERY:
        return False
    return not (instrument.market_type is MarketType.SPOT and feed in _DERIVATIVE_FEEDS)


def channels(instrument: Instrument, feeds: Sequence[Feed], options: Options) -> list[Channel]:
    """All that one instrument needs."""
    is_trading = instrument.status is InstrumentStatus.TRADING
    return [
        Channel(
            instrument=instrument.instrument,
            feed=feed,
            name=f"{topic}.{instrument.instrument}",
            stale_after_ns=stale_after_ns if is_trading else None,
        )
        for feed in feeds
        if carries(instrument, feed)
        for topic, stale_after_ns in _topics_of(feed, options)
    ]


def connections(
    root: str, instruments: Iterable[Instrument], feeds: Iterable[Feed], options: Options
) -> list[Connection]:
    """Sockets of each category; the topics of one instrument share a socket."""
    by_category: dict[Category, dict[str, list[Channel]]] = {}
    asked = wanted(feeds)
    for instrument in instruments:
        if group := channels(instrument, asked, options):
            by_category.setdefault(category_of(instrument), {})[instrument.instrument] = group
    plan = []
    for category, by_instrument in sorted(by_category.items()):
        loads = {name: len(_names(group)) for name, group in by_instrument.items()}
        for number, names in place(loads, options.topics_per_socket).items():
            carried = tuple(channel for name in names for channel in by_instrument[name])
            plan.append(_connection(f"{category}-{number}", f"{root}/v5/public/{category}", carried))
    return plan


def _connection(key: str, url: str, carried: tuple[Channel, ...]) -> Connection:
    return Connection(
        key=key,
        url=url,
        channels=carried,
        subscribe=tuple(_frames("subscribe", _names(carried), "s")),
        min_send_gap_ns=SEND_GAP_NS,
        ping=PING,
        protocol_ping_every_ns=None,  # the application's ping is what the venue counts
        max_frame_bytes=MAX_FRAME_BYTES,
        capacity=CAPACITY,
    )


def _frames(op: str, topics: Sequence[str], prefix: str) -> list[bytes]:
    """`{"req_id":"s0","op":"subscribe","args":["publicTrade.BTCUSDT",...]}`, ten topics each."""
    chunks = [topics[at : at + TOPICS_PER_FRAME] for at in range(0, len(topics), TOPICS_PER_FRAME)]
    return [
        orjson.dumps({"req_id": f"{prefix}{number}", "op": op, "args": chunk}) for number, chunk in enumerate(chunks)
    ]


def topics_by_request(frames: Iterable[bytes]) -> dict[str, list[str]]:
    """`req_id` -> its topics, of frames that were built here."""
    requests = [orjson.loads(frame) for frame in frames]
    return {request["req_id"]: request["args"] for request in requests}


def single_frames(topics: Sequence[str]) -> list[bytes]:
    """A frame for each topic."""
    return [
        orjson.dumps({"req_id": f"one{number}", "op": "subscribe", "args": [topic]})
        for number, topic in enumerate(topics)
    ]


def resubscribe_frames(topic: str) -> list[bytes]:
    return [*_frames("unsubscribe", [topic], "u"), *_frames("subscribe", [topic], "r")]


def change_frames(connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]) -> list[bytes]:
    """Mark, funding and open interest share a topic: it goes when the last of them goes, and is not asked for twice."""
    gone = {(channel.instrument, channel.feed, channel.name) for channel in removed}
    kept = [c for c in connection.channels if (c.instrument, c.feed, c.name) not in gone]
    held = {channel.name for channel in connection.channels}
    still_wanted = set(_names([*kept, *added]))
    dropped = [name for name in _names(removed) if name not in still_wanted]
    new = [name for name in _names(added) if name not in held]
    return [*_frames("unsubscribe", dropped, "u"), *_frames("subscribe", new, "a")]


def _names(carried: Iterable[Channel]) -> list[str]:
    return list(dict.fromkeys(channel.name for channel in carried))
