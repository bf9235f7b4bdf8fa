"""Order books: windows of so many levels. Spot sends what has changed in its window and answers requests for the whole; linear begins with the whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from weakref import WeakValueDictionary

from feedplane_core.dialect import DepthBatch, Happening, LevelInts, Market, Message, Venue, Want
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.names import NS_PER_MS, Feed

from .channel import EXCHANGE, PUSH_DELAY_MS, BaseStream, ms
from .listing import base_qty, number
from .streams import frame

SPOT_EVERY_NS = {"5": 10 * NS_PER_MS, "20": 10 * NS_PER_MS, "150": 100 * NS_PER_MS, "400": 100 * NS_PER_MS}
LINEAR_EVERY_NS = 30 * NS_PER_MS
ANSWER = "rep:"
"""In front of a topic: the answer to a request for its whole book."""


def levels_json(market: Market, levels: Iterable[LevelInts]) -> str:
    """`[[price,size],...]`, both numbers."""
    rows = (f"[{number(market.price_text(tick))},{number(market.qty_text(qty))}]" for tick, qty in levels)
    return f"[{','.join(rows)}]"


def levels_meant(market: Market, levels: Iterable[LevelInts]) -> list[list[str]]:
    """The same as texts, in base units."""
    return [[market.price_text(tick), base_qty(market, qty)] for tick, qty in levels]


def _changes(old: dict[int, int], new: dict[int, int]) -> list[LevelInts]:
    """What turns one window into the other; what has left it is gone."""
    return [(tick, new.get(tick, 0)) for tick in sorted(old.keys() | new.keys()) if old.get(tick) != new.get(tick)]


class Window(BaseStream):
    """The best `depth` levels a side, as the listeners of a topic know them."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, topic: str, instrument: str, depth: int, every_ns: int) -> None:
        super().__init__(venue, topic, instrument, Want(kind=DepthBatch, instrument=instrument, every_ns=every_ns))
        self.depth = depth
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.seq = self._market(instrument).seq
        self._look()

    def _look(self) -> tuple[list[LevelInts], list[LevelInts]]:
        """Bring the window up to now; what has changed in it, bids best first."""
        market, old_bids, old_asks = self._market(self.instrument), self.bids, self.asks
        self.bids, self.asks = dict(market.bids(self.depth)), dict(market.asks(self.depth))
        return _changes(old_bids, self.bids)[::-1], _changes(old_asks, self.asks)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        bids, asks = self._look()
        prev_seq = self._before(happening)
        self.seq = happening.last_seq
        return (self._increment(bids, asks, prev_seq, ms(happening.ts_ns), now_ns),)

    def _before(self, batch: DepthBatch) -> int:
        """The number before a batch: ours, as batches may have begun before this channel, unless the book was numbered anew."""
        is_renumbered = batch.prev_seq > self.seq or batch.last_seq < self.seq
        return batch.prev_seq if is_renumbered else self.seq

    @abstractmethod
    def _increment(
        self, bids: list[LevelInts], asks: list[LevelInts], prev_seq: int, at_ms: int, now_ns: int
    ) -> Message: ...

    def _snapshot(self, last_seq: int, ts_ms: int, now_ns: int) -> BookSnapshot:
        market = self._market(self.instrument)
        return BookSnapshot(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=ts_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=levels_meant(market, self.bids.items()),
            asks=levels_meant(market, self.asks.items()),
            last_seq=last_seq,
            depth=self.depth,
        )

    def _diff(
        self,
        bids: list[LevelInts],
        asks: list[LevelInts],
        prev_seq: int | None,
        last_seq: int,
        ts_ms: int,
        now_ns: int,
    ) -> DepthDiff:
        market = self._market(self.instrument)
        return DepthDiff(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=ts_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=levels_meant(market, bids),
            asks=levels_meant(market, asks),
            last_seq=last_seq,
            prev_seq=prev_seq,
        )


class SpotWindow(Window):
    """`market.<symbol>.mbp.<n>`: increments alone. Unlike the venue's, a book in which nothing moves sends no empty ones."""

    def _increment(
        self, bids: list[LevelInts], asks: list[LevelInts], prev_seq: int, at_ms: int, now_ns: int
    ) -> Message:
        market = self._market(self.instrument)
        tick = f'{{"seqNum":{self.seq},"prevSeqNum":{prev_seq},"bids":{levels_json(market, bids)}'
        tick += f',"asks":{levels_json(market, asks)}}}'
        event = self._diff(bids, asks, prev_seq, self.seq, at_ms, now_ns)
        return Message(payload=frame(self.topic, at_ms, tick), events=(event,), is_binary=True)

    def answer(self, at_ms: int, now_ns: int) -> Message:
        """The whole book as of the last increment, so that the next one joins; its id is the peer's to write."""
        market = self._market(self.instrument)
        data = f'{{"seqNum":{self.seq},"bids":{levels_json(market, self.bids.items())}'
        data += f',"asks":{levels_json(market, self.asks.items())}}}'
        payload = f'{{"rep":"{self.topic}","status":"ok","ts":{at_ms},"data":{data}}}'
        return Message(payload=payload.encode(), events=(self._snapshot(self.seq, at_ms, now_ns),), is_binary=True)


class SpotAnswer(BaseStream):
    """The answer to one request: a channel that speaks once."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, window: SpotWindow) -> None:
        super().__init__(venue, ANSWER + window.topic, window.instrument)
        self._window = window

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return (self._window.answer(ms(self._venue.now_ns()), now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return ()


class LinearWindow(Window):
    """`market.<code>.depth.size_<n>.high_freq`, incremental: the whole on subscribing, then `version` + 1 each time.

    Versions go on from the book's number at the start, so that no two snapshots of a run share one.
    """

    def __init__(self, venue: Venue, topic: str, instrument: str, depth: int) -> None:
        super().__init__(venue, topic, instrument, depth, LINEAR_EVERY_NS)
        self._version = self.seq

    def welcome(self, now_ns: int) -> Sequence[Message]:
        at_ms = ms(self._venue.now_ns())
        event = self._snapshot(self._version, at_ms, now_ns)
        return (self._message("snapshot", list(self.bids.items()), list(self.asks.items()), at_ms, event),)

    def _increment(
        self, bids: list[LevelInts], asks: list[LevelInts], prev_seq: int, at_ms: int, now_ns: int
    ) -> Message:
        event = self._diff(bids, asks, None, self._version, at_ms, now_ns)
        return self._message("update", bids, asks, at_ms, event)

    def _before(self, batch: DepthBatch) -> int:
        prev_seq = super()._before(batch)
        leap = prev_seq - self.seq  # not 0 where the book was numbered anew: so are versions
        self._version = max(0, self._version + leap) + 1
        return prev_seq

    def _message(
        self, kind: str, bids: list[LevelInts], asks: list[LevelInts], at_ms: int, event: BookSnapshot | DepthDiff
    ) -> Message:
        market = self._market(self.instrument)
        tick = f'{{"asks":{levels_json(market, asks)},"bids":{levels_json(market, bids)},"ch":"{self.topic}"'
        tick += f',"event":"{kind}","id":{self.seq},"mrid":{self.seq},"ts":{at_ms},"version":{self._version}}}'
        payload = f'{{"ch":"{self.topic}","tick":{tick},"ts":{at_ms + PUSH_DELAY_MS}}}'
        return Message(payload=payload.encode(), events=(event,), is_binary=True)


class Books:
    """Opens book channels, and remembers the spot ones that live: requests are answered from what their listeners were sent."""

    def __init__(self) -> None:
        self._spot: WeakValueDictionary[tuple[int, str], SpotWindow] = WeakValueDictionary()

    def open_stream(self, topic: str, instrument: str, kind: str, venue: Venue) -> BaseStream | None:
        """The channel `kind` of a symbol, of those in this file."""
        is_spot = venue.markets[instrument].listing.contract_size is None
        depth = kind.removeprefix("mbp.")
        if is_spot and depth != kind and depth in SPOT_EVERY_NS:
            return self._window(topic, instrument, depth, venue)
        if not is_spot and kind in ("depth.size_20.high_freq", "depth.size_150.high_freq"):
            return LinearWindow(venue, topic, instrument, 20 if "_20." in kind else 150)
        return None

    def answer(self, topic: str, instrument: str, kind: str, venue: Venue) -> BaseStream | None:
        """The answer to a request for the whole book of a topic, subscribed or not."""
        depth = kind.removeprefix("mbp.")
        if depth == kind or depth not in SPOT_EVERY_NS:
            return None
        window = self._spot.get((id(venue), topic)) or SpotWindow(
            venue, topic, instrument, int(depth), SPOT_EVERY_NS[depth]
        )
        return SpotAnswer(venue, window)

    def _window(self, topic: str, instrument: str, depth: str, venue: Venue) -> SpotWindow:
        window = SpotWindow(venue, topic, instrument, int(depth), SPOT_EVERY_NS[depth])
        self._spot[id(venue), topic] = window
        return window
