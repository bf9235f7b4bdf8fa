"""`FeedTracker`: what tells a repeated message from a new one, and a hole from a pause, for every feed but books.

One tracker per (instrument, feed) sees the events of all sockets that carry it. Identities that were had are dropped; numbers or beats that are missing become
a `Gap`; an interruption is a hole until the next event closes it, or proves by its number that nothing was missed.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from .adapter import TradeIds
from .events import Event, Gap, Kline, MarkPrice, TopOfBook, Trade
from .identity import identity_of, raw_hash
from .names import NS_PER_S, Feed, MarketType
from .sync import event_ceiling_ns, event_floor_ns

REMEMBERED_IDENTITIES = 1_000
REMEMBERED_KEYS = 1 << 9
"""Of feeds that are told apart by number or time: what a venue re-sends, or a second socket brings, is younger than so many messages."""
MAX_OPEN_RANGES = 256
_SET_BACK_NS = 60 * NS_PER_S
"""No message is so late: the venue's clock was set back."""
_LATE_BEAT = 1.6  # of the venue's own cadence: one missed beat is 2.0, jitter of a healthy feed stays below 1.5


class Tracked(msgspec.Struct, frozen=True):
    """Whether the event is new, and the gaps that it opened, closed or repaired."""

    is_new: bool
    gaps: tuple[Gap, ...] = ()


DUPLICATE = Tracked(False)
NEW = Tracked(True)


class FeedTracker:
    """One feed of one instrument.

    `trade_ids` applies to trades; `every_ns` is the venue's cadence where it promises one, `skips_empty` says that it sends no kline without trades.
    `since_ns` is when the feed began to be followed: where a hole begins that opens before the first event.
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
        since_ns: int | None = None,
    ) -> None:
        self._exchange = exchange
        self._market_type = market_type
        self._instrument = instrument
        self._feed = feed
        self._counts_ids = feed is Feed.TRADES and trade_ids is TradeIds.CONSECUTIVE
        self._every_ns = every_ns
        self._late_ns = None if every_ns is None else int(every_ns * _LATE_BEAT)
        self._skips_empty = skips_empty
        self._since_ns = since_ns
        self._last_ns: int | None = None  # floor of the newest event
        self._last_event_ns: int | None = None  # newest venue time
        self._last_id: int | None = None  # newest trade id; of klines the newest time at which one closed
        self._first_id: int | None = None  # oldest trade id that came; None after a predecessor, who had them all
        self._missing: OrderedDict[int, tuple[int, Gap]] = (
            OrderedDict()
        )  # first missing id -> (last missing id, its gap)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._last_key = -1
        self._keys = array("q")  # the newest keys, a ring: boxed in a set they would be ten times as large
        self._turn = 0
        self._below = 0  # keys in a row that were new and yet below the greatest
        self._open: Gap | None = None
        self._closed_klines: dict[int, int] = {}  # interval_s -> open_ns of the last closed one
        self._open_klines: dict[int, tuple[int, int]] = {}  # interval_s -> (open_ns, time) of the newest open one
        self.on_event: Callable[[Event], Tracked] = self._judge_of(feed)
        """Judge the next event of any socket."""

    def _judge_of(self, feed: Feed) -> Callable[[Event], Tracked]:
        # Chosen once: an event is judged some 10,000 times a second.
        if self._counts_ids:
            return self._on_counted_trade
        if feed is Feed.KLINES:
            return self._on_kline
        if feed in (Feed.TRADES, Feed.LIQUIDATIONS):
            return self._on_identified
        return self._on_ordered

    @property
    def position(self) -> tuple[int | None, int | None]:
        """(time, trade id) of the newest event: where a successor resumes. Of klines the number is the newest closing time."""
        return self._last_ns, self._last_id

    @property
    def open_gap(self) -> Gap | None:
        return self._open

    def resume(self, last_ns: int, last_id: int | None, reason: str) -> list[Gap]:
        """Continue after a predecessor that kept everything up to here."""
        self._last_ns, self._last_id = last_ns, last_id
        # What is numbered as old but stamped later is no repeat: the venue began to count anew meanwhile.
        self._last_event_ns = last_ns
        return self.interrupt(reason, last_ns)

    def interrupt(self, reason: str, now_ns: int) -> list[Gap]:
        """Nothing more can be trusted to arrive: opens a hole from the newest event (from the beginning if there was none)."""
        if self._open is not None:
            return []
        from_ns = self._floor(now_ns)
        self._open = self._gap(reason, from_ns, None, None, None, "open", now_ns)
        return [self._open]

    def settle(self, now_ns: int) -> list[Gap]:
        """The feed is carried again, with nothing to say: what comes from now on is whole, so a hole that is open ends here.

        A feed that counts its events waits for the next one: its number says more.
        """
        return [] if self._counts_ids else self.end(now_ns)

    def end(self, now_ns: int) -> list[Gap]:
        """Nothing more is wanted of this feed: a hole that is open ends here."""
        gap, self._open = self._open, None
        if gap is None:
            return []
        return [msgspec.structs.replace(gap, ts_recv_ns=now_ns, to_ns=now_ns, state="closed")]

    def _on_counted_trade(self, trade: Event) -> Tracked:
        assert isinstance(trade, Trade)
        try:
            number = int(trade.trade_id)
        except ValueError:  # of a market of the venue that does not count its trades
            return self._on_identified(trade)
        last = self._last_id
        if last is None:
            self._last_id = self._first_id = number
            return self._accept(trade)
        if number == last + 1:
            self._last_id = number
            if self._open is None:
                self._note(trade)
                return NEW
            return self._accept(trade, proves_continuity=True)
        if number > last:
            self._last_id = number
            return self._accept_after_hole(trade, last + 1, number - 1)
        if repaired := self._fill(number, trade.ts_recv_ns):
            return repaired
        if self._is_newer_than_all(trade):
            return self._accept_new_count(trade, number)
        if self._first_id is not None and number < self._first_id:
            return self._accept_before_first(trade, number, self._first_id)
        return DUPLICATE

    def _accept_before_first(self, trade: Trade, number: int, first: int) -> Tracked:
        """The feed began out of order: this one is older than the first that came, and what lies between may come yet."""
        self._first_id = number
        if number + 1 == first:
            return NEW
        at_ns = event_floor_ns(trade)
        gap = self._gap("sequence", at_ns, trade.ts_recv_ns, number + 1, first - 1, "closed", trade.ts_recv_ns)
        self._remember_missing(number + 1, first - 1, gap)
        return Tracked(True, (gap,))

    def _remember_missing(self, first: int, last: int, gap: Gap) -> None:
        if len(self._missing) >= MAX_OPEN_RANGES:
            self._missing.popitem(last=False)
        self._missing[first] = (last, gap)

    def _accept_new_count(self, trade: Trade, number: int) -> Tracked:
        """Newer than all we have seen and yet numbered lower: the venue began to count anew."""
        from_ns = self._floor(trade.ts_recv_ns)
        gap = self._gap("sequence_reset", from_ns, event_ceiling_ns(trade), None, None, "closed", trade.ts_recv_ns)
        self._last_id = self._first_id = number
        self._missing.clear()
        self._open = None
        self._note(trade)
        return Tracked(True, (gap,))

    def _is_newer_than_all(self, event: Event) -> bool:
        at_ns, newest = event.ts_event_ns, self._last_event_ns
        return at_ns is not None and newest is not None and at_ns > newest

    def _accept_after_hole(self, trade: Trade, first: int, last: int) -> Tracked:
        gap = self._gap(
            self._open.reason if self._open else "sequence",
            self._floor(trade.ts_recv_ns),
            event_ceiling_ns(trade),
            first,
            last,
            "closed",
            trade.ts_recv_ns,
        )
        closed = self._close_open(trade, repaired=True)  # the numbered gap says it more exactly
        self._remember_missing(first, last, gap)
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
                    return NEW
                repaired = msgspec.structs.replace(gap, state="repaired", repaired_from="late", ts_recv_ns=now_ns)
                return Tracked(True, (repaired,))
        return None

    def _on_identified(self, event: Event) -> Tracked:
        identity = identity_of(event)
        if identity in self._seen:
            return DUPLICATE
        self._seen[identity] = None
        if len(self._seen) > REMEMBERED_IDENTITIES:
            self._seen.popitem(last=False)
        return self._accept(event)

    def _on_kline(self, kline: Event) -> Tracked:
        assert isinstance(kline, Kline)
        last_open = self._closed_klines.get(kline.interval_s)
        if last_open is not None and kline.open_ns <= last_open:
            return DUPLICATE
        if not kline.is_closed:
            return self._on_open_kline(kline)
        closes_ns = kline.open_ns + kline.interval_s * NS_PER_S
        if last_open is None and self._last_id is not None and closes_ns <= self._last_id:
            return DUPLICATE  # a predecessor had it
        self._closed_klines[kline.interval_s] = kline.open_ns
        self._last_id = max(closes_ns, self._last_id or 0)
        expected = None if last_open is None else last_open + kline.interval_s * NS_PER_S
        tracked = self._accept(kline)
        if expected is not None and kline.open_ns > expected and not self._skips_empty:
            gap = self._gap("sequence", expected, kline.open_ns, None, None, "closed", kline.ts_recv_ns)
            return Tracked(True, (gap, *tracked.gaps))
        return tracked

    def _on_open_kline(self, kline: Kline) -> Tracked:
        """States of a candle on its way: each interval has an order of its own, and an older state says nothing."""
        at_ns = kline.ts_recv_ns if kline.ts_event_ns is None else kline.ts_event_ns
        key = (kline.open_ns, at_ns)
        if key <= self._open_klines.get(kline.interval_s, (-1, -1)):
            return DUPLICATE
        self._open_klines[kline.interval_s] = key
        return self._accept(kline)

    def _on_ordered(self, event: Event) -> Tracked:
        at_ns = event.ts_event_ns
        key = event.ts_recv_ns if at_ns is None else at_ns
        if type(event) is TopOfBook:
            if event.seq is not None:
                key = event.seq
            elif at_ns is not None:
                return self._on_identified(event)  # a millisecond holds more than one quote
        elif type(event) is MarkPrice and event.mark_price is None:
            key += 1  # an index that comes alone is no repeat of the mark of the same millisecond
        if key > self._last_key and self._open is None and self._late_ns is None:
            return self._next_in_order(key, at_ns, event.ts_recv_ns)
        if key > self._last_key:
            self._last_key = key
            self._below = 0
        elif key in self._keys:  # scans 4 KB; only what is late or repeated comes here
            return DUPLICATE
        else:
            self._accept_below(at_ns)
        self._remember(key)
        if self._late_ns is not None and self._is_late(event) and self._open is None:
            from_ns = self._floor(event.ts_recv_ns)
            gap = self._gap("cadence", from_ns, event_ceiling_ns(event), None, None, "closed", event.ts_recv_ns)
            self._note(event)
            return Tracked(True, (gap,))
        if self._open is None:
            self._note(event)
            return NEW
        return self._accept(event)

    def _next_in_order(self, key: int, at_ns: int | None, recv_ns: int) -> Tracked:
        """The usual event: `_remember` and `_note`, written out flat, for it comes some 10,000 times a second."""
        self._last_key = key
        self._below = 0
        keys = self._keys
        if len(keys) < REMEMBERED_KEYS:
            keys.append(key)
        else:
            turn = self._turn
            keys[turn] = key
            self._turn = turn + 1 if turn + 1 < REMEMBERED_KEYS else 0
        if at_ns is not None:
            if self._last_event_ns is None or at_ns > self._last_event_ns:
                self._last_event_ns = at_ns
            if at_ns < recv_ns:  # noqa: PLR1730 - min() is a call
                recv_ns = at_ns
        if self._last_ns is None or recv_ns > self._last_ns:
            self._last_ns = recv_ns
        return NEW

    def _accept_below(self, at_ns: int | None) -> None:
        """A new key below the greatest: late, or numbers began anew, or the venue's clock was set back."""
        self._below += 1
        if self._below >= REMEMBERED_KEYS:  # nothing of the old count is remembered any more
            self._last_key = max(self._keys)
            self._below = 0
        if at_ns is not None and self._last_event_ns is not None and self._last_event_ns - at_ns > _SET_BACK_NS:
            self._last_event_ns = None

    def _remember(self, key: int) -> None:
        if len(self._keys) < REMEMBERED_KEYS:
            self._keys.append(key)
        else:
            self._keys[self._turn] = key
            self._turn = (self._turn + 1) % REMEMBERED_KEYS

    def _is_late(self, event: Event) -> bool:
        assert self._late_ns is not None
        if self._last_event_ns is None or event.ts_event_ns is None:
            return False
        return event.ts_event_ns - self._last_event_ns > self._late_ns

    def _accept(self, event: Event, *, proves_continuity: bool = False) -> Tracked:
        gaps = self._close_open(event, repaired=proves_continuity)
        self._note(event)
        return Tracked(True, gaps) if gaps else NEW

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
        floor = event.ts_recv_ns
        at_ns = event.ts_event_ns
        if at_ns is not None:
            if self._last_event_ns is None or at_ns > self._last_event_ns:
                self._last_event_ns = at_ns
            if at_ns < floor:  # noqa: PLR1730 - `event_floor_ns` without the call; min() would be another
                floor = at_ns
        if self._last_ns is None or floor > self._last_ns:
            self._last_ns = floor

    def _floor(self, now_ns: int) -> int:
        """Where a hole begins that opens now."""
        if self._last_ns is not None:
            return self._last_ns
        return now_ns if self._since_ns is None else self._since_ns

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
