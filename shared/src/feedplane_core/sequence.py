"""`FeedTracker`: what tells a repeated message from a new one, and a hole from a pause, for every feed but books.

One tracker per (instrument, feed) sees the events of all sockets that carry it. Identities that were had are dropped; numbers or beats that are missing become
a `Gap`; an interruption is a hole until the next event closes it, or proves by its number that nothing was missed.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from .adapter import TradeIds
from .events import Event, Gap, Kline, Liquidation, TopOfBook, Trade
from .identity import identity_of, raw_hash
from .names import NS_PER_S, Feed, MarketType
from .sync import event_ceiling_ns, event_floor_ns

REMEMBERED_IDENTITIES = 1_000
MAX_OPEN_RANGES = 256
_LATE_BEAT = 1.6  # of the venue's own cadence: one missed beat is 2.0, jitter of a healthy feed stays below 1.5


class Tracked(msgspec.Struct, frozen=True):
    """Whether the event is new, and the gaps that it opened, closed or repaired."""

    is_new: bool
    gaps: tuple[Gap, ...] = ()


_DUPLICATE = Tracked(False)
_NEW = Tracked(True)


class FeedTracker:
    """One feed of one instrument.

    `trade_ids` applies to trades; `every_ns` is the venue's cadence where it promises one, `skips_empty` says that it sends no kline without trades.
    """

    def __init__(
        self,
        exchange: str,
        market_type: MarketType,
        instrument: str,
        feed: Feed,
        *,
        trade_ids: TradeIds = TradeIds.NONE,
        every_ns: int | None = None,
        skips_empty: bool = False,
    ) -> None:
        self._exchange = exchange
        self._market_type = market_type
        self._instrument = instrument
        self._feed = feed
        self._counts_ids = feed is Feed.TRADES and trade_ids is TradeIds.CONSECUTIVE
        self._every_ns = every_ns
        self._skips_empty = skips_empty
        self._last_ns: int | None = None  # floor of the newest event
        self._last_event_ns: int | None = None  # newest venue time
        self._last_key: tuple[int, ...] | None = None
        self._last_id: int | None = None
        self._missing: OrderedDict[int, tuple[int, Gap]] = (
            OrderedDict()
        )  # first missing id -> (last missing id, its gap)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._open: Gap | None = None
        self._closed_klines: dict[int, int] = {}  # interval_s -> open_ns of the last closed one

    @property
    def position(self) -> tuple[int | None, int | None]:
        """(time, trade id) of the newest event: where a successor resumes."""
        return self._last_ns, self._last_id

    @property
    def open_gap(self) -> Gap | None:
        return self._open

    def resume(self, last_ns: int, last_id: int | None, reason: str) -> list[Gap]:
        """Continue after a predecessor that kept everything up to here."""
        self._last_ns, self._last_id = last_ns, last_id
        return self.interrupt(reason, last_ns)

    def interrupt(self, reason: str, now_ns: int) -> list[Gap]:
        """Nothing more can be trusted to arrive: opens a hole from the newest event (or from `now_ns` if there was none)."""
        if self._open is not None:
            return []
        from_ns = self._last_ns if self._last_ns is not None else now_ns
        self._open = self._gap(reason, from_ns, None, None, None, "open", now_ns)
        return [self._open]

    def on_event(self, event: Event) -> Tracked:
        """Judge the next event of any socket."""
        if self._counts_ids and isinstance(event, Trade):
            return self._on_counted_trade(event)
        if isinstance(event, Kline):
            return self._on_kline(event)
        if isinstance(event, Trade | Liquidation):
            return self._on_identified(event)
        return self._on_ordered(event)

    def _on_counted_trade(self, trade: Trade) -> Tracked:
        number = int(trade.trade_id)
        last = self._last_id
        if last is None:
            self._last_id = number
            return self._accept(trade)
        if number == last + 1:
            self._last_id = number
            return self._accept(trade, proves_continuity=True)
        if number > last:
            self._last_id = number
            return self._accept_after_hole(trade, last + 1, number - 1)
        if repaired := self._fill(number, trade.ts_recv_ns):
            return repaired
        if (
            trade.ts_event_ns is not None
            and self._last_event_ns is not None
            and trade.ts_event_ns > self._last_event_ns
        ):
            # Newer than all we have seen and yet numbered lower: the venue began to count anew.
            gap = self._gap(
                "sequence_reset", self._floor(), event_ceiling_ns(trade), None, None, "closed", trade.ts_recv_ns
            )
            self._last_id = number
            self._missing.clear()
            self._open = None
            self._accept(trade)
            return Tracked(True, (gap,))
        return _DUPLICATE

    def _accept_after_hole(self, trade: Trade, first: int, last: int) -> Tracked:
        gap = self._gap(
            self._open.reason if self._open else "sequence",
            self._floor(),
            event_ceiling_ns(trade),
            first,
            last,
            "closed",
            trade.ts_recv_ns,
        )
        closed = self._close_open(trade, repaired=True)  # the numbered gap says it more exactly
        if len(self._missing) >= MAX_OPEN_RANGES:
            self._missing.popitem(last=False)
        self._missing[first] = (last, gap)
        self._note(trade)
        return Tracked(True, (gap, *closed))

    def _fill(self, number: int, now_ns: int) -> Tracked | None:
        """A number from inside a hole: late, not repeated. The hole shrinks; when nothing is left of it, it is repaired."""
        for first, (last, gap) in self._missing.items():
            if first <= number <= last:
                del self._missing[first]
                if first < number:
                    self._missing[first] = (number - 1, gap)
                if number < last:
                    self._missing[number + 1] = (last, gap)
                if any(other.gap_id == gap.gap_id for _, other in self._missing.values()):
                    return _NEW
                repaired = msgspec.structs.replace(gap, state="repaired", repaired_from="late", ts_recv_ns=now_ns)
                return Tracked(True, (repaired,))
        return None

    def _on_identified(self, event: Event) -> Tracked:
        identity = identity_of(event)
        if identity in self._seen:
            return _DUPLICATE
        self._seen[identity] = None
        if len(self._seen) > REMEMBERED_IDENTITIES:
            self._seen.popitem(last=False)
        return self._accept(event)

    def _on_kline(self, kline: Kline) -> Tracked:
        last_open = self._closed_klines.get(kline.interval_s)
        if last_open is not None and kline.open_ns <= last_open:
            return _DUPLICATE
        if not kline.is_closed:
            return self._on_ordered(kline)
        self._closed_klines[kline.interval_s] = kline.open_ns
        expected = None if last_open is None else last_open + kline.interval_s * NS_PER_S
        tracked = self._accept(kline)
        if expected is not None and kline.open_ns > expected and not self._skips_empty:
            gap = self._gap("sequence", expected, kline.open_ns, None, None, "closed", kline.ts_recv_ns)
            return Tracked(True, (gap, *tracked.gaps))
        return tracked

    def _on_ordered(self, event: Event) -> Tracked:
        key = self._order_key(event)
        if self._last_key is not None and key <= self._last_key:
            return _DUPLICATE
        self._last_key = key
        late = self._is_late(event)
        if late and self._open is None:
            gap = self._gap("cadence", self._floor(), event_ceiling_ns(event), None, None, "closed", event.ts_recv_ns)
            self._note(event)
            return Tracked(True, (gap,))
        return self._accept(event)

    def _order_key(self, event: Event) -> tuple[int, ...]:
        if isinstance(event, TopOfBook) and event.seq is not None:
            return (event.seq,)
        at_ns = event.ts_recv_ns if event.ts_event_ns is None else event.ts_event_ns
        if isinstance(event, Kline):
            return (event.open_ns, event.interval_s, at_ns)
        return (at_ns,)

    def _is_late(self, event: Event) -> bool:
        if self._every_ns is None or self._last_event_ns is None or event.ts_event_ns is None:
            return False
        return event.ts_event_ns - self._last_event_ns > self._every_ns * _LATE_BEAT

    def _accept(self, event: Event, *, proves_continuity: bool = False) -> Tracked:
        gaps = self._close_open(event, repaired=proves_continuity)
        self._note(event)
        return Tracked(True, gaps) if gaps else _NEW

    def _close_open(self, event: Event, *, repaired: bool) -> tuple[Gap, ...]:
        gap, self._open = self._open, None
        if gap is None:
            return ()
        return (
            msgspec.structs.replace(
                gap,
                ts_recv_ns=event.ts_recv_ns,
                to_ns=event_ceiling_ns(event),
                state="repaired" if repaired else "closed",
                repaired_from="continuity" if repaired else "",
            ),
        )

    def _note(self, event: Event) -> None:
        floor = event_floor_ns(event)
        if self._last_ns is None or floor > self._last_ns:
            self._last_ns = floor
        if event.ts_event_ns is not None and (self._last_event_ns is None or event.ts_event_ns > self._last_event_ns):
            self._last_event_ns = event.ts_event_ns

    def _floor(self) -> int:
        assert self._last_ns is not None, "a hole needs an event before it"
        return self._last_ns

    def _gap(
        self,
        reason: str,
        from_ns: int,
        to_ns: int | None,
        from_seq: int | None,
        to_seq: int | None,
        state: str,
        now_ns: int,
    ) -> Gap:
        return Gap(
            exchange=self._exchange,
            market_type=self._market_type,
            instrument=self._instrument,
            ts_event_ns=None,
            ts_recv_ns=now_ns,
            gap_id=raw_hash(self._exchange, self._instrument, self._feed, from_ns, from_seq),
            gap_feed=self._feed,
            from_ns=from_ns,
            to_ns=to_ns,
            from_seq=from_seq,
            to_seq=to_seq,
            reason=reason,
            state=state,
        )
