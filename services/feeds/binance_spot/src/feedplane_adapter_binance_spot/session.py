"""One socket: which decoder a frame belongs to, told from bytes at a known place, so that each frame is parsed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
from feedplane_core.adapter import Action, Connection, Frame, Reconnect, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent

from .book import DepthData, WholeBook, decode_depth, decode_whole_book
from .klines import KlineData, decode_kline
from .quotes import BookTickerData, decode_book_ticker
from .symbols import StreamSymbols
from .trades import AggTradeData, TradeData, decode_agg_trade, decode_trade
from .wire import JSON_ERRORS, Envelope, Id, refusal

SHUTDOWN = "serverShutdown"

_COMBINED = b'{"stream":"'  # /stream?streams=...
_RAW = b'{"e":"'  # /ws/...
_RAW_QUOTE = b'{"u":'
_MAX_ROUTES = 8_192
_NOT_TAKEN = frozenset(
    {"blockTrade", "avgPrice", "referencePrice", "ticker", "miniTicker", "24hrTicker", "24hrMiniTicker"}
)
"""Documented streams that no plan subscribes; any other is told in the detail alone, so that labels stay few."""


class Route(NamedTuple):
    """How the frames of one stream become events."""

    kind: str
    decode_enveloped: Callable[[bytes], Envelope[Any]]
    decode_bare: Callable[[bytes | msgspec.Raw], Any]
    build: Callable[[Any, int], MarketEvent]


def _route(kind: str, data: Any, build: Callable[[Any, int], MarketEvent]) -> Route:
    return Route(kind, msgspec.json.Decoder(Envelope[data]).decode, msgspec.json.Decoder(data).decode, build)


_TRADE = _route("trade", TradeData, decode_trade)
_AGG_TRADE = _route("aggTrade", AggTradeData, decode_agg_trade)
_DEPTH = _route("depth", DepthData, decode_depth)
_KLINE = _route("kline", KlineData, decode_kline)
_BOOK_TICKER = _route("bookTicker", BookTickerData, decode_book_ticker)

_BY_EVENT = {"trade": _TRADE, "aggTrade": _AGG_TRADE, "depthUpdate": _DEPTH, "kline": _KLINE}
_BY_STREAM = {"trade": _TRADE, "aggTrade": _AGG_TRADE, "depth": _DEPTH, "bookTicker": _BOOK_TICKER}
_PARTIAL = {"depth5": 5, "depth10": 10, "depth20": 20}
_WHOLE_BOOK_ENVELOPED = msgspec.json.Decoder(Envelope[WholeBook]).decode
_WHOLE_BOOK = msgspec.json.Decoder(WholeBook).decode


class _Probe(msgspec.Struct, gc=False):
    """Whatever tells the kinds of message apart."""

    stream: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    e: str | None = None
    u: Id | None = None
    lastUpdateId: Id | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    code: int | None = None
    msg: str = ""


_probe = msgspec.json.Decoder(_Probe).decode


class SpotSession:
    """State of one live socket: the routes of its streams, and what the venue has announced."""

    def __init__(self, symbols: StreamSymbols, connection: Connection | None) -> None:
        self._symbols = symbols
        instruments = {channel.instrument for channel in connection.channels} if connection else set()
        self._only = instruments.pop() if len(instruments) == 1 else None
        self._routes: dict[bytes, Route] = {}
        self._raw_routes = {name.encode(): route for name, route in _BY_EVENT.items()}
        self._actions: list[Action] = []

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One event a data frame, `[]` for acks and `serverShutdown` (which asks for a planned reconnect).

        Raises: DecodeError.
        """
        channel = "-"
        try:
            if frame.startswith(_COMBINED):
                name = frame[11 : frame.find(b'"', 11)]
                route = self._routes.get(name) or self._learn(name)
                if route is not None:
                    channel = route.kind
                    return [route.build(route.decode_enveloped(frame).data, recv_ns)]
            elif frame.startswith(_RAW):
                raw = self._raw_routes.get(frame[6 : frame.find(b'"', 6)])
                if raw is not None:
                    channel = raw.kind
                    return [raw.build(raw.decode_bare(frame), recv_ns)]
            elif frame.startswith(_RAW_QUOTE):
                channel = "bookTicker"
                return [_BOOK_TICKER.build(_BOOK_TICKER.decode_bare(frame), recv_ns)]
            return self._decode_other(frame, recv_ns)
        except JSON_ERRORS as error:
            raise refusal(channel, error) from error

    def actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """Raises: DecodeError always: this session never asks for a body."""
        raise DecodeError(tag.kind, "unknown_channel", "nothing was asked for")

    def _learn(self, name: bytes) -> Route | None:
        """The route of a stream seen for the first time; escaped names and unknown streams take the slow way."""
        if b"\\" in name:
            return None
        route = self._route_of(name.decode())
        if route is not None:
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            self._routes[name] = route
        return route

    def _route_of(self, stream: str) -> Route | None:
        """`btcusdt@depth@100ms` -> diffs, `btcusdt@depth20` -> partial books of BTCUSDT, `btcusdt@kline_1d@+08:00` -> candles."""
        spelling, _, channel = stream.partition("@")
        kind = channel.partition("@")[0]
        if kind.startswith("kline_"):
            return _KLINE
        depth = _PARTIAL.get(kind)
        if depth is None:
            return _BY_STREAM.get(kind)
        build = partial(_build_partial, self._symbols.symbol_of(spelling), depth)
        return Route(kind, _WHOLE_BOOK_ENVELOPED, _WHOLE_BOOK, build)

    def _decode_other(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Acks, errors, notices, and data in another order of keys or with white space."""
        probe = _probe(frame)
        if probe.error is not msgspec.UNSET or (probe.code is not None and probe.e is None):
            raise DecodeError("control", "venue_error", frame[:200].decode(errors="replace"))
        if probe.stream is not None and probe.data is not msgspec.UNSET:
            return self._decode_enveloped(probe.stream, probe.data, recv_ns)
        if probe.e == SHUTDOWN:
            return self._on_shutdown()
        if probe.e is not None:
            route = _BY_EVENT.get(probe.e)
            if route is None:
                raise _not_taken(probe.e)
            return [self._build(route, frame, recv_ns)]
        if probe.result is not msgspec.UNSET:
            return []
        if probe.u is not None:
            return [self._build(_BOOK_TICKER, frame, recv_ns)]
        if probe.lastUpdateId is not None:
            return [self._decode_nameless(frame, recv_ns)]
        raise DecodeError("-", "schema", "neither data nor an answer")

    def _decode_enveloped(self, stream: str, data: msgspec.Raw, recv_ns: int) -> list[MarketEvent]:
        if stream == f"!{SHUTDOWN}":
            return self._on_shutdown()
        route = self._route_of(stream)
        if route is None:
            raise _not_taken(stream.partition("@")[2])
        return [self._build(route, data, recv_ns)]

    def _decode_nameless(self, frame: Frame, recv_ns: int) -> MarketEvent:
        """A partial book in raw mode names no symbol: it is known only where the socket carries one instrument."""
        if self._only is None:
            raise DecodeError("depth", "unknown_instrument", "a partial book in raw mode on a shared socket")
        return decode_whole_book(_WHOLE_BOOK(frame), self._only, None, recv_ns, "depth")

    def _on_shutdown(self) -> list[MarketEvent]:
        """The server will cut all its sockets; there is no fixed notice (since 2026-06-09). Source: spot API docs, change log, read 2026-11-20."""
        self._actions = [Reconnect(SHUTDOWN, planned=True)]
        return []

    @staticmethod
    def _build(route: Route, data: bytes | msgspec.Raw, recv_ns: int) -> MarketEvent:
        try:
            return route.build(route.decode_bare(data), recv_ns)
        except JSON_ERRORS as error:
            raise refusal(route.kind, error) from error


def _not_taken(kind: str) -> DecodeError:
    name = kind.partition("@")[0]
    return DecodeError(name if name in _NOT_TAKEN else "-", "unknown_channel", f"stream {kind[:32]!r}")


def _build_partial(symbol: str, depth: int, data: WholeBook, recv_ns: int) -> MarketEvent:
    return decode_whole_book(data, symbol, depth, recv_ns, f"depth{depth}")
