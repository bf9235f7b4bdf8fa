"""Subscriptions and sockets: which name carries what, and the frames that ask for it.

A name here is what the venue calls a channel, then its symbol or key: `trades:tBTCUSD`, `candles:trade:1m:tBTCUSD`, `status:deriv:tBTCF0:USTF0`. It goes out as `subId`.
Source: v2 docs, WS general and requirements, read 2026-11-20.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson
from feedplane_core.adapter import Channel, Connection
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place

from .derivatives import DERIVATIVE, LIQUIDATIONS
from .klines import CODES, key_of

CHANNELS_PER_SOCKET = 25
"""Documented as 25 and as 30; 36 were taken in 2026-09. Switch `channels_per_socket`."""
MIN_CHANNELS, MAX_CHANNELS = 20, 36
SEND_GAP_NS = NS_PER_S // 10
MAX_FRAME_BYTES = 4 << 20
MARK_STALE_NS = 35 * NS_PER_S
TIMESTAMP, SEQ_ALL, OB_CHECKSUM, BULK_UPDATES = 32_768, 65_536, 131_072, 536_870_912
CONF_FRAME = orjson.dumps({"event": "conf", "flags": TIMESTAMP + SEQ_ALL + OB_CHECKSUM})
ALL_LIQUIDATIONS = f"status:{LIQUIDATIONS}"

_DERIVATIVE_FEEDS = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST, Feed.LIQUIDATIONS})


class Options(NamedTuple):
    """What shapes a plan."""

    book_length: int
    kline_intervals: tuple[str, ...]
    channels_per_socket: int


def _names_of(feed: Feed, symbol: str, options: Options) -> list[str]:
    match feed:
        case Feed.TRADES:
            return [f"trades:{symbol}"]
        case Feed.OB_DIFFS:
            return [f"book:{symbol}"]
        case Feed.LIQUIDATIONS:
            return [ALL_LIQUIDATIONS]
        case Feed.MARK_PRICE | Feed.FUNDING | Feed.OPEN_INTEREST:
            return [f"status:{DERIVATIVE}{symbol}"]
        case Feed.KLINES:
            return [f"candles:{key_of(CODES[interval], symbol)}" for interval in options.kline_intervals]
    return []


def wanted(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds with what derived ones are computed from, in a fixed order."""
    asked = set(feeds)
    if asked & DERIVED_FEEDS:
        asked |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in Feed if feed in asked and feed not in DERIVED_FEEDS]


def channels(instrument: Instrument, feeds: Sequence[Feed], options: Options) -> list[Channel]:
    """All that one instrument needs. Only the mark always moves; that other channels live is told by their heartbeats."""
    is_trading = instrument.status is InstrumentStatus.TRADING
    return [
        Channel(
            instrument=instrument.instrument,
            feed=feed,
            name=name,
            stale_after_ns=MARK_STALE_NS if is_trading and feed is Feed.MARK_PRICE else None,
        )
        for feed in feeds
        if not (instrument.market_type is MarketType.SPOT and feed in _DERIVATIVE_FEEDS)
        for name in _names_of(feed, instrument.instrument, options)
    ]


def connections(
    url: str, instruments: Iterable[Instrument], feeds: Iterable[Feed], options: Options
) -> list[Connection]:
    """The channels of one instrument share a socket; the one channel of all liquidations has its own."""
    asked = wanted(feeds)
    by_instrument = {i.instrument: channels(i, asked, options) for i in instruments}
    shared = tuple(c for name in sorted(by_instrument) for c in by_instrument[name] if c.name == ALL_LIQUIDATIONS)
    own = {
        name: [c for c in group if c.name != ALL_LIQUIDATIONS]
        for name, group in by_instrument.items()
        if any(c.name != ALL_LIQUIDATIONS for c in group)
    }
    loads = {name: len(_distinct(group)) for name, group in own.items()}
    plan = [
        _connection(f"pairs-{number}", url, tuple(c for name in names for c in own[name]), options)
        for number, names in place(loads, options.channels_per_socket).items()
    ]
    if shared:
        plan.append(_connection("liquidations", url, shared, options))
    return plan


def _connection(key: str, url: str, carried: tuple[Channel, ...], options: Options) -> Connection:
    return Connection(
        key=key,
        url=url,
        channels=carried,
        subscribe=(CONF_FRAME, *(subscribe_frame(name, options.book_length) for name in _distinct(carried))),
        min_send_gap_ns=SEND_GAP_NS,
        max_frame_bytes=MAX_FRAME_BYTES,
        capacity=options.channels_per_socket if key != "liquidations" else 0,
    )


def subscribe_frame(name: str, book_length: int) -> bytes:
    """`{"event":"subscribe","channel":"trades","symbol":"tBTCUSD","subId":"trades:tBTCUSD"}`: one channel a frame, there is no list."""
    channel, _, rest = name.partition(":")
    what: dict[str, str] = {"symbol": rest}
    if channel == "book":
        what |= {"prec": "P0", "freq": "F0", "len": str(book_length)}
    elif channel in ("candles", "status"):
        what = {"key": rest}
    return orjson.dumps({"event": "subscribe", "channel": channel, **what, "subId": name})


def unsubscribe_frame(chan_id: int) -> bytes:
    return orjson.dumps({"event": "unsubscribe", "chanId": chan_id})


def change_frames(
    connection: Connection,
    added: Sequence[Channel],
    removed: Sequence[Channel],
    chan_ids: Mapping[str, int],
    book_length: int,
) -> list[bytes]:
    """What several feeds share goes when the last of them goes, and is not asked for twice. An id that is not known cannot be let go: its events are ignored."""
    gone = {(channel.instrument, channel.feed, channel.name) for channel in removed}
    kept = [c for c in connection.channels if (c.instrument, c.feed, c.name) not in gone]
    held = set(_distinct(connection.channels))
    still_wanted = set(_distinct([*kept, *added]))
    dropped = [name for name in _distinct(removed) if name not in still_wanted and name in chan_ids]
    new = [name for name in _distinct(added) if name not in held]
    return [
        *(unsubscribe_frame(chan_ids[name]) for name in dropped),
        *(subscribe_frame(name, book_length) for name in new),
    ]


def _distinct(carried: Iterable[Channel]) -> list[str]:
    return list(dict.fromkeys(channel.name for channel in carried))
