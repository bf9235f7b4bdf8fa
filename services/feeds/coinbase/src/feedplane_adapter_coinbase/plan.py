"""Sockets and control frames: which channels, for which products, on which socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson
from feedplane_core.adapter import Channel, Connection, Frame
from feedplane_core.instruments import Instrument
from feedplane_core.names import DERIVED_FEEDS, NS_PER_MS, NS_PER_S, Feed
from feedplane_core.plan import place

from .wire import EXCHANGE

PRODUCTS_PER_SOCKET = 64  # the venue names no limit and closes slow readers: heavy products are spread
MAX_FRAME_BYTES = 16 << 20  # the first snapshot of BTC-USD is several MB
STALE_AFTER_NS = 60 * NS_PER_S

HEARTBEAT = "heartbeat"
CHANNEL_OF = {Feed.TRADES: "matches", Feed.OB_DIFFS: "level2_batch"}
"""`level2_batch` needs no key; `level2`, the same without batches, does."""


def native_feeds(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds that are channels, in a fixed order. The best quotes are derived from the book here (`ticker` moves with trades alone), and so are the usual derived feeds."""
    wanted = set(feeds)
    if wanted & (DERIVED_FEEDS | {Feed.L1}):
        wanted |= {Feed.OB_DIFFS, Feed.TRADES}
    return [feed for feed in CHANNEL_OF if feed in wanted]


def connections(instruments: Sequence[Instrument], feeds: Iterable[Feed], url: str) -> list[Connection]:
    """Sockets for these products; placement is stable."""
    native = native_feeds(feeds)
    placed = place({i.instrument: 1 for i in instruments}, PRODUCTS_PER_SOCKET) if native else {}
    return [_connection(number, products, native, url) for number, products in placed.items()]


def _connection(number: int, products: Sequence[str], feeds: Sequence[Feed], url: str) -> Connection:
    return Connection(
        key=f"{EXCHANGE}:{number}",
        url=url,
        channels=tuple(_channel(product, feed) for product in products for feed in feeds),
        subscribe=(_whole_frame(products, feeds),),
        min_send_gap_ns=100 * NS_PER_MS,
        max_frame_bytes=MAX_FRAME_BYTES,
        compression=True,
        capacity=PRODUCTS_PER_SOCKET * len(feeds),
    )


def _channel(product: str, feed: Feed) -> Channel:
    # Silence of `matches` proves nothing; the heartbeat's last_trade_id tells what was lost.
    stale_after_ns = STALE_AFTER_NS if feed is Feed.OB_DIFFS else None
    return Channel(instrument=product, feed=feed, name=CHANNEL_OF[feed], stale_after_ns=stale_after_ns)


def _whole_frame(products: Sequence[str], feeds: Sequence[Feed]) -> Frame:
    """The first frame of a socket, due within 5 s: everything at once, the heartbeat included."""
    channels = [*(CHANNEL_OF[feed] for feed in feeds), HEARTBEAT]
    return orjson.dumps({"type": "subscribe", "product_ids": list(products), "channels": channels})


def restart_frames(channel: Channel) -> list[Frame]:
    """A new subscription starts with a new snapshot (or `last_match`)."""
    wanted = {channel.name: [channel.instrument]}
    return [_frame("unsubscribe", wanted), _frame("subscribe", wanted)]


def change_frames(current: Sequence[Channel], added: Sequence[Channel], removed: Sequence[Channel]) -> list[Frame]:
    """Subscriptions as they change; the heartbeat follows the product from its first channel to its last."""
    gone = set(removed) - set(added)
    kept = {c.instrument for c in (*current, *added) if c not in gone}
    leaving = _by_name(removed)
    if silent := sorted({c.instrument for c in removed} - kept):
        leaving[HEARTBEAT] = silent
    joining = _by_name(added)
    if joining:
        joining[HEARTBEAT] = sorted({c.instrument for c in added})
    frames = []
    if leaving:
        frames.append(_frame("unsubscribe", leaving))
    if joining:
        frames.append(_frame("subscribe", joining))
    return frames


def _by_name(channels: Sequence[Channel]) -> dict[str, list[str]]:
    products: dict[str, list[str]] = {}
    for channel in channels:
        products.setdefault(channel.name, []).append(channel.instrument)
    return products


def _frame(kind: str, products: dict[str, list[str]]) -> Frame:
    """`{"type":"subscribe","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}`."""
    channels = [{"name": name, "product_ids": names} for name, names in products.items()]
    return orjson.dumps({"type": kind, "channels": channels})
