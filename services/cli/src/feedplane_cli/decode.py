"""`feedplane decode`: frames to events, offline, with no clock and no network."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from feedplane_core.adapter import Adapter, Options
from feedplane_core.decimals import positive
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.events import BookSnapshot, DepthDiff, Event
from feedplane_core.frames import decode_records, parse_lines, unzipped
from feedplane_core.instruments import Instrument
from feedplane_core.jsonlines import error_line, event_line
from feedplane_core.sync import BookSync

from feedplane_cli.adapters import load_adapter


class SyncedBooks:
    """Runs every instrument's book machine over the events, as the collector does."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._syncs: dict[str, BookSync] = {}

    def pass_on(self, event: Event) -> list[Event]:
        """What the machine lets through, gaps included; other events as they are."""
        if not isinstance(event, BookSnapshot | DepthDiff):
            return [event]
        sync = self._syncs.get(event.instrument)
        if sync is None:
            rule = self._adapter.book_rule(_named(event))
            sync = BookSync(event.exchange, event.market_type, event.instrument, rule)
            self._syncs[event.instrument] = sync
        return sync.on_snapshot(event) if isinstance(event, BookSnapshot) else sync.on_diff(event)


def _named(event: Event) -> Instrument:
    """Name and market, from which an adapter tells the rule; what else it knows of the instrument it has been told."""
    market, name = event.market_type, event.instrument
    return Instrument(exchange=event.exchange, market_type=market, instrument=name, pair=name, base="", quote="")


def build_adapter(exchange: str, instruments: list[Path], contract_size: str | None) -> Adapter:
    """Raises: UsageError naming the file that is no instruments body of the venue, or a contract size that is no number above zero."""
    adapter = load_adapter(exchange, Options(assume_contract_size=_contract_size(contract_size)))
    bodies = []
    for path in instruments:
        try:
            body = path.read_bytes()
            adapter.decode_instruments([body])  # each for itself, so that the one that is wrong can be named
            bodies.append(body)
        except OSError as e:
            raise UsageError("--instruments", f"{path} cannot be read: {e.strerror}") from e
        except DecodeError as e:
            raise UsageError("--instruments", f"{path} is no instruments body of {exchange}: {e}") from e
    if bodies:
        adapter.use_instruments(adapter.decode_instruments(bodies))  # together they say more than one by one
    return adapter


def _contract_size(text: str | None) -> str | None:
    try:
        return None if text is None else positive(text, "-", "contract size")
    except DecodeError as e:
        raise UsageError("--assume-contract-size", f"{text!r} is no number above zero", "as in 1 or 0.01") from e


def open_input(name: str) -> BufferedReader:
    """Raises: UsageError."""
    if name == "-":
        return open(0, "rb", closefd=False)
    try:
        return Path(name).open("rb")
    except OSError as e:
        raise UsageError("FILE", f"{name} cannot be read: {e.strerror}") from e


def decoded_lines(adapter: Adapter, source: BufferedReader, *, synced: bool, strict: bool) -> Iterator[bytes]:
    """NDJSON, in frame order. With `strict` the first `decode_error` line is the last. Raises: UsageError for a missing contract size."""
    books = SyncedBooks(adapter)
    for decoded in decode_records(adapter, parse_lines(_readable(source))):
        for event in decoded.events:
            for kept in books.pass_on(event) if synced else (event,):
                yield event_line(kept)
        error = decoded.error
        if error is None:
            continue
        if error.code == "contract_size":
            raise UsageError("--instruments", str(error), "give the venue's instruments or --assume-contract-size 1")
        yield error_line(error, decoded.record.line)
        if strict:
            return


def _readable(source: BufferedReader) -> Iterator[bytes]:
    """Lines, unzipped. Raises: UsageError at the place where the file can be read no further."""
    lines: Iterable[bytes] = unzipped(source)
    try:
        yield from lines
    except (EOFError, OSError, zlib.error) as e:  # gzip tells a cut file, a bad header and bad bytes in three ways
        raise UsageError("FILE", f"cannot be read to its end: {e}", "is the gzip file whole?") from e
