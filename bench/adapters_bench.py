"""Frames through adapter, book and columns, against cryptofeed's message handler (whose callbacks only count) on the same frames.

Both are timed by the processor time that they take: neither waits for anything.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

import orjson
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
from simulated import record


@dataclass(frozen=True)
class Capture:
    """Where a venue's frames lie, and what cryptofeed calls it, or why it cannot parse these frames."""

    prefix: str
    peer: str | None = None
    why_not: str = ""


CAPTURES = {
    "binance_futures": Capture("BINANCE_FUTURES", "BINANCE_FUTURES"),
    "binance_spot": Capture("BINANCE", "BINANCE"),
    "coinbase": Capture("COINBASE", why_not="cryptofeed has moved to Advanced Trade"),
    "kucoin": Capture("KUCOIN", "KUCOIN"),
    "okx": Capture("OKX", "OKX"),
    "bitfinex": Capture("BITFINEX", "BITFINEX"),
}


@dataclass(frozen=True)
class Simulated:
    """What cryptofeed calls a venue of which there is no capture, and the feeds that both read; or why it cannot parse its frames."""

    peer: str | None = None
    feeds: str = ""
    why_not: str = ""


SIMULATED = {
    "bybit": Simulated("BYBIT", "trades,ob_diffs,klines,mark_price,funding,open_interest"),
    "gateio": Simulated(why_not="cryptofeed knows no in-band books"),
    "htx": Simulated(why_not="cryptofeed knows no incremental books"),
    "kraken": Simulated(why_not="cryptofeed speaks WebSocket v1"),
    "mexc": Simulated(why_not="cryptofeed has no MEXC"),
}


@dataclass(frozen=True)
class Stream:
    """What is timed: messages, on instruments and books that were there before."""

    instruments: list[Instrument]
    answers: list[tuple[str, bytes]]
    messages: list[bytes]


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


def build_pipeline(exchange: str, listed: list[Instrument]) -> tuple[Pipeline, Columns, Source]:
    """A collector's inner part on these instruments, all of them followed."""
    adapter = load_adapter(exchange, Options(assume_contract_size="1"))
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


@dataclass(frozen=True)
class Baseline:
    """cryptofeed on a stream: its name of the venue, the bodies of its listing, what it subscribes to."""

    peer: str
    listings: list[Any]
    subscription: dict[str, list[str]]


def captured(exchange: str) -> tuple[Stream, Baseline | None, str] | None:
    """The capture beside the checkout; `None` where there is none. The text says why there is no baseline."""
    capture = CAPTURES.get(exchange)
    listings, answers_files, sockets = capture_files(capture.prefix) if capture is not None else ([], [], [])
    if capture is None or not sockets:
        return None
    messages = frames(sockets)
    adapter = load_adapter(exchange, Options(assume_contract_size="1"))
    listed = instruments_of(adapter, [body for _, body in rest_answers(listings)], messages)
    text = gzip.open(listings[0], "rt").read()
    baseline = Baseline(capture.peer, listings_of(text), subscription_of(text)) if capture.peer is not None else None
    return Stream(listed, rest_answers(answers_files), messages), baseline, capture.why_not


def simulated(exchange: str, seconds: int) -> tuple[Stream, Baseline | None, str]:
    """Frames of the venue's simulated side."""
    how = SIMULATED.get(exchange, Simulated(why_not="no capture"))
    recording = record(exchange, seconds, how.feeds)
    baseline = None
    if how.peer is not None:
        listings = [orjson.loads(body) for url, body in recording.answers if "status=" not in url and "linear" in url]
        symbols = [f"{i.base}-{i.quote}-PERP" for i in recording.instruments]
        channels = ("trades", "l2_book", "candles", "funding", "open_interest", "index")
        baseline = Baseline(how.peer, [*listings, {"result": None}], dict.fromkeys(channels, symbols))
    stream = Stream(recording.instruments, recording.answers, recording.frames)
    return stream, baseline, "; ".join(filter(None, ("simulated", how.why_not)))


def measure(exchange: str, rounds: int, seconds: int) -> Row:
    """Best of some rounds over the whole stream, books loaded before the first diff is timed."""
    stream, peer, note = captured(exchange) or simulated(exchange, seconds)
    best = min(_ours(exchange, stream) for _ in range(rounds))
    times = [t for _ in range(rounds) if peer is not None and (t := _peer(peer, stream))]
    count = len(stream.messages)
    return Row(
        bench="adapters",
        what=f"{exchange}: adapter + book + columns",
        value=count / best,
        unit="frames/s",
        baseline=count / min(times) if times else None,
        note="; ".join(filter(None, (f"{count} frames", note))),
    )


def _ours(exchange: str, stream: Stream) -> float:
    pipeline, columns, source = build_pipeline(exchange, stream.instruments)
    load_books(pipeline, stream.answers, 1)
    gc.collect()
    gc.disable()
    recv_ns = 2
    started = process_time()
    for index, message in enumerate(stream.messages):
        pipeline.on_frame(source, message, recv_ns + index)
        if not index % 256:
            columns.take()
    columns.take()
    seconds = process_time() - started
    gc.enable()
    return seconds


def _peer(baseline: Baseline, stream: Stream) -> float | None:
    """Seconds; `None` where cryptofeed's present version cannot read these frames."""
    try:
        peer = Peer(baseline.peer, baseline.listings, baseline.subscription, stream.answers, reads_top=False)
        texts = [message.decode() for message in stream.messages]
        started = process_time()
        run_async(peer.handle_all(texts))
        seconds = process_time() - started
    except Exception as e:  # whatever it meets: it is their parser on old frames
        print(f"cryptofeed {baseline.peer}: {type(e).__name__}: {e}")
        return None
    if not peer.counts["l2_book"] or not peer.counts["trades"]:
        print(f"cryptofeed {baseline.peer}: read no books or no trades of these frames: {dict(peer.counts)}")
        return None
    return seconds


def run(*, quick: bool) -> list[Row]:
    return [measure(exchange, 2 if quick else 7, 3 if quick else 10) for exchange in adapter_points()]
