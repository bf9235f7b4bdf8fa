"""The dialect itself: rules and replays of Binance Spot. Source: binance-spot-api-docs, web-socket-streams.md and rest-api.md (read 2026-11)."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from feedplane_core.dialect import (
    Handshake,
    Listing,
    Peer,
    Recorded,
    RestReply,
    RestRequest,
    Stream,
    Traits,
    Venue,
)
from feedplane_core.names import NS_PER_S

from . import listing, rest, streams
from .peer import open_peer


class _Envelope(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class BinanceSpotDialect:
    """`/ws` and `/stream` sockets, `/api/v3` REST; update ids without holes (`U` = previous `u` + 1)."""

    exchange: ClassVar[str] = streams.EXCHANGE
    traits: ClassVar[Traits] = Traits(
        ping_every_ns=20 * NS_PER_S,
        pong_within_ns=60 * NS_PER_S,
        inbound_limit=5,
        lifetime_ns=24 * 3600 * NS_PER_S,
        rest_weight=rest.REST_WEIGHT,
        rest_used_header="X-MBX-USED-WEIGHT-1M",
    )

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"ws": ws_base, "rest": http_base}

    def listings(self, count: int) -> list[Listing]:
        return listing.listings(count)

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        return open_peer(handshake)

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        return streams.open_stream(topic, venue)

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        return rest.answer(request, venue)

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return rest.refusal(status, retry_after_s)

    def recorded_frame(self, url: str, frame: bytes) -> Recorded | None:
        """Combined frames name their stream."""
        try:
            envelope = msgspec.json.decode(frame, type=_Envelope)
        except msgspec.DecodeError:
            return None
        return Recorded(payload=bytes(envelope.data), topics=(envelope.stream,))

    def recorded_path(self, url: str) -> str:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        kept = "&".join(f"{key}={query[key][0]}" for key in ("symbol", "interval") if key in query)
        return f"{parts.path}?{kept}" if kept else parts.path
