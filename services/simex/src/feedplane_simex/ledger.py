"""The ledger of truth: one NDJSON line per thing issued, in order of issue, and the counts over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from feedplane_core.events import BookSnapshot, Event, Trade, feed_of, type_name
from feedplane_core.identity import identity_of
from feedplane_core.jsonlines import event_dict

_BUFFER_BYTES = 1 << 20
_ISSUED_KEPT = 1 << 17
_TOLD_AGAIN = (BookSnapshot, Trade)
Key = tuple[str, str, str, str]
"""(exchange, instrument, feed, type)."""
_Told = tuple[str, str, str, str, int | None]
"""(exchange, instrument, type, identity, venue's time)."""


class Ledger:
    """Writes lines to `path`, or keeps them in memory (tests, library use), or only counts (`keep=False`)."""

    def __init__(self, path: Path | None = None, *, keep: bool = True) -> None:
        self.lines: list[bytes] = []
        self._keep = keep
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=_BUFFER_BYTES)
        self._seq: dict[str, int] = {}
        self._counts: dict[Key, list[int]] = {}
        self._issued: dict[_Told, None] = {}

    def issue(self, event: Event, issued_ns: int, *, sent: bool, fault: str = "") -> None:
        """One thing issued. `sent` is false where a fault withheld or broke it; a fault that only repeats or delays it is named all the same."""
        exchange, instrument, feed, kind = event.exchange, event.instrument, feed_of(event), type_name(event)
        identity = identity_of(event)
        line: dict[str, Any] = {
            "seq": self._next(exchange),
            "exchange": exchange,
            "instrument": instrument,
            "feed": feed,
            "type": kind,
            "identity": identity,
            "issued_ns": issued_ns,
            "sent": sent,
        }
        if fault:
            line["fault"] = fault
        line["event"] = event_dict(event)
        if isinstance(event, _TOLD_AGAIN):
            self._remember(_told(event, identity))
        self._count((exchange, instrument, feed, kind), sent)
        self._write(line)

    def was_issued(self, event: Event) -> bool:
        """Whether a trade or snapshot of this identity and time was issued before (within the last 131,072). Other things are issued each time, and so is a
        book that has not changed and is told with a later time."""
        if not isinstance(event, _TOLD_AGAIN):
            return False
        return _told(event, identity_of(event)) in self._issued

    def issue_raw(
        self, exchange: str, channel: str, digest: str, issued_ns: int, *, sent: bool, fault: str = ""
    ) -> None:
        """A replayed frame: what it means is not known here, so it is named by its channel and the hash of its payload."""
        line: dict[str, Any] = {
            "seq": self._next(exchange),
            "exchange": exchange,
            "instrument": "",
            "feed": "",
            "type": "raw",
            "identity": digest,
            "issued_ns": issued_ns,
            "sent": sent,
        }
        if fault:
            line["fault"] = fault
        line["event"] = {"type": "raw", "channel": channel, "hash": digest}
        self._count((exchange, "", channel, "raw"), sent)
        self._write(line)

    def summary(self) -> list[dict[str, Any]]:
        """Counts per (exchange, instrument, feed, type)."""
        return [
            {"exchange": e, "instrument": i, "feed": f, "type": t, "sent": sent, "withheld": withheld}
            for (e, i, f, t), (sent, withheld) in sorted(self._counts.items())
        ]

    def total(self) -> int:
        """Lines issued so far, all venues."""
        return sum(self._seq.values())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The lines kept in memory, parsed."""
        return map(orjson.loads, self.lines)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self, exchange: str) -> int:
        seq = self._seq.get(exchange, 0) + 1
        self._seq[exchange] = seq
        return seq

    def _remember(self, key: _Told) -> None:
        self._issued[key] = None
        if len(self._issued) > _ISSUED_KEPT:
            del self._issued[next(iter(self._issued))]

    def _count(self, key: Key, sent: bool) -> None:
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0, 0]
        counts[0 if sent else 1] += 1

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        elif self._keep:
            self.lines.append(orjson.dumps(line))


def _told(event: Event, identity: str) -> _Told:
    return event.exchange, event.instrument, type_name(event), identity, event.ts_event_ns
