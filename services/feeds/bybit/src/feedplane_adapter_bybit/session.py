"""From a frame's topic to the one decoder that fits it, so that no frame is parsed twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from feedplane_core.adapter import Action, Connection, Frame, Send, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent

from . import book, derivatives, klines, plan, quotes, trades
from .symbols import Category, Directory, Place, guessed_place, place_in
from .wire import decoding, refusal

Build = Callable[[Any, Place, str, int], list[MarketEvent]]

_TOPIC = b'{"topic":"'
_MAX_ROUTES = 20_000


class Route(NamedTuple):
    """One topic: its decoder, its builder, its symbol."""

    channel: str
    decode: Callable[[bytes], Any]
    build: Build
    symbol: str


class _Other(msgspec.Struct, frozen=True, gc=False):
    """Any JSON object: which of the venue's message kinds is it?"""

    topic: str = ""
    op: str = ""
    ret_msg: str = ""
    req_id: str = ""
    type: str = ""
    success: bool | None = None


_other = msgspec.json.Decoder(_Other).decode
_book = msgspec.json.Decoder(book.Frame).decode
_trades = msgspec.json.Decoder(trades.Frame).decode
_ticker = msgspec.json.Decoder(derivatives.Ticker).decode
_liquidations = msgspec.json.Decoder(derivatives.LiquidationFrame).decode
_sampled = msgspec.json.Decoder(derivatives.SampledFrame).decode
_klines = msgspec.json.Decoder(klines.Frame).decode


class Session:
    """One socket: what tickers and (of old) quotes have said so far, and the subscribe frames that may have to be taken apart."""

    def __init__(
        self,
        directory: Directory,
        connection: Connection | None,
        decode_body: Callable[[Tag, bytes, int], list[MarketEvent]],
    ) -> None:
        self._directory = directory
        self._category = None if connection is None else category_of_url(connection.url)
        self._places: Mapping[str, Place] = (
            directory.offline if self._category is None else directory.by_category[self._category]
        )
        self._decode_body = decode_body
        self._asked = {} if connection is None else plan.topics_by_request(connection.subscribe)
        self._routes: dict[bytes, Route] = {}
        self._tickers: dict[str, derivatives.Known] = {}
        self._quotes: dict[str, quotes.Quote] = {}
        self._actions: list[Action] = []

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`."""
        route = None
        if frame.startswith(_TOPIC):
            route = self._routes.get(frame[10 : frame.find(b'"', 10)])
        if route is None:
            route = self._find_route(frame)
            if route is None:
                return []
        channel, decode, build, symbol = route
        try:
            raw = decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._forget(channel, symbol)
            raise refusal(channel, error) from None
        place = self._places.get(symbol)
        if place is None or self._category is None:
            place = self._find_place(place, symbol, raw)
        try:
            return build(raw, place, symbol, recv_ns)
        except DecodeError:
            self._forget(channel, symbol)
            raise

    def actions(self) -> list[Action]:
        asked, self._actions = self._actions, []
        return asked

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return self._decode_body(tag, body, recv_ns)

    def _forget(self, channel: str, symbol: str) -> None:
        """A refused ticker may have changed any field: what is not known must not be told as unchanged."""
        if channel == derivatives.TICKERS:
            self._tickers.pop(symbol, None)

    def _find_place(self, known: Place | None, symbol: str, raw: Any) -> Place:
        """Where the socket is not known, or the symbol.

        Raises: DecodeError `unknown_instrument`.
        """
        if self._category is None:
            # A name may be of two markets; the ids of trades tell which.
            if isinstance(raw, trades.Frame) and trades.is_spot_id(raw):
                return self._directory.by_category[Category.SPOT].get(symbol) or place_in(Category.SPOT, symbol, None)
            return known or guessed_place(symbol, self._directory.contract_size)
        if not self._directory.is_empty:
            raise DecodeError("-", "unknown_instrument", symbol[:64])
        return place_in(self._category, symbol, self._directory.contract_size)

    def _find_route(self, frame: Frame) -> Route | None:
        """The route of a frame that was not told by its first bytes; `None` for acks and pongs.

        Raises: DecodeError `venue_error` for a refusal of the venue, `unknown_channel` for what is not carried.
        """
        other = decoding("-", _other, frame)
        if other.topic:
            return self._learn(other.topic)
        if other.success is False:
            self._on_refusal(other)
            raise DecodeError("-", "venue_error", frame[:200].decode(errors="replace"))
        if other.op or other.type == "COMMAND_RESP":
            return None
        raise DecodeError("-", "unknown_channel", "neither topic nor op")

    def _on_refusal(self, other: _Other) -> None:
        """One bad topic may have failed its whole frame: the others are asked for one by one, once.

        Only where the venue repeats our `req_id`; elsewhere silence tells, and each channel has a deadline.
        """
        topics = self._asked.pop(other.req_id, [])
        if other.op == "subscribe" and len(topics) > 1:
            self._actions += [Send(frame) for frame in plan.single_frames(topics)]

    def _learn(self, topic: str) -> Route:
        """The route of a topic, told by its name once and remembered."""
        key = topic.encode(errors="replace")
        route = self._routes.get(key)
        if route is None:
            route = self._route_of(topic)
            if len(self._routes) < _MAX_ROUTES:
                self._routes[key] = route
        return route

    def _route_of(self, topic: str) -> Route:
        channel, _, rest = topic.partition(".")
        if channel == trades.CHANNEL:
            return Route(channel, _trades, trades.decode_trades, rest)
        if channel == derivatives.TICKERS:
            return Route(channel, _ticker, self._on_ticker, rest)
        if channel == derivatives.LIQUIDATION:
            return Route(channel, _liquidations, derivatives.decode_liquidations, rest)
        if channel == derivatives.SAMPLED_LIQUIDATION:
            return Route(channel, _sampled, derivatives.decode_sampled, rest)
        parameter, _, symbol = rest.partition(".")
        if channel == klines.CHANNEL and parameter in klines.INTERVALS_S:
            return Route(channel, _klines, _klines_of(parameter), symbol)
        if channel == book.CHANNEL and parameter == "1":
            return Route(channel, _book, self._on_quote, symbol)
        if channel == book.CHANNEL and parameter.isdecimal() and int(parameter[:5]) in book.DECODED_DEPTHS:
            return Route(channel, _book, _book_of(int(parameter[:5])), symbol)
        raise DecodeError("-", "unknown_channel", f"topic {topic[:64]!r}")

    def _on_ticker(self, raw: derivatives.Ticker, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
        return derivatives.decode_ticker(raw, place, symbol, recv_ns, self._tickers)

    def _on_quote(self, raw: book.Frame, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
        return quotes.decode_quote(raw, place, symbol, recv_ns, self._quotes)


def _klines_of(interval: str) -> Build:
    return lambda raw, place, symbol, recv_ns: klines.decode_klines(raw, place, symbol, recv_ns, interval)


def _book_of(depth: int) -> Build:
    return lambda raw, place, symbol, recv_ns: book.decode_book(raw, place, symbol, recv_ns, depth)


def category_of_url(url: str) -> Category | None:
    """`wss://stream.bybit.com/v5/public/linear` -> linear; `None` for another path."""
    name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    return Category(name) if name in set(Category) else None
