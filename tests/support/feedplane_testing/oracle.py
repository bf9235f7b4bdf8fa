"""One judgement of a finished run: history, holes, hot state and accounts against the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Protocol

import redis

from feedplane_testing.judge import Verdict, issued_of_ledger, judge
from feedplane_testing.stores import final_books, holes_of_tables, kept_of_tables, last_sent

FEWEST_LEVELS = 10


class Plane(Protocol):
    """What is judged: a plane of `feedplane up`, or the stores of pods."""

    def query(self, sql: str) -> list[dict[str, Any]]: ...

    def redis_port(self) -> int: ...


def judge_history(plane: Plane, lines: list[dict[str, Any]]) -> Verdict:
    """Everything that the ledger issued is stored exactly once in the query layer, or covered by a gap row."""
    issued = [line for line in issued_of_ledger(lines) if line.key[2] != "top_of_book"]
    return judge(issued, kept_of_tables(plane.query), holes_of_tables(plane.query))


def sampled_quotes_are_true(plane: Plane, lines: list[dict[str, Any]]) -> int:
    """Every row of `l1_200ms` of a venue with a native quote channel is one that was issued; returns how many there are."""
    issued = {
        (line["exchange"], line["instrument"], *(Decimal(line["event"][name]) for name in ("bid_price", "bid_qty", "ask_price", "ask_qty")))
        for line in lines
        if line["type"] == "top_of_book"
    }  # fmt: skip
    rows = plane.query(
        "SELECT exchange, instrument, toString(bid_px) AS a, toString(bid_sz) AS b, toString(ask_px) AS c, toString(ask_sz) AS d "
        "FROM l1_200ms_dedup WHERE source = 'native'"
    )
    stored = {
        (r["exchange"], r["instrument"], Decimal(r["a"]), Decimal(r["b"]), Decimal(r["c"]), Decimal(r["d"]))
        for r in rows
    }
    assert stored <= issued, sorted(map(str, stored - issued))[:3]
    return len(rows)


def hot_state_faults(plane: Plane, lines: list[dict[str, Any]]) -> list[str]:
    """Where Redis does not end at the ledger's last values."""
    client = redis.Redis(port=plane.redis_port(), decode_responses=True)
    faults = []
    for (exchange, instrument), quote in last_sent(lines, "top_of_book").items():
        held = client.hgetall(f"last:l1:{exchange}:{instrument}")
        for field, name in (
            ("bid_px", "bid_price"),
            ("bid_sz", "bid_qty"),
            ("ask_px", "ask_price"),
            ("ask_sz", "ask_qty"),
        ):
            faults += _differs(f"l1 {exchange} {instrument} {field}", held.get(field), quote[name])
    marks = [line for line in lines if line["event"].get("mark_price") is not None]  # some venues send the index apart
    for (exchange, instrument), mark in last_sent(marks, "mark_price").items():
        held = client.hgetall(f"last:mark:{exchange}:{instrument}")
        faults += _differs(f"mark {exchange} {instrument}", held.get("mark_px"), mark["mark_price"])
    for (exchange, instrument), rate in last_sent(lines, "funding").items():
        held = client.hgetall(f"last:funding:{exchange}:{instrument}")
        faults += _differs(f"funding {exchange} {instrument}", held.get("funding_rate"), rate["rate"])
    for (exchange, instrument), trade in last_sent(lines, "trade").items():
        entries = client.xrevrange(f"stream:trades:{exchange}:{instrument}", count=1)
        held_id = entries[0][1]["trade_id"] if entries else None
        if held_id != trade["trade_id"]:
            faults.append(f"trades {exchange} {instrument}: {held_id} is not {trade['trade_id']}")
    for (exchange, instrument), (bids, asks) in final_books(lines).items():
        held = client.hgetall(f"last:top20:{exchange}:{instrument}")
        faults += _book_faults(f"top20 {exchange} {instrument}", held, bids, asks)
    keys = [key for key in client.keys("last:*") if not client.hget(key, "state").startswith("sim")]
    faults += [f"{key} does not say that it is simulated" for key in keys]
    client.close()
    return faults


def _differs(name: str, held: str | None, expected: str) -> list[str]:
    if held is not None and Decimal(held) == Decimal(expected):
        return []
    return [f"{name}: {held} is not {expected}"]


def _book_faults(
    name: str, held: dict[str, str], bids: dict[Decimal, Decimal], asks: dict[Decimal, Decimal]
) -> list[str]:
    faults = []
    for letter, levels in (("b", sorted(bids.items(), reverse=True)), ("a", sorted(asks.items()))):
        for place, (price, qty) in enumerate(levels[:20], start=1):
            found = (held.get(f"{letter}{place}_px"), held.get(f"{letter}{place}_sz"))
            if found == ("0", "0") and place > FEWEST_LEVELS:
                continue  # a venue that maintains fewer levels than twenty
            if None in found or (Decimal(str(found[0])), Decimal(str(found[1]))) != (price, qty):
                faults.append(f"{name} {letter}{place}: {found} is not {(price, qty)}")
    return faults[:3]


def account_faults(account: dict[str, Any]) -> list[str]:
    """What does not balance in a closing account."""
    faults = []
    for row in account["accounts"]:
        name = f"{row['exchange']} {row['feed']}"
        if row["received"] != row["normalised"] + row["rejected"] + row["ignored"]:
            faults.append(f"{name}: received {row}")
        if row["normalised"] != row["journalled"] + row["shed"]:
            faults.append(f"{name}: normalised {row}")
        faults += [
            f"{name}: {sink} {row}"
            for sink, written in row["written"].items()
            if row["journalled"] != written + row["pending"][sink] + row["quarantined"][sink] or row["pending"][sink]
        ]
    return faults
