"""Sockets and control frames of both systems: which channels, for which symbols, on which socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from feedplane_core.adapter import Channel, Connection, Frame, Ping
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_MS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place

CHANNELS_PER_SOCKET = 400
"""Planned: no limit is stated, and the snapshots of a reconnect are to fit one reader."""
SYMBOLS_PER_FRAME = 50
SEND_GAP_NS = 100 * NS_PER_MS
PING_EVERY_NS = 25 * NS_PER_S
STALE_AFTER_NS = 60 * NS_PER_S
MAX_FRAME_BYTES = 8 << 20

SPOT, FUTURES = "spot", "futures"
_SPOT_PING = b'{"method":"ping","req_id":101}'
_FUTURES_PING = b'{"event":"ping"}'
_PRECISIONS = b'{"method":"subscribe","params":{"channel":"instrument","snapshot":false},"req_id":1}'
_FIRST_REQUEST = 1_000

_FUTURES_FEEDS = {
    Feed.TRADES: "trade",
    Feed.LIQUIDATIONS: "trade",
    Feed.OB_DIFFS: "book",
    Feed.L1: "ticker",
    Feed.MARK_PRICE: "ticker",
    Feed.FUNDING: "ticker",
    Feed.OPEN_INTEREST: "ticker",
}
_MAY_BE_SILENT = frozenset({Feed.TRADES, Feed.LIQUIDATIONS, Feed.KLINES})


def wanted(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds with what derived ones are computed from, in a fixed order."""
    asked = set(feeds)
    if asked & DERIVED_FEEDS:
        asked |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in Feed if feed in asked and feed not in DERIVED_FEEDS]


def channels(instrument: Instrument, feeds: Sequence[Feed], minutes: Sequence[int]) -> tuple[Channel, ...]:
    """All that one instrument needs, named as the venue does; a candle's name carries its interval in minutes: `ohlc-1`."""
    is_trading = instrument.status is InstrumentStatus.TRADING
    return tuple(
        Channel(
            instrument=instrument.instrument,
            feed=feed,
            name=name,
            stale_after_ns=None if feed in _MAY_BE_SILENT or not is_trading else STALE_AFTER_NS,
        )
        for feed in feeds
        for name in _names(instrument, feed, minutes)
    )


def _names(instrument: Instrument, feed: Feed, minutes: Sequence[int]) -> list[str]:
    if instrument.market_type is not MarketType.SPOT:
        is_funded = instrument.market_type is not MarketType.DELIVERY
        return [_FUTURES_FEEDS[feed]] if feed in _FUTURES_FEEDS and (is_funded or feed is not Feed.FUNDING) else []
    match feed:
        case Feed.TRADES:
            return ["trade"]
        case Feed.L1:
            return ["ticker"]
        case Feed.OB_DIFFS:
            return ["book"]
        case Feed.KLINES:
            return [f"ohlc-{count}" for count in minutes]
    return []


def connections(
    spot_url: str,
    futures_url: str,
    instruments: Iterable[Instrument],
    feeds: Iterable[Feed],
    book_depth: int,
    minutes: Sequence[int],
) -> list[Connection]:
    """Sockets of both systems; all channels of one instrument share a socket, and placement is stable."""
    asked = wanted(feeds)
    by_system: dict[str, dict[str, tuple[Channel, ...]]] = {SPOT: {}, FUTURES: {}}
    for instrument in instruments:
        group = channels(instrument, asked, minutes)
        if group:
            system = SPOT if instrument.market_type is MarketType.SPOT else FUTURES
            by_system[system][instrument.instrument] = group
    plan = []
    for system, groups in by_system.items():
        url = spot_url if system == SPOT else futures_url
        for number, names in place({name: len(group) for name, group in groups.items()}, CHANNELS_PER_SOCKET).items():
            carried = tuple(channel for name in names for channel in groups[name])
            plan.append(_connection(system, number, url, carried, book_depth))
    return plan


def _connection(system: str, number: int, url: str, carried: tuple[Channel, ...], book_depth: int) -> Connection:
    asked = frames(system, "subscribe", carried, book_depth)
    return Connection(
        key=f"{system}-{number}",
        url=url,
        channels=carried,
        subscribe=tuple([_PRECISIONS, *asked] if system == SPOT else asked),
        min_send_gap_ns=SEND_GAP_NS,
        ping=Ping(every_ns=PING_EVERY_NS, frame=_SPOT_PING if system == SPOT else _FUTURES_PING),
        max_frame_bytes=MAX_FRAME_BYTES,
        capacity=CHANNELS_PER_SOCKET,
    )


def system_of(connection: Connection) -> str:
    """`spot` or `futures`."""
    return connection.key.partition("-")[0]


def frames(system: str, action: str, carried: Iterable[Channel], book_depth: int) -> list[Frame]:
    """Requests to `subscribe` or `unsubscribe` these channels.

    `{"method":"subscribe","params":{"channel":"book","depth":100,"symbol":["BTC/USD"],"snapshot":true},"req_id":1000}`: `depth`, `interval` and trigger are repeated
    to unsubscribe. `{"event":"subscribe","feed":"book","product_ids":["PI_XBTUSD"]}`.
    """
    asked = [(name, chunk) for name, symbols in _by_name(carried).items() for chunk in _chunks(symbols)]
    if system == FUTURES:
        return [orjson.dumps({"event": action, "feed": name, "product_ids": chunk}) for name, chunk in asked]
    bodies = []
    for number, (name, chunk) in enumerate(asked, start=_FIRST_REQUEST):
        params = {**_spot_params(name, book_depth), "symbol": chunk}
        if action == "subscribe":
            params["snapshot"] = True
        bodies.append({"method": action, "params": params, "req_id": number})
    return [orjson.dumps(body) for body in bodies]


def _spot_params(name: str, book_depth: int) -> dict[str, Any]:
    channel, _, minutes = name.partition("-")
    match channel:
        case "book":
            return {"channel": channel, "depth": book_depth}
        case "ohlc":
            return {"channel": channel, "interval": int(minutes)}
        case "ticker":
            return {"channel": channel, "event_trigger": "bbo"}
    return {"channel": channel}


def restart_frames(connection: Connection, channel: Channel, book_depth: int) -> list[Frame]:
    """A new subscription starts with a new snapshot."""
    system = system_of(connection)
    return [frame for action in ("unsubscribe", "subscribe") for frame in frames(system, action, [channel], book_depth)]


def change_frames(
    connection: Connection, added: Sequence[Channel], removed: Sequence[Channel], book_depth: int
) -> list[Frame]:
    """Feeds may share a channel: it goes with the last of them, and is not asked for twice."""
    system = system_of(connection)
    kept = set(connection.channels) - set(removed) | set(added)
    held, still_wanted = _places(connection.channels), _places(kept)
    leaving = [c for c in removed if (c.instrument, c.name) not in still_wanted]
    joining = [c for c in added if (c.instrument, c.name) not in held]
    return [*frames(system, "unsubscribe", leaving, book_depth), *frames(system, "subscribe", joining, book_depth)]


def _places(carried: Iterable[Channel]) -> set[tuple[str, str]]:
    return {(channel.instrument, channel.name) for channel in carried}


def _by_name(carried: Iterable[Channel]) -> dict[str, list[str]]:
    symbols: dict[str, dict[str, None]] = {}
    for channel in carried:
        symbols.setdefault(channel.name, {})[channel.instrument] = None
    return {name: list(found) for name, found in sorted(symbols.items())}


def _chunks(symbols: Sequence[str]) -> Iterable[list[str]]:
    return (list(symbols[at : at + SYMBOLS_PER_FRAME]) for at in range(0, len(symbols), SYMBOLS_PER_FRAME))
