"""The dialect itself: hosts as paths, rules, and replays of KuCoin. Sources: classic docs (2023, 2025-11), UTA docs and frames of 2026-09 (read 2026-11)."""

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

from . import classic, listing, rest, uta
from .peer import ClassicPeer, UtaPeer

_UTA_PATHS = {"/spot": "SPOT", "/futures": "FUTURES"}
_CLASSIC_PATHS = {"/classic-spot": "SPOT", "/classic-futures": "FUTURES"}
_SAME_ON_UTA = {
    "/market/match": "uta|SPOT|trade|{}|",
    "/market/ticker": "uta|SPOT|ticker|{}|",
    "/spotMarket/level1": "uta|SPOT|ticker|{}|",
    "/contractMarket/execution": "uta|FUTURES|trade|{}|",
    "/contractMarket/tickerV2": "uta|FUTURES|ticker|{}|",
    "/contract/instrument": "uta|FUTURES|mark-price|{}|",
}
"""Recordings of the classic system are heard by listeners of the other one where a frame stands alone. Classic book changes are not: they need REST snapshots."""


class _Head(msgspec.Struct):
    topic: str = ""
    T: str = ""
    dp: str = ""
    d: msgspec.Raw = msgspec.Raw(b"{}")


class _Data(msgspec.Struct):
    s: str = ""
    i: str = ""


class _FrameRecording:
    """Both systems name the channel in each frame."""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            head = msgspec.json.decode(frame, type=_Head)
            if head.topic:
                return Recorded(payload=frame, topics=_classic_topics(head.topic))
            if not head.T:
                return None
            data = msgspec.json.decode(head.d, type=_Data)
        except msgspec.DecodeError:
            return None
        channel, _, kind = head.T.partition(".")
        return Recorded(payload=frame, topics=(f"uta|{kind or 'FUTURES'}|{channel}|{data.s}|{head.dp or data.i}",))


def _classic_topics(topic: str) -> tuple[str, ...]:
    head, _, place = topic.partition(":")
    topics = [f"classic|{topic}"]
    if head in _SAME_ON_UTA:
        topics.append(_SAME_ON_UTA[head].format(place))
    elif head == "/market/candles":
        symbol, _, interval = place.rpartition("_")
        topics.append(f"uta|SPOT|kline|{symbol}|{interval}")
    if head == "/market/ticker":  # what a listener of another quote channel can use
        topics.append(f"classic|/spotMarket/level1:{place}")
    return tuple(topics)


class KuCoinDialect:
    """Two books of business, each on a host of both socket systems."""

    exchange: ClassVar[str] = listing.EXCHANGE
    traits: ClassVar[Traits] = Traits(
        inbound_limit=300,
        inbound_window_ns=10 * NS_PER_S,
        lifetime_ns=24 * 3_600 * NS_PER_S,
        rest_weight=2_000,
        rest_window_ns=30 * NS_PER_S,
    )

    def __init__(self) -> None:
        self._office = rest.Office()

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {
            "ws_spot": f"{ws_base}/spot",
            "ws_futures": f"{ws_base}/futures",
            "rest": f"{http_base}{rest.SPOT}",
            "rest_futures": f"{http_base}{rest.FUTURES}",
        }

    def listings(self, count: int) -> list[Listing]:
        return listing.listings(count)

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        path = handshake.path.rstrip("/")
        if path in _UTA_PATHS:
            return UtaPeer(_UTA_PATHS[path], handshake.number)
        if path not in _CLASSIC_PATHS:
            return rest.Refused("404", "Not Found", 404).reply()
        kind, token = _CLASSIC_PATHS[path], handshake.query.get("token", "")
        if not self._office.admits(token, kind, venue.now_ns()):
            return rest.Refused("401", "token is invalid", 401).reply()
        return ClassicPeer(kind, handshake.query.get("connectId", ""), venue)

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        system, *words = topic.split("|")
        if system == "uta":
            return uta.open_stream(words, venue)
        return classic.open_stream(words[0], venue, self._office.told)

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        return rest.answer(request, venue, self._office)

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return rest.refusal(status, retry_after_s)

    def recording(self, url: str) -> Recording:
        return _FrameRecording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        """Whole books of old recordings answer for the books of today, and old listings for the new one."""
        path = path[path.find("/api/") :]
        if "/orderbook/level2" in path or path.startswith("/api/v1/level2/"):
            path = "book"
        elif path in ("/api/v1/symbols", "/api/v2/symbols"):
            path = "symbols"
        kept = "&".join(f"{key}={query[key]}" for key in ("symbol", "type", "granularity") if key in query)
        return f"{path}?{kept}"
