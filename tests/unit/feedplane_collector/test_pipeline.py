"""The pipeline's books balance whatever comes, and what it keeps is what came, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from feedplane_collector.pipeline import Pipeline
from feedplane_collector.shedding import Pressure
from feedplane_core.adapter import BookRule, Channel, FeedOffer, Offers, SnapshotSource, TradeIds, Verdict
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap, MarkPrice, TopOfBook, Trade
from feedplane_core.identity import depth_identity
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Aggressor, Feed, MarketType
from feedplane_journal.columns import Columns
from hypothesis import given, settings
from hypothesis import strategies as st

T0_NS = 1_790_000_000 * NS_PER_S
MS = 1_000_000
NAMES = ("A", "B")
FEEDS = (Feed.TRADES, Feed.L1, Feed.OB_DIFFS, Feed.OB_TOP5, Feed.MARK_PRICE)


class InOrder:
    """Books by socket, in the socket's order."""

    source = SnapshotSource.SOCKET
    sequenced = False
    snapshot_depth: int | None = None
    max_depth: int | None = None

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return Verdict.APPLY

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        return Verdict.APPLY

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return None


class Venue:
    """As much of an adapter as the pipeline asks: frames are places in a list of what they mean."""

    exchange = "x"
    offers = Offers(
        markets=frozenset({MarketType.SPOT}),
        feeds={feed: FeedOffer() for feed in (Feed.TRADES, Feed.L1, Feed.OB_DIFFS, Feed.MARK_PRICE)},
        trade_ids=TradeIds.CONSECUTIVE,
    )

    def book_rule(self, instrument: Instrument | None) -> BookRule:
        return InOrder()


class Source:
    """A live socket."""

    def __init__(self, number: int, meanings: list[list[Event] | DecodeError]) -> None:
        self.id = number
        self.session = self
        self.seen: dict[str, int] = {}
        self.decode_errors = 0
        self._meanings = meanings

    def suspects(self, error: DecodeError, frame: bytes) -> Sequence[Channel]:
        return [Channel(instrument=name, feed=feed, name=f"{name}@{feed}") for name in NAMES for feed in FEEDS]

    def decode(self, frame: bytes, recv_ns: int) -> list[Event]:
        meaning = self._meanings[int(frame)]
        if isinstance(meaning, DecodeError):
            raise meaning
        return meaning


class Bench:
    """A pipeline over a scripted venue, and what reached its columns."""

    def __init__(self) -> None:
        self.columns = Columns("x")
        self.kept: list[Event] = []
        self.pipeline = Pipeline(Venue(), FEEDS, self, lambda *_: None)  # type: ignore[arg-type]
        self.meanings: list[list[Event] | DecodeError] = []

    def append(self, event: Event, last_price: str | None = None, last_qty: str | None = None) -> None:
        self.kept.append(event)
        self.columns.append(event, last_price, last_qty)

    def append_instrument(self, instrument: Instrument, ts_recv_ns: int) -> None:
        self.columns.append_instrument(instrument, ts_recv_ns)

    def add(self, *names: str) -> None:
        for name in names:
            spot = MarketType.SPOT
            instrument = Instrument(
                exchange="x", market_type=spot, instrument=name, pair=f"{name}-USD", base=name, quote="USD"
            )
            self.pipeline.add_instrument(instrument, T0_NS)

    def source(self, number: int) -> Source:
        return Source(number, self.meanings)

    def feed(self, source: Source, meaning: list[Event] | DecodeError, at_ns: int) -> None:
        self.meanings.append(meaning)
        self.pipeline.on_frame(source, b"%d" % (len(self.meanings) - 1), at_ns)  # type: ignore[arg-type]

    def assert_balanced(self) -> None:
        self.pipeline.books.settle_account()
        for feed, account in self.pipeline.accounts.items():
            assert account.imbalance() == 0, (feed, account)
        assert sum(account.buffered for _, account in self.pipeline.accounts.items()) == self.columns.rows


def head(name: str, at: int) -> dict[str, Any]:
    times = {"ts_event_ns": T0_NS + at * MS, "ts_recv_ns": T0_NS + at * MS + 2}
    return {"exchange": "x", "market_type": MarketType.SPOT, "instrument": name} | times


def trade(name: str, at: int, number: int) -> Trade:
    return Trade(**head(name, at), trade_id=str(number), price="1", qty="1", aggressor=Aggressor.BUY)


def quote(name: str, at: int, seq: int) -> TopOfBook:
    return TopOfBook(**head(name, at), bid_price="1", bid_qty="1", ask_price="2", ask_qty="1", seq=seq)


def snapshot(name: str, at: int, qty: str = "1") -> BookSnapshot:
    return BookSnapshot(**head(name, at), bids=[("1", qty)], asks=[("2", "1")])


def diff(name: str, at: int) -> DepthDiff:
    return DepthDiff(**head(name, at), bids=[("1", str(at + 1))], asks=[])


names = st.sampled_from([*NAMES, "unknown"])
steps = st.one_of(
    st.tuples(st.just("trade"), names, st.integers(0, 12)),
    st.tuples(st.just("quote"), names, st.integers(0, 12)),
    st.tuples(st.just("mark"), names, st.integers(0, 5)),
    st.tuples(st.just("snapshot"), names, st.integers(1, 2)),
    st.tuples(st.just("diff"), names, st.integers(1, 2)),
    st.tuples(st.sampled_from(["interrupt", "settle", "add", "remove"]), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.sampled_from(["reject", "control", "shed gaps", "let go"]), st.just(""), st.just(0)),
    st.tuples(st.just("pressure"), st.just(""), st.integers(0, 3)),
    st.tuples(st.just("leave"), st.just(""), st.integers(1, 2)),
)


@settings(max_examples=200)
@given(st.lists(steps, max_size=60))
def test_the_books_balance_after_every_step(script: list[tuple[str, str, int]]) -> None:
    bench = Bench()
    bench.add(*NAMES)
    sockets = {1: bench.source(1), 2: bench.source(2)}
    for at, (kind, name, number) in enumerate(script):
        perform(bench, sockets, at, kind, name, number)
        bench.assert_balanced()
    bench.pipeline.books.let_go_of_held()
    bench.pipeline.keeper.shed_gaps()
    bench.assert_balanced()

    assert bench.pipeline.accounts[Feed.OB_DIFFS].held == 0
    kept = [event for event in bench.kept if isinstance(event, Trade)]
    assert max(Counter((e.instrument, e.trade_id) for e in kept).values(), default=0) <= 1 + script.count(
        ("add", "A", 0)
    )


def perform(bench: Bench, sockets: dict[int, Source], at: int, kind: str, name: str, number: int) -> None:
    pipeline, now_ns = bench.pipeline, T0_NS + at * MS
    events: dict[str, list[Event]] = {
        "trade": [trade(name, number, number)],
        "quote": [quote(name, number, number)],
        "mark": [MarkPrice(**head(name, number), mark_price="1", index_price=None)],
        "snapshot": [snapshot(name, at)],
        "diff": [diff(name, at)],
        "control": [],
    }
    if kind in events:
        bench.feed(sockets.get(number, sockets[1]), events[kind], now_ns)
    elif kind == "reject":
        bench.feed(sockets[1], DecodeError("trade", "number"), now_ns)
    elif kind == "interrupt":
        for feed in FEEDS:
            pipeline.interrupt(name, feed, "disconnect", now_ns)
    elif kind == "settle":
        pipeline.settle(name, Feed.L1, now_ns)
    elif kind == "add":
        bench.add(name)
    elif kind == "remove":
        pipeline.remove_instrument(name, now_ns)
    elif kind == "pressure":
        if number < pipeline.keeper.pressure:
            pipeline.keeper.shed_gaps()
        pipeline.keeper.pressure = Pressure(number)
    elif kind == "leave":
        pipeline.books.leave(number, "disconnect" if at % 2 else "", now_ns)
    elif kind == "let go":
        pipeline.books.let_go_of_held()
    else:
        pipeline.keeper.shed_gaps()


@given(st.data(), st.integers(2, 25), st.booleans())
def test_a_book_passes_between_sockets_without_hole_or_repeat(data: st.DataObject, count: int, is_clean: bool) -> None:
    """Two sockets carry one stream; the second begins with a snapshot somewhere in it, and lags or leads as it likes. The first ends when the second has spoken."""
    bench = Bench()
    bench.add("A")
    old, new = bench.source(1), bench.source(2)
    stream = [diff("A", 2 * n + 1) for n in range(count)]
    begins = data.draw(st.integers(0, count), "snapshot before diff")
    ends = count if is_clean else data.draw(st.integers(0, count), "old is cut after")
    left: list[Event] = [snapshot("A", 0), *stream[:ends]]
    right: list[Event] = [snapshot("A", 2 * begins, stream[begins - 1].bids[0][1] if begins else "1"), *stream[begins:]]
    bench.feed(old, [left.pop(0)], T0_NS)
    while left or len(right) > count - begins or (right and data.draw(st.booleans(), "go on")):
        one = left if left and (not right or data.draw(st.booleans(), "old")) else right
        bench.feed(old if one is left else new, [one.pop(0)], T0_NS)
    bench.pipeline.books.leave(old.id, "" if is_clean else "disconnect", T0_NS + 10_000 * MS)
    for event in right:
        bench.feed(new, [event], T0_NS)
    bench.assert_balanced()

    kept = Counter(depth_identity(e) for e in bench.kept if isinstance(e, DepthDiff))
    holes = {e.gap_id: e for e in bench.kept if isinstance(e, Gap)}.values()
    assert not kept or max(kept.values()) == 1
    assert not (is_clean and holes)
    for event in stream:
        at_ns = event.ts_event_ns or 0
        assert kept[depth_identity(event)] or any(
            hole.from_ns <= at_ns and (hole.to_ns is None or at_ns <= hole.to_ns) for hole in holes
        ), event
    state = bench.pipeline.states["A"]
    assert state.sync is not None
    if state.sync.is_synced and count:
        assert state.sync.book.bids.top() == [stream[-1].bids[0]]


def test_diffs_give_way_first_then_quotes_and_trades_last() -> None:
    bench = Bench()
    bench.add("A")
    socket = bench.source(1)
    shed_at = {}
    for pressure in Pressure:
        bench.pipeline.keeper.pressure = pressure
        n = int(pressure)
        bench.feed(socket, [snapshot("A", 4 * n), trade("A", 4 * n, n), quote("A", 4 * n, n)], T0_NS)
        shed_at[pressure] = {f for f, account in bench.pipeline.accounts.items() if account.shed}
    bench.pipeline.keeper.shed_gaps()
    gaps = [event for event in bench.kept if isinstance(event, Gap)]

    assert shed_at == {
        Pressure.NONE: set(),
        Pressure.HIGH: {"ob_diffs"},
        Pressure.HIGHER: {"ob_diffs", "l1"},
        Pressure.FULL: {"ob_diffs", "l1", "trades"},
    }
    assert {(gap.gap_feed, gap.reason) for gap in gaps} == {(f, "shed") for f in (Feed.OB_DIFFS, Feed.L1, Feed.TRADES)}
    assert next(gap for gap in gaps if gap.gap_feed is Feed.TRADES).from_seq == int(Pressure.FULL)


def test_a_book_that_no_socket_carries_is_not_shown() -> None:
    bench = Bench()
    bench.add("A")
    socket = bench.source(1)
    bench.feed(socket, [snapshot("A", 0)], T0_NS)
    state = bench.pipeline.states["A"]
    assert state.is_publishable
    bench.pipeline.interrupt("A", Feed.OB_DIFFS, "disconnect", T0_NS + MS)
    assert not state.is_publishable
    bench.feed(socket, [snapshot("A", 3)], T0_NS + 3 * MS)

    assert state.is_publishable


def test_where_a_predecessor_stopped_a_hole_begins() -> None:
    bench = Bench()
    bench.pipeline.resume_from({("A", Feed.TRADES): (T0_NS, 7), ("gone", Feed.TRADES): (T0_NS, 3)})
    bench.add("A")
    bench.feed(bench.source(1), [trade("A", 5, 10)], T0_NS)
    numbered = [event for event in bench.kept if isinstance(event, Gap) and event.from_seq]

    assert [(gap.from_seq, gap.to_seq, gap.reason) for gap in numbered] == [(8, 9, "restart")]
    assert bench.pipeline.positions() == {("gone", Feed.TRADES): (T0_NS, 3), ("A", Feed.TRADES): (T0_NS + 5 * MS, 10)}


def test_an_instrument_that_is_let_go_ends_its_holes() -> None:
    bench = Bench()
    bench.add("A")
    bench.pipeline.interrupt("A", Feed.L1, "disconnect", T0_NS + MS)
    bench.pipeline.remove_instrument("A", T0_NS + 9 * MS)
    states = [(event.state, event.to_ns) for event in bench.kept if isinstance(event, Gap)]

    assert states == [("open", None), ("closed", T0_NS + 9 * MS)]
    assert bench.pipeline.accounts.open_gaps(Feed.L1) == 0


def test_a_frame_that_was_not_decoded_is_a_hole_until_the_next_event_shows_otherwise() -> None:
    """A book that only its socket's order holds together has missed a change: it must not go on as if nothing had happened."""
    bench = Bench()
    bench.add("A")
    socket = bench.source(1)
    bench.feed(socket, [trade("A", 0, 1), quote("A", 0, 1), snapshot("A", 0)], T0_NS)
    bench.feed(socket, DecodeError("-", "json"), T0_NS + MS)
    bench.feed(socket, [trade("A", 2, 2), quote("A", 2, 2), diff("A", 2)], T0_NS + 2 * MS)
    state = bench.pipeline.states["A"]
    assert state.sync is not None
    assert not state.is_publishable
    assert "A" in bench.pipeline.books.wants_snapshot
    bench.feed(socket, [snapshot("A", 4)], T0_NS + 4 * MS)
    last = {gap.gap_feed: gap for gap in bench.kept if isinstance(gap, Gap)}

    assert state.is_publishable
    assert {gap.reason for gap in last.values()} == {"rejected"}
    assert (last[Feed.TRADES].state, last[Feed.L1].state, last[Feed.OB_DIFFS].state) == ("repaired", "closed", "closed")
    bench.assert_balanced()
