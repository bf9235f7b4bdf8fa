"""Sockets and control frames: which topics carry what, at which address, and the frames that ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import orjson
from feedplane_core.adapter import Channel, Connection, Frame
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_MS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place

from . import derivatives
from .asking import book_request
from .klines import PERIODS

TOPICS_PER_SOCKET = 100
MAX_TOPICS_PER_SOCKET = 1_000
BOOKS_PER_SOCKET = 40
"""Of spot: each is asked for once, at most ten a second."""
SEND_GAP_NS = 30 * NS_PER_MS
"""The contract host takes 40 subscriptions a second and connection."""
FUNDING_EVERY_NS = 60 * NS_PER_S

_PERIOD = "1min"  # of mark and index: any would do, `close` is the price now
_FEED_STALE_NS = {
    Feed.L1: 60 * NS_PER_S,
    Feed.OB_DIFFS: 60 * NS_PER_S,
    Feed.MARK_PRICE: 60 * NS_PER_S,
    Feed.FUNDING: 3 * FUNDING_EVERY_NS,
}
"""Trades, liquidations and candles come when something happens, and may be silent for ever."""
_ORDER = (Feed.TRADES, Feed.L1, Feed.OB_DIFFS, Feed.KLINES, Feed.MARK_PRICE, Feed.FUNDING, Feed.LIQUIDATIONS)
_DERIVATIVE_FEEDS = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.LIQUIDATIONS})


class Host(StrEnum):
    """A kind of socket: part of its key."""

    SPOT = "spot"
    SPOT_BOOKS = "spot-books"
    LINEAR = "linear"
    INDEX = "index"
    NOTICES = "notices"


PATHS = {
    Host.SPOT: "/ws",
    Host.SPOT_BOOKS: "/feed",
    Host.LINEAR: "/linear-swap-ws",
    Host.INDEX: "/ws_index",
    Host.NOTICES: "/linear-swap-notification",
}


class Layout(NamedTuple):
    """What the options say of sockets."""

    spot_ws: str
    linear_ws: str
    intervals: Sequence[str]
    spot_book: str
    mark_host: Host
    topics_per_socket: int

    def url(self, host: Host) -> str:
        return f"{self.spot_ws if host in (Host.SPOT, Host.SPOT_BOOKS) else self.linear_ws}{PATHS[host]}"

    def capacity(self, host: Host) -> int:
        """Topics of one socket."""
        return min(BOOKS_PER_SOCKET, self.topics_per_socket) if host is Host.SPOT_BOOKS else self.topics_per_socket


def native_feeds(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds that are topics, with what derived ones are computed from, in a fixed order."""
    wanted = set(feeds)
    if wanted & DERIVED_FEEDS:
        wanted |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in _ORDER if feed in wanted]


def carries(instrument: Instrument, feed: Feed) -> bool:
    """Spot pairs have neither mark nor funding nor liquidations; dated contracts are not funded."""
    if feed not in _DERIVATIVE_FEEDS:
        return True
    is_dated = instrument.market_type is MarketType.DELIVERY
    return instrument.market_type is not MarketType.SPOT and not (feed is Feed.FUNDING and is_dated)


def channels(instrument: Instrument, feeds: Sequence[Feed], layout: Layout) -> list[tuple[Host, Channel]]:
    """(kind of socket, channel) for all that one instrument needs."""
    is_trading = instrument.status is InstrumentStatus.TRADING
    return [
        (
            host,
            Channel(
                instrument=instrument.instrument,
                feed=feed,
                name=topic,
                stale_after_ns=_FEED_STALE_NS.get(feed) if is_trading else None,
            ),
        )
        for feed in feeds
        if carries(instrument, feed)
        for host, topic in _topics(instrument, feed, layout)
    ]


def _topics(instrument: Instrument, feed: Feed, layout: Layout) -> list[tuple[Host, str]]:
    name, is_spot = instrument.instrument, instrument.market_type is MarketType.SPOT
    quotes_host = Host.SPOT if is_spot else Host.LINEAR
    match feed:
        case Feed.TRADES:
            return [(quotes_host, f"market.{name}.trade.detail")]
        case Feed.L1:
            return [(quotes_host, f"market.{name}.bbo")]
        case Feed.OB_DIFFS if is_spot:
            return [(Host.SPOT_BOOKS, f"market.{name}.mbp.{layout.spot_book}")]
        case Feed.OB_DIFFS:
            return [(Host.LINEAR, f"market.{name}.depth.size_150.high_freq")]
        case Feed.KLINES:
            return [(quotes_host, f"market.{name}.kline.{PERIODS[interval]}") for interval in layout.intervals]
        case Feed.FUNDING:
            return [(Host.NOTICES, f"public.{name}.{derivatives.FUNDING}")]
        case Feed.LIQUIDATIONS:
            return [(Host.NOTICES, f"public.{name}.{derivatives.LIQUIDATION}")]
    mark = f"market.{name}.{derivatives.MARK}.{_PERIOD}"
    if layout.mark_host is Host.INDEX:
        return [(Host.INDEX, mark)]
    index = [(Host.INDEX, _index_topic(mark))] if instrument.market_type is MarketType.PERP_LINEAR else []
    return [(layout.mark_host, mark), *index]


def _index_topic(mark_topic: str) -> str:
    return mark_topic.replace(f".{derivatives.MARK}.", f".{derivatives.INDEX}.")


def topics_of(channel: Channel, url: str) -> list[str]:
    """The topics behind one channel. A mark price on the index socket brings its index along, a topic of its own, unless the contract is dated: the index is of the pair."""
    name = channel.name
    is_mark = f".{derivatives.MARK}." in name
    if is_mark and url.endswith(PATHS[Host.INDEX]) and channel.instrument.count("-") == 1:
        return [name, _index_topic(name)]
    return [name]


def connections(instruments: Iterable[Instrument], feeds: Iterable[Feed], layout: Layout) -> list[Connection]:
    """Sockets of every kind; the topics of one instrument and kind share a socket."""
    asked = native_feeds(feeds)
    by_host: dict[Host, dict[str, list[Channel]]] = {}
    for instrument in instruments:
        for host, channel in channels(instrument, asked, layout):
            by_host.setdefault(host, {}).setdefault(channel.instrument, []).append(channel)
    plan = []
    for host, by_instrument in sorted(by_host.items()):
        url = layout.url(host)
        loads = {name: sum(len(topics_of(c, url)) for c in group) for name, group in by_instrument.items()}
        for number, names in place(loads, layout.capacity(host)).items():
            carried = tuple(channel for name in names for channel in by_instrument[name])
            plan.append(_connection(f"{host}-{number}", url, carried, layout.capacity(host)))
    return plan


def _connection(key: str, url: str, carried: tuple[Channel, ...], capacity: int) -> Connection:
    # The index socket carries up to two topics a channel.
    channels_at_most = capacity // 2 if url.endswith(PATHS[Host.INDEX]) else capacity
    return Connection(
        key=key,
        url=url,
        channels=carried,
        subscribe=tuple(frame(url, "sub", topic) for channel in carried for topic in topics_of(channel, url)),
        min_send_gap_ns=SEND_GAP_NS,
        protocol_ping_every_ns=None,  # the venue's own pings are frames, and its control frames are not documented
        capacity=max(channels_at_most, len(carried)),
    )


def frame(url: str, verb: str, topic: str) -> Frame:
    """`{"sub":"market.btcusdt.bbo","id":"market.btcusdt.bbo"}`; of notifications `{"op":"sub","cid":...,"topic":...}`. The topic is the id, so that refusals name it."""
    if url.endswith(PATHS[Host.NOTICES]):
        body = {"op": verb, "cid": topic, "topic": topic}
        # Without it dated contracts are refused (2011).
        return orjson.dumps(body | {"business_type": "all"} if topic.endswith(derivatives.LIQUIDATION) else body)
    body = {verb: topic, "id": topic}
    return orjson.dumps(body | {"data_type": "incremental"} if topic.endswith(".high_freq") else body)


def restart_frames(connection: Connection, channel: Channel) -> list[Frame]:
    """A spot book is asked for anew, its subscription stays; any other channel is subscribed again, and a linear book then begins with a snapshot."""
    if ".mbp." in channel.name:
        return [book_request(channel.name)]
    topics = topics_of(channel, connection.url)
    return [frame(connection.url, verb, topic) for verb in ("unsub", "sub") for topic in topics]


def change_frames(connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]) -> list[Frame]:
    """No topic is shared by two channels, so each comes and goes by itself."""
    url = connection.url
    return [frame(url, "unsub", topic) for channel in removed for topic in topics_of(channel, url)] + [
        frame(url, "sub", topic) for channel in added for topic in topics_of(channel, url)
    ]
