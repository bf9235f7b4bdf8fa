"""The dialect itself: rules and replays of the Coinbase Exchange feed. Source: docs.cdp.coinbase.com, Exchange WebSocket and REST pages (read 2026-11)."""

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

from . import listing, rest, streams
from .peer import CoinbasePeer

_CHANNELS = {
    "snapshot": ("level2_batch",),
    "l2update": ("level2_batch",),
    "match": ("matches",),
    "last_match": ("matches",),
    "ticker": ("ticker", "ticker_batch"),
    "heartbeat": ("heartbeat",),
}


class _Head(msgspec.Struct):
    type: str
    product_id: str = ""


class _TypedRecording:
    """The type tells the channel; frames of the keyed `level2` are those of `level2_batch`."""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            head = msgspec.json.decode(frame, type=_Head)
        except msgspec.DecodeError:
            return None
        channels = _CHANNELS.get(head.type)
        if channels is None:
            return None
        return Recorded(payload=frame, topics=tuple(f"{channel}:{head.product_id}" for channel in channels))


class CoinbaseDialect:
    """One socket path, books without numbers, trades with consecutive ids."""

    exchange: ClassVar[str] = streams.EXCHANGE
    traits: ClassVar[Traits] = Traits(
        ping_every_ns=30 * NS_PER_S,
        pong_within_ns=60 * NS_PER_S,
        inbound_limit=1000,
        inbound_window_ns=10 * NS_PER_S,
        deflate=True,
        rest_weight=600,  # ten a second
    )

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"ws": ws_base, "rest": http_base}

    def listings(self, count: int) -> list[Listing]:
        return listing.listings(count)

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        if handshake.path != "/":
            return RestReply(status=404, body=b'{"message":"Route not found"}')
        return CoinbasePeer(venue)

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        return streams.open_stream(topic, venue)

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        return rest.answer(request, venue)

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return rest.refusal(status, retry_after_s)

    def recording(self, url: str) -> Recording:
        return _TypedRecording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        return path
