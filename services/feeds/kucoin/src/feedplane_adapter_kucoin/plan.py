"""What both systems share in laying out sockets: which feed rides on which topic, for which instruments, on which socket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from feedplane_core.adapter import Channel, Connection
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place

from .symbols import trade_type_of
from .wire import TradeType

TOPICS_PER_SOCKET = 200
"""Planned, far below what the venue allows: a socket that dies then takes fewer books along. Switch `topics_per_socket`."""
PING_EVERY_NS = 9 * NS_PER_S
"""Half of the interval that both systems ask for (18 s): one lost ping does no harm."""

STALE_AFTER_NS = {
    Feed.L1: 60 * NS_PER_S,
    Feed.OB_DIFFS: 60 * NS_PER_S,
    Feed.MARK_PRICE: 15 * NS_PER_S,
    Feed.OPEN_INTEREST: 15 * NS_PER_S,
    Feed.FUNDING: 150 * NS_PER_S,
}
"""Trades and candles may be silent for ever; books and quotes of the long tail move about every few seconds."""

NameTopic: TypeAlias = Callable[[Instrument, Feed], Sequence[str]]
"""The topics of a feed; candles have one an interval, a feed that a system does not stream has none."""
Build: TypeAlias = Callable[[TradeType, int, tuple[Channel, ...]], Connection]


def wanted(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds with what derived ones are computed from, in a fixed order."""
    asked = set(feeds)
    if asked & DERIVED_FEEDS:
        asked |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in Feed if feed in asked and feed not in DERIVED_FEEDS]


def carries(instrument: Instrument, feed: Feed) -> bool:
    """Spot has no mark, funding or open interest; dated contracts are not funded."""
    if feed is Feed.FUNDING:
        return instrument.market_type in (MarketType.PERP_LINEAR, MarketType.PERP_INVERSE)
    return feed not in (Feed.MARK_PRICE, Feed.OPEN_INTEREST) or instrument.market_type is not MarketType.SPOT


def channels(instrument: Instrument, feeds: Iterable[Feed], name_topic: NameTopic) -> list[Channel]:
    is_trading = instrument.status is InstrumentStatus.TRADING
    return [
        Channel(
            instrument=instrument.instrument,
            feed=feed,
            name=name,
            stale_after_ns=STALE_AFTER_NS.get(feed) if is_trading else None,
        )
        for feed in feeds
        if carries(instrument, feed)
        for name in name_topic(instrument, feed)
    ]


def connections(
    instruments: Iterable[Instrument],
    feeds: Iterable[Feed],
    name_topic: NameTopic,
    topics_per_socket: int,
    build: Build,
) -> list[Connection]:
    """Sockets of spot and of futures; what one instrument needs shares a socket."""
    asked = wanted(feeds)
    by_type: dict[TradeType, dict[str, list[Channel]]] = {}
    for instrument in instruments:
        carried = channels(instrument, asked, name_topic)
        if carried:
            by_type.setdefault(trade_type_of(instrument), {})[instrument.instrument] = carried
    plan = []
    for trade_type, by_instrument in sorted(by_type.items()):
        loads = {name: len(topics_of(carried)) for name, carried in by_instrument.items()}
        for number, names in place(loads, topics_per_socket).items():
            plan.append(build(trade_type, number, tuple(c for name in names for c in by_instrument[name])))
    return plan


def topics_of(carried: Iterable[Channel]) -> list[str]:
    """Topics, each once: mark price and open interest (or funding) share one."""
    return list(dict.fromkeys(channel.name for channel in carried))


def changed_topics(
    connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
) -> tuple[list[str], list[str]]:
    """(to drop, to ask for): a shared topic goes when the last of its feeds goes, and is not asked for twice."""
    gone = {(channel.instrument, channel.feed, channel.name) for channel in removed}
    kept = [c for c in connection.channels if (c.instrument, c.feed, c.name) not in gone]
    held = {channel.name for channel in connection.channels}
    still = {channel.name for channel in (*kept, *added)}
    dropped = [name for name in topics_of(removed) if name not in still]
    return dropped, [name for name in topics_of(added) if name not in held]
