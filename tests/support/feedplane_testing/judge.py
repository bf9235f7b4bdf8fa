"""The judge of every reliability run: what a venue issued, against what was kept and which holes were declared. Pure.

    every line that was sent is kept exactly once, or lies in a declared hole;
    every line that was withheld, of a feed whose holes can be told, lies in a declared hole;
    nothing is kept that was never issued, and every value is the one that was issued.

Sources differ (a ledger, a journal, a table), so the judge sees three small records alone; one adapter for each source makes them. `*_of_journal` reads the rows of
`feedplane_journal.inspect.cat`; rows of a store need an adapter that gives the same keys and values.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

Key = tuple[str, str, str, str]
"""(exchange, instrument, type, identity)."""

KEPT_TYPES = frozenset(
    "trade top_of_book book_snapshot depth_diff liquidation kline mark_price funding open_interest".split()
)
"""Types that venues issue; the others are made by the collector."""
REDUNDANT = frozenset({"book_snapshot"})
"""Whole books beside the changes that make them: one that was not needed adds nothing, so it need not be kept. One that is kept must be true."""
DETECTABLE = frozenset({"trades", "ob_diffs", "mark_price", "funding"})
"""Feeds of venues with consecutive trade ids, numbered books and a promised cadence: there no loss may pass unseen."""


class Issued(NamedTuple):
    """One line of the truth. `seqs`: first and last number that it carries, where its feed is numbered."""

    key: Key
    feed: str
    at_ns: int
    seqs: tuple[int, int] | None
    value: str
    sent: bool
    fault: str


class Kept(NamedTuple):
    """One row that was kept."""

    key: Key
    value: str


class Hole(NamedTuple):
    """One declared hole; both ends inclusive, `to_ns` `None` while it is open."""

    exchange: str
    instrument: str
    feed: str
    from_ns: int
    to_ns: int | None
    from_seq: int | None
    to_seq: int | None
    reason: str
    gap_id: str
    state: str
    told_ns: int  # when it was first declared


class Verdict(NamedTuple):
    """`lost`, `undeclared`, `duplicated`, `invented` and `altered` are breaches; the rest says how the run went."""

    lost: list[Issued]  # sent, not kept, in no hole
    undeclared: list[Issued]  # withheld, of a detectable feed, in no hole
    duplicated: list[Key]
    invented: list[Key]
    altered: list[Key]
    covered: list[Issued]  # sent, not kept, in a hole
    kept: int
    holes: list[Hole]  # the last word on each

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.undeclared or self.duplicated or self.invented or self.altered)

    def holes_of(self, *reasons: str) -> list[Hole]:
        return [hole for hole in self.holes if hole.reason in reasons]

    def holes_told_before(self, ns: int) -> list[Hole]:
        """Without those that the end of the run itself made, nor the beginning of each book."""
        return [hole for hole in self.holes if hole.told_ns < ns and hole.reason != "start"]

    def text(self) -> str:
        """One line for a log, then the first few breaches."""
        counts = {
            name: len(getattr(self, name)) for name in ("lost", "undeclared", "duplicated", "invented", "altered")
        }
        reasons = dict(Counter(f"{hole.reason}/{hole.state}" for hole in self.holes))
        line = " ".join(f"{name}={count}" for name, count in counts.items())
        shown = [str(item) for name in counts for item in getattr(self, name)[:3]]
        return "\n".join([f"{line} kept={self.kept} covered={len(self.covered)} holes={reasons}", *shown])


def judge(
    issued: Iterable[Issued],
    kept: Iterable[Kept],
    holes: Iterable[Hole],
    *,
    detectable: Callable[[Issued], bool] = lambda line: line.feed in DETECTABLE,
) -> Verdict:
    """Hold what was kept against what was issued."""
    lines = list(issued)
    rows = list(kept)
    last_word = latest(holes)
    by_feed: dict[tuple[str, str, str], list[Hole]] = defaultdict(list)
    for hole in last_word:
        by_feed[hole.exchange, hole.instrument, hole.feed].append(hole)
    counts = Counter(row.key for row in rows)
    values: dict[Key, set[str]] = defaultdict(set)
    for line in lines:
        values[line.key].add(line.value)
    lost: list[Issued] = []
    undeclared: list[Issued] = []
    covered: list[Issued] = []
    for line in lines:
        if line.key in counts:
            continue
        is_covered = any(_covers(hole, line) for hole in by_feed[line.key[0], line.key[1], line.feed])
        if is_covered and line.sent:
            covered.append(line)
        elif line.sent and line.key[2] not in REDUNDANT:
            lost.append(line)
        elif not line.sent and not is_covered and detectable(line):
            undeclared.append(line)
    issues = Counter(line.key for line in lines)
    return Verdict(
        lost=lost,
        undeclared=undeclared,
        duplicated=[key for key, count in counts.items() if count > max(1, issues[key])],
        invented=[key for key in counts if key not in values],
        altered=[row.key for row in rows if row.key in values and row.value not in values[row.key]],
        covered=covered,
        kept=len(rows),
        holes=last_word,
    )


def latest(holes: Iterable[Hole]) -> list[Hole]:
    """A later row of the same id supersedes; when it was told is what the first one says."""
    found: dict[tuple[str, str], Hole] = {}
    for hole in holes:
        key = (hole.exchange, hole.gap_id)
        found[key] = hole if key not in found else hole._replace(told_ns=found[key].told_ns)
    return list(found.values())


def _covers(hole: Hole, line: Issued) -> bool:
    if line.seqs is not None and hole.from_seq is not None and hole.to_seq is not None:
        first, last = line.seqs
        if hole.from_seq <= last and first <= hole.to_seq:
            return True
    return hole.from_ns <= line.at_ns and (hole.to_ns is None or line.at_ns <= hole.to_ns)


# Keys and values, from an event's JSON fields. Numbers are compared as numbers: stores drop padding zeros.


def number(text: Any) -> str:
    """`1.50` and `1.5` alike."""
    return "" if text is None else str(Decimal(text).normalize())


def _levels(event: Mapping[str, Any]) -> str:
    return "/".join("|".join(f"{number(p)}:{number(q)}" for p, q in event[side]) for side in ("bids", "asks"))


def identity(kind: str, event: Mapping[str, Any]) -> str:
    """As `feedplane_core.identity`, but readable, and equal however numbers are padded."""
    match kind:
        case "trade" if event["trade_id"]:
            return str(event["trade_id"])
        case "book_snapshot" if event["last_seq"] is not None:
            return str(event["last_seq"])
        case "depth_diff" if event["last_seq"] is not None:
            return f"{event['first_seq']}-{event['last_seq']}"
        case "top_of_book" if event["seq"] is not None:
            return str(event["seq"])
        case "kline":
            return f"{event['interval_s']}:{event['open_ns']}"
        case "mark_price" if event["mark_price"] is None:
            return f"{event['ts_event_ns']}:index"
        case "mark_price" | "funding" | "open_interest":
            return str(event["ts_event_ns"])
    return f"{event['ts_event_ns']} {value(kind, event)}"


def value(kind: str, event: Mapping[str, Any]) -> str:
    """What must be equal, as one text."""
    if kind in ("book_snapshot", "depth_diff"):
        return _levels(event)
    numbers = " ".join(number(event[name]) for name in _NUMBERS[kind])
    return f"{numbers} {event.get('aggressor') or event.get('liquidated') or ''}".rstrip()


_NUMBERS = {
    "trade": ("price", "qty"),
    "top_of_book": ("bid_price", "bid_qty", "ask_price", "ask_qty"),
    "liquidation": ("price", "qty"),
    "kline": ("open", "high", "low", "close", "volume"),
    "mark_price": ("mark_price", "index_price"),
    "funding": ("rate",),
    "open_interest": ("open_interest",),
}


def _seqs(kind: str, event: Mapping[str, Any]) -> tuple[int, int] | None:
    if kind == "trade" and str(event["trade_id"]).isdigit():
        return int(event["trade_id"]), int(event["trade_id"])
    if kind in ("depth_diff", "book_snapshot") and event["last_seq"] is not None:
        return event["first_seq"] if event["first_seq"] is not None else event["last_seq"], event["last_seq"]
    return None


def is_obligation(kind: str, event: Mapping[str, Any]) -> bool:
    """Open candles are states on their way to a closed one: many share an identity, and a later one says all."""
    return kind in KEPT_TYPES and not (kind == "kline" and not event["is_closed"])


def issued_of_ledger(lines: Iterable[Mapping[str, Any]]) -> list[Issued]:
    """Lines of a simulator's ledger."""
    return [
        Issued(
            key=(line["exchange"], line["instrument"], line["type"], identity(line["type"], line["event"])),
            feed=line["feed"],
            at_ns=line["issued_ns"],
            seqs=_seqs(line["type"], line["event"]),
            value=value(line["type"], line["event"]),
            sent=line["sent"],
            fault=line.get("fault", ""),
        )
        for line in lines
        if is_obligation(line["type"], line["event"])
    ]


def kept_of_journal(rows: Iterable[Mapping[str, Any]], exchange: str) -> list[Kept]:
    """Rows of a journal (they do not name their exchange: the journal does)."""
    return [
        Kept((exchange, row["instrument"], row["type"], identity(row["type"], row)), value(row["type"], row))
        for row in rows
        if is_obligation(row["type"], row)
    ]


def holes_of_journal(rows: Iterable[Mapping[str, Any]], exchange: str) -> list[Hole]:
    """Gap rows of a journal, in the order written."""
    return [
        Hole(
            exchange=exchange,
            instrument=row["instrument"],
            feed=row["feed"],
            from_ns=row["from_ns"],
            to_ns=row["to_ns"],
            from_seq=row["from_seq"],
            to_seq=row["to_seq"],
            reason=row["reason"],
            gap_id=row["gap_id"],
            state=row["state"],
            told_ns=row["ts_recv_ns"],
        )
        for row in rows
        if row["type"] == "gap"
    ]
