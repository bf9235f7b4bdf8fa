"""`feedplane up`: the whole plane on one machine."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from feedplane_core.errors import UsageError
from feedplane_core.names import DATABASES, Mode
from feedplane_feedset.model import FeedSet
from feedplane_ops.waiting import set_within
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from feedplane_cli.accounts import imbalances
from feedplane_cli.console import EXIT_FAILED, EXIT_USAGE, err, out
from feedplane_cli.datadir import DataDir
from feedplane_cli.engines import last_words
from feedplane_cli.plane import Plane, PlaneOptions
from feedplane_cli.reach import unreachable
from feedplane_cli.table import Rates, render_table, summary_lines

SIMULATED_RATE = 400
"""Messages a second over all venues when none can be reached: lively to look at, easy on a laptop."""
_REFRESH_S = 1.0
_PLAIN_EVERY_S = 10.0


async def choose_mode(feedset: FeedSet, wanted: str) -> tuple[Mode, dict[str, str]]:
    """`auto` is live unless no venue answers; also tells which venues do not."""
    if wanted != "auto":
        return Mode(wanted), {}
    exchanges = {entry.exchange for entry in feedset.spec.exchanges}
    missing = await unreachable(exchanges)
    return (Mode.SIM if missing.keys() == exchanges else Mode.LIVE), missing


def read_endpoints(path: Path | None) -> tuple[dict[str, dict[str, str]], Mode | None]:
    """The file that `feedplane simex --ready-file` writes: base URLs by exchange, and whether it plays a recording. Raises: UsageError."""
    if path is None:
        return {}, None
    try:
        document = json.loads(path.read_text())
        endpoints = {str(k): {str(n): str(u) for n, u in v.items()} for k, v in document["endpoints"].items()}
        return endpoints, Mode(document.get("mode", Mode.SIM))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as e:
        raise UsageError("--endpoints", f"{path} is not a ready file of `feedplane simex`: {e}") from e


class Up:
    """One run of the command."""

    def __init__(
        self,
        feedset: FeedSet,
        root: Path,
        *,
        mode: str,
        endpoints: Path | None,
        for_s: float | None,
        as_json: bool,
        redis_port: int,
        clickhouse_port: int,
        socket_library: str,
        rate: int | None,
    ) -> None:
        self._feedset = feedset
        self._root = root
        self._wanted_mode = mode
        self._endpoints_file = endpoints
        self._for_s = for_s
        self._as_json = as_json
        self._redis_port = redis_port
        self._clickhouse_port = clickhouse_port
        self._socket_library = socket_library
        self._rate = rate
        self._stop = asyncio.Event()
        self._rates = Rates()

    async def run(self) -> int:
        """Exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        endpoints, given_mode = read_endpoints(self._endpoints_file)
        missing: dict[str, str] = {}
        if given_mode is not None:
            mode = given_mode
        else:
            mode, missing = await choose_mode(self._feedset, self._wanted_mode)
        self._announce(mode, missing)
        simulate = mode is Mode.SIM and not endpoints
        data = DataDir(self._root, mode)
        data.open()
        plane = Plane(
            self._feedset,
            data,
            PlaneOptions(
                mode=mode,
                endpoints=endpoints,
                redis_port=self._redis_port,
                clickhouse_port=self._clickhouse_port,
                socket_library=self._socket_library,
                simulate_rate=(self._rate or SIMULATED_RATE) if simulate else None,
            ),
        )
        try:
            try:
                await plane.start()
                code = await self._watch(plane)
            finally:
                status = await plane.stop()
        finally:
            data.close()
        return self._close(status, code)

    def _announce(self, mode: Mode, missing: Mapping[str, str]) -> None:
        if mode is Mode.SIM and missing:
            lines = [f"{exchange}: {reason}" for exchange, reason in sorted(missing.items())]
            lines += ["", "Running the same path against simulated venues. Nothing you see below is a market.",
                      f"Own data directory {self._root / mode}, own database {DATABASES[mode]}, state=sim in every hot value."]  # fmt: skip
            err.print(Panel("\n".join(lines), title="NO VENUE CAN BE REACHED", style="bold yellow"))
        else:
            for exchange, reason in sorted(missing.items()):
                err.print(f"warning: {exchange} cannot be reached: {reason}", style="yellow", markup=False)

    async def _watch(self, plane: Plane) -> int:
        started = monotonic()
        if self._as_json or not sys.stdout.isatty():
            return await self._watch_plainly(plane, started)
        out.print(Text("\n".join(hints(plane)), style="dim"))
        with Live(console=out, refresh_per_second=4, transient=False) as live:
            while not self._is_over(started):
                status = await plane.status()
                live.update(render_table(status, self._rates, [_uptime(plane, started)], out.width))
                if (code := _failure(plane)) is not None:
                    return code
                await set_within(self._stop, _REFRESH_S)
        return 0

    async def _watch_plainly(self, plane: Plane, started: float) -> int:
        """Without a terminal: where things are, then a line now and then on stderr."""
        for line in hints(plane):
            err.print(line, markup=False)
        due = monotonic() + _PLAIN_EVERY_S
        while not self._is_over(started):
            if (code := _failure(plane)) is not None:
                return code
            await set_within(self._stop, 0.25)
            if monotonic() >= due:
                due = monotonic() + _PLAIN_EVERY_S
                status = await plane.status()
                received = sum(row["received"] for row in status["accounts"])
                gaps = sum(row["gaps"] for row in status["accounts"])
                err.print(f"{_uptime(plane, started)}: received {received:,}, gaps {gaps:,}", markup=False)
        return 0

    def _is_over(self, started: float) -> bool:
        return self._stop.is_set() or (self._for_s is not None and monotonic() - started >= self._for_s)

    def _close(self, status: dict[str, Any], code: int) -> int:
        for line in summary_lines(status["accounts"]):
            (err if self._as_json else out).print(line, markup=False, soft_wrap=True)
        problems = imbalances(status["accounts"])
        for problem in problems:
            err.print(f"the books do not balance: {problem}", style="red", markup=False)
        if self._as_json:
            document = {key: status[key] for key in ("accounts", "stores", "mode")}
            sys.stdout.write(json.dumps(document) + "\n")
        else:
            stores = ", ".join(f"{name} {url}" for name, url in status["stores"].items())
            out.print(f"mode {status['mode']}; stores were {stores}", markup=False, soft_wrap=True)
        return code or (EXIT_FAILED if problems else 0)


def hints(plane: Plane) -> list[str]:
    """Where to look next."""
    note = plane.note()
    first = plane.collectors[0]
    symbol = next(iter(first.symbols.include), "BTCUSDT")
    lines = [f"feedset {note['feedset']} ({note['mode']}), data in {note['data']}"]
    if "redis" in note["stores"]:
        host, _, port = note["stores"]["redis"].rpartition("//")[2].rpartition(":")
        lines.append(f"  latest   redis-cli -h {host} -p {port} hgetall last:l1:{first.exchange}:{symbol}")
    if "clickhouse" in note["stores"]:
        database = note["database"]
        url = f"{note['stores']['clickhouse']}/?database={database}"
        lines.append(f"  history  curl '{url}' -d 'SHOW TABLES'")
        lines.append('  query    feedplane query "SELECT exchange, instrument, count() FROM trades GROUP BY ALL"')
    lines.append(f"  metrics  {next(iter(note['metrics'].values()))}")
    return lines


def _uptime(plane: Plane, started: float) -> str:
    restarts = ", ".join(f"{name} restarted {n}x" for name, n in plane.restarts().items())
    return f"up {monotonic() - started:,.0f} s" + (f"; {restarts}" if restarts else "")


def _failure(plane: Plane) -> int | None:
    """Exit code if a process will not come back, having told why."""
    state = plane.failed()
    if state is None:
        return None
    err.print(f"feedplane: {state.name} ended: {told(last_words(state))}", style="red", markup=False)
    return EXIT_USAGE if state.last_exit_code == EXIT_USAGE else EXIT_FAILED


def told(words: str) -> str:
    """The error of a JSON log line; the line itself where it is none."""
    for line in reversed(words.split(" | ")):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "error" in record:
            return str(record["error"])
    return words
