"""From a frame to its channel's decoder, and what one socket remembers: channel ids, numbers, acknowledgements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import NamedTuple

from feedplane_core.adapter import Action, Connection, Frame, Reconnect, Send, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent

from . import book, derivatives, klines, trades
from .plan import BULK_UPDATES, SEQ_ALL, subscribe_frame
from .symbols import Directory
from .watch import ACK_WITHIN_NS, Acks, Heartbeats, Numbers, Place
from .wire import MAX_MS, MIN_MS, Row, Value, decoded, ms_ns

HEARTBEAT = "hb"
MAX_HELD = 256
"""Frames kept that came before the acknowledgement that says whose they are."""
_WITH_BODY = frozenset({"te", "tu", "fte", "ftu", "cs"})
_DUPLICATE = 10301


class Settings(NamedTuple):
    """The switches that decoding depends on."""

    book_length: int = book.DEFAULT_LENGTH
    index_source: str = "mark"
    counts_fills: bool = False


class _Data(NamedTuple):
    """One array frame, taken apart."""

    kind: str  # "te", "tu", "cs", ..., "" where the payload has no name
    body: Value
    ts_event_ns: int | None
    recv_ns: int


_Handler = Callable[[_Data], list[MarketEvent]]


class Session:
    """State of one live socket.

    `chan_ids` (name -> id) is shared with the adapter, which needs it for frames that end a channel. Numbers are enforced on planned sockets alone: a recording that is cut out
    of the middle of something is decoded all the same.
    """

    def __init__(
        self,
        directory: Directory,
        connection: Connection | None,
        settings: Settings,
        chan_ids: MutableMapping[str, int],
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._is_live = connection is not None
        self._chan_ids = chan_ids
        self._handlers: dict[int, _Handler] = {}
        self._book_chans: set[int] = set()
        self._held: list[tuple[int, _Data]] = []
        self._flags = 0
        self._numbers = Numbers()
        self._acks = Acks(c.name for c in connection.channels) if connection is not None else Acks(())
        self._heartbeats = Heartbeats()
        self._is_broken = False  # a frame was lost: what comes until the socket is replaced joins nothing
        self._actions: list[Action] = []

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `feedplane_core.adapter.Session`. Raises: DecodeError."""
        if recv_ns >= self._acks.due_ns:
            for name in self._acks.remind(recv_ns):
                self._actions.append(Send(subscribe_frame(name, self._settings.book_length)))
        try:
            message = decoded("-", frame)
        except DecodeError:
            self._lose("unreadable")
            raise
        if type(message) is list:
            return self._on_array(message, recv_ns)
        if type(message) is dict:
            return self._on_object(message, recv_ns)
        raise DecodeError("-", "schema", "neither array nor object")

    def actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """Nothing is ever asked for. Raises: DecodeError."""
        raise DecodeError(tag.kind, "unknown_channel", "nothing of the kind was asked for")

    def _lose(self, reason: str) -> None:
        """What a live socket has lost may be of any of its channels: only a new one makes them whole. Events end here, so that their gaps begin before the loss."""
        if self._is_live and not self._is_broken:
            self._is_broken = True
            self._actions.append(Reconnect(reason))

    # Data

    def _on_array(self, message: Row, recv_ns: int) -> list[MarketEvent]:
        """`[CHAN_ID, payload, SEQ, TS]`, `[CHAN_ID, "te", payload, SEQ, TS]`, `[CHAN_ID, "hb", SEQ, TS]`."""
        if len(message) < 2 or type(message[0]) is not int:
            self._lose("unreadable")
            raise DecodeError("-", "schema", "no frame of a channel")
        chan_id, payload = message[0], message[1]
        kind = payload if type(payload) is str else ""
        number, ts_event_ns = _tail_of(message, 3 if kind in _WITH_BODY else 2)
        if self._is_live and number is not None and self._flags & SEQ_ALL:
            place = self._numbers.take(number)
            if place is Place.REPEATED:
                return []
            if place is Place.AFTER_LOSS:
                self._lose("sequence")
        if self._is_broken:
            return []
        if self._is_live:
            self._heartbeats.on_frame(chan_id, recv_ns)
            if kind == HEARTBEAT and self._heartbeats.found_silent(recv_ns):
                self._actions.append(Reconnect("heartbeat_missing"))
        if kind == HEARTBEAT:
            return []
        body = message[2] if kind in _WITH_BODY and len(message) > 2 else payload
        data = _Data(kind, body, ts_event_ns, recv_ns)
        handler = self._handlers.get(chan_id)
        if handler is None:
            return self._hold(chan_id, data)
        try:
            return handler(data)
        except DecodeError:
            if chan_id in self._book_chans:
                self._lose("rejected")  # the book is wrong from here on, and no number of its own would tell
            raise

    def _hold(self, chan_id: int, data: _Data) -> list[MarketEvent]:
        """Frames may come before the acknowledgement of their channel. Raises: DecodeError where too many do."""
        self._held = [entry for entry in self._held if 0 <= data.recv_ns - entry[1].recv_ns <= ACK_WITHIN_NS]
        if len(self._held) >= MAX_HELD:
            raise DecodeError("-", "unknown_channel", f"channel {chan_id} was never acknowledged")
        self._held.append((chan_id, data))
        return []

    # Objects

    def _on_object(self, message: Mapping[str, Value], recv_ns: int) -> list[MarketEvent]:
        match message.get("event"):
            case "subscribed":
                return self._on_subscribed(message, recv_ns)
            case "unsubscribed":
                self._forget(message.get("chanId"))
            case "conf":
                self._on_conf(message)
            case "info":
                self._on_info(message)
            case "pong":
                pass  # a client's ping is optional and not sent; nothing is to be done with an answer
            case "error":
                self._on_error(message, recv_ns)
            case event:
                raise DecodeError("-", "unknown_channel", f"event {str(event)[:32]!r}")
        return []

    def _on_subscribed(self, message: Mapping[str, Value], recv_ns: int) -> list[MarketEvent]:
        """From here on `chanId` means this channel; what came for it before is decoded now."""
        chan_id = message.get("chanId")
        if type(chan_id) is not int:
            raise DecodeError("-", "schema", "subscribed without chanId")
        name = _name_of(message)
        self._acks.on_answer(name, recv_ns)
        if self._is_live:
            self._heartbeats.on_frame(chan_id, recv_ns)
        self._chan_ids[name] = chan_id
        return self._open(chan_id, message, recv_ns)

    def _open(self, chan_id: int, message: Mapping[str, Value], recv_ns: int) -> list[MarketEvent]:
        self._handlers[chan_id] = handler = self._handler_of(message)
        self._book_chans.discard(chan_id)
        if message.get("channel") == book.CHANNEL:
            self._book_chans.add(chan_id)
        early = [data for held_id, data in self._held if held_id == chan_id]
        self._held = [entry for entry in self._held if entry[0] != chan_id]
        events: list[MarketEvent] = []
        for data in early:
            if 0 <= recv_ns - data.recv_ns <= ACK_WITHIN_NS:
                try:
                    events += handler(data._replace(recv_ns=recv_ns))
                except DecodeError:
                    self._lose("rejected")  # the acknowledgement itself is sound
        return events

    def _forget(self, chan_id: Value) -> None:
        if type(chan_id) is int and self._handlers.pop(chan_id, None) is not None:
            self._heartbeats.forget(chan_id)
            for name in [name for name, known in self._chan_ids.items() if known == chan_id]:
                del self._chan_ids[name]

    def _on_conf(self, message: Mapping[str, Value]) -> None:
        flags = message.get("flags")
        if message.get("status") != "OK" or type(flags) is not int:
            raise DecodeError("-", "venue_error", f"conf: {str(message.get('status'))[:100]}")
        self._flags = flags

    def _on_info(self, message: Mapping[str, Value]) -> None:
        """20051: the server stops; 20061: maintenance has ended and every book is to be had anew. All else is for people."""
        version = message.get("version")
        if version is not None and version != 2:
            raise DecodeError("-", "venue_error", f"protocol version {str(version)[:16]}")
        match message.get("code"):
            case 20051:
                self._actions.append(Reconnect("server_stopping", planned=True))
            case 20061:
                self._lose("maintenance")

    def _on_error(self, message: Mapping[str, Value], recv_ns: int) -> None:
        """A refusal is final, but for `dup`: that channel is open, under the id which is told."""
        name, chan_id = _name_of(message), message.get("chanId")
        self._acks.on_answer(name, recv_ns)
        if message.get("code") == _DUPLICATE and type(chan_id) is int and chan_id not in self._handlers:
            self._chan_ids[name] = chan_id
            self._open(chan_id, message, recv_ns)
        raise DecodeError("-", "venue_error", f"{message.get('code')} {message.get('msg')}: {name}"[:200])

    def _handler_of(self, message: Mapping[str, Value]) -> _Handler:
        """The decoder of an acknowledged channel. Raises: DecodeError for a symbol that is none."""
        channel, symbol, key = message.get("channel"), _text(message, "symbol"), _text(message, "key")
        match channel:
            case "trades":
                return self._trades_handler(symbol)
            case "book":
                return self._book_handler(symbol, message)
            case "candles":
                interval_s, symbol = klines.parts_of(key)
                candles = klines.Candles(symbol, self._directory.market_of(symbol), interval_s)
                return lambda data: candles.on_candles(_unnamed(data, klines.CHANNEL), data.ts_event_ns, data.recv_ns)
            case "status" if key == derivatives.LIQUIDATIONS:
                return self._on_liquidations
            case "status" if key.startswith(derivatives.DERIVATIVE):
                symbol = key.removeprefix(derivatives.DERIVATIVE)
                status = derivatives.Status(symbol, self._directory.market_of(symbol), self._settings.index_source)
                return lambda data: status.on_status(_unnamed(data, derivatives.CHANNEL), data.recv_ns)
            case "ticker":
                return _on_nothing
        raise DecodeError("-", "unknown_channel", f"channel {str(channel)[:32]!r} {key[:64]!r}")

    def _trades_handler(self, symbol: str) -> _Handler:
        tape = trades.Tape(symbol, self._directory.market_of(symbol))

        def on_data(data: _Data) -> list[MarketEvent]:
            if data.kind in (trades.EXECUTED, trades.CONFIRMED):
                return tape.on_trade(data.kind, data.body, data.recv_ns)
            return tape.on_snapshot(_unnamed(data, trades.CHANNEL), data.recv_ns)

        return on_data

    def _book_handler(self, symbol: str, message: Mapping[str, Value]) -> _Handler:
        """Only `P0` is the book; the others are coarser ones, or orders. Raises: DecodeError."""
        if message.get("prec", "P0") != "P0":
            raise DecodeError(book.CHANNEL, "unknown_channel", f"precision {str(message.get('prec'))[:8]!r}")
        length = _text(message, "len")
        depth = int(length) if length in ("1", "25", "100", "250") else self._settings.book_length
        channel = book.Channel(symbol, self._directory.market_of(symbol), depth)

        def on_data(data: _Data) -> list[MarketEvent]:
            if data.kind == "cs":
                return channel.on_checksum(data.body, data.ts_event_ns, data.recv_ns)
            is_bulk = bool(self._flags & BULK_UPDATES)
            levels = _unnamed(data, book.CHANNEL)
            return channel.on_levels(levels, data.ts_event_ns, data.recv_ns, is_bulk=is_bulk)

        return on_data

    def _on_liquidations(self, data: _Data) -> list[MarketEvent]:
        return derivatives.decode_liquidations(
            _unnamed(data, derivatives.CHANNEL),
            self._directory.market_of,
            data.recv_ns,
            counts_fills=self._settings.counts_fills,
        )


def _tail_of(message: Row, first: int) -> tuple[int | None, int | None]:
    """(sequence number, time in ns) at the end of a frame, each `None` where the socket was not configured for it. Raises: DecodeError."""
    count = len(message)
    if count <= first or type(message[-1]) is not int:
        return None, None
    last = message[-1]
    if not MIN_MS <= last <= MAX_MS:
        return last, None
    number = message[-2] if count - 1 > first else None
    return number if type(number) is int else None, ms_ns(last, "-")


def _unnamed(data: _Data, channel: str) -> Value:
    """Raises: DecodeError for a kind of message that this channel has not."""
    if data.kind:
        raise DecodeError(channel, "unknown_channel", f"message {data.kind[:16]!r}")
    return data.body


def _on_nothing(data: _Data) -> list[MarketEvent]:
    """`ticker`: sizes are sums over 25 levels, every 15 s: no best bid and ask."""
    return []


def _text(message: Mapping[str, Value], field: str) -> str:
    value = message.get(field, "")
    return value if type(value) is str else ""


def _name_of(message: Mapping[str, Value]) -> str:
    """As the plan spells it: `book:tBTCUSD`."""
    return f"{_text(message, 'channel')}:{_text(message, 'symbol') or _text(message, 'key')}"
