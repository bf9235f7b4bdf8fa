"""Channels and sockets: which channel carries what, and the frames that ask for it.

Source: API v4 WebSocket docs (spot, futures) as of 2025-11, probe of the futures socket of 2026-09.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson
from feedplane_core.adapter import Channel, Connection, Ping
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place
from feedplane_core.sending import SEND_TIME_S

from .book import UPDATES_DEPTH
from .symbols import settle_of

SYMBOLS_PER_FRAME = 50
"""A frame that names one unknown symbol fails whole; it is then taken apart."""
TOPICS_PER_SOCKET = 150
"""Planned: a socket that dies then takes fewer books along, and a slow reader is closed by the venue. Switch `topics_per_socket`."""
MIN_TOPICS, MAX_TOPICS = 20, 1_000
CAPACITY = 400
"""Channels that a live socket may come to carry; several of them may share a topic."""
SEND_GAP_NS = NS_PER_S // 50
MAX_FRAME_BYTES = 4 << 20
PING_EVERY_NS = 15 * NS_PER_S
HEADERS = {"X-Gate-Size-Decimal": "1"}
"""Contract sizes as text with their decimals; without it they are cut to integers, and 0.4 contracts read as 0, which removes the level."""
MULTI = frozenset({"trades", "book_ticker", "tickers", "public_liquidates"})
"""Channels that take a list of symbols; all others take the parameters of one."""

BOOK_STALE_NS = 120 * NS_PER_S  # of quiet books snapshots have been 40 s old
QUOTE_STALE_NS = 300 * NS_PER_S
TICKER_STALE_NS = 120 * NS_PER_S  # one frame in 30 s where nothing happens
KLINE_STALE_NS = 150 * NS_PER_S

_DERIVATIVE_FEEDS = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST, Feed.LIQUIDATIONS})


class Options(NamedTuple):
    """What shapes a plan."""

    uses_obu: bool
    obu_depth: int
    kline_intervals: tuple[str, ...]
    topics_per_socket: int


def _topics_of(feed: Feed, symbol: str, *, is_spot: bool, options: Options) -> Iterator[tuple[str, int | None]]:
    """(channel without its market, colon, payload), silence that means it is dead."""
    match feed:
        case Feed.TRADES:
            yield f"trades:{symbol}", None
        case Feed.L1:
            yield f"book_ticker:{symbol}", QUOTE_STALE_NS
        case Feed.OB_DIFFS if options.uses_obu:
            yield f"obu:ob.{symbol}.{options.obu_depth}", BOOK_STALE_NS
        case Feed.OB_DIFFS:
            level = "" if is_spot else f",{UPDATES_DEPTH}"
            yield f"order_book_update:{symbol},100ms{level}", BOOK_STALE_NS
        case Feed.LIQUIDATIONS:
            yield f"public_liquidates:{symbol}", None
        case Feed.MARK_PRICE | Feed.FUNDING | Feed.OPEN_INTEREST:
            yield f"tickers:{symbol}", TICKER_STALE_NS
        case Feed.KLINES:
            for interval in options.kline_intervals:
                yield f"candlesticks:{interval},{symbol}", KLINE_STALE_NS


def wanted(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds with what derived ones are computed from, in a fixed order."""
    asked = set(feeds)
    if asked & DERIVED_FEEDS:
        asked |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in Feed if feed in asked and feed not in DERIVED_FEEDS]


def market_of(instrument: Instrument) -> str:
    """`spot`, or the settle currency: what a socket is of."""
    return "spot" if instrument.market_type is MarketType.SPOT else settle_of(instrument).value


def channels(instrument: Instrument, feeds: Sequence[Feed], options: Options) -> list[Channel]:
    """All that one instrument needs."""
    is_spot = instrument.market_type is MarketType.SPOT
    is_trading = instrument.status is InstrumentStatus.TRADING
    return [
        Channel(
            instrument=instrument.instrument,
            feed=feed,
            name=f"{'spot' if is_spot else 'futures'}.{topic}",
            stale_after_ns=stale_after_ns if is_trading else None,
        )
        for feed in feeds
        if not (is_spot and feed in _DERIVATIVE_FEEDS)
        for topic, stale_after_ns in _topics_of(feed, instrument.instrument, is_spot=is_spot, options=options)
    ]


def connections(
    spot_url: str, futures_root: str, instruments: Iterable[Instrument], feeds: Iterable[Feed], options: Options
) -> list[Connection]:
    """Sockets of each market; the topics of one instrument share a socket."""
    by_market: dict[str, dict[str, list[Channel]]] = {}
    asked = wanted(feeds)
    for instrument in instruments:
        if group := channels(instrument, asked, options):
            by_market.setdefault(market_of(instrument), {})[instrument.instrument] = group
    plan = []
    for market, by_instrument in sorted(by_market.items()):
        url = spot_url if market == "spot" else f"{futures_root}/{market}"
        loads = {name: len(_names(group)) for name, group in by_instrument.items()}
        for number, names in place(loads, options.topics_per_socket).items():
            carried = tuple(channel for name in names for channel in by_instrument[name])
            plan.append(_connection(f"{market}-{number}", url, carried, is_spot=market == "spot"))
    return plan


def _connection(key: str, url: str, carried: tuple[Channel, ...], *, is_spot: bool) -> Connection:
    ping = _frame(f"{'spot' if is_spot else 'futures'}.ping")
    return Connection(
        key=key,
        url=url,
        channels=carried,
        subscribe=tuple(_frames("subscribe", _names(carried), first_id=1)),
        min_send_gap_ns=SEND_GAP_NS,
        ping=Ping(every_ns=PING_EVERY_NS, frame=ping),
        protocol_ping_every_ns=None,  # the application's ping keeps the socket open
        max_frame_bytes=MAX_FRAME_BYTES,
        headers={} if is_spot else HEADERS,
        capacity=CAPACITY,
    )


def _frame(channel: str, event: str = "", payload: Sequence[str] = (), number: int = 0) -> bytes:
    """`{"time":<when it is sent>,"id":1,"channel":"spot.trades","event":"subscribe","payload":["BTC_USDT","GT_USDT"]}`"""
    body: dict[str, object] = {"time": SEND_TIME_S}
    if number:
        body["id"] = number
    body["channel"] = channel
    if event:
        body |= {"event": event, "payload": list(payload)}
    return orjson.dumps(body)


def _frames(event: str, names: Sequence[str], *, first_id: int = 0) -> list[bytes]:
    """Symbols of one channel share frames where it takes lists. Without `first_id` frames carry no number and one symbol each, so that a refusal is of one alone."""
    payloads: list[tuple[str, list[str]]] = []
    lists: dict[str, list[str]] = {}
    for name in names:
        channel, _, text = name.partition(":")
        if not first_id or channel.partition(".")[2] not in MULTI:
            payloads.append((channel, text.split(",")))
            continue
        held = lists.get(channel)
        if held is None or len(held) >= SYMBOLS_PER_FRAME:
            held = lists[channel] = []
            payloads.append((channel, held))
        held.append(text)
    return [
        _frame(channel, event, payload, first_id + number if first_id else 0)
        for number, (channel, payload) in enumerate(payloads)
    ]


def lists_by_number(frames: Iterable[bytes]) -> dict[int, tuple[str, list[str]]]:
    """Number -> (channel, symbols) of the frames built here that name several."""
    requests = [orjson.loads(frame) for frame in frames]
    return {
        request["id"]: (request["channel"], request["payload"])
        for request in requests
        if request["channel"].partition(".")[2] in MULTI and len(request["payload"]) > 1
    }


def single_frames(channel: str, symbols: Sequence[str]) -> list[bytes]:
    """A frame for each symbol."""
    return _frames("subscribe", [f"{channel}:{symbol}" for symbol in symbols])


def resubscribe_frames(name: str) -> list[bytes]:
    return [*_frames("unsubscribe", [name]), *_frames("subscribe", [name])]


def change_frames(connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]) -> list[bytes]:
    """Mark, funding and open interest share a topic: it goes when the last of them goes, and is not asked for twice."""
    gone = {(channel.instrument, channel.feed, channel.name) for channel in removed}
    kept = [c for c in connection.channels if (c.instrument, c.feed, c.name) not in gone]
    held = {channel.name for channel in connection.channels}
    still_wanted = set(_names([*kept, *added]))
    dropped = [name for name in _names(removed) if name not in still_wanted]
    new = [name for name in _names(added) if name not in held]
    return [*_frames("unsubscribe", dropped), *_frames("subscribe", new)]


def _names(carried: Iterable[Channel]) -> list[str]:
    return list(dict.fromkeys(channel.name for channel in carried))
