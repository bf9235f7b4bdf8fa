"""The dialect itself: two systems under one roof, rules and replays. Source: docs.kraken.com, Spot WebSocket v2 and Futures pages (read 2026-11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from feedplane_core.dialect import (
    Handshake,
    Listing,
    Peer,
    Recorded,
    Recording,
    RestReply,
    RestRequest,
    Stream,
    Traits,
    Venue,
)
from feedplane_core.names import NS_PER_S

from . import futures, listing, rest, spot
from .futures_peer import FuturesPeer
from .spot_peer import SpotPeer
from .text import EXCHANGE

SPOT_PATH, FUTURES_PATH = "/v2", "/ws/v1"
_FUTURES_FEEDS = {
    "book_snapshot": "book",
    "trade_snapshot": "trade",
    "book": "book",
    "trade": "trade",
    "ticker": "ticker",
}


class _Row(msgspec.Struct):
    symbol: str = ""
    interval: int = 0


class _Head(msgspec.Struct):
    channel: str = ""
    feed: str = ""
    product_id: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _SelfTellingRecording:
    """Every data frame names its channel and symbol; of what depth or trigger it was, any listener gets it."""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            head = msgspec.json.decode(frame, type=_Head)
            if head.feed in _FUTURES_FEEDS:
                return Recorded(payload=frame, topics=(f"futures/{_FUTURES_FEEDS[head.feed]}:{head.product_id}",))
            rows = msgspec.json.decode(head.data, type=list[_Row]) if head.channel in _ARGUMENTS else []
        except msgspec.DecodeError:
            return None
        if not rows:
            return None
        arguments = (str(rows[0].interval),) if head.channel == "ohlc" else _ARGUMENTS[head.channel]
        return Recorded(
            payload=frame, topics=tuple(f"{head.channel}-{argument}:{rows[0].symbol}" for argument in arguments)
        )


_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "book": tuple(map(str, spot.DEPTHS)),
    "trade": ("last", "live"),
    "ticker": ("bbo", "trades"),
    "ohlc": (),
}


class KrakenDialect:
    """Spot books with a checksum and no number, futures books with a number and no checksum."""

    exchange: ClassVar[str] = EXCHANGE
    traits: ClassVar[Traits] = Traits(
        rest_weight=rest.REST_WEIGHT,
        rest_window_ns=rest.REST_WINDOW_S * NS_PER_S,
        has_checksum=True,
    )

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {
            "ws": ws_base + SPOT_PATH,
            "rest": http_base,
            "futures_ws": ws_base + FUTURES_PATH,
            "futures_rest": http_base,
        }

    def listings(self, count: int) -> list[Listing]:
        return listing.listings(count)

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        if handshake.path == SPOT_PATH:
            return SpotPeer(venue, handshake.number)
        if handshake.path == FUTURES_PATH:
            return FuturesPeer(venue)
        return RestReply(status=404, body=b"", content_type="text/plain")

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        return futures.open_stream(topic, venue) if topic.startswith("futures/") else spot.open_stream(topic, venue)

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        return rest.answer(request, venue)

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return rest.refusal(status, retry_after_s)

    def recording(self, url: str) -> Recording:
        return _SelfTellingRecording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        kept = "&".join(f"{key}={query[key]}" for key in ("pair", "interval", "symbol") if key in query)
        return f"{path}?{kept}"
