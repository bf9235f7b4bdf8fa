"""The ledger: numbered per venue, identities as stored, counts that add up."""

from __future__ import annotations

from pathlib import Path

import orjson
from feedplane_core.events import Trade
from feedplane_core.identity import identity_of
from feedplane_core.jsonlines import event_dict
from feedplane_core.names import Aggressor, MarketType
from feedplane_simex.ledger import Ledger


def trade(number: int, exchange: str = "x") -> Trade:
    return Trade(
        exchange=exchange,
        market_type=MarketType.SPOT,
        instrument="A",
        ts_event_ns=number,
        ts_recv_ns=number + 1,
        trade_id=str(number),
        price="1.50",
        qty="2",
        aggressor=Aggressor.SELL,
    )


def test_lines_say_what_was_issued(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.ndjson"
    ledger = Ledger(path)
    ledger.issue(trade(1), 10, sent=True)
    ledger.issue(trade(2), 11, sent=False, fault="drop")
    ledger.issue(trade(1, "y"), 12, sent=True)
    ledger.close()
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]

    assert [(line["exchange"], line["seq"]) for line in lines] == [("x", 1), ("x", 2), ("y", 1)]
    assert lines[0] == {
        "seq": 1,
        "exchange": "x",
        "instrument": "A",
        "feed": "trades",
        "type": "trade",
        "identity": identity_of(trade(1)),
        "issued_ns": 10,
        "sent": True,
        "event": event_dict(trade(1)),
    }
    assert (lines[1]["sent"], lines[1]["fault"]) == (False, "drop")


def test_the_summary_counts_sent_and_withheld() -> None:
    ledger = Ledger()
    for number in range(5):
        ledger.issue(trade(number), 0, sent=number % 2 == 0)
    ledger.issue_raw("x", "btcusdt@trade", "h00", 0, sent=True)

    assert ledger.total() == 6
    assert ledger.summary() == [
        {"exchange": "x", "instrument": "", "feed": "btcusdt@trade", "type": "raw", "sent": 1, "withheld": 0},
        {"exchange": "x", "instrument": "A", "feed": "trades", "type": "trade", "sent": 3, "withheld": 2},
    ]


def test_it_remembers_what_it_has_issued() -> None:
    ledger = Ledger(keep=False)
    ledger.issue(trade(1), 0, sent=False)

    assert ledger.was_issued(trade(1))
    assert not ledger.was_issued(trade(2))
    assert not ledger.was_issued(trade(1, "y"))
    assert list(ledger) == []
