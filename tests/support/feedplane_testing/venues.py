"""The venues that exist and their fixtures, as the conformance suite sees them.

A fixture is `services/feeds/<exchange>/fixtures/<label>.<case>.jsonl`: a JSON line of provenance, then lines of the frame-file format; what comes out of it stands in
`<label>.<case>.expected.jsonl`. The label is a feed, or one of
    instruments   bodies of the venue's instrument endpoints; they are known to every other case; expected: one instrument a line
    acks          frames that yield nothing: acks, pongs, heartbeats
    errors        frames that are refused; expected: `decode_error` lines
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
import orjson
from feedplane_core.adapter import Adapter, BookRule, Options
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent
from feedplane_core.frames import Decoded, FrameReceived, Record, Replay, RestAnswer, parse_lines
from feedplane_core.instruments import Instrument
from feedplane_core.jsonlines import error_line, event_line
from feedplane_core.names import DERIVED_FEEDS, Feed

REPOSITORY = Path(__file__).resolve().parents[3]
FEEDS_FOLDER = REPOSITORY / "services" / "feeds"
PROVENANCES = frozenset({"recorded", "documented", "synthetic"})
CAPTURES = REPOSITORY.parent / "shared" / "captures"
NATIVE_FEEDS = tuple(feed for feed in Feed if feed not in DERIVED_FEEDS)

_EXPECTED = ".expected.jsonl"


class Case:
    """One fixture file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label, _, self.name = path.name.removesuffix(".jsonl").partition(".")

    def __repr__(self) -> str:
        return f"{self.label}.{self.name}"

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The first line: `provenance`, `source`, `date`."""
        return dict(orjson.loads(self.path.read_bytes().split(b"\n", 1)[0]))

    @cached_property
    def records(self) -> list[Record]:
        return list(parse_lines(self.path.read_bytes().splitlines(keepends=True)))

    @property
    def frames(self) -> list[FrameReceived]:
        return [record for record in self.records if isinstance(record, FrameReceived)]

    @property
    def answers(self) -> list[RestAnswer]:
        return [record for record in self.records if isinstance(record, RestAnswer)]

    @property
    def expected_path(self) -> Path:
        return self.path.with_name(self.path.name.removesuffix(".jsonl") + _EXPECTED)

    @property
    def expected(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.expected_path.read_bytes().splitlines()]


class BookStream(msgspec.Struct, frozen=True):
    """A snapshot and the diffs that follow it, of one instrument."""

    snapshot: BookSnapshot
    diffs: list[DepthDiff]


class Venue:
    """One folder of services/feeds/, or of another folder of venues."""

    def __init__(self, exchange: str, feeds_folder: Path = FEEDS_FOLDER) -> None:
        self.exchange = exchange
        self.folder = feeds_folder / exchange
        paths = sorted((self.folder / "fixtures").glob("*.jsonl"))
        self.cases = [Case(path) for path in paths if not path.name.endswith(_EXPECTED)]

    def __repr__(self) -> str:
        return self.exchange

    @cached_property
    def adapter_class(self) -> type[Adapter]:
        """By entry point, as every process finds it."""
        found = entry_points(group="feedplane.adapters", name=self.exchange)
        assert found, f"no entry point feedplane.adapters: {self.exchange}; install {self.folder}"
        loaded: type[Adapter] = next(iter(found)).load()
        return loaded

    @cached_property
    def instruments(self) -> list[Instrument]:
        """All that the `instruments` cases name."""
        bodies = [answer.body for case in self.labelled("instruments") for answer in case.answers]
        return self.adapter_class().decode_instruments(bodies)

    def adapter(self, options: Options | None = None) -> Adapter:
        """A new adapter that knows the fixtures' instruments."""
        adapter = self.adapter_class(options or Options())
        adapter.use_instruments(self.instruments)
        return adapter

    def labelled(self, *labels: str) -> list[Case]:
        return [case for case in self.cases if case.label in labels]

    @property
    def feed_cases(self) -> list[Case]:
        """Cases whose frames are market data."""
        return self.labelled(*(feed.value for feed in NATIVE_FEEDS))

    def decode(self, case: Case) -> list[Decoded]:
        """The case through a new adapter, record by record."""
        replay = Replay(self.adapter())
        return [replay.feed(record) for record in case.records]

    def events(self, case: Case) -> list[MarketEvent]:
        """All events of a case. Raises: DecodeError at the first refusal."""
        return list(accepted(self.decode(case)))

    @cached_property
    def book_streams(self) -> list[BookStream]:
        """Every recorded snapshot with at least three diffs on top, stale ones left out."""
        streams = []
        for case in self.labelled("ob_diffs"):
            by_instrument: dict[str, tuple[list[BookSnapshot], list[DepthDiff]]] = {}
            for event in self.events(case):
                snapshots, diffs = by_instrument.setdefault(event.instrument, ([], []))
                if isinstance(event, BookSnapshot):
                    snapshots.append(event)
                elif isinstance(event, DepthDiff):
                    diffs.append(event)
            for snapshots, diffs in by_instrument.values():
                if snapshots:
                    following = _on_top_of(self.book_rule(snapshots[0]), snapshots[0], diffs)
                    if len(following) >= 3:
                        streams.append(BookStream(snapshots[0], following))
        return streams

    def book_rule(self, event: MarketEvent) -> BookRule:
        known = {instrument.instrument: instrument for instrument in self.instruments}
        return self.adapter().book_rule(known.get(event.instrument))


def _on_top_of(rule: BookRule, snapshot: BookSnapshot, diffs: Iterable[DepthDiff]) -> list[DepthDiff]:
    """Diffs from the first that is newer than the snapshot; one that only repeats its end is left out as well."""
    if not rule.sequenced or snapshot.last_seq is None:
        return list(diffs)
    return [diff for diff in diffs if diff.last_seq is not None and diff.last_seq > snapshot.last_seq]


def accepted(decoded: Iterable[Decoded]) -> Iterator[MarketEvent]:
    for outcome in decoded:
        if outcome.error is not None:
            raise outcome.error
        yield from outcome.events


def output_lines(decoded: Iterable[Decoded]) -> list[dict[str, Any]]:
    """What `feedplane decode` would print, as objects."""
    lines: list[bytes] = []
    for outcome in decoded:
        if outcome.error is not None:
            lines.append(error_line(outcome.error, outcome.record.line))
        else:
            lines += map(event_line, outcome.events)
    return [orjson.loads(line) for line in lines]


def case_lines(venue: Venue, case: Case) -> list[dict[str, Any]]:
    """What stands in a case's expected file: every instrument of all `instruments` cases, or else what `feedplane decode` would print."""
    if case.label == "instruments":
        return [msgspec.to_builtins(instrument) for instrument in venue.instruments]
    return output_lines(venue.decode(case))


def exchanges(only: str | None = None, feeds_folder: Path = FEEDS_FOLDER) -> list[str]:
    """Folders of venues that have fixtures."""
    found = sorted(path.parent.name for path in feeds_folder.glob("*/fixtures"))
    return [exchange for exchange in found if only in (None, exchange)]


def capture_records(name: str) -> list[Record] | None:
    """A recorded capture beside the checkout, or `None` where there is none."""
    path = CAPTURES / f"{name}.gz"
    if not path.exists():
        return None
    return list(parse_lines(gzip.decompress(path.read_bytes()).splitlines(keepends=True)))


def error_codes(decoded: Iterable[Decoded]) -> Counter[str]:
    """Refusals by code."""
    return Counter(outcome.error.code for outcome in decoded if isinstance(outcome.error, DecodeError))
