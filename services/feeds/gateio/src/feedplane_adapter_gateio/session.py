"""From a frame's channel to the one decoder that fits it, so that no frame of data is parsed twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from feedplane_core.adapter import Action, Connection, Frame, Reconnect, Send, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent

from . import book, derivatives, klines, plan, quotes, trades
from .symbols import Directory, Place
from .wire import Envelope, decoding, pushed_ns, refusal, rows_of

Find = Callable[[str], Place]
Build = Callable[[Any, Find, int], list[MarketEvent]]

_CHANNEL = b'"channel":"'
_CHANNEL_WITHIN = 160
_NAME_WITHIN = 48
_DATA_EVENTS = frozenset({"update", "all", ""})
"""`""`: some documented frames of `obu` name none."""
_ALREADY = "Alert sub"
"""How the venue refuses a stream of `obu` that the socket has: nothing is lost."""
_JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Error(msgspec.Struct, frozen=True, gc=False):
    code: int = 0
    message: str = ""


class _Other(msgspec.Struct, frozen=True, gc=False):
    """Any frame: which of the venue's kinds is it?"""

    channel: str = ""
    event: str = ""
    id: int | None = None
    error: _Error | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")


class Route(NamedTuple):
    """One channel: its decoder and its builder; both markets' channels are named apart."""

    decode: Callable[[bytes], Any]
    build: Build
    is_spot: bool


_other = msgspec.json.Decoder(_Other).decode


def _spot_trades(raw: Envelope[Any], find: Find, recv_ns: int) -> list[MarketEvent]:
    rows: list[trades.SpotRow] = rows_of(raw.result)
    for row in rows:
        find(row.currency_pair)
    return [trades.decode_spot_row(row, recv_ns) for row in rows]


def _futures_trades(raw: Envelope[Any], find: Find, recv_ns: int) -> list[MarketEvent]:
    rows: list[trades.FuturesRow] = rows_of(raw.result)
    return [trades.decode_futures_row(row, find(row.contract), recv_ns) for row in rows]


def _quote(raw: Envelope[quotes.Quote], find: Find, recv_ns: int) -> list[MarketEvent]:
    return quotes.decode_quote(raw.result, find(raw.result.s), raw.channel, recv_ns)


def _obu(raw: Envelope[book.Obu], find: Find, recv_ns: int) -> list[MarketEvent]:
    symbol, depth = book.obu_symbol(raw.result.s, raw.channel)
    at = (pushed_ns(raw), recv_ns)
    return [book.decode_obu(raw.result, find(symbol), symbol, depth, raw.channel, at)]


def _update(raw: Envelope[book.Update], find: Find, recv_ns: int) -> list[MarketEvent]:
    return [book.decode_update(raw.result, find(raw.result.s), raw.channel, (pushed_ns(raw), recv_ns))]


def _whole(raw: Envelope[book.Whole], find: Find, recv_ns: int) -> list[MarketEvent]:
    place = find(raw.result.s or raw.result.contract)
    return [book.decode_whole(raw.result, place, raw.channel, (pushed_ns(raw), recv_ns))]


def _spot_klines(raw: Envelope[Any], find: Find, recv_ns: int) -> list[MarketEvent]:
    events: list[MarketEvent] = []
    for row in rows_of(raw.result):
        symbol, interval_s = klines.symbol_of(row.n, raw.channel)
        find(symbol)
        events.append(klines.decode_spot_row(row, symbol, interval_s, pushed_ns(raw), recv_ns))
    return events


def _futures_klines(raw: Envelope[Any], find: Find, recv_ns: int) -> list[MarketEvent]:
    events: list[MarketEvent] = []
    for row in rows_of(raw.result):
        symbol, interval_s = klines.symbol_of(row.n, raw.channel)
        events.append(klines.decode_futures_row(row, find(symbol), symbol, interval_s, pushed_ns(raw), recv_ns))
    return events


def _tickers(raw: Envelope[Any], find: Find, recv_ns: int) -> list[MarketEvent]:
    events: list[MarketEvent] = []
    for row in rows_of(raw.result):
        events += derivatives.decode_ticker(row, find(row.contract), pushed_ns(raw), recv_ns)
    return events


def _liquidations(raw: Envelope[Any], find: Find, recv_ns: int) -> list[MarketEvent]:
    events: list[MarketEvent] = []
    seen: Counter[tuple[str, bytes, bytes, int]] = Counter()
    for row in rows_of(raw.result):
        key = (row.contract, bytes(row.price), bytes(row.size), row.time_ms)
        events.append(derivatives.decode_liquidation(row, find(row.contract), seen[key], recv_ns))
        seen[key] += 1
    return events


def _decoder(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


_quotes_of, _obu_of = _decoder(Envelope[quotes.Quote]), _decoder(Envelope[book.Obu])
_updates_of, _whole_of = _decoder(Envelope[book.Update]), _decoder(Envelope[book.Whole])
ROUTES = {
    trades.SPOT_TRADES: Route(_decoder(trades.SpotFrame), _spot_trades, True),
    trades.FUTURES_TRADES: Route(_decoder(trades.FuturesFrame), _futures_trades, False),
    quotes.SPOT_QUOTES: Route(_quotes_of, _quote, True),
    quotes.FUTURES_QUOTES: Route(_quotes_of, _quote, False),
    book.SPOT_OBU: Route(_obu_of, _obu, True),
    book.FUTURES_OBU: Route(_obu_of, _obu, False),
    book.SPOT_UPDATES: Route(_updates_of, _update, True),
    book.FUTURES_UPDATES: Route(_updates_of, _update, False),
    book.SPOT_BOOK: Route(_whole_of, _whole, True),
    book.FUTURES_BOOK: Route(_whole_of, _whole, False),
    klines.SPOT_KLINES: Route(_decoder(klines.SpotFrame), _spot_klines, True),
    klines.FUTURES_KLINES: Route(_decoder(klines.FuturesFrame), _futures_klines, False),
    derivatives.TICKERS: Route(_decoder(derivatives.TickerFrame), _tickers, False),
    derivatives.LIQUIDATIONS: Route(_decoder(derivatives.LiquidationFrame), _liquidations, False),
}
_BY_BYTES = {name.encode(): (name, route) for name, route in ROUTES.items()}


class Session:
    """One socket: the subscribe frames that may have to be taken apart. All else of a frame is in the frame."""

    def __init__(
        self,
        directory: Directory,
        connection: Connection | None,
        decode_body: Callable[[Tag, bytes, int], list[MarketEvent]],
    ) -> None:
        self._directory = directory
        self._is_live = connection is not None
        self._decode_body = decode_body
        self._asked = {} if connection is None else plan.lists_by_number(connection.subscribe)
        self._actions: list[Action] = []

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`."""
        at = frame.find(_CHANNEL, 0, _CHANNEL_WITHIN) + len(_CHANNEL)
        known = _BY_BYTES.get(frame[at : frame.find(b'"', at, at + _NAME_WITHIN)])
        if known is None:
            return self._decode_other(frame, recv_ns)
        channel, route = known
        try:
            raw = route.decode(frame)
        except _JSON_ERRORS as error:
            return self._on_other(decoding(channel, _other, frame), refusal(channel, error))
        if raw.channel != channel or raw.event not in _DATA_EVENTS:
            unexpected = DecodeError(channel, "schema", f"event {raw.event[:32]!r}")
            return self._on_other(decoding(channel, _other, frame), unexpected)
        return route.build(raw, self._pair if route.is_spot else self._contract, recv_ns)

    def actions(self) -> list[Action]:
        asked, self._actions = self._actions, []
        return asked

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return self._decode_body(tag, body, recv_ns)

    def _pair(self, symbol: str) -> Place:
        place = self._directory.pairs.get(symbol)
        if place is not None:
            return place
        self._refuse_on_live_socket(symbol)
        return self._directory.pair(symbol)

    def _contract(self, symbol: str) -> Place:
        place = self._directory.contracts.get(symbol)
        if place is not None:
            return place
        self._refuse_on_live_socket(symbol)
        return self._directory.contract(symbol)

    def _refuse_on_live_socket(self, symbol: str) -> None:
        if self._is_live and not self._directory.is_empty:
            raise DecodeError("-", "unknown_instrument", repr(symbol[:64]))

    def _decode_other(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """A frame whose channel does not stand where it usually does, or is none of data."""
        other = decoding("-", _other, frame)
        route = ROUTES.get(other.channel)
        if route is None or other.event not in _DATA_EVENTS or other.error is not None:
            return self._on_other(other, DecodeError("-", "unknown_channel", f"channel {other.channel[:64]!r}"))
        raw = decoding(other.channel, route.decode, frame)
        return route.build(raw, self._pair if route.is_spot else self._contract, recv_ns)

    def _on_other(self, other: _Other, unless: DecodeError) -> list[MarketEvent]:
        """`[]` for acks, pongs and notices.

        Raises: DecodeError `venue_error` for a refusal of the venue, `unless` for all that is none of these.
        """
        if other.error is not None:
            return self._on_refusal(other, other.error)
        if other.event in ("subscribe", "unsubscribe") or other.channel in ("spot.pong", "futures.pong"):
            return []
        if other.event == "upgrade" or other.channel.endswith(".system"):
            if other.event == "upgrade" or b'"upgrade"' in bytes(other.result):
                self._actions.append(Reconnect("the venue upgrades", planned=True))
            return []
        raise unless

    def _on_refusal(self, other: _Other, error: _Error) -> list[MarketEvent]:
        """One unknown symbol fails its whole frame: the symbols are asked for one by one, once."""
        if error.message.startswith(_ALREADY):
            return []
        if other.event == "subscribe" and other.id is not None:
            channel, symbols = self._asked.pop(other.id, ("", []))
            self._actions += [Send(frame) for frame in plan.single_frames(channel, symbols)]
        raise DecodeError(other.channel[:64] or "-", "venue_error", f"{error.code} {error.message}"[:200])
