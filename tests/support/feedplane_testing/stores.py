"""What a plane's stores hold, in the shape that the judge reads, and what the hot state should be by the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from feedplane_testing.judge import Hole, Kept, identity, value

Query = Callable[[str], list[dict[str, Any]]]

_HEAD = "exchange, instrument, if(ts_event_is_recv, NULL, toUnixTimestamp64Nano(ts_event)) AS ts_event_ns"
_LEVELS = "arrayMap(x -> (x.2, x.3), arraySort(groupArrayIf((level, toString(price), toString(qty)), side = '{side}' AND level > 0)))"
_EVENTS = {
    "trade": f"SELECT {_HEAD}, trade_id, toString(price) AS price, toString(qty) AS qty, lower(toString(side)) AS aggressor FROM trades_dedup",
    "depth": f"""
        SELECT exchange, instrument, first_seq, last_seq, is_snapshot,
               if(ts_event_is_recv, NULL, toUnixTimestamp64Nano(ts_event)) AS ts_event_ns,
               {_LEVELS.format(side="B")} AS bids, {_LEVELS.format(side="A")} AS asks
        FROM ob_diffs_dedup
        GROUP BY exchange, instrument, first_seq, last_seq, is_snapshot, identity, ts_event, ts_event_is_recv""",
    "liquidation": f"SELECT {_HEAD}, lower(toString(liquidated)) AS liquidated, toString(price) AS price, toString(qty) AS qty FROM liquidations_dedup",
    "kline": """
        SELECT exchange, instrument, interval, toUnixTimestamp64Milli(open_time) * 1000000 AS open_ns,
               toString(open) AS open, toString(high) AS high, toString(low) AS low, toString(close) AS close,
               toString(volume) AS volume FROM klines_agg_dedup""",
    "mark_price": f"SELECT {_HEAD}, toString(mark_px) AS mark_price, toString(index_px) AS index_price FROM mark_price_dedup",
    "funding": f"SELECT {_HEAD}, toString(funding_rate) AS rate FROM funding_dedup",
    "open_interest": f"SELECT {_HEAD}, toString(open_interest) AS open_interest FROM open_interest_dedup",
}  # fmt: skip
_INTERVALS_S = {"1m": 60, "5m": 300, "1h": 3600}


def kept_of_tables(query: Query) -> list[Kept]:
    """Every stored event of the types that venues issue, but quotes: those are sampled in history."""
    kept = []
    for kind, sql in _EVENTS.items():
        for row in query(sql):
            event = _event(kind, row)
            name = event["type"]
            kept.append(Kept((row["exchange"], row["instrument"], name, identity(name, event)), value(name, event)))
    return kept


def _event(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case "depth":
            return {**row, "type": "book_snapshot" if row["is_snapshot"] else "depth_diff"}
        case "kline":
            return {**row, "type": "kline", "interval_s": _INTERVALS_S[row["interval"]], "is_closed": True}
    return {**row, "type": kind}


def holes_of_tables(query: Query) -> list[Hole]:
    """Gap rows, each hole once."""
    rows = query(
        "SELECT exchange, instrument, feed, toUnixTimestamp64Nano(from_ts) AS from_ns, toUnixTimestamp64Nano(to_ts) AS to_ns, "
        "from_seq, to_seq, reason, gap_id, state, toUnixTimestamp64Nano(ts_recv) AS told_ns FROM gaps_dedup"
    )
    return [Hole(**row) for row in rows]


def last_sent(lines: Iterable[Mapping[str, Any]], kind: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(exchange, instrument) -> the last event of a type that was really sent."""
    found = {}
    for line in lines:
        if line["type"] == kind and line["sent"]:
            found[line["exchange"], line["instrument"]] = line["event"]
    return found


def final_books(
    lines: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str], tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]]:
    """(exchange, instrument) -> (bids, asks) after everything that the ledger issued, sent or withheld: the venue's own truth."""
    books: dict[tuple[str, str], tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {}
    seqs: dict[tuple[str, str], int] = {}
    for line in lines:
        if line["type"] not in ("book_snapshot", "depth_diff"):
            continue
        key, event = (line["exchange"], line["instrument"]), line["event"]
        last = event["last_seq"]
        if line["type"] == "book_snapshot":
            if last is None or last >= seqs.get(key, -1):
                books[key] = (_side(event["bids"]), _side(event["asks"]))
                seqs[key] = last if last is not None else -1
            continue
        if key not in books or (last is not None and last <= seqs[key]):
            continue
        seqs[key] = last if last is not None else -1
        for side, levels in zip(books[key], (event["bids"], event["asks"]), strict=True):
            for price, qty in levels:
                if Decimal(qty):
                    side[Decimal(price)] = Decimal(qty)
                else:
                    side.pop(Decimal(price), None)
    return books


def _side(levels: Iterable[tuple[str, str]]) -> dict[Decimal, Decimal]:
    return {Decimal(price): Decimal(qty) for price, qty in levels}
