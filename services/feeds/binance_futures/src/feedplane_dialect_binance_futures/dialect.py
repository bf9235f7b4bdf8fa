"""The dialect itself: routes, rules and replays of Binance USD-M futures. Source: developers.binance.com General Info, Connect, stream pages (read 2026-11)."""

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
from .channel import EXCHANGE
from .peer import open_peer


class _Envelope(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _CombinedRecording:
    """Combined frames name their stream; the route is found anew from that name, so recordings of before the split play on today's routes."""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            envelope = msgspec.json.decode(frame, type=_Envelope)
        except msgspec.DecodeError:
            return None
        return Recorded(payload=bytes(envelope.data), topics=(envelope.stream,))


class BinanceFuturesDialect:
    """`/public` and `/market` sockets, fapi REST; update ids that leap, joined by `pu`."""

    exchange: ClassVar[str] = EXCHANGE
    traits: ClassVar[Traits] = Traits(
        ping_every_ns=180 * NS_PER_S,
        pong_within_ns=600 * NS_PER_S,
        inbound_limit=10,
        lifetime_ns=24 * 3600 * NS_PER_S,
        rest_weight=rest.REST_WEIGHT,
        rest_used_header="X-MBX-USED-WEIGHT-1M",
        seq_stride=400,
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
