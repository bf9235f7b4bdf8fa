"""One socket: which decoder a frame belongs to, and what the socket owes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from feedplane_core.adapter import Action, Connection, Fetch, Frame, Reconnect, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.names import Feed

from . import rest
from .book import L2Snapshot, L2Update, decode_l2update, decode_snapshot
from .losses import Missing, SilenceWatch, TapeWatch
from .plan import CHANNEL_OF, HEARTBEAT
from .trades import Match, Mention, decode_match
from .wire import JSON_ERRORS, iso_ns, refusal

MAX_WAITING_ACTIONS = 256
"""Beyond it a loss is left to backfill, which finds it by its gap."""

_TYPED = b'{"type":"'
_NOT_TAKEN = frozenset({"received", "open", "done", "change", "activate", "auction", "rfq_match", "level3"})
"""Documented types of channels that no plan subscribes; any other is told in the detail alone, so that labels stay few."""


class _Subscribed(msgspec.Struct, gc=False):
    name: str
    product_ids: list[str] = []


class _Subscriptions(msgspec.Struct, gc=False):
    """`{"type":"subscriptions","channels":[{"name":"level2","product_ids":["ETH-USD"]}]}`: always the full list."""

    channels: list[_Subscribed] = []


class _Error(msgspec.Struct, gc=False):
    """`{"type":"error","message":"Failed to subscribe","reason":"..."}`; the venue closes after it."""

    message: str = ""
    reason: str = ""


class _Probe(msgspec.Struct, gc=False):
    type: str


_snapshot = msgspec.json.Decoder(L2Snapshot).decode
_l2update = msgspec.json.Decoder(L2Update).decode
_match = msgspec.json.Decoder(Match).decode
_mention = msgspec.json.Decoder(Mention).decode
_subscriptions = msgspec.json.Decoder(_Subscriptions).decode
_error = msgspec.json.Decoder(_Error).decode
_probe = msgspec.json.Decoder(_Probe).decode


class ExchangeSession:
    """State of one live socket: the newest trade ids and book times of its products, and the effects it asks for."""

    def __init__(self, rest_base: str, connection: Connection | None) -> None:
        self._rest = rest_base
        channels = connection.channels if connection else ()
        traded = frozenset(c.instrument for c in channels if c.feed is Feed.TRADES)
        self._tape = TapeWatch(traded if connection else None)
        self._is_planned = connection is not None
        self._silence = SilenceWatch()
        self._book_ns: dict[str, int | None] = {}
        self._actions: list[Action] = []
        self._handlers: dict[bytes, Callable[[Frame, int], list[MarketEvent]]] = {
            b"l2update": self._on_l2update,
            b"match": self._on_match,
            b"snapshot": self._on_snapshot,
            b"last_match": self._on_mention,
            b"ticker": self._on_mention,
            b"heartbeat": self._on_heartbeat,
            b"subscriptions": self._on_subscriptions,
            b"status": self._on_status,
            b"error": self._on_error,
        }

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One event a `match`, `snapshot` or `l2update`; `[]` for what only speaks of the socket or of what was before.

        Raises: DecodeError.
        """
        kind = b""
        try:
            if frame.startswith(_TYPED):
                kind = frame[9 : frame.find(b'"', 9)]
            handler = self._handlers.get(kind)
            if handler is None:  # white space, another order of keys, or a type that is not taken
                kind = _probe(frame).type.encode(errors="replace")
                handler = self._handlers.get(kind)
            if handler is not None:
                return handler(frame, recv_ns)
        except JSON_ERRORS as error:
            raise refusal(kind.decode() if kind in self._handlers else "-", error) from error
        name = kind.decode()
        raise DecodeError(name if name in _NOT_TAKEN else "-", "unknown_channel", f"type {name[:32]!r}")

    def actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """The lost trades among the rows, in order. Raises: DecodeError."""
        return rest.decode_missing(tag, body, recv_ns)

    def _on_l2update(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        data = _l2update(frame)
        ts_event_ns = iso_ns(data.time, "l2update") if data.time else None
        if ts_event_ns is None:
            # Valid updates have come with time 0001-01-01; theirs is that of the frame before. Source: tardis-node, Coinbase mapper, read 2026-11-20.
            ts_event_ns = self._book_ns.get(data.product_id)
        diff = decode_l2update(data, ts_event_ns, recv_ns)
        self._book_ns[data.product_id] = ts_event_ns
        return [diff]

    def _on_snapshot(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        snapshot = decode_snapshot(_snapshot(frame), recv_ns)
        self._book_ns[snapshot.instrument] = snapshot.ts_event_ns
        return [snapshot]

    def _on_match(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        data = _match(frame)
        trade = decode_match(data, recv_ns)
        missing = self._tape.on_match(data.product_id, data.trade_id)
        if missing is not None:
            self._ask_for(missing)
        return [trade]

    def _on_mention(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """`last_match` and `ticker` repeat a trade that `matches` carries or that was before this socket: no event, but a claim on the tape."""
        data = _mention(frame)
        if data.trade_id:
            self._claim(data.product_id, data.trade_id, recv_ns)
        return []

    def _on_heartbeat(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        data = _mention(frame)
        time_ns = iso_ns(data.time, HEARTBEAT) if data.time else None
        if data.last_trade_id:
            self._claim(data.product_id, data.last_trade_id, recv_ns)
        if time_ns is not None and self._silence.on_heartbeat(data.product_id, time_ns) is not None:
            self._ask(Reconnect("heartbeat_missing"))
        return []

    def _on_subscriptions(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """The watches follow what is subscribed now: channels come and go on a live socket."""
        subscribed = {channel.name: channel.product_ids for channel in _subscriptions(frame).channels}
        self._silence.keep(frozenset(subscribed.get(HEARTBEAT, ())))
        if self._is_planned:
            self._tape.keep(frozenset(subscribed.get(CHANNEL_OF[Feed.TRADES], ())))
        return []

    def _on_status(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Products and currencies; instruments are read by REST."""
        _probe(frame)
        return []

    def _on_error(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        data = _error(frame)
        raise DecodeError("error", "venue_error", f"{data.message}: {data.reason}"[:200])

    def _claim(self, product: str, number: int, recv_ns: int) -> None:
        missing = self._tape.on_mention(product, number, recv_ns)
        if missing is not None:
            self._ask_for(missing)

    def _ask_for(self, missing: Missing) -> None:
        for request in rest.missing_trades(self._rest, missing.product, missing.first, missing.last):
            self._ask(Fetch(request))

    def _ask(self, action: Action) -> None:
        if len(self._actions) < MAX_WAITING_ACTIONS:
            self._actions.append(action)
