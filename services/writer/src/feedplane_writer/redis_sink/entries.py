"""The keys that this writer serves: each holds its newest value until Redis has it. Memory is bounded by the number of keys. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, Mode

from .books import Books, Row
from .kinds import HEAD_FIELDS, Kind
from .quality import Quality, state_text
from .resp import (
    STATE_FIELD,
    bulk,
    command,
    heal_command,
    mark_command,
    state_tail,
    trade_body,
    value_body,
    value_controls,
    value_prefix,
    xadd_prefix,
)
from .scripts import HEAL_SHA
from .slots import slot_of

STREAM_LENGTH: Final = 1_000
FUTURE_NS: Final = 10 * NS_PER_S
"""Stored times further ahead of our clock than this were given by a clock that was wrong, and give way."""
REPLACE_EVERY_NS: Final = 60 * NS_PER_S
_TTL_SHARE: Final = 16
_TTL_REFRESH_NS: Final = 10 * NS_PER_S
_SUB_BITS: Final = 20  # trades that one receive time may have

_state_tail = lru_cache(maxsize=64)(state_tail)
_owner = lru_cache(maxsize=256)(bulk)


class Sent(Enum):
    """What a command was for."""

    VALUE = "value"
    MARK = "mark"
    TRADE = "trade"
    DELETE = "delete"
    HOUSEKEEPING = "housekeeping"  # its answer changes nothing


class Terms:
    """What all commands of one pipeline share."""

    __slots__ = ("future_ms", "keep", "now_ns", "refresh", "refresh_after_ns", "ttl_ms")

    def __init__(self, wall_ns: int, now_ns: int, ttl_ns: int) -> None:
        limit_ns = wall_ns + FUTURE_NS
        self.now_ns = now_ns  # monotonic
        self.ttl_ms = max(1, ttl_ns // NS_PER_MS)
        self.refresh_after_ns = min(ttl_ns // _TTL_SHARE, _TTL_REFRESH_NS)
        self.future_ms = limit_ns // NS_PER_MS
        self.keep = value_controls(limit_ns, self.ttl_ms, refresh=False)
        self.refresh = value_controls(limit_ns, self.ttl_ms, refresh=True)


class Trade:
    """One trade on its way into a stream. `values` are px qty side trade_id ts_event_ns ts_recv_ns."""

    __slots__ = ("id", "recv_ns", "row", "sends", "values")

    def __init__(self, id: bytes, recv_ns: int, values: tuple[str, ...], row: Row | None) -> None:
        self.id = id
        self.recv_ns = recv_ns
        self.values = values
        self.row = row
        self.sends = 0


class Item(NamedTuple):
    """One command of a pipeline: what its answer is about."""

    entry: Entry
    sent: Sent
    row: Row | None = None
    recv_ns: int = 0
    trade: Trade | None = None


class HotKey:
    """One hash. `values` are the texts of HEAD_FIELDS, then of the kind's fields."""

    __slots__ = (
        "claim",
        "from_book",
        "is_queued",
        "key",
        "kind",
        "mark_due",
        "mark_ns",
        "mode",
        "prefix",
        "quality",
        "replace_due",
        "replaced_ns",
        "row",
        "silent",
        "slot",
        "source",
        "touched_ns",
        "ts_ns",
        "ttl_due_ns",
        "value_due",
        "values",
    )  # fmt: skip

    def __init__(self, kind: Kind, key: bytes, mode: Mode) -> None:
        self.kind = kind
        self.key = key
        self.slot = slot_of(key)
        self.prefix = value_prefix(kind, key)
        self.mode = mode
        self.values: tuple[str, ...] = ("",) * (len(HEAD_FIELDS) + len(kind.fields))
        self.ts_ns = 0  # 0: no value known
        self.source: Books | None = None  # whose value it is
        self.claim = b""  # of that journal; without a value, of the one that spoke of the key last
        self.row: Row | None = None  # the row that waits, if one does
        self.touched_ns = 0  # monotonic
        self.quality = Quality.GOOD
        self.mark_ns = 0  # receive time up to which `quality` speaks
        self.silent = False  # marked for the silence of its journal alone
        self.from_book = False
        self.value_due = self.mark_due = self.replace_due = self.is_queued = False
        self.replaced_ns = -REPLACE_EVERY_NS
        self.ttl_due_ns = 0

    @property
    def state(self) -> str:
        """The `state` field as it should be now."""
        return state_text(self.mode, self.quality)

    def set(
        self, source: Books, mode: Mode, ts_ns: int, values: Sequence[str | None], row: Row | None, now_ns: int
    ) -> bool:
        """Take a value; `None` among the values keeps what was known. `False` where it is older than what another journal gave."""
        feed = self.kind.feed
        if self.source is not None and self.source is not source and ts_ns < self.ts_ns:
            if row is not None:
                row.superseded(feed)
            return False
        if self.row is not None:
            self.row.superseded(feed)
        self.source, self.mode, self.row, self.ts_ns, self.touched_ns = source, mode, row, ts_ns, now_ns
        self.claim = source.claim
        if None in values:
            self.values = tuple(old if new is None else new for old, new in zip(self.values, values, strict=True))
        else:
            self.values = tuple(values)  # type: ignore[arg-type]
        self.value_due = True
        # The metrics are sampled from a book whether or not it hears from the venue; every other value is news of its feed.
        if (
            self.quality
            and ts_ns > self.mark_ns
            and (self.kind.feed is not Feed.ADVANCED or self.quality is not Quality.STALE or self.silent)
        ):
            self.quality, self.silent = Quality.GOOD, False
        return True

    def mark(self, quality: Quality, at_ns: int, claim: bytes, *, silent: bool = False) -> bool:
        """Say how far the value can be trusted from `at_ns` on; whether that changes anything."""
        if self.source is None:
            self.claim = claim
        if at_ns < self.mark_ns or (quality and at_ns < self.ts_ns):
            return False
        self.mark_ns, self.silent = at_ns, silent
        if quality is self.quality and (self.ts_ns or not quality):
            return False
        self.quality = quality
        if not self.ts_ns and not quality:
            return False  # what Redis may hold is of an earlier run: its next value says that all is well
        self.mark_due = True
        return True

    def emit(self, out: list[bytes], items: list[Item], room: int, terms: Terms) -> bool:
        """Append what is due; `True` if more is due than there was room for."""
        self.is_queued = False
        if self.replace_due:
            out.append(command(b"DEL", self.key))
            items.append(Item(self, Sent.DELETE))
            self.replace_due = False
        if self.value_due:
            controls = terms.keep
            if terms.now_ns >= self.ttl_due_ns:
                controls = terms.refresh
                self.ttl_due_ns = terms.now_ns + terms.refresh_after_ns
            tail = _state_tail(state_text(self.mode, self.quality))
            out += (self.prefix, controls, value_body(self.values), tail, _owner(self.claim))
            items.append(Item(self, Sent.VALUE, self.row, self.ts_ns))
            self.row = None
        elif self.mark_due:
            at_ns, is_stale = max(self.mark_ns, self.ts_ns), self.quality is Quality.STALE
            out.append(mark_command(self.key, at_ns, self.state, self.claim, release=is_stale))
            items.append(Item(self, Sent.MARK))
        self.value_due = self.mark_due = False
        return False

    def again(self, item: Item) -> None:
        """`item` may not have been applied. What is newest goes out once more, never what was sent."""
        if item.sent is Sent.VALUE:
            if not self.value_due:
                self.value_due, self.row = True, item.row
            elif item.row is not None:
                item.row.superseded(self.kind.feed)
        elif item.sent is Sent.MARK:
            self.mark_due = True
        elif item.sent is Sent.DELETE:
            self.replace_due = True

    def landed(self, item: Item) -> None:
        if item.row is not None:
            item.row.stored(self.kind.feed, item.recv_ns)

    def gave_way(self, item: Item) -> None:
        """Redis holds something newer."""
        if item.row is not None:
            item.row.superseded(self.kind.feed)

    def expire(self) -> None:
        """Drop what waits: it is older than the TTL."""
        if self.row is not None:
            self.row.superseded(self.kind.feed)
        self.row, self.value_due, self.is_queued = None, False, False

    @property
    def is_due(self) -> bool:
        return self.value_due or self.mark_due


class TradeStream:
    """One stream. Trades wait in order, the newest 1,000 of them; one pipeline at a time carries them, so that a retry never overtakes."""

    __slots__ = (
        "expire_due_ns", "heal_due", "healed_ns", "in_flight", "is_queued", "key", "last_ns", "mode", "ordinal", "pending",
        "prefix", "replace_due", "replaced_ns", "returned", "slot", "touched_ns",
    )  # fmt: skip

    def __init__(self, key: bytes, mode: Mode) -> None:
        self.key = key
        self.slot = slot_of(key)
        self.prefix = xadd_prefix(key, STREAM_LENGTH)
        self.mode = mode
        self.pending: deque[Trade] = deque()
        self.returned: list[Trade] = []
        self.in_flight = 0
        self.last_ns = 0
        self.ordinal = 0
        self.touched_ns = 0
        self.expire_due_ns = 0
        self.replace_due = self.heal_due = self.is_queued = False
        self.replaced_ns = self.healed_ns = -REPLACE_EVERY_NS

    def add(self, mode: Mode, recv_ns: int, values: tuple[str, ...], row: Row | None, now_ns: int) -> None:
        """Queue a trade. Its id is made of its receive time and its place among the trades of that time: the same whenever it is sent."""
        self.mode = mode
        self.ordinal = self.ordinal + 1 if recv_ns == self.last_ns else 0
        self.last_ns, self.touched_ns = recv_ns, now_ns
        ms, ns = divmod(recv_ns, NS_PER_MS)
        self.pending.append(Trade(b"%d-%d" % (ms, (ns << _SUB_BITS) + self.ordinal), recv_ns, values, row))
        self._trim()

    def emit(self, out: list[bytes], items: list[Item], room: int, terms: Terms) -> bool:
        """Append what is due; `True` if more is due than there was room for."""
        self.is_queued = False
        if self.in_flight:
            return False
        if self.replace_due:
            out.append(command(b"DEL", self.key))
            items.append(Item(self, Sent.DELETE))
            self.in_flight += 1
            self.replace_due = False
        if self.heal_due:
            out.append(heal_command(HEAL_SHA, self.key, terms.future_ms))
            items.append(Item(self, Sent.HOUSEKEEPING))
            self.heal_due = False
        tail = STATE_FIELD + _state_tail(state_text(self.mode, Quality.GOOD))
        for _ in range(min(room, len(self.pending))):
            trade = self.pending.popleft()
            trade.sends += 1
            out += (self.prefix, bulk(trade.id), trade_body(trade.values), tail)
            items.append(Item(self, Sent.TRADE, trade.row, trade.recv_ns, trade))
            self.in_flight += 1
        if self.in_flight and terms.now_ns >= self.expire_due_ns:
            self.expire_due_ns = terms.now_ns + terms.refresh_after_ns
            out.append(command(b"PEXPIRE", self.key, b"%d" % terms.ttl_ms))
            items.append(Item(self, Sent.HOUSEKEEPING))
        return False  # the rest goes when the answers are in

    def again(self, item: Item) -> None:
        """`item` may not have been applied: it goes again, with the same id."""
        if item.trade is not None:
            self.returned.append(item.trade)
            self._answered()
        elif item.sent is Sent.DELETE:
            self.replace_due = True
            self._answered()

    def landed(self, item: Item) -> None:
        if item.trade is not None and item.row is not None:
            item.row.stored(Feed.TRADES, item.recv_ns)
        if item.sent is not Sent.HOUSEKEEPING:
            self._answered()

    def gave_way(self, item: Item) -> None:
        """The stream has something newer, or refuses the trade for ever."""
        if item.row is not None:
            item.row.superseded(Feed.TRADES)
        if item.sent is not Sent.HOUSEKEEPING:
            self._answered()

    def expire(self) -> None:
        """Drop what waits: it is older than the TTL."""
        while self.pending:
            self._drop(self.pending.popleft())
        self.is_queued = False

    @property
    def is_due(self) -> bool:
        return not self.in_flight and (bool(self.pending) or self.heal_due)

    def _answered(self) -> None:
        self.in_flight -= 1
        if not self.in_flight and self.returned:
            self.pending.extendleft(reversed(self.returned))
            self.returned.clear()
            self._trim()

    def _trim(self) -> None:
        while len(self.pending) > STREAM_LENGTH:
            self._drop(self.pending.popleft())

    def _drop(self, trade: Trade) -> None:
        if trade.row is not None:
            trade.row.superseded(Feed.TRADES)


Entry: TypeAlias = HotKey | TradeStream
