"""Memory of collector and writers at 2,000 messages a second while both stores are away (stopped, not dead: connections hang)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from planes import plane_at
from results import Row

_RATE = 2_000
_PROMISE_MIB = 300.0
_STORES = ("redis", "clickhouse")


def run(*, quick: bool) -> list[Row]:
    seconds = 15 if quick else 600
    with plane_at(_RATE) as (plane, venues):
        time.sleep(5)
        pids = {name: process["pid"] for name, process in plane.note()["processes"].items()}
        for store in _STORES:
            os.kill(pids[store], signal.SIGSTOP)
        ours = {name: pid for name, pid in pids.items() if name not in (*_STORES, "simex")}
        highest = 0.0
        parts: dict[str, float] = {}
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            now = {name: resident_mib(pid) for name, pid in ours.items()}
            if sum(now.values()) > highest:
                highest, parts = sum(now.values()), now
            time.sleep(1.0)
        for store in _STORES:
            os.kill(pids[store], signal.SIGCONT)
        venues.stop()
        status = plane.wait_drained(300)
        account = plane.stop()
    shed = sum(row["shed"] for row in account["accounts"])
    pending = sum(count for row in status["accounts"] for count in row["pending"].values())
    shares = ", ".join(f"{name} {mib:.0f}" for name, mib in sorted(parts.items()))
    return [
        Row(
            bench="memory",
            what=f"collector + writers, stores away {seconds} s",
            value=highest,
            unit="MiB",
            baseline=_PROMISE_MIB,
            note=f"resident: {shares}; shed {shed}, pending after {pending}; baseline: the promise",
        )
    ]


def resident_mib(pid: int) -> float:
    """Resident set, shared pages included: the strictest way to count."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
