"""Streams and sockets: which of the venue's channels carries what, and the frames that ask for it.

Source: spot v3 docs, "Websocket Market Streams"; contract docs, "Websocket API" (limits of frames are those of the measurement of 2026-09-15), read 2026-11-20.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson
from feedplane_core.adapter import Channel, Connection, Ping
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place

from .klines import BY_NAME
from .symbols import is_futures

MAX_SPOT_STREAMS = 30
SPOT_STREAMS = 24
"""Planned: sockets with 25 have thrown errors. Switch `spot_streams_per_socket`."""
FUTURES_STREAMS = 100
MAX_FUTURES_STREAMS = 150
"""So many contracts ran on one socket; the venue names no limit. Switch `futures_streams_per_socket`."""
SPOT_GAP_NS = NS_PER_S // 50  # 100 messages a second are allowed
FUTURES_GAP_NS = NS_PER_S // 20  # no rate is published; so many were measured without a refusal
SPOT_LIFETIME_NS = 24 * 3_600 * NS_PER_S
SPOT_PING = Ping(every_ns=15 * NS_PER_S, frame=b'{"method":"PING"}')
FUTURES_PING = Ping(every_ns=15 * NS_PER_S, frame=b'{"method":"ping"}')
MAX_FRAME_BYTES = 4 << 20

_SPOT = "spot@public"
_DERIVATIVE_FEEDS = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST})
_METHODS = ("funding.rate", "deal", "depth", "ticker")
_QUIET_NS = 120 * NS_PER_S  # no cadence is documented, and quiet pairs are many
_FUTURES_QUIET_NS = 60 * NS_PER_S
_TICKER_NS = 15 * NS_PER_S  # every 2 to 3 s
_FUNDING_NS = 240 * NS_PER_S  # about once a minute
_SPOT_KLINE_NS = 60 * NS_PER_S  # about every second


class Options(NamedTuple):
    """What shapes a plan."""

    kline_intervals: tuple[str, ...]
    spot_speed: str  # "10ms" "100ms"
    merges_deals: bool
    merges_depth: bool
    spot_streams: int
    futures_streams: int


def wanted(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds with what derived ones are computed from, in a fixed order."""
    asked = set(feeds)
    if asked & DERIVED_FEEDS:
        asked |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in Feed if feed in asked and feed not in DERIVED_FEEDS]


def _spot_names(feed: Feed, symbol: str, options: Options) -> list[tuple[str, int | None]]:
    """(stream, silence that means it is dead)."""
    match feed:
        case Feed.TRADES:
            return [(f"{_SPOT}.aggre.deals.v3.api.pb@{options.spot_speed}@{symbol}", None)]
        case Feed.L1:
            return [(f"{_SPOT}.aggre.bookTicker.v3.api.pb@{options.spot_speed}@{symbol}", _QUIET_NS)]
        case Feed.OB_DIFFS:
            return [(f"{_SPOT}.aggre.depth.v3.api.pb@{options.spot_speed}@{symbol}", _QUIET_NS)]
        case Feed.KLINES:
            codes = [BY_NAME[name].code for name in options.kline_intervals]
            return [(f"{_SPOT}.kline.v3.api.pb@{symbol}@{code}", _SPOT_KLINE_NS) for code in codes]
    return []


def _futures_names(feed: Feed, instrument: Instrument, options: Options) -> list[tuple[str, int | None]]:
    """A name is the method without `sub.`, the interval of candles, the contract."""
    symbol = instrument.instrument
    match feed:
        case Feed.TRADES:
            return [(f"deal.{symbol}", None)]
        case Feed.OB_DIFFS:
            return [(f"depth.{symbol}", _FUTURES_QUIET_NS)]
        case Feed.MARK_PRICE | Feed.OPEN_INTEREST:
            return [(f"ticker.{symbol}", _TICKER_NS)]
        case Feed.FUNDING:
            return [(f"funding.rate.{symbol}", _FUNDING_NS)]
        case Feed.KLINES if instrument.market_type is not MarketType.PERP_INVERSE:
            return [(f"kline.{BY_NAME[name].code}.{symbol}", None) for name in options.kline_intervals]
    return []


def _names_of(feed: Feed, instrument: Instrument, options: Options) -> list[tuple[str, int | None]]:
    if is_futures(instrument.instrument):
        return _futures_names(feed, instrument, options)
    return _spot_names(feed, instrument.instrument, options)


def channels(instrument: Instrument, feeds: Sequence[Feed], options: Options) -> list[Channel]:
    """All that one instrument needs; spot has nothing of what derivatives have."""
    is_trading = instrument.status is InstrumentStatus.TRADING
    found = []
    for feed in feeds:
        names = _names_of(feed, instrument, options)
        found += [
            Channel(
                instrument=instrument.instrument,
                feed=feed,
                name=name,
                stale_after_ns=stale_after_ns if is_trading else None,
            )
            for name, stale_after_ns in names
        ]
    return found


def connections(
    spot_root: str, futures_root: str, instruments: Iterable[Instrument], feeds: Iterable[Feed], options: Options
) -> list[Connection]:
    """Sockets of each market; the streams of one instrument share a socket."""
    spot: dict[str, list[Channel]] = {}
    futures: dict[str, list[Channel]] = {}
    asked = wanted(feeds)
    for instrument in instruments:
        if group := channels(instrument, asked, options):
            (futures if is_futures(instrument.instrument) else spot)[instrument.instrument] = group
    plan = []
    for number, carried in _placed(spot, options.spot_streams):
        plan.append(
            Connection(
                key=f"spot-{number}",
                url=f"{spot_root}/ws",
                channels=carried,
                subscribe=tuple(frames(True, _names(carried), options)),
                min_send_gap_ns=SPOT_GAP_NS,
                ping=SPOT_PING,
                protocol_ping_every_ns=None,  # the application's ping is what the venue counts
                lifetime_ns=SPOT_LIFETIME_NS,
                max_frame_bytes=MAX_FRAME_BYTES,
                capacity=MAX_SPOT_STREAMS,
            )
        )
    for number, carried in _placed(futures, options.futures_streams):
        plan.append(
            Connection(
                key=f"futures-{number}",
                url=f"{futures_root}/edge",
                channels=carried,
                subscribe=tuple(frames(True, _names(carried), options)),
                min_send_gap_ns=FUTURES_GAP_NS,
                ping=FUTURES_PING,
                protocol_ping_every_ns=None,
                max_frame_bytes=MAX_FRAME_BYTES,
                capacity=MAX_FUTURES_STREAMS,
            )
        )
    return plan


def _placed(groups: dict[str, list[Channel]], capacity: int) -> list[tuple[int, tuple[Channel, ...]]]:
    loads = {name: len(_names(group)) for name, group in groups.items()}
    return [
        (number, tuple(channel for name in names for channel in groups[name]))
        for number, names in place(loads, capacity).items()
    ]


def frames(subscribes: bool, names: Sequence[str], options: Options) -> list[bytes]:
    """A frame for each stream: an ack then tells without doubt what it is of. The time of a settlement is asked for before the ticker that is read with it."""
    ordered = sorted(names, key=lambda name: not name.startswith("funding.rate."))
    return [
        _spot_frame(subscribes, name, number) if name.startswith(_SPOT) else _futures_frame(subscribes, name, options)
        for number, name in enumerate(ordered, start=1)
    ]


def _spot_frame(subscribes: bool, name: str, number: int) -> bytes:
    method = "SUBSCRIPTION" if subscribes else "UNSUBSCRIPTION"
    return orjson.dumps({"method": method, "params": [name], "id": number})


def _futures_frame(subscribes: bool, name: str, options: Options) -> bytes:
    """`{"method":"sub.depth","param":{"symbol":"BTC_USDT"}}`. `"compress":false` asks for every deal (or version) instead of merged ones."""
    if name.startswith("kline."):
        _, interval, symbol = name.split(".", 2)
        method, param = "kline", {"symbol": symbol, "interval": interval}
    else:
        method = next(known for known in _METHODS if name.startswith(f"{known}."))
        param = {"symbol": name[len(method) + 1 :]}
    body: dict[str, object] = dict(param)
    if subscribes and (
        (method == "deal" and not options.merges_deals) or (method == "depth" and not options.merges_depth)
    ):
        body["compress"] = False
    return orjson.dumps({"method": f"{'sub' if subscribes else 'unsub'}.{method}", "param": body})


def resubscribe_frames(name: str, options: Options) -> list[bytes]:
    return [*frames(False, [name], options), *frames(True, [name], options)]


def change_frames(
    connection: Connection, added: Sequence[Channel], removed: Sequence[Channel], options: Options
) -> list[bytes]:
    """Mark and open interest share a stream: it goes when the last of them goes, and is not asked for twice."""
    gone = {(channel.instrument, channel.feed, channel.name) for channel in removed}
    kept = [c for c in connection.channels if (c.instrument, c.feed, c.name) not in gone]
    held = {channel.name for channel in connection.channels}
    still_wanted = set(_names([*kept, *added]))
    dropped = [name for name in _names(removed) if name not in still_wanted]
    new = [name for name in _names(added) if name not in held]
    return [*frames(False, dropped, options), *frames(True, new, options)]


def _names(carried: Iterable[Channel]) -> list[str]:
    return list(dict.fromkeys(channel.name for channel in carried))
