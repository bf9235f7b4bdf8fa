"""The dialect itself: routes, rules and replays of Bitfinex v2. Source: the venue's v2 documents, WS general, public channels, REST public (read 2026-11-20)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

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

from . import listing, rest, streams
from .channel import EXCHANGE
from .peer import open_peer

_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NAMED = frozenset({b'"te"', b'"tu"', b'"cs"'})


class _Recording:
    """What acks say of channel ids, and frames without id and tail."""

    def __init__(self) -> None:
        self._topics: dict[int, tuple[str, ...]] = {}

    def read(self, frame: bytes) -> Recorded | None:
        try:
            if not frame.startswith(b"["):
                self._note(msgspec.json.decode(frame))
                return None
            parts = [bytes(part) for part in _decode(frame)]
            topics = self._topics.get(int(parts[0]))
        except (msgspec.DecodeError, ValueError, IndexError):
            return None
        if topics is None or len(parts) < 2 or parts[1] == b'"hb"':
            return None
        kept = parts[1:3] if parts[1] in _NAMED else parts[1:2]
        return Recorded(payload=b"[%b]" % b",".join(kept), topics=topics)

    def _note(self, message: Any) -> None:
        if not isinstance(message, Mapping) or message.get("event") != "subscribed":
            return
        channel, symbol, key = message.get("channel"), message.get("symbol", ""), message.get("key", "")
        topics: tuple[str, ...] = (f"{channel}:{symbol or key}",)
        if channel == "book":
            prec = str(message.get("prec", "P0"))
            topics = tuple(
                streams.book_topic(symbol, prec, freq, length)
                for freq in streams.BOOK_EVERY_NS
                for length in streams.LENGTHS
            )
        self._topics[int(message["chanId"])] = topics


class BitfinexDialect:
    """All families on one socket; channel ids, one counter a socket, checksums now and then."""

    exchange: ClassVar[str] = EXCHANGE
    traits: ClassVar[Traits] = Traits(
        rest_weight=rest.REST_WEIGHT, rest_window_ns=rest.REST_WINDOW_NS, seq_stride=3, has_checksum=True
    )

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"ws": f"{ws_base}/ws/2", "rest": http_base}

    def listings(self, count: int) -> list[Listing]:
        return listing.listings(count)

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        return open_peer(handshake, venue)

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        return streams.open_stream(topic, venue)

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        return rest.answer(request, venue)

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return rest.refusal(status, retry_after_s)

    def recording(self, url: str) -> Recording:
        return _Recording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        told = ("keys", "len")
        return f"{path}?{'&'.join(f'{key}={query[key]}' for key in told if key in query)}"
