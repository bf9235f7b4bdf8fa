"""From a frame to the one decoder that fits it. Binary frames are spot's data, text frames those of futures and the control frames of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from feedplane_core.adapter import Action, Connection, Frame, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent

from . import book, derivatives, klines, protobuf, quotes, trades
from .symbols import Directory, Place, is_futures
from .wire import ABSENT, decoding, refusal, time_ns

_CHANNEL = b'"channel":"'
_PUBLIC = "spot@public."
_KNOWN = frozenset(
    {"aggre.deals", "aggre.depth", "aggre.bookTicker", "limit.depth", "kline", "bookTicker", "bookTicker.batch", "deals", "miniTicker", "miniTickers"}
)  # fmt: skip
"""Channels whose frames may come without a body."""


class Route(NamedTuple):
    """One push channel of futures."""

    channel: str
    decode: Callable[[bytes], Any]
    build: Callable[[Any, Place, str, int], list[MarketEvent]]


class _Other(msgspec.Struct, frozen=True, gc=False):
    """Any text frame: whose control frame is it?"""

    channel: str = ""
    msg: str = ""
    data: msgspec.Raw = ABSENT


_other = msgspec.json.Decoder(_Other).decode
_deals = msgspec.json.Decoder(trades.Push).decode
_depth = msgspec.json.Decoder(book.Push).decode
_kline = msgspec.json.Decoder(klines.Push).decode
_ticker = msgspec.json.Decoder(derivatives.Ticker).decode
_price = msgspec.json.Decoder(derivatives.Price).decode
_rate = msgspec.json.Decoder(derivatives.Rate).decode


class Session:
    """One socket: the candles that are open, and when each contract settles next."""

    def __init__(
        self,
        directory: Directory,
        connection: Connection | None,
        decode_body: Callable[[Tag, bytes, int], list[MarketEvent]],
    ) -> None:
        self._directory = directory
        self._is_live = connection is not None
        self._decode_body = decode_body
        self._candles = klines.Candles()
        self._settles_ms: dict[str, int] = {}
        routes = (
            Route(trades.PUSH, _deals, trades.decode_push),
            Route(book.PUSH, _depth, book.decode_push),
            Route(book.PUSH_FULL, _depth, book.decode_full),
            Route(klines.PUSH, _kline, self._on_kline),
            Route(derivatives.TICKER, _ticker, self._on_ticker),
            Route(derivatives.FAIR, _price, derivatives.decode_fair),
            Route(derivatives.INDEX, _price, derivatives.decode_index),
            Route(derivatives.FUNDING, _rate, self._on_rate),
        )
        self._routes = {route.channel.encode(): route for route in routes}

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`."""
        if frame[:1] == b"{":
            return self._decode_text(frame, recv_ns)
        return self._decode_binary(frame, recv_ns)

    def actions(self) -> list[Action]:
        """None: nothing is asked for on the way."""
        return []

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return self._decode_body(tag, body, recv_ns)

    def _place(self, symbol: str) -> Place:
        places = self._directory.places
        place = places.get(symbol)
        if place is not None:
            return place
        if self._is_live and places:
            raise DecodeError("-", "unknown_instrument", symbol[:64])
        return self._directory.place(symbol)

    # Futures ------------------------------------------------------------------------------------------------------------------

    def _decode_text(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        at = frame.rfind(_CHANNEL) + len(_CHANNEL)  # the last key but one, or the first
        route = self._routes.get(frame[at : frame.find(b'"', at)])
        if route is None:
            route = self._find_route(frame)
            if route is None:
                return []
        channel, decode, build = route
        try:
            raw = decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if channel == klines.PUSH:
                self._candles = klines.Candles()  # of which symbol it was is not known
            raise refusal(channel, error) from None
        if raw.channel != channel:
            raise DecodeError(channel, "schema", "two channels in one frame")
        place = self._place(raw.symbol)
        if not place.counts_contracts:
            raise DecodeError(channel, "schema", f"{raw.symbol[:64]!r} is no contract")
        return build(raw, place, raw.symbol, recv_ns)

    def _find_route(self, frame: Frame) -> Route | None:
        """The route of a frame that is spaced in another way; `None` for acks and pongs.

        Raises: DecodeError `venue_error` for a refusal of the venue, `unknown_channel` for what is not carried.
        """
        other = decoding("-", _other, frame)
        channel = other.channel
        route = self._routes.get(channel.encode(errors="replace"))
        if route is not None or channel == "pong":
            return route
        if channel.startswith("rs."):
            if channel != "rs.error" and bytes(other.data) == b'"success"':
                return None
            raise DecodeError("-", "venue_error", frame[:200].decode(errors="replace"))
        # Spot: a refusal has code 0 as well, only the text tells. An ack repeats what was asked for.
        if other.msg and not channel:
            if other.msg == "PONG" or all(part.startswith(_PUBLIC) for part in other.msg.split(",")):
                return None
            raise DecodeError("-", "venue_error", other.msg[:200])
        raise DecodeError("-", "unknown_channel", f"channel {channel[:64]!r}")

    def _on_kline(self, raw: klines.Push, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
        try:
            kline = klines.decode_push(raw, place, symbol, recv_ns)
        except DecodeError:
            self._candles.forget(symbol)
            raise
        return self._candles.on(kline)

    def _on_ticker(self, raw: derivatives.Ticker, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
        return derivatives.decode_ticker(raw, place, symbol, recv_ns, self._settles_ms)

    def _on_rate(self, raw: derivatives.Rate, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
        return derivatives.decode_rate(raw, place, symbol, recv_ns, self._settles_ms)

    # Spot ---------------------------------------------------------------------------------------------------------------------

    def _decode_binary(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        try:
            message = protobuf.parse(frame)
        except DecodeError:
            self._candles = klines.Candles()  # it may have been the last of any of them
            raise
        channel = message.channel
        if not channel.startswith(_PUBLIC):
            raise DecodeError(protobuf.CHANNEL, "unknown_channel", f"channel {channel[:64]!r}")
        name = message.WhichOneof(protobuf.BODY)
        if name is None:
            return _nothing(channel)
        symbol = message.symbol or _symbol_of(channel)
        if symbol not in channel and not name.startswith("publicMini"):
            raise DecodeError(protobuf.CHANNEL, "schema", f"{symbol[:64]!r} on {channel[:96]!r}")
        return self._on_body(name, getattr(message, name), message, symbol, recv_ns)

    def _on_body(self, name: str, body: Any, message: Any, symbol: str, recv_ns: int) -> list[MarketEvent]:
        if name in ("publicMiniTicker", "publicMiniTickers"):
            return []  # no quotes in it, and no mark
        place = self._place(symbol)
        if place.counts_contracts or is_futures(symbol):
            raise DecodeError(protobuf.CHANNEL, "schema", f"{symbol[:64]!r} is no spot pair")
        match name:
            case "publicAggreDepths":
                return book.decode_depth(body, place, symbol, _pushed_ns(message), recv_ns)
            case "publicAggreDeals" | "publicDeals":
                return trades.decode_deals(body, place, symbol, recv_ns)
            case "publicAggreBookTicker" | "publicBookTicker":
                return quotes.decode_quote(body, place, symbol, _pushed_ns(message), recv_ns)
            case "publicBookTickerBatch":
                return quotes.decode_batch(body, place, symbol, _pushed_ns(message), recv_ns)
            case "publicLimitDepths":
                depth = _depth_of(message.channel)
                return book.decode_limit(body, place, symbol, _pushed_ns(message), recv_ns, depth)
            case "publicSpotKline":
                return self._on_spot_kline(body, message, place, symbol, recv_ns)
        raise DecodeError(protobuf.CHANNEL, "unknown_channel", f"{name}: how its versions join is not documented")

    def _on_spot_kline(self, body: Any, message: Any, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
        try:
            kline = klines.decode_kline(body, place, symbol, _pushed_ns(message), recv_ns)
        except DecodeError:
            self._candles.forget(symbol)
            raise
        return self._candles.on(kline)


def _nothing(channel: str) -> list[MarketEvent]:
    """Frames that name a channel and say nothing do occur.

    Raises: DecodeError `unknown_channel` where the channel itself is not known: its body may be one of a number that this schema lacks.
    """
    if channel.removeprefix(_PUBLIC).partition(".v3.api")[0] in _KNOWN:
        return []
    raise DecodeError(protobuf.CHANNEL, "unknown_channel", f"channel {channel[:96]!r}")


def _pushed_ns(message: Any) -> int | None:
    """`sendTime`, or `createTime` where a frame has that instead: there is no time of the matching engine."""
    pushed_ms = message.sendTime or message.createTime
    return time_ns(pushed_ms, protobuf.CHANNEL, "sendTime") if pushed_ms else None


def _symbol_of(channel: str) -> str:
    """For frames without `symbol`: `spot@...@10ms@BTCUSDT`, `spot@...@BTCUSDT@Min1`, `spot@...@BTCUSDT@5`."""
    parts = channel.split("@")
    has_parameter = ".kline." in channel or ".limit.depth." in channel
    return parts[-2] if has_parameter and len(parts) > 2 else parts[-1]


def _depth_of(channel: str) -> int | None:
    text = channel.rpartition("@")[2]
    return int(text) if text in {str(depth) for depth in book.PARTIAL_DEPTHS} else None
