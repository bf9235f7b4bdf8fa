"""From a frame's first bytes to the one decoder that fits it, and what one socket remembers."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from feedplane_core.adapter import Action, Connection, Frame, Send, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent

from . import book, futures, klines, quotes, symbols, tickers, trades
from .acks import Acks
from .directory import Directory
from .plan import SPOT, system_of
from .wire import JSON_ERRORS, decoder, decoding, refusal

_SPOT = b'{"channel":"'
_FUTURES = b'{"feed":"'
_NOT_TAKEN = frozenset({"level3", "executions", "balances", "ticker_lite"})
"""Documented channels that no plan subscribes; any other is told in the detail alone, so that labels stay few."""
_MAX_DEPTHS = 20_000
_TOO_FAST = "Exceeded msg rate"
_ANSWERS = frozenset({"subscribe", "unsubscribe", "pong", "info", "subscribed", "unsubscribed"})
"""Methods of spot and events of futures that carry no market data."""

Handler = Callable[[Frame, int], list[MarketEvent]]


class _Result(msgspec.Struct, gc=False):
    """`{"channel":"book","symbol":"BTC/USD","depth":25,"snapshot":true}`"""

    channel: str = ""
    symbol: str = ""
    depth: int | None = None
    interval: int | None = None


class _Other(msgspec.Struct, gc=False):
    """Any object: which of the venue's messages is it? A `result` that is none of an ack is not read."""

    channel: str = ""
    method: str = ""
    success: bool | None = None
    error: str | None = None
    symbol: str = ""
    result: _Result | None = None
    feed: str = ""
    event: str = ""
    message: str = ""


_other = decoder(_Other)
_trades = decoder(trades.Frame)
_quotes = decoder(quotes.Frame)
_book = decoder(book.Frame)
_candles = decoder(klines.Frame)
_instruments = decoder(symbols.InstrumentFrame)
_fill = decoder(futures.Fill)
_fills = decoder(futures.FillSnapshot)
_whole_book = decoder(futures.WholeBook)
_change = decoder(futures.Change)
_ticker = decoder(tickers.Ticker)


class KrakenSession:
    """State of one live socket: the newest candles, the depths that acks have named, and what is not acknowledged yet.

    `directory` is the adapter's own table of contracts and precisions.
    """

    def __init__(
        self, directory: Directory, connection: Connection | None, book_depth: int, *, drops_blocks: bool
    ) -> None:
        self._directory = directory
        self._drops_blocks = drops_blocks
        self._planned_depth = book_depth if connection is not None else None
        self._depths: dict[str, int] = {}
        self._candles = klines.Candles()
        self._actions: list[Action] = []
        is_spot = connection is not None and system_of(connection) == SPOT
        self._acks = Acks(connection.channels if connection is not None and is_spot else (), book_depth)
        self._spot: dict[bytes, Handler] = {
            b"book": self._on_book,
            b"trade": self._on_trades,
            b"ticker": self._on_quotes,
            b"ohlc": self._on_candles,
            b"heartbeat": self._on_nothing,
            b"status": self._on_nothing,
            b"instrument": self._on_instruments,
        }
        self._futures: dict[bytes, Handler] = {
            b"book": self._on_change,
            b"trade": self._on_fill,
            b"ticker": self._on_ticker,
            b"book_snapshot": self._on_whole_book,
            b"trade_snapshot": self._on_fills,
            b"heartbeat": self._on_nothing,
        }

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`. Raises: DecodeError."""
        if recv_ns >= self._acks.due_ns:
            self._actions += map(Send, self._acks.remind(recv_ns))
        handler = None
        channel = "-"
        try:
            if frame.startswith(_SPOT):
                kind = frame[12 : frame.find(b'"', 12)]
                handler = self._spot.get(kind)
            elif frame.startswith(_FUTURES):
                kind = frame[9 : frame.find(b'"', 9)]
                handler = self._futures.get(kind)
            if handler is None:
                return self._decode_other(frame, recv_ns)
            channel = kind.decode()
            return handler(frame, recv_ns)
        except JSON_ERRORS as error:
            raise refusal(channel, error) from None

    def actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """Nothing is ever asked for. Raises: DecodeError."""
        raise DecodeError(tag.kind, "unknown_channel", "nothing of the kind was asked for")

    def _decode_other(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Acks, errors, and data whose keys stand in another order."""
        other = _other(frame)
        name = other.channel or other.feed
        if other.error is not None or other.success is False:
            self._refuse(other, recv_ns)
        if other.event in ("error", "alert"):
            raise DecodeError("-", "venue_error", f"{other.event}: {other.message}"[:200])
        if (other.method or other.event) in _ANSWERS:
            if other.result is not None:
                self._on_ack(other.method, other.result, recv_ns)
            return []
        handler = (self._spot if other.channel else self._futures).get(name.encode(errors="replace"))
        if handler is None:
            told = name or other.event or other.method
            raise DecodeError(name if name in _NOT_TAKEN else "-", "unknown_channel", repr(told[:32]))
        try:
            return handler(frame, recv_ns)
        except JSON_ERRORS as error:
            raise refusal(name, error) from None

    def _refuse(self, other: _Other, recv_ns: int) -> None:
        """A refusal of a symbol is final; one of the rate says that the request was dropped, and `Acks` asks again."""
        if other.symbol and other.method == "subscribe" and other.error != _TOO_FAST:
            self._acks.on_refusal(other.symbol, recv_ns)
        detail = f"{other.method} {other.symbol}: {other.error}" if other.symbol else f"{other.method}: {other.error}"
        raise DecodeError("-", "venue_error", detail[:200])

    def _on_ack(self, method: str, result: _Result, recv_ns: int) -> None:
        if method != "subscribe" or not result.symbol:
            return
        name = result.channel if result.interval is None else f"{result.channel}-{result.interval}"
        self._acks.on_answer(name, result.symbol, recv_ns)
        if result.channel == "book" and result.depth in book.DEPTHS and len(self._depths) < _MAX_DEPTHS:
            self._depths[result.symbol] = result.depth

    def _depth_of(self, symbol: str) -> int | None:
        return self._depths.get(symbol, self._planned_depth)

    # Spot

    def _on_nothing(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Read all the same, so that a frame that is cut does not pass for whole."""
        _other(frame)
        return []

    def _on_book(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        return book.decode_book(_book(frame), recv_ns, self._depth_of)

    def _on_trades(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        return trades.decode_trades(_trades(frame), recv_ns)

    def _on_quotes(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        return quotes.decode_quotes(_quotes(frame), recv_ns)

    def _on_candles(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        try:
            return self._candles.take(decoding(klines.CHANNEL, _candles, frame), recv_ns)
        except DecodeError:
            self._candles.forget()
            raise

    def _on_instruments(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Pairs as they change; instruments are read by REST, precisions are needed at once."""
        pairs = _instruments(frame).data.pairs
        self._directory.learn({pair.symbol: symbols.precision_of(pair) for pair in pairs})
        return []

    # Futures

    def _on_fill(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        fill = _fill(frame)
        contract = self._directory.contract(fill.product_id, futures.TRADE)
        return futures.decode_fill(fill, contract, recv_ns, drops_blocks=self._drops_blocks)

    def _on_fills(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        snapshot = _fills(frame)
        contract = self._directory.contract(snapshot.product_id, futures.TRADE)
        return futures.decode_fills(snapshot, contract, recv_ns, drops_blocks=self._drops_blocks)

    def _on_change(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        change = _change(frame)
        return [futures.decode_change(change, self._directory.contract(change.product_id, futures.BOOK), recv_ns)]

    def _on_whole_book(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        whole = _whole_book(frame)
        return [futures.decode_whole_book(whole, self._directory.contract(whole.product_id, futures.BOOK), recv_ns)]

    def _on_ticker(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        ticker = _ticker(frame)
        return tickers.decode_ticker(ticker, self._directory.contract(ticker.product_id, tickers.TICKER), recv_ns)
