"""The dialect itself: rules and replays of Binance Spot. Source: binance-spot-api-docs, web-socket-streams.md and rest-api.md (read 2026-11)."""

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
from .peer import open_peer


class _Envelope(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _CombinedRecording:
    """Combined frames name their stream. Raw frames do not, and are not replayed."""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            envelope = msgspec.json.decode(frame, type=_Envelope)
        except msgspec.DecodeError:
            return None
        return Recorded(payload=bytes(envelope.data), topics=(envelope.stream,))


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

    def recording(self, url: str) -> Recording:
        return _CombinedRecording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        kept = "&".join(f"{key}={query[key]}" for key in ("symbol", "interval") if key in query)
        return f"{path}?{kept}"
