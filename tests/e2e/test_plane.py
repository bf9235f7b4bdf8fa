"""The whole plane as a stranger runs it, on a quiet day: everything issued is stored once, hot state ends at the last values, the books balance."""

from __future__ import annotations

import time
from pathlib import Path

from feedplane_testing.oracle import account_faults, hot_state_faults, judge_history, sampled_quotes_are_true
from feedplane_testing.plane import Plane, Simulator


def test_a_quiet_run_is_whole_in_both_stores(tmp_path: Path, feedset: Path, simulated: list[str]) -> None:
    with (
        Simulator(tmp_path, *simulated, "--rate", "600", "--seed", "11") as venues,
        Plane(tmp_path, feedset, "--endpoints", str(venues.ready_path)) as plane,
    ):
        plane.wait_ready()
        time.sleep(12)
        venues.stop()
        time.sleep(0.5)
        plane.wait_drained()
        lines = venues.ledger()
        verdict = judge_history(plane, lines)
        quotes = sampled_quotes_are_true(plane, lines)
        hot = hot_state_faults(plane, lines)
        began = time.monotonic()
        account = plane.stop()
        stopping_s = time.monotonic() - began

    assert verdict.is_clean, verdict.text()
    assert verdict.kept > 3_000, verdict.text()
    assert {hole.reason for hole in verdict.holes} <= {"start", "disconnect", "poll_failed"}, verdict.text()
    assert quotes > 50
    assert hot == []
    assert account_faults(account) == []
    assert account["mode"] == "sim"
    assert sum(row["rejected"] for row in account["accounts"]) == 0
    assert stopping_s < 5.0
    assert plane.process.returncode == 0
