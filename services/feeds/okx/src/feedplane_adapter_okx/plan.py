"""Sockets and control frames: which channel carries what, on which of the two paths.

Source: v5 docs, "WebSocket", "Connect" and "Subscribe", read 2026-11-20: a channel on the wrong path is refused (60018).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import orjson
from feedplane_core.adapter import Channel, Connection, Frame, Ping
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_MS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place

from . import book, derivatives, klines, quotes, trades
from .symbols import index_of, market_of, type_of

Arg: TypeAlias = tuple[tuple[str, str], ...]
"""What one subscription names: `(("channel","trades-all"),("instId","BTC-USDT"))`."""

PUBLIC, BUSINESS = "/ws/v5/public", "/ws/v5/business"
BOOKS_PER_SOCKET = 29
"""The venue advises fewer than 30. Switch `books_per_socket`."""
CHANNELS_PER_SOCKET = 200
"""No number is published: a socket that dies then takes few instruments along."""
ARGS_PER_FRAME = 100
SEND_GAP_NS = 100 * NS_PER_MS
PING = Ping(every_ns=20 * NS_PER_S, frame=b"ping")
"""The venue closes a socket on which nothing was pushed for 30 s."""

INDEX_QUOTES = frozenset({"USD", "USDT", "USDC", "BTC"})
"""Of the indices that there are."""

_CHANNEL_OF = {
    Feed.TRADES: trades.CHANNEL,
    Feed.L1: quotes.CHANNEL,
    Feed.OB_DIFFS: book.CHANNEL,
    Feed.LIQUIDATIONS: derivatives.LIQUIDATION,
    Feed.MARK_PRICE: derivatives.MARK,
    Feed.FUNDING: derivatives.FUNDING,
    Feed.OPEN_INTEREST: derivatives.OPEN_INTEREST,
}
_BUSINESS_FEEDS = frozenset({Feed.TRADES, Feed.KLINES})
_DERIVATIVE_FEEDS = frozenset({Feed.LIQUIDATIONS, Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST})
STALE_AFTER_NS = {
    Feed.L1: 60 * NS_PER_S,
    Feed.OB_DIFFS: 75 * NS_PER_S,  # a silent book says so about once a minute
    Feed.MARK_PRICE: 30 * NS_PER_S,  # every 10 s where nothing changes
    Feed.FUNDING: 300 * NS_PER_S,  # every 30 to 90 s
    Feed.OPEN_INTEREST: 300 * NS_PER_S,
}
_KLINE_GRACE_S = 60


def wanted(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds with what derived ones are computed from, in a fixed order."""
    asked = set(feeds)
    if asked & DERIVED_FEEDS:
        asked |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in Feed if feed in asked and feed not in DERIVED_FEEDS]


def carries(instrument: Instrument, feed: Feed) -> bool:
    """Spot has neither mark nor funding; of the dated contracts only X-Perps are funded."""
    if instrument.market_type is MarketType.SPOT:
        return feed not in _DERIVATIVE_FEEDS
    return not (feed is Feed.FUNDING and instrument.market_type is MarketType.DELIVERY and not is_xperp(instrument))


def is_xperp(instrument: Instrument) -> bool:
    """`BTC-USD_UM_XPERP-310404`: perpetual in all but its listing as a dated contract."""
    return "_XPERP-" in instrument.instrument


def channels(instrument: Instrument, feeds: Sequence[Feed], kline_intervals: Sequence[str]) -> list[Channel]:
    is_trading = instrument.status is InstrumentStatus.TRADING
    found = []
    for feed in feeds:
        if not carries(instrument, feed):
            continue
        names = (
            [_CHANNEL_OF[feed]]
            if feed is not Feed.KLINES
            else [klines.CHANNEL + klines.BARS[i] for i in kline_intervals]
        )
        found += [
            Channel(
                instrument=instrument.instrument,
                feed=feed,
                name=name,
                stale_after_ns=_stale_after_ns(feed, name) if is_trading else None,
            )
            for name in names
        ]
    return found


def _stale_after_ns(feed: Feed, name: str) -> int | None:
    if feed is Feed.KLINES:
        return (klines.BAR_SECONDS[name.removeprefix(klines.CHANNEL)] + _KLINE_GRACE_S) * NS_PER_S
    return STALE_AFTER_NS.get(feed)


def connections(
    root: str,
    instruments: Iterable[Instrument],
    feeds: Iterable[Feed],
    kline_intervals: Sequence[str],
    books_per_socket: int,
) -> list[Connection]:
    """Public sockets, business sockets, and one for liquidations. Contracts of one index share a socket, so that the index is subscribed once."""
    asked = wanted(feeds)
    by_path: dict[str, dict[str, list[Channel]]] = {PUBLIC: {}, BUSINESS: {}}
    liquidations: list[Channel] = []
    for instrument in sorted(instruments, key=lambda i: i.instrument):
        for channel in channels(instrument, asked, kline_intervals):
            if channel.feed is Feed.LIQUIDATIONS:
                liquidations.append(channel)
                continue
            path = BUSINESS if channel.feed in _BUSINESS_FEEDS else PUBLIC
            by_path[path].setdefault(index_of(instrument.instrument), []).append(channel)
    plan = []
    for path, groups in by_path.items():
        room = CHANNELS_PER_SOCKET * books_per_socket
        loads = {name: min(_load(group, books_per_socket), room) for name, group in groups.items()}
        for number, names in place(loads, room).items():
            carried = tuple(channel for name in names for channel in groups[name])
            capacity = _capacity(carried, books_per_socket)
            plan.append(_connection(f"{path.rpartition('/')[2]}-{number}", root + path, carried, capacity))
    if liquidations:
        plan.append(_connection("liquidations", root + PUBLIC, tuple(liquidations), 0))
    return plan


def _load(group: Sequence[Channel], books_per_socket: int) -> int:
    """A book takes one part in `books_per_socket` of a socket, any other channel one in `CHANNELS_PER_SOCKET`; counted in parts of both."""
    return sum(CHANNELS_PER_SOCKET if channel.feed is Feed.OB_DIFFS else books_per_socket for channel in group)


def _capacity(carried: Sequence[Channel], books_per_socket: int) -> int:
    """Channels that may be added until the socket has its number of books, in the proportion that it carries now."""
    books = sum(channel.feed is Feed.OB_DIFFS for channel in carried)
    return max(
        len(carried),
        min(CHANNELS_PER_SOCKET, books_per_socket * len(carried) // books if books else CHANNELS_PER_SOCKET),
    )


def _connection(key: str, url: str, carried: tuple[Channel, ...], capacity: int) -> Connection:
    return Connection(
        key=key,
        url=url,
        channels=carried,
        subscribe=tuple(frames("subscribe", args_of(carried))),
        min_send_gap_ns=SEND_GAP_NS,
        ping=PING,
        protocol_ping_every_ns=None,
        capacity=capacity,
    )


def args_of(carried: Iterable[Channel]) -> list[Arg]:
    """The subscriptions behind these channels, each once. A mark brings its index along; liquidations are subscribed by type."""
    found: dict[Arg, None] = {}
    for channel in carried:
        found[arg_of(channel)] = None
        if channel.feed is Feed.MARK_PRICE and index_of(channel.instrument).rpartition("-")[2] in INDEX_QUOTES:
            found[("channel", derivatives.INDEX), ("instId", index_of(channel.instrument))] = None
    return list(found)


def arg_of(channel: Channel) -> Arg:
    """The subscription of a channel's own."""
    if channel.feed is Feed.LIQUIDATIONS:
        return ("channel", channel.name), ("instType", type_of(market_of(channel.instrument)))
    return ("channel", channel.name), ("instId", channel.instrument)


def frames(op: str, args: Sequence[Arg]) -> list[Frame]:
    """`{"op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT"}]}`, as few as the venue's frame size wants."""
    chunks = [args[at : at + ARGS_PER_FRAME] for at in range(0, len(args), ARGS_PER_FRAME)]
    return [orjson.dumps({"op": op, "args": [dict(arg) for arg in chunk]}) for chunk in chunks]


def restart_frames(channel: Channel) -> list[Frame]:
    """A new subscription of a book begins with a new snapshot. Liquidations of a type are one subscription, and start anew together."""
    arg = arg_of(channel)
    return [*frames("unsubscribe", [arg]), *frames("subscribe", [arg])]


def change_frames(current: Sequence[Channel], added: Sequence[Channel], removed: Sequence[Channel]) -> list[Frame]:
    """A subscription that several channels share goes when the last of them goes.

    One that is held is asked for again: the venue acknowledges it, and an empty answer would be taken for a refusal.
    """
    gone = set(removed) - set(added)
    kept = set(args_of([c for c in (*current, *added) if c not in gone]))
    dropped = [arg for arg in args_of(removed) if arg not in kept]
    return [*frames("unsubscribe", dropped), *frames("subscribe", args_of(added))]
