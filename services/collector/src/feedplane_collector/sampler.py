"""Samples of synced books at a cadence: top 5, top 20, advanced metrics, checkpoints. Only what changed is written again."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from feedplane_core import advanced
from feedplane_core.book import FAR
from feedplane_core.events import AdvancedMetric, BookTop, Checkpoint
from feedplane_core.names import NS_PER_S, Feed

from feedplane_collector.pipeline import Pipeline
from feedplane_collector.state import InstrumentState

CHECKPOINT_EVERY_NS = 300 * NS_PER_S


class Sampler:
    """Emits into the pipeline whatever is due at `now_ns`; call it at least as often as the finest cadence."""

    def __init__(self, pipeline: Pipeline, cadence_ns: Mapping[Feed, int]) -> None:
        self._pipeline = pipeline
        self._cadence_ns = {feed: every for feed, every in cadence_ns.items() if feed in pipeline.requested}
        self._due_ns = dict.fromkeys(self._cadence_ns, 0)
        self._checkpoints = Feed.OB_DIFFS in pipeline.requested

    def sample(self, now_ns: int, timer_ns: int) -> None:
        """`now_ns` is receive time and stamps the samples; `timer_ns` says what is due."""
        due = {feed for feed, at_ns in self._due_ns.items() if timer_ns >= at_ns}
        for feed in due:
            self._due_ns[feed] = timer_ns + self._cadence_ns[feed]
        for state in self._pipeline.states.values():
            if not state.look():
                continue
            self._tops(state, due, now_ns)
            if Feed.ADVANCED in due:
                self._advanced(state, now_ns)
            if self._checkpoints and timer_ns - state.last_checkpoint_ns >= CHECKPOINT_EVERY_NS:
                state.last_checkpoint_ns = timer_ns
                self._checkpoint(state, now_ns)

    def last_look(self, state: InstrumentState, now_ns: int) -> None:
        """A book is about to be given up: show what it held, so that the hot state ends at the last known values and not up to a cadence before them."""
        if state.look():
            self._tops(state, self._due_ns.keys(), now_ns)

    def _tops(self, state: InstrumentState, due: Collection[Feed], now_ns: int) -> None:
        if Feed.OB_TOP5 in due and state.near_top5 < 5:
            state.near_top5 = FAR
            self._top(state, 5, Feed.OB_TOP5, now_ns)
        if Feed.OB_TOP20 in due and state.near_top20 < 20:
            state.near_top20 = FAR
            self._top(state, 20, Feed.OB_TOP20, now_ns)

    def _top(self, state: InstrumentState, depth: int, feed: Feed, now_ns: int) -> None:
        sync, instrument = state.sync, state.instrument
        assert sync is not None
        event = BookTop(
            exchange=instrument.exchange,
            market_type=instrument.market_type,
            instrument=instrument.instrument,
            ts_event_ns=state.ts_event_ns,
            ts_recv_ns=now_ns,
            depth=depth,
            bids=sync.book.bids.top(depth),
            asks=sync.book.asks.top(depth),
            seq=sync.last_seq,
        )
        self._pipeline.keeper.keep_made(instrument, event, feed)

    def _advanced(self, state: InstrumentState, now_ns: int) -> None:
        sync, instrument = state.sync, state.instrument
        assert sync is not None
        bids, asks = sync.book.bids.top(20), sync.book.asks.top(20)
        (bid_price, bid_qty), (ask_price, ask_qty) = bids[0][:2], asks[0][:2]
        event = AdvancedMetric(
            exchange=instrument.exchange,
            market_type=instrument.market_type,
            instrument=instrument.instrument,
            ts_event_ns=state.ts_event_ns,
            ts_recv_ns=now_ns,
            spread_px=advanced.spread(bid_price, ask_price),
            spread_bps=advanced.spread_bps(bid_price, ask_price),
            microprice=advanced.microprice(bid_price, bid_qty, ask_price, ask_qty),
            imbalance_5=advanced.imbalance(bids, asks, 5),
            imbalance_20=advanced.imbalance(bids, asks, 20),
            trade_imb_1s=state.window.imbalance(now_ns),
            seq=sync.last_seq,
        )
        self._pipeline.keeper.keep_made(instrument, event, Feed.ADVANCED)

    def _checkpoint(self, state: InstrumentState, now_ns: int) -> None:
        sync, instrument = state.sync, state.instrument
        assert sync is not None
        event = Checkpoint(
            exchange=instrument.exchange,
            market_type=instrument.market_type,
            instrument=instrument.instrument,
            ts_event_ns=state.ts_event_ns,
            ts_recv_ns=now_ns,
            bids=sync.book.bids.top(),
            asks=sync.book.asks.top(),
            seq=sync.last_seq,
        )
        self._pipeline.keeper.checkpoint(instrument, event)
