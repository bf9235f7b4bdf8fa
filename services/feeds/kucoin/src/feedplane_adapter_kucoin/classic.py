"""Sockets of the classic system: a token and an address from REST for each connection, topics of up to 100 symbols. Source: classic docs, "Websocket feed" (2023, 2025-11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Annotated
from urllib.parse import quote

import msgspec
import orjson
from feedplane_core.adapter import Channel, Connection, Frame, Ping, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from .klines import INTERVALS
from .plan import PING_EVERY_NS, changed_topics, topics_of
from .symbols import data_of, trade_type_of
from .wire import TradeType, decoding

MAX_TOPICS = 400
"""Of one spot connection, each symbol counted; futures have no such rule today."""
SYMBOLS_PER_FRAME = 100
SEND_GAP_NS = 150 * NS_PER_MS
"""The venue takes 100 frames in 10 s, pings included, and is said to ignore what is above."""
LIFETIME_NS = 24 * 3_600 * NS_PER_S
TOKEN_PATH = "/api/v1/bullet-public"  # noqa: S105 (a path)
_TOKEN_WEIGHT = 10

_PING = b'{"id":"ping","type":"ping"}'
_FIRST_CHANGE_ID = 1_000_000
_TOPICS = {
    TradeType.SPOT: {
        Feed.TRADES: "/market/match",
        Feed.L1: "/spotMarket/level1",
        Feed.OB_DIFFS: "/market/level2",
        Feed.KLINES: "/market/candles",
    },
    TradeType.FUTURES: {
        Feed.TRADES: "/contractMarket/execution",
        Feed.L1: "/contractMarket/tickerV2",
        Feed.OB_DIFFS: "/contractMarket/level2",
        Feed.MARK_PRICE: "/contract/instrument",
        Feed.FUNDING: "/contract/instrument",
    },
}
"""`limitCandle` (futures) is left out: its volume is documented as wrong. Those candles are polled."""


class Server(msgspec.Struct, frozen=True, gc=False):
    endpoint: Annotated[str, msgspec.Meta(pattern="^wss?://")]
    pingInterval: int = 18_000


class Bullet(msgspec.Struct, frozen=True, gc=False):
    """`{"token":"2neAiuYvAU61Z...","instanceServers":[{"endpoint":"wss://ws-api-spot.kucoin.com/","encrypt":true,"protocol":"websocket","pingInterval":18000,"pingTimeout":10000}]}`"""

    token: Annotated[str, msgspec.Meta(min_length=1)]
    instanceServers: Annotated[list[Server], msgspec.Meta(min_length=1)]


_bullet = msgspec.json.Decoder(Bullet)


class ClassicPlan:
    """A topic is named as the venue does, for one symbol: `/market/level2:BTC-USDT`, `/market/candles:BTC-USDT_1min`."""

    def __init__(self, hosts: Mapping[TradeType, str], intervals: Sequence[str], capacity: int) -> None:
        self._hosts = hosts  # of REST: they name the sockets
        self._intervals = intervals
        self._capacity = capacity

    def names(self, instrument: Instrument, feed: Feed) -> list[str]:
        head = _TOPICS[trade_type_of(instrument)].get(feed)
        if head is None:
            return []
        if feed is Feed.KLINES:
            return [f"{head}:{instrument.instrument}_{INTERVALS[key].name}" for key in self._intervals]
        return [f"{head}:{instrument.instrument}"]

    def connection(self, trade_type: TradeType, number: int, carried: tuple[Channel, ...]) -> Connection:
        host = self._hosts[trade_type]
        tag = Tag(kind="token", detail=trade_type.lower())
        return Connection(
            key=f"classic-{trade_type.lower()}-{number}",
            url=f"{host}{TOKEN_PATH}",  # completed by the token's body
            channels=carried,
            subscribe=tuple(_frames("subscribe", topics_of(carried), 1)),
            min_send_gap_ns=SEND_GAP_NS,
            ping=Ping(every_ns=PING_EVERY_NS, frame=_PING),
            lifetime_ns=LIFETIME_NS,
            max_frame_bytes=4 << 20,
            capacity=self._capacity,
            token=Request(url=f"{host}{TOKEN_PATH}", method="POST", tag=tag, weight=_TOKEN_WEIGHT),
            awaits_greeting=True,
        )

    def restart(self, channel: Channel) -> list[Frame]:
        return [
            *_frames("unsubscribe", [channel.name], _FIRST_CHANGE_ID),
            *_frames("subscribe", [channel.name], _FIRST_CHANGE_ID + 1),
        ]

    def change(self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]) -> list[Frame]:
        dropped, fresh = changed_topics(connection, added, removed)
        return [
            *_frames("unsubscribe", dropped, _FIRST_CHANGE_ID),
            *_frames("subscribe", fresh, _FIRST_CHANGE_ID + 1_000),
        ]


def with_token(connection: Connection, body: bytes) -> Connection:
    """The connection at the address that the venue names now, which changes. `connectId` must be unique: it follows from the token, new for each connection.

    Raises: DecodeError.
    """
    bullet = decoding("bullet-public", _bullet.decode, data_of(body, "bullet-public"))
    server = bullet.instanceServers[0]
    connect_id = blake2b(f"{connection.key} {bullet.token}".encode(), digest_size=10).hexdigest()
    interval_ns = server.pingInterval * NS_PER_MS // 2
    if interval_ns < NS_PER_S:
        raise DecodeError("bullet-public", "schema", f"a ping every {server.pingInterval} ms")
    return msgspec.structs.replace(
        connection,
        url=f"{server.endpoint}?token={quote(bullet.token, safe='')}&connectId={connect_id}",
        ping=Ping(every_ns=min(interval_ns, PING_EVERY_NS), frame=_PING),
    )


def _frames(kind: str, topics: Sequence[str], first_id: int) -> list[Frame]:
    """`{"id":"1","type":"subscribe","topic":"/market/ticker:BTC-USDT,ETH-USDT","privateChannel":false,"response":true}`"""
    by_head: dict[str, list[str]] = {}
    for topic in topics:
        head, _, symbol = topic.partition(":")
        by_head.setdefault(head, []).append(symbol)
    joined = [
        f"{head}:{','.join(symbols[at : at + SYMBOLS_PER_FRAME])}"
        for head, symbols in by_head.items()
        for at in range(0, len(symbols), SYMBOLS_PER_FRAME)
    ]
    return [
        orjson.dumps(
            {"id": str(first_id + place), "type": kind, "topic": topic, "privateChannel": False, "response": True}
        )
        for place, topic in enumerate(joined)
    ]
