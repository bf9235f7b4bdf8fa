"""`make bench`: every benchmark, each against a baseline in the same run; a table for people, JSON in `build/bench.json`.

`python bench/run.py [--quick] [NAME ...]` runs those named (see `BENCHES`). Compare the ratios: absolute figures belong to one machine and one hour.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

from feedplane_core.cores import CORE_NAME
from feedplane_journal.lean import import_pyarrow
from results import Row
from rich.console import Console
from rich.table import Table

BENCHES = {
    "adapters": "frames through adapter, book and columns, per venue",
    "socket_to_journal": "one core: a saturated socket to durable journal",
    "clickhouse": "journal to ClickHouse, rows per second",
    "redis": "journal to Redis, commands per second",
    "latency": "wire to Redis and wire to queryable at 2,000 messages a second",
    "memory": "collector and writers with both stores away",
}
_AGAINST_CRYPTOFEED = {"adapters", "socket_to_journal"}
OUTPUT = Path("build/bench.json")


def main() -> int:
    """0 when every bench ran; a bench that cannot run here says why and counts as skipped."""
    parser = argparse.ArgumentParser(description="Benchmarks of Feedplane.")
    parser.add_argument("--quick", action="store_true", help="short runs: to see that everything works, not to quote")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    args = parser.parse_args()
    unknown = set(args.names) - BENCHES.keys()
    if unknown:
        parser.error(f"no bench named {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    names = args.names or list(BENCHES)
    if _AGAINST_CRYPTOFEED & set(names) and importlib.util.find_spec("cryptofeed") is None:
        parser.error("cryptofeed is not installed: `make bench BENCH=...` installs what it compares with")
    rows: list[Row] = []
    console = Console(width=150)
    console.print(f"{CORE_NAME} core, Python {platform.python_version()}")
    for name in names:
        console.print(f"[bold]{name}[/bold]: {BENCHES[name]}")
        found: list[Row] = importlib.import_module(f"{name}_bench").run(quick=args.quick)
        rows += found
        console.print(as_table(found))
    OUTPUT.parent.mkdir(exist_ok=True)
    machine = {
        "core": CORE_NAME,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    OUTPUT.write_text(
        json.dumps({"machine": machine, "quick": args.quick, "rows": [r.as_dict() for r in rows]}, indent=1)
    )
    console.print(f"{len(rows)} figures in {OUTPUT}")
    return 0


def as_table(rows: list[Row]) -> Table:
    table = Table("what", "value", "unit", "baseline", "ratio", "note", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        baseline = f"{row.baseline:,.4g}" if row.baseline is not None else ""
        ratio = f"{row.ratio:.2f}x" if row.ratio is not None else ""
        table.add_row(row.what, f"{row.value:,.6g}", row.unit, baseline, ratio, row.note)
    return table


if __name__ == "__main__":
    import_pyarrow()  # as every Feedplane process does first
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests" / "support")]
    sys.exit(main())
