"""The dialect itself: routes, rules and replays of Gate. Source: gate.com developer docs, API v4 REST and WebSocket pages (as of 2025-11), probe of 2026-09."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
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
from .peer import FUTURES_PATH, SPOT_PATH, open_peer


class _ChannelRecording:
    """Frames name their channel and symbol; a futures frame does not say its settle currency, which its socket's URL, or else the spelling, does."""

    def __init__(self, url: str) -> None:
        self._settle = url.rstrip("/").rpartition("/")[2] if FUTURES_PATH in url else ""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            body = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(body, dict) or body.get("event", "") not in ("update", "all", ""):
            return None
        channel, result = body.get("channel"), body.get("result")
        if not isinstance(channel, str) or not result:
            return None
        rows = result if isinstance(result, list) else [result]
        topics = {topic for row in rows for topic in self._topics(channel, row)}
        return Recorded(payload=frame, topics=tuple(sorted(topics))) if topics else None

    def _topics(self, channel: str, row: Any) -> list[str]:
        """Each with sizes as texts and as integers: a recording is played as it is to whoever listens."""
        if not isinstance(row, dict):
            return []
        kind = channel.partition(".")[2]
        level = str(row.get("l", "100"))
        symbol = row.get("currency_pair") or row.get("contract") or row.get("s") or ""
        groups: list[list[str]] = [[symbol]]
        if kind == "candlesticks":
            groups = [str(row.get("n", "")).split("_", 1)]
            symbol = groups[0][-1]
        elif kind == "order_book_update":
            speed = "20ms" if level == "20" else "100ms"
            groups = [[symbol, speed]] if channel.startswith("spot.") else [[symbol, speed, level]]
        elif kind == "obu":
            symbol = symbol.partition(".")[2].rpartition(".")[0]
        market = "spot" if channel.startswith("spot.") else self._settle or _settle_of(symbol)
        return [streams.topic_of(market, channel, group, texts) for group in groups for texts in (True, False)]


def _settle_of(symbol: str) -> str:
    return "btc" if symbol.endswith("_USD") else "usd1" if symbol.endswith("_USD1") else "usdt"


class GateioDialect:
    """A spot socket, a futures socket for each settle currency, REST below `/api/v4`."""

    exchange: ClassVar[str] = listing.EXCHANGE
    traits: ClassVar[Traits] = Traits(
        rest_weight=rest.REST_WEIGHT,
        rest_window_ns=10 * NS_PER_S,
        seq_stride=3,
    )

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {
            "spot": f"{ws_base}{SPOT_PATH}/",
            "futures": f"{ws_base}{FUTURES_PATH.rstrip('/')}",
            "rest": f"{http_base}{rest.BASE}",
        }

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
        return _ChannelRecording(url)

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        kept = "&".join(f"{key}={query[key]}" for key in ("currency_pair", "contract", "interval") if key in query)
        return f"{path}?{kept}"
