"""The dialect itself: routes, rules and replays of OKX v5. Source: okx.com/docs-v5 (read 2026-11)."""

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

from . import channels, listing, rest
from .peer import OkxPeer

_PATHS = {"/ws/v5/public": channels.PUBLIC, "/ws/v5/business": channels.BUSINESS}


class _Arg(msgspec.Struct):
    channel: str
    instId: str = ""
    instType: str = ""


class _Frame(msgspec.Struct, omit_defaults=True):
    arg: _Arg
    data: msgspec.Raw
    action: str = ""


class _Payload(msgspec.Struct, omit_defaults=True):
    data: msgspec.Raw
    action: str = ""


class _NamedRecording:
    """Every frame names its channel. Those of `trades` without a count are single fills, which are told by `trades-all` today."""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            message = msgspec.json.decode(frame, type=_Frame)
        except msgspec.DecodeError:
            return None
        channel, name = message.arg.channel, message.arg.instId or message.arg.instType
        names = [channel]
        if channel == "trades" and b'"count"' not in frame:
            names.append("trades-all")
        payload = msgspec.json.encode(_Payload(message.data, message.action))
        return Recorded(payload=payload, topics=tuple(f"{one}:{name}" for one in names))


class OkxDialect:
    """Two socket paths, books chained by `prevSeqId`, contracts of several kinds, everything that is a number as text."""

    exchange: ClassVar[str] = listing.EXCHANGE
    traits: ClassVar[Traits] = Traits(
        deflate=True,
        rest_weight=rest.REST_WEIGHT,
        rest_window_ns=2 * NS_PER_S,
        seq_stride=5,
    )

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"ws": ws_base, "rest": http_base}

    def listings(self, count: int) -> list[Listing]:
        return listing.listings(count)

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        path = _PATHS.get(handshake.path)
        if path is None:
            return RestReply(status=404, body=b"")
        return OkxPeer(path, handshake.number, venue)

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        return channels.open_stream(topic, venue)

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        return rest.answer(request, venue)

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return rest.refusal(status)

    def recording(self, url: str) -> Recording:
        return _NamedRecording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        kept = "&".join(
            f"{key}={query[key]}" for key in ("instType", "uly", "instFamily", "instId", "bar") if key in query
        )
        return f"{path}?{kept}"
