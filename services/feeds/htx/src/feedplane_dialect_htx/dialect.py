"""The dialect itself: addresses, rules and replays of HTX spot and linear contracts. Source: HTX documents (read 2026-11), recorded frames of 2021."""

from __future__ import annotations

import gzip
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

from . import derivatives, listing, rest, streams
from .books import ANSWER, Books
from .channel import EXCHANGE
from .peer import open_peer

_MAX_PLAIN = 16 << 20


class _Head(msgspec.Struct):
    ch: str = ""
    rep: str = ""
    topic: str = ""
    op: str = ""


class _ZippedRecording:
    """Each frame names its topic. Answers to requests go to whoever has asked."""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            plain = gzip.decompress(frame) if frame[:2] == b"\x1f\x8b" else frame
            head = msgspec.json.decode(plain, type=_Head)
        except (msgspec.DecodeError, OSError, EOFError):
            return None
        if len(plain) > _MAX_PLAIN:
            return None
        topic = head.ch or (head.topic if head.op == "notify" else "") or (head.rep and ANSWER + head.rep)
        return Recorded(payload=plain, topics=(topic,)) if topic else None


class HtxDialect:
    """Five addresses on two hosts, gzip on every frame, books without checksums."""

    exchange: ClassVar[str] = EXCHANGE
    traits: ClassVar[Traits] = Traits(rest_weight=240, rest_window_ns=3 * NS_PER_S, seq_stride=5)

    def __init__(self) -> None:
        self._books = Books()

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"spot_ws": ws_base, "linear_ws": ws_base, "spot_rest": http_base, "linear_rest": http_base}

    def listings(self, count: int) -> list[Listing]:
        return listing.listings(count)

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        return open_peer(handshake.path, venue) or RestReply(status=404, body=b"not found")

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        asked = topic.removeprefix(ANSWER)
        root, _, rest_of = asked.partition(".")
        instrument, _, kind = rest_of.partition(".")
        if root == "public":
            return derivatives.open_notice(asked, venue)
        if instrument not in venue.markets:
            return None
        if asked != topic:
            return self._books.answer(asked, instrument, kind, venue)
        return (
            streams.open_stream(topic, instrument, kind, venue)
            or self._books.open_stream(topic, instrument, kind, venue)
            or derivatives.open_price(topic, instrument, kind, venue)
        )

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        return rest.answer(request, venue)

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return rest.refusal(status, retry_after_s)

    def recording(self, url: str) -> Recording:
        return _ZippedRecording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        kept = "&".join(f"{key}={query[key]}" for key in ("symbol", "contract_code", "period") if key in query)
        return f"{path}?{kept}"
