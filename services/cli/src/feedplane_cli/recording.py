"""`feedplane record` as a person sees it: a progress bar while frames come in."""

from __future__ import annotations

import asyncio
from pathlib import Path

from feedplane_collector.rest import RestFailed
from feedplane_collector.transport import ConnectFailed
from feedplane_core.adapter import Options
from feedplane_core.errors import FeedplaneError, UsageError
from feedplane_core.names import Feed
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from feedplane_cli.adapters import load_adapter
from feedplane_cli.console import err
from feedplane_cli.record import Recorder, open_output
from feedplane_cli.up import read_endpoints


class RecordingFailed(FeedplaneError):
    """The venue could not be had."""


def run_recording(
    exchange: str,
    symbols: list[str],
    feeds: frozenset[Feed] | None,
    seconds: float,
    output: Path,
    endpoints_file: Path | None,
) -> None:
    """Record and say how much. Raises: UsageError, RecordingFailed."""
    load_adapter(exchange)  # an unknown venue is told before all else
    endpoints, _ = read_endpoints(endpoints_file)
    if endpoints_file is not None and not endpoints.get(exchange):  # never the real venue where another was asked for
        raise UsageError("--endpoints", f"{endpoints_file} has no {exchange}", f"it has {', '.join(endpoints)}")
    adapter = load_adapter(exchange, Options(endpoints=endpoints.get(exchange, {})))
    wanted = feeds if feeds is not None else frozenset(adapter.offers.feeds)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with open_output(output) as out, Progress(*columns, console=err) as progress:
        bar = progress.add_task(f"{exchange}: waiting", total=seconds)
        recorder = Recorder(adapter, out, lambda frames, _: progress.update(bar, description=f"{frames:,} frames"))

        async def run() -> None:
            ticking = asyncio.create_task(tick())
            try:
                await recorder.run(symbols, wanted, seconds)
            finally:
                ticking.cancel()

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.25)
                progress.advance(bar, 0.25)

        try:
            asyncio.run(run())
        except (RestFailed, ConnectFailed) as e:
            raise RecordingFailed(f"{exchange} cannot be had: {e}") from e
    err.print(f"{recorder.frames:,} frames, {recorder.bytes:,} bytes in {output}", markup=False)
