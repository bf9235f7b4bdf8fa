"""All keys that a writer serves, and how records change them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType

import pyarrow as pa
from feedplane_core.names import Feed, KeyStyle, MarketType, Mode, hot_key, trades_key

from ..feeds import feed_counts
from .books import Books
from .entries import Entry, HotKey, TradeStream
from .kinds import L1, SPEAKS_OF, Kind
from .quality import STOPPED, Quality, of_gap, of_status, only_heard
from .rows import StatusRow, gaps_of, named_with_market, statuses_of, trades_of, updates_of


class Source:
    """One journal as the keys see it: who it is, and which keys its values are in."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.mode = Mode.LIVE
        self.newest_ns = 0  # newest receive time read
        self.keys: set[HotKey] = set()


class Keyspace:
    """Takes record batches, keeps the newest value of each key, and tells `on_due` which entries have something to send; `on_parting` those of a collector that has
    stopped, which its successor may take over yet.
    """

    def __init__(
        self,
        style: KeyStyle,
        on_due: Callable[[Entry], None],
        clock: Callable[[], int],
        market_in_keys: Mapping[str, Sequence[MarketType]] = MappingProxyType({}),
        on_parting: Callable[[Entry], None] | None = None,
    ) -> None:
        self._style = style
        self._market_in_keys = market_in_keys
        self._on_due = on_due
        self._on_parting = on_parting or on_due
        self._clock = clock  # monotonic
        self._hot: dict[tuple[str, str], dict[Kind, HotKey]] = {}
        self._streams: dict[tuple[str, str], TradeStream] = {}

    def entries(self) -> Iterator[Entry]:
        """Every key."""
        return chain((key for keys in self._hot.values() for key in keys.values()), self._streams.values())

    def __len__(self) -> int:
        return sum(map(len, self._hot.values())) + len(self._streams)

    def take(self, source: Source, record_type: str, batch: pa.RecordBatch, *, counted: bool = True) -> None:
        """Apply one batch. `counted=False` for what an earlier run has settled already: it may be sent again and is in no account."""
        if not batch.num_rows:
            return
        exchange = batch.column("exchange")[0].as_py()
        markets = self._market_in_keys.get(exchange)
        if markets is not None:
            batch = named_with_market(batch, markets)
        kept: dict[str, int] = {}
        if record_type == "trade":
            self._trades(source, exchange, batch, counted)
            return
        if record_type == "status":
            self._statuses(source, exchange, statuses_of(batch))
        elif record_type == "gap":
            self._gaps(source, exchange, gaps_of(batch))
        else:
            kept = self._updates(source, exchange, record_type, batch, counted)
        if counted:
            for feed, rows in feed_counts(record_type, batch).items():
                if feed in kept:
                    source.books.pass_over(feed, rows - kept[feed])
                else:
                    source.books.without_key(feed, rows)

    def silence(self, source: Source) -> int:
        """The journal of `source` has fallen silent: its values are stale. Returns how many that changed."""
        changed = 0
        for key in source.keys:
            if key.source is source.books and key.quality is not Quality.STALE:
                before = key.quality
                at_ns = max(source.newest_ns, key.ts_ns)
                changed += self._mark(source, key, Quality.STALE, at_ns, silent=before is Quality.GOOD)
        return changed

    def resume(self, source: Source) -> int:
        """The same collector goes on: what was stale for its silence alone is as good as before."""
        changed = 0
        for key in source.keys:
            if key.silent:
                changed += self._mark(source, key, Quality.GOOD, max(source.newest_ns, key.mark_ns))
        return changed

    # Values

    def _updates(
        self, source: Source, exchange: str, record_type: str, batch: pa.RecordBatch, counted: bool
    ) -> dict[str, int]:
        """Rows per feed that went to a key, one by one."""
        now_ns, books, mode = self._clock(), source.books, source.mode
        updates = updates_of(record_type, batch)
        row = books.open(len(updates)) if counted and updates else None
        kept: dict[str, int] = {}
        for kind, instrument, ts_ns, values, from_book in updates:
            kept[kind.feed] = kept.get(kind.feed, 0) + 1
            key = self._key(exchange, instrument, kind, mode)
            key.from_book = from_book
            source.newest_ns = max(source.newest_ns, ts_ns)
            if key.set(books, mode, ts_ns, values, row, now_ns):
                source.keys.add(key)
                self._on_due(key)
        return kept

    def _trades(self, source: Source, exchange: str, batch: pa.RecordBatch, counted: bool) -> None:
        now_ns = self._clock()
        rows = trades_of(batch)
        row = source.books.open(len(rows)) if counted else None
        for trade in rows:
            stream = self._streams.get((exchange, trade.instrument))
            if stream is None:
                name = trades_key(exchange, trade.instrument, self._style).encode()
                stream = self._streams[exchange, trade.instrument] = TradeStream(name, source.mode)
            stream.add(source.mode, trade.recv_ns, trade.values, row, now_ns)
            self._on_due(stream)
        source.newest_ns = max(source.newest_ns, rows[-1].recv_ns)

    def _key(self, exchange: str, instrument: str, kind: Kind, mode: Mode) -> HotKey:
        keys = self._hot.get((exchange, instrument))
        if keys is None:
            keys = self._hot[exchange, instrument] = {}
        key = keys.get(kind)
        if key is None:
            key = keys[kind] = HotKey(kind, hot_key(kind.name, exchange, instrument, self._style).encode(), mode)
        return key

    # What is said of them

    def _statuses(self, source: Source, exchange: str, rows: Iterable[StatusRow]) -> None:
        for row in rows:
            source.newest_ns = max(source.newest_ns, row.recv_ns)
            quality = of_status(row.said)
            if quality is None:
                continue
            for key in self._meant(source, exchange, row):
                if only_heard(row.said) and key.quality is Quality.RESYNC:
                    continue
                if key.mark(quality, row.recv_ns, source.books.claim):
                    (self._on_parting if row.said == STOPPED else self._on_due)(key)

    def _gaps(self, source: Source, exchange: str, rows: Iterable[StatusRow]) -> None:
        for row in rows:
            quality = of_gap(row.feed, row.said)
            for key in self._meant(source, exchange, row):
                if quality is Quality.GOOD and key.quality is Quality.STALE and not key.silent:
                    continue  # a hole that closes does not bring a dead feed to life
                self._mark(source, key, quality, row.recv_ns)

    def _meant(self, source: Source, exchange: str, row: StatusRow) -> Iterator[HotKey]:
        """The keys that are made from the feed. Such as this writer has no value of are made too: Redis may hold one of an earlier run."""
        for kind in SPEAKS_OF.get(row.feed, ()):
            yield self._key(exchange, row.instrument, kind, source.mode)
        if row.feed == Feed.OB_DIFFS:
            key = self._hot.get((exchange, row.instrument), {}).get(L1)
            if key is not None and key.from_book:
                yield key

    def _mark(self, source: Source, key: HotKey, quality: Quality, at_ns: int, *, silent: bool = False) -> bool:
        if not key.mark(quality, at_ns, source.books.claim, silent=silent):
            return False
        self._on_due(key)
        return True
