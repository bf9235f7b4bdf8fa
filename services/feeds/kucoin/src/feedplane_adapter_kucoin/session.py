"""From a frame's first bytes to the one decoder that fits it, so that no frame is parsed twice. Frames of both systems, told by their shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from feedplane_core.adapter import Action, Frame, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.names import MarketType

from . import book, derivatives, klines, quotes, trades
from .units import Lookup, Units
from .wire import JSON_ERRORS, Message, Push, TradeType, ns_of, refusal

Handler: TypeAlias = Callable[[Frame, int], list[MarketEvent]]

_PUSHED = b'{"T":"'
_TOPIC = b'"topic":"'
_DATA_FIRST = b'{"data":'
_TICKER_ALL = "all"

_uta_trade = msgspec.json.Decoder(Push[trades.UtaTrade]).decode
_uta_ticker = msgspec.json.Decoder(Push[quotes.UtaTicker]).decode
_uta_kline = msgspec.json.Decoder(Push[klines.UtaKline]).decode
_uta_mark = msgspec.json.Decoder(Push[derivatives.UtaMark]).decode
_uta_funding = msgspec.json.Decoder(Push[derivatives.UtaFunding]).decode
_obu = msgspec.json.Decoder(book.Obu).decode
_wide_obu = msgspec.json.Decoder(book.WideObu).decode

_match = msgspec.json.Decoder(Message[trades.Match]).decode
_execution = msgspec.json.Decoder(Message[trades.Execution]).decode
_spot_ticker = msgspec.json.Decoder(Message[quotes.SpotTicker]).decode
_level1 = msgspec.json.Decoder(Message[quotes.Level1]).decode
_ticker_v2 = msgspec.json.Decoder(Message[quotes.TickerV2]).decode
_level2 = msgspec.json.Decoder(Message[book.Level2]).decode
_change = msgspec.json.Decoder(Message[book.Change]).decode
_partial = msgspec.json.Decoder(Message[book.Partial]).decode
_candles = msgspec.json.Decoder(Message[klines.Candles]).decode
_instrument = msgspec.json.Decoder(Message[derivatives.InstrumentData]).decode


class _Other(msgspec.Struct, frozen=True):
    """Any JSON object: which of the venue's message kinds is it?"""

    T: str = ""
    topic: str = ""
    type: str = ""
    message: str = ""
    reason: str = ""
    sessionId: str = ""
    result: bool | str | None = None
    code: int | str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


_other = msgspec.json.Decoder(_Other).decode


class Session:
    """One socket, or frames of any. All it keeps is what it has learned of symbols, and the candles that are open."""

    def __init__(self, lookup: Lookup, decode_body: Callable[[Tag, bytes, int], list[MarketEvent]]) -> None:
        self._lookup = lookup
        self._decode_body = decode_body
        self._candles = klines.OpenCandles()
        self._pushed: dict[bytes, Handler] = {
            b"mark-price": self._on_uta_mark,
            b"mark-price.FUTURES": self._on_uta_mark,
            b"funding-fee": self._on_uta_funding,
            b"funding-fee.FUTURES": self._on_uta_funding,
        }
        for trade_type in TradeType:
            self._pushed |= {
                f"trade.{trade_type}".encode(): self._uta_trades(trade_type),
                f"ticker.{trade_type}".encode(): self._uta_tickers(trade_type),
                f"obu.{trade_type}".encode(): self._uta_books(trade_type),
                f"kline.{trade_type}".encode(): self._uta_klines(trade_type),
            }
        self._topics: dict[bytes, Handler] = {
            b"/market/match": self._on_match,
            b"/market/ticker": self._on_spot_ticker,
            b"/market/level2": self._on_level2,
            b"/market/candles": self._on_candles,
            b"/spotMarket/level1": self._on_level1,
            b"/spotMarket/level2Depth5": self._partials("/spotMarket/level2Depth5", 5),
            b"/spotMarket/level2Depth50": self._partials("/spotMarket/level2Depth50", 50),
            b"/contractMarket/execution": self._on_execution,
            b"/contractMarket/tickerV2": self._on_ticker_v2,
            b"/contractMarket/level2": self._on_change,
            b"/contractMarket/level2Depth5": self._partials("/contractMarket/level2Depth5", 5),
            b"/contractMarket/level2Depth50": self._partials("/contractMarket/level2Depth50", 50),
            b"/contract/instrument": self._on_instrument,
        }

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`."""
        try:
            handler = self._handler_of(frame)
            if handler is None:
                handler = self._find_handler(frame)
            return handler(frame, recv_ns) if handler is not None else []
        except JSON_ERRORS as error:
            raise refusal(_channel_of(frame), error) from None

    def actions(self) -> list[Action]:
        """None: snapshots are asked for by whoever keeps the books."""
        return []

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return self._decode_body(tag, body, recv_ns)

    # Which decoder

    def _handler_of(self, frame: Frame) -> Handler | None:
        """By the usual places: `{"T":"` leads a UTA frame, a classic topic stands first or, in old frames, behind the data."""
        if frame.startswith(_PUSHED):
            return self._pushed.get(frame[6 : frame.find(b'"', 6)])
        return self._topics.get(_head_of(frame))

    def _find_handler(self, frame: Frame) -> Handler | None:
        """For a frame of unusual order; `None` for what yields nothing.

        Raises: DecodeError `venue_error` for a refusal of the venue, `unknown_channel` for what is not carried.
        """
        other = _other(frame)
        if other.T:
            handler = self._pushed.get(other.T.encode())
            if handler is None:
                raise DecodeError("-", "unknown_channel", f"channel {other.T[:48]!r}")
            return handler
        if other.topic:
            handler = self._topics.get(other.topic.partition(":")[0].encode())
            if handler is None:
                raise DecodeError("-", "unknown_channel", f"topic {other.topic[:64]!r}")
            return handler
        if other.type == "error" or _is_refused(other.result):
            raise DecodeError("-", "venue_error", frame[:200].decode(errors="replace"))
        if other.type in ("welcome", "ack", "pong") or other.sessionId or other.result is not None:
            return None
        raise DecodeError("-", "unknown_channel", f"neither data nor an answer: type {other.type[:32]!r}")

    # UTA

    def _units(self, symbol: str, trade_type: TradeType, channel: str) -> Units:
        units = self._lookup(symbol, channel)
        if (units.market is MarketType.SPOT) is not (trade_type is TradeType.SPOT):
            raise DecodeError(channel, "schema", f"{symbol[:64]!r} on a stream of {trade_type}")
        return units

    def _uta_trades(self, trade_type: TradeType) -> Handler:
        def on_trade(frame: Frame, recv_ns: int) -> list[MarketEvent]:
            data = _uta_trade(frame).d
            return [trades.decode_uta_trade(data, self._units(data.s, trade_type, trades.TRADE), recv_ns)]

        return on_trade

    def _uta_tickers(self, trade_type: TradeType) -> Handler:
        def on_ticker(frame: Frame, recv_ns: int) -> list[MarketEvent]:
            data = _uta_ticker(frame).d
            return [quotes.decode_uta_ticker(data, self._units(data.s, trade_type, quotes.TICKER), recv_ns)]

        return on_ticker

    def _uta_books(self, trade_type: TradeType) -> Handler:
        def on_obu(frame: Frame, recv_ns: int) -> list[MarketEvent]:
            try:
                raw = _obu(frame)
            except msgspec.ValidationError:
                raw = book.narrow(_wide_obu(frame))  # rows of three, or a refusal after all
            return [book.decode_obu(raw, self._units(raw.d.s, trade_type, book.OBU), recv_ns)]

        return on_obu

    def _uta_klines(self, trade_type: TradeType) -> Handler:
        def on_kline(frame: Frame, recv_ns: int) -> list[MarketEvent]:
            push = _uta_kline(frame)
            units = self._units(push.d.s, trade_type, klines.CHANNEL)
            return [klines.decode_uta_kline(push.d, units, ns_of(push.P, klines.CHANNEL), recv_ns)]

        return on_kline

    def _on_uta_mark(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        data = _uta_mark(frame).d
        return derivatives.decode_uta_mark(data, self._units(data.s, TradeType.FUTURES, derivatives.MARK), recv_ns)

    def _on_uta_funding(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        push = _uta_funding(frame)
        units = self._units(push.d.s, TradeType.FUTURES, derivatives.FUNDING)
        return [derivatives.decode_uta_funding(push.d, units, ns_of(push.P, derivatives.FUNDING), recv_ns)]

    # Classic: the envelope's topic, not its place in the bytes, says whose data it is

    def _of_topic(self, topic: str, head: str, trade_type: TradeType, channel: str, symbol: str | None = None) -> Units:
        """Units of the symbol in the topic, which the data must repeat if it names one."""
        named, _, place = topic.partition(":")
        if named != head or (symbol is not None and symbol != place):
            raise DecodeError(channel, "schema", f"topic {topic[:80]!r}")
        return self._units(place, trade_type, channel)

    def _on_match(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _match(frame)
        units = self._of_topic(message.topic, "/market/match", TradeType.SPOT, trades.MATCH, message.data.symbol)
        return [trades.decode_match(message.data, units, recv_ns)]

    def _on_execution(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _execution(frame)
        units = self._of_topic(
            message.topic, "/contractMarket/execution", TradeType.FUTURES, trades.EXECUTION, message.data.symbol
        )
        return [trades.decode_execution(message.data, units, recv_ns)]

    def _on_spot_ticker(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _spot_ticker(frame)
        topic = message.topic
        if topic.endswith(f":{_TICKER_ALL}"):  # all symbols on one topic: the subject names the one
            topic = f"/market/ticker:{message.subject}"
        units = self._of_topic(topic, "/market/ticker", TradeType.SPOT, quotes.TICKER)
        return [quotes.decode_spot_ticker(message.data, units, recv_ns)]

    def _on_level1(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _level1(frame)
        units = self._of_topic(message.topic, "/spotMarket/level1", TradeType.SPOT, quotes.LEVEL1)
        return [quotes.decode_level1(message.data, units, recv_ns)]

    def _on_ticker_v2(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _ticker_v2(frame)
        units = self._of_topic(
            message.topic, "/contractMarket/tickerV2", TradeType.FUTURES, quotes.TICKER_V2, message.data.symbol
        )
        return [quotes.decode_ticker_v2(message.data, units, recv_ns)]

    def _on_level2(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _level2(frame)
        units = self._of_topic(message.topic, "/market/level2", TradeType.SPOT, book.LEVEL2, message.data.symbol)
        return [book.decode_level2(message.data, units, recv_ns)]

    def _on_change(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _change(frame)
        units = self._of_topic(message.topic, "/contractMarket/level2", TradeType.FUTURES, book.LEVEL2_FUTURES)
        return [book.decode_change(message.data, units, recv_ns)]

    def _partials(self, head: str, depth: int) -> Handler:
        trade_type = TradeType.SPOT if head.startswith("/spot") else TradeType.FUTURES

        def on_partial(frame: Frame, recv_ns: int) -> list[MarketEvent]:
            message = _partial(frame)
            units = self._of_topic(message.topic, head, trade_type, book.PARTIAL)
            return [book.decode_partial(message.data, units, depth, recv_ns)]

        return on_partial

    def _on_candles(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _candles(frame)
        symbol, _, _ = message.topic.rpartition("_")
        units = self._of_topic(symbol, "/market/candles", TradeType.SPOT, klines.CHANNEL, message.data.symbol)
        kline = klines.decode_candles(message.data, message.topic, units, recv_ns)
        return [*self._candles.on_candle(kline)]

    def _on_instrument(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        message = _instrument(frame)
        units = self._of_topic(message.topic, "/contract/instrument", TradeType.FUTURES, derivatives.INSTRUMENT)
        return [derivatives.decode_instrument(message.data, message.subject, units, recv_ns)]


def _head_of(frame: Frame) -> bytes:
    """The topic without its symbol, by its usual places: near the front, or behind the data (frames of 2021)."""
    place = frame.rfind(_TOPIC) if frame.startswith(_DATA_FIRST) else frame.find(_TOPIC)
    start = place + len(_TOPIC)
    return frame[start : frame.find(b":", start)] if place >= 0 else b""


def _is_refused(result: Any) -> bool:
    return result is False or (isinstance(result, str) and result.lower() == "false")


def _channel_of(frame: Frame) -> str:
    """For a refused frame: what its usual places say that it is, out of a small fixed set."""
    if frame.startswith(_PUSHED):
        kind = frame[6 : frame.find(b'"', 6)].partition(b".")[0]
        return kind.decode() if kind in _UTA_CHANNELS else "-"
    return _CLASSIC_CHANNELS.get(_head_of(frame), "-")


_UTA_CHANNELS = frozenset((b"trade", b"ticker", b"obu", b"kline", b"mark-price", b"funding-fee"))
_CLASSIC_CHANNELS = {
    b"/market/match": trades.MATCH,
    b"/market/ticker": quotes.TICKER,
    b"/market/level2": book.LEVEL2,
    b"/market/candles": klines.CHANNEL,
    b"/spotMarket/level1": quotes.LEVEL1,
    b"/contractMarket/execution": trades.EXECUTION,
    b"/contractMarket/tickerV2": quotes.TICKER_V2,
    b"/contractMarket/level2": book.LEVEL2_FUTURES,
    b"/contract/instrument": derivatives.INSTRUMENT,
}
