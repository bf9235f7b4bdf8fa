"""Real frames for the benchmarks: `../shared/captures` where it lies beside the checkout, else frames recorded from the simulator.

A capture is short, so it is played in loops whose numbers and times go on where the last loop ended: to every reader it is one long stream.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "captures"
_FRAME = re.compile(r"\d+(?:\.\d+)?: (.*)", re.DOTALL)


def capture_files(prefix: str) -> tuple[list[Path], list[Path], list[Path]]:
    """(instruments, REST answers, sockets) of one venue's capture; empty lists where there is none."""
    names = sorted(FOLDER.glob(f"{prefix}.*"))
    return (
        [p for p in names if re.fullmatch(rf"{prefix}\.\d+\.gz", p.name)],
        [p for p in names if ".http." in p.name],
        [p for p in names if ".ws." in p.name],
    )


def rest_answers(files: list[Path]) -> list[tuple[str, bytes]]:
    """(url, body)."""
    found = []
    for path in files:
        for line in gzip.open(path, "rt", encoding="utf-8"):
            url, separator, rest = line.rstrip("\n").partition(" -> ")
            if separator:
                found.append((url, rest.partition(": ")[2].encode()))
    return found


def frames(files: list[Path]) -> list[bytes]:
    """Received messages, in order."""
    found = []
    for path in files:
        for line in gzip.open(path, "rt", encoding="utf-8"):
            match = _FRAME.fullmatch(line.rstrip("\n"))
            if match:
                found.append(match[1].encode())
    return found


def binance_loops(once: list[bytes], loops: int, answers: list[tuple[str, bytes]]) -> Iterator[list[bytes]]:
    """The Binance futures capture, over and over: update ids, trade ids and times move on by the same span each time, so no chain ever breaks.

    `answers` hold the recorded books. Diffs that a book contains are left out, so that the first loop joins at once; each loop ends with one diff per symbol that puts
    the book back to where it began, else the next loop would cross it.
    """
    books = {url.partition("symbol=")[2].partition("&")[0]: orjson.loads(body) for url, body in answers}
    snapshots = {symbol: book["lastUpdateId"] for symbol, book in books.items()}
    parsed = [m for m in map(orjson.loads, once) if not _is_contained(m["data"], snapshots)]
    parsed += [_way_back(symbol, book, parsed) for symbol, book in books.items()]
    updates = _spans(parsed, "depthUpdate", "pu", "u")
    trades = _spans(parsed, "aggTrade", "a", "a")
    times = [m["data"]["E"] for m in parsed]
    minute_ms = 60_000
    time_span = ((max(times) - min(times)) // minute_ms + 1) * minute_ms
    for loop in range(loops):
        shifted = []
        for message in parsed:
            data = dict(message["data"])
            kind, symbol = data["e"], data["s"]
            if kind in ("depthUpdate", "bookTicker"):
                _move(data, ("U", "u", "pu"), updates.get(symbol, 0) * loop)
            elif kind == "aggTrade":
                _move(data, ("a", "f", "l"), (trades[symbol] + 1) * loop)
            elif kind == "kline":
                data["k"] = dict(data["k"])
                _move(data["k"], ("t", "T"), time_span * loop)
            _move(data, ("E", "T"), time_span * loop)
            shifted.append(orjson.dumps({"stream": message["stream"], "data": data}))
        yield shifted


def _way_back(symbol: str, book: dict[str, Any], parsed: list[dict[str, Any]]) -> dict[str, Any]:
    """The diff from a symbol's last state to its recorded book."""
    diffs = [m["data"] for m in parsed if m["data"]["e"] == "depthUpdate" and m["data"]["s"] == symbol]
    last = diffs[-1]
    sides = {}
    for key, name in (("b", "bids"), ("a", "asks")):
        begin = dict(book[name])
        touched = {price for diff in diffs for price, _ in diff[key]}
        sides[key] = [[price, begin.get(price, "0")] for price in sorted(touched)]
    data = {**last, **sides, "U": last["u"] + 1, "u": last["u"] + 1, "pu": last["u"]}
    return {"stream": f"{symbol.lower()}@depth@100ms", "data": data}


def _is_contained(data: dict[str, Any], snapshots: dict[str, int]) -> bool:
    return data["e"] == "depthUpdate" and data["u"] < snapshots.get(data["s"], 0)


def _spans(parsed: list[dict[str, Any]], kind: str, first: str, last: str) -> dict[str, int]:
    """Per symbol, how far its numbers move in one loop."""
    begin: dict[str, int] = {}
    end: dict[str, int] = {}
    for message in parsed:
        data = message["data"]
        if data["e"] == kind:
            begin.setdefault(data["s"], data[first])
            end[data["s"]] = data[last]
    return {symbol: end[symbol] - begin[symbol] for symbol in begin}


def _move(data: dict[str, Any], keys: tuple[str, ...], by: int) -> None:
    for key in keys:
        if key in data:
            data[key] += by
