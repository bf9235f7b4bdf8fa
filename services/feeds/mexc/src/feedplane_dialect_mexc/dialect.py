"""The dialect itself: routes, rules and replays of MEXC. Source: spot v3 and contract documents, repository mexcdevelop/websocket-proto (read 2026-11-20)."""

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
from .peer import open_peer
from .wire import channel_of

_DAY_NS = 86_400 * NS_PER_S


class _KlineData(msgspec.Struct):
    interval: str = ""


class _Head(msgspec.Struct):
    channel: str = ""
    symbol: str = ""


class _Kline(msgspec.Struct):
    data: _KlineData


class _Recording:
    """Frames of both markets name their channel."""

    def read(self, frame: bytes) -> Recorded | None:
        if not frame.startswith(b"{"):
            channel = channel_of(frame)
            is_data = channel.startswith(spot.PREFIX)
            return Recorded(payload=frame, topics=(channel,), is_binary=True) if is_data else None
        try:
            head = msgspec.json.decode(frame, type=_Head)
            if not head.channel.startswith("push.") or not head.symbol:
                return None
            method, param = head.channel.removeprefix("push."), {"symbol": head.symbol}
            if method == "kline":
                param["interval"] = msgspec.json.decode(frame, type=_Kline).data.interval
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        topic = futures.topic_of(method, param)
        return Recorded(payload=frame, topics=(topic,)) if topic else None


class MexcDialect:
    """Two sockets that share nothing: protobuf for spot, JSON for contracts; books by REST, no checksum."""

    exchange: ClassVar[str] = listing.EXCHANGE
    traits: ClassVar[Traits] = Traits(
        inbound_limit=100,
        lifetime_ns=_DAY_NS,
        rest_weight=rest.REST_WEIGHT,
        rest_window_ns=rest.REST_WINDOW_NS,
    )

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"spot_ws": ws_base, "futures_ws": ws_base, "spot_rest": http_base, "futures_rest": http_base}

    def listings(self, count: int) -> list[Listing]:
        return listing.listings(count)

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        return open_peer(handshake, venue)

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        return spot.open_stream(topic, venue) if topic.startswith(spot.PREFIX) else futures.open_stream(topic, venue)

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        return rest.answer(request, venue)

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return rest.refusal(status, retry_after_s)

    def recording(self, url: str) -> Recording:
        return _Recording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        told = ("symbol", "interval", "page_num")
        return f"{path}?{'&'.join(f'{key}={query[key]}' for key in told if key in query)}"
