"""The dialect itself: routes, rules and replays of Bybit v5. Source: the venue's v5 documents, WebSocket Connect, public topics, market endpoints (read 2026-11-20)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

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


class _Head(msgspec.Struct):
    topic: str = ""


class _TopicRecording:
    """Frames name their topic; the category is that of the socket's path, where the file tells it."""

    def __init__(self, url: str) -> None:
        category = urlsplit(url).path.rstrip("/").rpartition("/")[2]
        self._category = category if category in listing.CATEGORIES else ""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            head = msgspec.json.decode(frame, type=_Head)
        except msgspec.DecodeError:
            return None
        if not head.topic:
            return None
        return Recorded(payload=frame, topics=streams.candidate_names(head.topic, self._category))


class BybitDialect:
    """Three sockets, one a category; books numbered one by one, quotes that repeat, tickers of changed fields."""

    exchange: ClassVar[str] = EXCHANGE
    traits: ClassVar[Traits] = Traits(rest_weight=rest.REST_WEIGHT, rest_window_ns=rest.REST_WINDOW_NS, seq_stride=3)

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"ws": ws_base, "rest": http_base}

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
        return _TopicRecording(url)

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        told = ("category", "symbol", "interval", "status", "cursor")
        return f"{path}?{'&'.join(f'{key}={query[key]}' for key in told if key in query)}"
