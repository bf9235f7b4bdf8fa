"""From a frame's first bytes to the one decoder that fits it, so that no frame is parsed twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from feedplane_core.adapter import Action, Frame, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.names import MarketType

from . import book, derivatives, klines, quotes, trades
from .wire import USD_M, Envelope, Markets, decoding, refusal

Build = Callable[[Any, MarketType, int], list[MarketEvent]]

_COMBINED = b'{"stream":"'
_BARE = b'{"e":"'
_MAX_ROUTES = 20_000
_PARTIAL_DEPTHS = ("5", "10", "20")


class Route(NamedTuple):
    """One kind of frame: its decoder, its builder, and the symbol that its stream's name promises ("" where it names none)."""

    channel: str
    decode: Callable[[bytes], Any]
    build: Build
    symbol: str = ""
    is_enveloped: bool = False
    is_list: bool = False


class _Other(msgspec.Struct, frozen=True):
    """Any JSON object: which of the venue's message kinds is it?"""

    stream: str = ""
    e: str = ""
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    code: int | None = None
    msg: str = ""


_other = msgspec.json.Decoder(_Other | list[_Other])


class Session:
    """One socket. The venue numbers nothing per socket, so all it keeps is what it has learned of stream names and symbols.

    `funding_intervals` is the adapter's own table (seconds by symbol), which later instruments extend.
    """

    def __init__(
        self,
        markets: Markets,
        funding_intervals: Mapping[str, int | None],
        decode_body: Callable[[Tag, bytes, int], list[MarketEvent]],
    ) -> None:
        self._markets = markets
        self._decode_body = decode_body

        def decode_mark(raw: derivatives.MarkPriceUpdate, market: MarketType, recv_ns: int) -> list[MarketEvent]:
            return derivatives.decode_mark(raw, market, recv_ns, funding_intervals.get(raw.s))

        self._builds: dict[str, tuple[type, Build]] = {
            "aggTrade": (trades.AggTrade, trades.decode_stream_trade),
            "trade": (trades.SingleTrade, trades.decode_single),
            "bookTicker": (quotes.BookTicker, quotes.decode_quote),
            "depthUpdate": (book.DepthUpdate, book.decode_diff),
            "kline": (klines.KlineUpdate, klines.decode_kline),
            "forceOrder": (derivatives.ForceOrder, derivatives.decode_liquidation),
            "markPriceUpdate": (derivatives.MarkPriceUpdate, decode_mark),
        }
        self._bare = {name.encode(): self._route(name, name, is_enveloped=False) for name in self._builds}
        self._streams: dict[bytes, Route] = {}

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`. Written out flat: it runs for every message, and each call costs 50 ns."""
        route = None
        if frame.startswith(_COMBINED):
            route = self._streams.get(frame[11 : frame.find(b'"', 11)])
        elif frame.startswith(_BARE):
            route = self._bare.get(frame[6 : frame.find(b'"', 6)])
        if route is None:
            route = self._find_route(frame)
            if route is None:
                return []
        channel, decode, build, symbol, is_enveloped, is_list = route
        try:
            raw = decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(channel, error) from None
        if is_enveloped:
            raw = raw.data
        if is_list:
            return [event for one in raw for event in self._build_one(build, one, recv_ns)]
        if raw.st != USD_M:
            return []
        if symbol and raw.s != symbol:
            raise DecodeError(channel, "schema", f"{raw.s[:64]!r} on a stream of {symbol[:64]!r}")
        return build(raw, self._markets[raw.s], recv_ns)

    def _build_one(self, build: Build, raw: Any, recv_ns: int) -> list[MarketEvent]:
        return build(raw, self._markets[raw.s], recv_ns) if raw.st == USD_M else []

    def actions(self) -> list[Action]:
        """None: snapshots are asked for by whoever keeps the books."""
        return []

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return self._decode_body(tag, body, recv_ns)

    def _find_route(self, frame: Frame) -> Route | None:
        """The route of a frame that was not told by its first bytes; `None` for what yields nothing.

        Raises: DecodeError `venue_error` for a refusal of the venue, `unknown_channel` for what is not carried.
        """
        other = decoding("-", _other.decode, frame)
        if isinstance(other, list):
            if other and all(one.e == "markPriceUpdate" for one in other):
                return self._route("markPriceUpdate", "markPriceUpdate", is_enveloped=False, is_list=True)
            raise DecodeError("-", "unknown_channel", "a list of other things than mark prices")
        if other.stream:
            return self._learn(other.stream)
        if other.e:
            route = self._bare.get(other.e.encode())
            if route is None:
                raise DecodeError("-", "unknown_channel", f"event {other.e[:32]!r}")
            return route
        if other.error is not msgspec.UNSET or other.code is not None:
            raise DecodeError("-", "venue_error", frame[:200].decode(errors="replace"))
        if other.result is not msgspec.UNSET:
            return None
        raise DecodeError("-", "unknown_channel", "neither stream, event, error nor result")

    def _learn(self, name: str) -> Route:
        """The route of a stream, told by its name once and remembered."""
        symbol, _, kind = name.partition("@")
        route = (
            self._all_market_route(name)
            if symbol.startswith("!")
            else self._stream_route(kind)._replace(symbol=symbol.upper())
        )
        if len(self._streams) < _MAX_ROUTES:
            self._streams[name.encode()] = route
        return route

    def _stream_route(self, kind: str) -> Route:
        head, _, speed = kind.partition("@")
        if head in ("aggTrade", "trade", "bookTicker", "forceOrder") and not speed:
            return self._route(head, head)
        if head == "depth":
            return self._route("depthUpdate", "depth")
        if head == "markPrice":
            return self._route("markPriceUpdate", "markPrice")
        if head.startswith("kline_") and not speed:
            return self._route("kline", "kline")
        if head.startswith("depth") and head[5:] in _PARTIAL_DEPTHS:
            depth = int(head[5:])
            partial = self._route("depthUpdate", "depth_partial")
            return partial._replace(build=lambda raw, market, ns: book.decode_partial(raw, market, ns, depth))
        raise DecodeError("-", "unknown_channel", f"stream kind {kind[:32]!r}")

    def _all_market_route(self, name: str) -> Route:
        if name == "!bookTicker":
            return self._route("bookTicker", "bookTicker")
        if name == "!forceOrder@arr":
            return self._route("forceOrder", "forceOrder")
        if name in ("!markPrice@arr", "!markPrice@arr@1s"):
            return self._route("markPriceUpdate", "markPrice", is_list=True)
        raise DecodeError("-", "unknown_channel", f"stream {name[:32]!r}")

    def _route(self, event: str, channel: str, *, is_enveloped: bool = True, is_list: bool = False) -> Route:
        payload, build = self._builds[event]
        shape: Any = list[payload] if is_list else payload  # type: ignore[valid-type]
        decode = _decoder(Envelope[shape] if is_enveloped else shape)
        return Route(channel, decode, build, is_enveloped=is_enveloped, is_list=is_list)


_decoders: dict[Any, Callable[[bytes], Any]] = {}


def _decoder(shape: Any) -> Callable[[bytes], Any]:
    """One decoder a type, whatever the number of sessions and streams: building one costs more than 100 frames."""
    if shape not in _decoders:
        _decoders[shape] = msgspec.json.Decoder(shape).decode
    return _decoders[shape]
