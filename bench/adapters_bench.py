"""Frames through adapter, book and columns, against cryptofeed's message handler (whose callbacks only count) on the same frames."""

from __future__ import annotations

import contextlib
import gc
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from captures import capture_files, frames, rest_answers
from feedplane_cli.adapters import adapter_points, load_adapter
from feedplane_collector.pipeline import Pipeline
from feedplane_core.adapter import Adapter, Channel, Options
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import Instrument
from feedplane_core.names import Feed, MarketType
from feedplane_journal.columns import Columns
from peers import Peer, listings_of, subscription_of
from peers import run as run_async
from results import Row


@dataclass(frozen=True)
class Capture:
    """Where a venue's frames lie, and what cryptofeed calls it (`None`: it cannot parse these frames)."""

    prefix: str
    peer: str | None


CAPTURES = {
    "binance_futures": Capture("BINANCE_FUTURES", "BINANCE_FUTURES"),
    "binance_spot": Capture("BINANCE", "BINANCE"),
    "coinbase": Capture("COINBASE", None),  # its adapter has moved to another API
    "kucoin": Capture("KUCOIN", None),  # its adapter asks for a token at start
    "okx": Capture("OKX", "OKX"),
    "bitfinex": Capture("BITFINEX", "BITFINEX"),
}


class Source:
    """A socket as the pipeline sees it."""

    def __init__(self, adapter: Adapter) -> None:
        self.id = 1
        self.session = adapter.session()
        self.seen: dict[str, int] = {}
        self.decode_errors = 0

    def suspects(self, error: DecodeError, frame: bytes) -> Sequence[Channel]:
        """None: a capture has no other socket to ask."""
        return ()


def build_pipeline(exchange: str, bodies: list[bytes], messages: list[bytes]) -> tuple[Pipeline, Columns, Source]:
    """A collector's inner part on the capture's instruments, all of them followed."""
    adapter = load_adapter(exchange, Options(assume_contract_size="1"))
    listed = instruments_of(adapter, bodies, messages)
    adapter.use_instruments(listed)
    columns = Columns(exchange)
    pipeline = Pipeline(
        adapter,
        adapter.offers.feeds.keys() | {Feed.L1, Feed.OB_TOP5, Feed.OB_TOP20, Feed.ADVANCED},
        columns,
        lambda *_: None,
    )
    for instrument in listed:
        pipeline.add_instrument(instrument, 1)
    columns.detach()
    return pipeline, columns, Source(adapter)


def instruments_of(adapter: Adapter, bodies: list[bytes], messages: list[bytes]) -> list[Instrument]:
    """Those that the capture lists; of an old capture whose listing is of another form, those that its frames speak of."""
    try:
        return adapter.decode_instruments(bodies)
    except DecodeError:
        session = adapter.session()
        seen: dict[str, MarketType] = {}
        for message in messages:
            with contextlib.suppress(DecodeError):
                seen.update({event.instrument: event.market_type for event in session.decode(message, 1)})
        return [
            Instrument(exchange=adapter.exchange, market_type=market, instrument=name, pair=name, base=name, quote="")
            for name, market in seen.items()
        ]


def load_books(pipeline: Pipeline, answers: list[tuple[str, bytes]], recv_ns: int) -> None:
    for url, body in answers:
        tag = pipeline.adapter.tag_of(url)
        if tag is not None and tag.kind == "book_snapshot":
            pipeline.on_body(tag, body, recv_ns)


def measure(exchange: str, capture: Capture, rounds: int) -> Row | None:
    """Best of some rounds over the whole capture, books loaded before the first diff is timed."""
    listings, answers_files, sockets = capture_files(capture.prefix)
    if not sockets:
        return None
    bodies = [body for _, body in rest_answers(listings)]
    answers, messages = rest_answers(answers_files), frames(sockets)
    best = min(_ours(exchange, bodies, answers, messages) for _ in range(rounds))
    baseline = None
    if capture.peer is not None:
        text = gzip.open(listings[0], "rt").read()
        times = [seconds for _ in range(rounds) if (seconds := _peer(capture.peer, text, answers, messages))]
        baseline = min(times, default=None)
    rate = len(messages) / best
    return Row(
        bench="adapters",
        what=f"{exchange}: adapter + book + columns",
        value=rate,
        unit="frames/s",
        baseline=None if baseline is None else len(messages) / baseline,
        note=f"{len(messages)} frames" + ("" if baseline else "; cryptofeed cannot parse these"),
    )


def _ours(exchange: str, bodies: list[bytes], answers: list[tuple[str, bytes]], messages: list[bytes]) -> float:
    pipeline, columns, source = build_pipeline(exchange, bodies, messages)
    load_books(pipeline, answers, 1)
    gc.collect()
    gc.disable()
    recv_ns = 2
    started = perf_counter()
    for index, message in enumerate(messages):
        pipeline.on_frame(source, message, recv_ns + index)
        if not index % 256:
            columns.take()
    columns.take()
    seconds = perf_counter() - started
    gc.enable()
    return seconds


def _peer(name: str, listing_text: str, answers: list[tuple[str, bytes]], messages: list[bytes]) -> float | None:
    """Seconds; `None` where cryptofeed's present version cannot read these frames."""
    try:
        peer = Peer(name, listings_of(listing_text), subscription_of(listing_text), answers, reads_top=False)
        texts = [message.decode() for message in messages]
        started = perf_counter()
        run_async(peer.handle_all(texts))
    except Exception as e:  # whatever it meets: it is their parser on old frames
        print(f"cryptofeed {name}: {type(e).__name__}: {e}")
        return None
    return perf_counter() - started


def run(*, quick: bool) -> list[Row]:
    found = []
    for exchange in adapter_points():
        capture = CAPTURES.get(exchange)
        row = measure(exchange, capture, 2 if quick else 7) if capture is not None else None
        found.append(
            row
            or Row(
                bench="adapters",
                what=f"{exchange}: no capture beside the checkout",
                value=0,
                unit="frames/s",
                note="skipped",
            )
        )
    return found
