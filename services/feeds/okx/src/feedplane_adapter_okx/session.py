"""From a frame's first bytes to the one decoder that fits it, so that no frame is parsed twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from feedplane_core.adapter import Action, Frame, Reconnect, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent

from . import book, derivatives, klines, quotes, trades
from .places import Place, View
from .wire import JSON_ERRORS, decoder, decoding, refusal

Build = Callable[[Any, Place, int], list[MarketEvent]]

PONG = b"pong"
UPGRADE = "64008"
"""Notice: the socket will be closed in a minute for an upgrade of the service."""

_DATA = b'{"arg":{'
_MAX_ROUTES = 20_000
_ACKS = frozenset({"subscribe", "unsubscribe", "channel-conn-count"})
_WITHOUT_EVENTS = frozenset({"tickers", "instruments", "status", "price-limit"})
"""Documented channels that say nothing of ours."""


class Route(NamedTuple):
    """One subscription: its decoder, its builder, and the instrument (or index) that it names; `""` where it names none."""

    channel: str
    decode: Callable[[bytes], Any]
    build: Build | None
    name: str


class _Arg(msgspec.Struct, frozen=True):
    channel: str
    instId: str = ""


class _Any(msgspec.Struct, frozen=True):
    """Any JSON object: which of the venue's message kinds is it?"""

    arg: _Arg | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    event: str = ""
    code: str = ""
    msg: str = ""


class _Rows(msgspec.Struct, frozen=True):
    data: list[msgspec.Raw]


_any = decoder(_Any).decode
_rows = decoder(_Rows).decode
_trades = decoder(trades.Frame).decode
_quotes = decoder(quotes.Frame).decode
_book = decoder(book.Frame).decode
_top = decoder(book.TopFrame).decode
_klines = decoder(klines.Frame).decode
_liquidations = decoder(derivatives.LiquidationFrame).decode
_index = decoder(derivatives.IndexFrame).decode

_FIXED: dict[str, tuple[Callable[[bytes], Any], Build]] = {
    trades.CHANNEL: (_trades, trades.decode_trades),
    trades.AGGREGATED: (_trades, trades.decode_trades),
    quotes.CHANNEL: (_quotes, quotes.decode_quotes),
    book.TOP: (_top, book.decode_top),
    derivatives.MARK: (decoder(derivatives.MarkFrame).decode, derivatives.decode_marks),
    derivatives.FUNDING: (decoder(derivatives.FundingFrame).decode, derivatives.decode_funding),
    derivatives.OPEN_INTEREST: (decoder(derivatives.InterestFrame).decode, derivatives.decode_open_interest),
}


def _book_build(depth: int) -> Build:
    return lambda raw, place, recv_ns: book.decode_book(raw, place, recv_ns, depth)


def _kline_build(channel: str, interval_s: int) -> Build:
    return lambda raw, place, recv_ns: klines.decode_klines(raw, place, recv_ns, interval_s, channel)


_FIXED |= {channel: (_book, _book_build(depth)) for channel, depth in book.DEPTHS.items()}
_FIXED |= {
    klines.CHANNEL + bar: (_klines, _kline_build(klines.CHANNEL + bar, seconds))
    for bar, seconds in klines.BAR_SECONDS.items()
}


class Session:
    """One socket. The venue numbers nothing per socket, so all it keeps is what it has learned of subscriptions and symbols."""

    def __init__(self, view: View, decode_body: Callable[[Tag, bytes, int], list[MarketEvent]]) -> None:
        self._view = view
        self._decode_body = decode_body
        self._routes: dict[bytes, Route] = {}
        self._actions: list[Action] = []

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`. Raises: DecodeError."""
        route = None
        if frame.startswith(_DATA):
            route = self._routes.get(frame[8 : frame.find(b"}", 8)])
        if route is None:
            route = self._find_route(frame)
            if route is None:
                return []
        channel, decode, build, name = route
        try:
            raw = decode(frame)
        except JSON_ERRORS as error:
            raise refusal(channel, error) from None
        if build is not None:
            return build(raw, self._view.of(name, channel), recv_ns)
        if channel == derivatives.INDEX:
            return derivatives.decode_index(raw, name, self._view.of_index(name, channel), recv_ns)
        if channel == derivatives.LIQUIDATION:
            return derivatives.decode_liquidations(raw, self._view.followed, recv_ns)
        return []

    def actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return self._decode_body(tag, body, recv_ns)

    def _find_route(self, frame: Frame) -> Route | None:
        """The route of a frame that was not told by its first bytes; `None` for what yields nothing.

        Raises: DecodeError `venue_error` for a refusal of the venue, `unknown_channel` for what is not carried.
        """
        if frame == PONG:
            return None
        message = decoding("-", _any, frame)
        if message.event:
            self._on_event(message, frame)
            return None
        if message.arg is None or message.data is msgspec.UNSET:
            raise DecodeError("-", "unknown_channel", "neither data nor event")
        route = _route_of(message.arg)
        if frame.startswith(_DATA) and len(self._routes) < _MAX_ROUTES:
            self._routes[frame[8 : frame.find(b"}", 8)]] = route
        return route

    def _on_event(self, message: _Any, frame: Frame) -> None:
        if message.event in _ACKS:
            return
        if message.event == "notice":
            if message.code == UPGRADE:
                self._actions = [Reconnect("service_upgrade", planned=True)]
            return
        if message.event in ("error", "channel-conn-count-error"):
            raise DecodeError("-", "venue_error", f"{message.code}: {message.msg}"[:200])
        raise DecodeError("-", "unknown_channel", f"event {message.event[:32]!r}")


def _route_of(arg: _Arg) -> Route:
    channel = arg.channel
    if channel in _FIXED:
        if not arg.instId:
            raise DecodeError(channel, "schema", "names no instrument")
        return Route(channel, *_FIXED[channel], arg.instId)
    if channel == derivatives.INDEX:
        return Route(channel, _index, None, arg.instId)
    if channel == derivatives.LIQUIDATION:
        return Route(channel, _liquidations, None, "")
    if channel in _WITHOUT_EVENTS:
        return Route(channel, _rows, None, "")
    raise DecodeError("-", "unknown_channel", f"channel {channel[:32]!r}")
