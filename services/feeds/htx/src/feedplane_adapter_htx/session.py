"""From a frame to the one decoder that fits it, and the frames that the venue is owed: pongs, and requests for spot books."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import msgspec
from feedplane_core.adapter import Action, Frame, Reconnect, Send, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.names import NS_PER_MS

from . import book, derivatives, klines, quotes, trades
from .asking import BookRequests, book_request
from .symbols import Places, is_contract
from .wire import MaybeNumber, decoding, refusal, unzipped

MAX_WAITING_ACTIONS = 256
"""Unread effects beyond this are dropped: nobody performs them any more."""

Build: TypeAlias = Callable[[Any, int], list[MarketEvent]]

_GZIP_MAGIC = b"\x1f\x8b"
_TOPICAL = b'{"ch":"'
_MAX_ROUTES = 20_000


class Route(NamedTuple):
    """One topic: what its frames are and what becomes of them."""

    channel: str
    decode: Callable[[bytes], Any]
    build: Build


class _Other(msgspec.Struct, frozen=True, gc=False, rename={"err_code": "err-code", "err_msg": "err-msg"}):
    """Any JSON object: which of the venue's message kinds is it?"""

    ch: str = ""
    rep: str = ""
    ping: int | None = None
    op: str = ""
    topic: str = ""
    ts: MaybeNumber = msgspec.UNSET
    status: str = ""
    id: MaybeNumber = msgspec.UNSET
    err_code: MaybeNumber = msgspec.UNSET
    err_msg: str = ""


_other = msgspec.json.Decoder(_Other)
_trades = msgspec.json.Decoder(trades.Frame).decode
_spot_quote = msgspec.json.Decoder(quotes.SpotFrame).decode
_linear_quote = msgspec.json.Decoder(quotes.LinearFrame).decode
_increment = msgspec.json.Decoder(book.SpotFrame).decode
_answer = msgspec.json.Decoder(book.SpotAnswer).decode
_depth = msgspec.json.Decoder(book.Frame).decode
_candle = msgspec.json.Decoder(klines.Frame).decode
_price = msgspec.json.Decoder(derivatives.PriceFrame).decode
_basis = msgspec.json.Decoder(derivatives.BasisFrame).decode
_funding = msgspec.json.Decoder(derivatives.FundingFrame).decode
_liquidations = msgspec.json.Decoder(derivatives.LiquidationFrame).decode


class Session:
    """State of one socket: routes of its topics, the newest candles, and what the venue is owed."""

    def __init__(self, places: Places, decode_body: Callable[[Tag, bytes, int], list[MarketEvent]]) -> None:
        self._places = places
        self._decode_body = decode_body
        self._routes: dict[bytes, Route] = {}
        self._candles = klines.OpenCandles()
        self._books = BookRequests()
        self._actions: list[Action] = []

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`. Frames are gzip members; plain JSON is taken as well."""
        if frame[:2] == _GZIP_MAGIC:
            frame = unzipped(frame)
        route = self._routes.get(frame[7 : frame.find(b'"', 7)]) if frame.startswith(_TOPICAL) else None
        if route is None:
            route = self._find_route(frame, recv_ns)
            if route is None:
                return []
        try:
            raw = route.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(route.channel, error) from None
        return route.build(raw, recv_ns)

    def actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return self._decode_body(tag, body, recv_ns)

    def _ask(self, action: Action) -> None:
        if len(self._actions) < MAX_WAITING_ACTIONS:
            self._actions.append(action)

    # Frames that are told by more than their first bytes

    def _find_route(self, frame: Frame, recv_ns: int) -> Route | None:
        """The route of a frame whose topic is not known yet; `None` for what yields nothing.

        Raises: DecodeError `venue_error` for a refusal of the venue, `unknown_channel` for what is not carried.
        """
        other = decoding("-", _other.decode, frame)
        if other.ch:
            return self._route_of(other.ch)
        if other.ping is not None:
            self._ask(Send(b'{"pong":%d}' % other.ping))
            return None
        if other.status == "error":
            raise self._refused(other, recv_ns)
        if other.rep:
            return self._answer_route(other.rep)
        if other.op:
            return self._on_operation(other)
        if other.status == "ok":
            return None
        raise DecodeError("-", "unknown_channel", "neither ch, ping, status, rep nor op")

    def _refused(self, other: _Other, recv_ns: int) -> DecodeError:
        """Requests carry their topic as id, so a refusal names it."""
        topic = "" if other.id is msgspec.UNSET else _text(other.id)
        self._books.on_refusal(topic, recv_ns)
        return DecodeError("-", "venue_error", f"{topic[:80]}: {other.err_msg}"[:200])

    def _on_operation(self, other: _Other) -> Route | None:
        """The dialect of notifications: `{"op":...}`."""
        match other.op:
            case "notify":
                return self._notice_route(other.topic)
            case "ping":
                self._ask(Send(b'{"op":"pong","ts":%b}' % _json(other.ts)))
            case "close":
                self._ask(Reconnect("venue_close"))
            case "sub" | "unsub":
                if other.err_code is not msgspec.UNSET and _text(other.err_code) not in ("0", "null"):
                    detail = f"{_text(other.err_code)} {other.err_msg} {other.topic}"
                    raise DecodeError("-", "venue_error", detail[:200])
            case "error":
                raise DecodeError("-", "venue_error", other.err_msg[:200])
            case _:
                raise DecodeError("-", "unknown_channel", f"op {other.op[:32]!r}")
        return None

    # Topics

    def _route_of(self, topic: str) -> Route:
        """Learned once. The topic as the venue writes it is the key; an escaped one is told anew each time."""
        route = self._topic_route(topic)
        if len(self._routes) < _MAX_ROUTES:
            self._routes[topic.encode()] = route
        return route

    def _topic_route(self, topic: str) -> Route:
        root, _, rest = topic.partition(".")
        symbol, _, kind = rest.partition(".")
        if root == "market" and symbol:
            self._places.market(symbol)  # raises for what is no symbol of this venue
            route = (
                self._contract_route(symbol, kind, topic)
                if is_contract(symbol)
                else self._spot_route(symbol, kind, topic)
            )
            route = route or self._common_route(symbol, kind, topic)
            if route is not None:
                return route
        raise DecodeError("-", "unknown_channel", f"topic {topic[:64]!r}")

    def _common_route(self, symbol: str, kind: str, topic: str) -> Route | None:
        places = self._places
        if kind == "trade.detail":
            return Route(trades.CHANNEL, _trades, lambda raw, ns: trades.decode_trades(raw, places[symbol], ns))
        if kind == "depth.step0":
            return self._depth_route(book.PICTURE, symbol, book.LINEAR_DEPTH)
        period = kind.removeprefix("kline.")
        if period != kind and period in klines.PERIOD_S:
            build = partial(self._on_candle, topic, symbol, klines.PERIOD_S[period])
            return Route(klines.CHANNEL, _candle, build)
        return None

    def _spot_route(self, symbol: str, kind: str, topic: str) -> Route | None:
        places = self._places
        if kind == "bbo":
            return Route(quotes.CHANNEL, _spot_quote, lambda raw, ns: quotes.decode_spot(raw, places[symbol], ns))
        depth = kind.removeprefix("mbp.")
        if depth != kind and depth in book.SPOT_DEPTHS:
            return Route(book.SPOT, _increment, partial(self._on_increment, topic, symbol))
        depth = kind.removeprefix("mbp.refresh.")
        if depth != kind and depth in book.REFRESH_DEPTHS:
            size = book.REFRESH_DEPTHS[depth]
            return Route(
                book.SPOT,
                _increment,
                lambda raw, ns: [book.decode_picture(raw.tick, raw.ts, places[symbol], size, ns)],
            )
        return None

    def _contract_route(self, symbol: str, kind: str, topic: str) -> Route | None:
        places = self._places
        match kind.split("."):
            case ["bbo"]:
                return Route(
                    quotes.CHANNEL, _linear_quote, lambda raw, ns: quotes.decode_linear(raw, places[symbol], ns)
                )
            case ["depth", "size_150" | "size_20" as size, "high_freq"]:
                return self._depth_route(book.LINEAR, symbol, int(size.removeprefix("size_")))
            case ["depth", "step6"]:
                return self._depth_route(book.PICTURE, symbol, 20)
            case [derivatives.MARK | derivatives.INDEX as price, period] if period in klines.PERIOD_S:
                return Route(price, _price, partial(self._on_price, price, symbol))
            case [derivatives.BASIS, period, "open" | "close" | "high" | "low" | "average"] if (
                period in klines.PERIOD_S
            ):
                return Route(
                    derivatives.BASIS,
                    _basis,
                    lambda raw, ns: [derivatives.decode_basis(raw, symbol, places.market(symbol), ns)],
                )
        return None

    def _depth_route(self, channel: str, symbol: str, depth: int) -> Route:
        places = self._places
        return Route(channel, _depth, lambda raw, ns: book.decode_depth(raw, places[symbol], depth, ns))

    def _answer_route(self, topic: str) -> Route:
        """Of `{"rep":"market.btcusdt.mbp.150",...}`: the only thing that is asked for."""
        root, _, rest = topic.partition(".")
        symbol, _, kind = rest.partition(".")
        depth = book.SPOT_DEPTHS.get(kind.removeprefix("mbp."))
        if root != "market" or depth is None or not kind.startswith("mbp."):
            raise DecodeError("-", "unknown_channel", f"answer {topic[:64]!r}")
        return Route(book.SPOT, _answer, partial(self._on_answer, topic, symbol, depth))

    def _notice_route(self, topic: str) -> Route | None:
        root, _, rest = topic.partition(".")
        _, _, kind = rest.partition(".")
        if root == "public" and kind == derivatives.FUNDING:
            return Route(kind, _funding, self._on_funding)
        if root == "public" and kind == derivatives.LIQUIDATION:
            return Route(
                kind,
                _liquidations,
                lambda raw, ns: list(derivatives.decode_liquidations(raw.data, self._places, ns)),
            )
        if root == "public" and kind == "contract_info":
            return None
        raise DecodeError("-", "unknown_channel", f"topic {topic[:64]!r}")

    # Events that need what the session knows

    def _on_increment(self, topic: str, symbol: str, raw: book.SpotFrame, recv_ns: int) -> list[MarketEvent]:
        diff = book.decode_increment(raw, self._places[symbol], recv_ns)
        if diff is None:
            return []
        assert diff.prev_seq is not None
        self._books.on_increment(topic, diff.prev_seq)
        due = self._books.due(recv_ns)
        if due is not None:
            self._ask(Send(book_request(due)))
        return [diff]

    def _on_answer(self, topic: str, symbol: str, depth: int, raw: book.SpotAnswer, recv_ns: int) -> list[MarketEvent]:
        snapshot = book.decode_picture(raw.data, raw.ts, self._places[symbol], depth, recv_ns)
        self._books.on_book(topic, raw.data.seqNum, recv_ns)
        return [snapshot]

    def _on_candle(
        self, topic: str, symbol: str, interval_s: int, raw: klines.Frame, recv_ns: int
    ) -> list[MarketEvent]:
        market = self._places.market(symbol)
        kline = klines.decode_candle(raw.tick, symbol, market, interval_s, raw.ts * NS_PER_MS, recv_ns)
        return list(self._candles.on_candle(topic, kline))

    def _on_price(self, channel: str, symbol: str, raw: derivatives.PriceFrame, recv_ns: int) -> list[MarketEvent]:
        return [derivatives.decode_price(raw, symbol, self._places.market(symbol), channel, recv_ns)]

    def _on_funding(self, raw: derivatives.FundingFrame, recv_ns: int) -> list[MarketEvent]:
        places = self._places
        found = (
            derivatives.decode_funding(
                row, raw.ts, places.market(row.contract_code), places.funding_interval_s(row.contract_code), recv_ns
            )
            for row in raw.data
        )
        return [event for event in found if event is not None]


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode(errors="replace").strip('"')


def _json(raw: MaybeNumber) -> bytes:
    return b"null" if raw is msgspec.UNSET else bytes(raw)
