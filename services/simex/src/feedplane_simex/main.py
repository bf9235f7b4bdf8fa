"""`python -m feedplane_simex`: simulated venues on loopback."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson
import uvloop
from feedplane_core.errors import UsageError

from .faults import KINDS, duration_ns
from .simulator import SimConfig, Simulator

_NS_PER_S = 1_000_000_000
_PLAYED_POLL_S = 0.05


def _parser() -> argparse.ArgumentParser:
    knobs = "\n".join(f"  {name:15} {kind.does}" for name, kind in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="feedplane simex",
        description="Simulated venues on loopback: they speak each venue's own dialect, seeded, with a ledger of all they issue.",
        epilog=f"faults (name[:key=value,...]; common keys exchange symbol feed socket p every count after for):\n{knobs}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--exchange",
        action="append",
        default=[],
        metavar="X",
        help="a venue (repeatable; default: every dialect installed)",
    )
    add(
        "--symbols",
        action="append",
        default=[],
        metavar="S",
        help="instruments, separated by commas; EXCHANGE:SYMBOL for one venue alone",
    )
    add(
        "--instruments",
        type=int,
        default=8,
        metavar="N",
        help="how many instruments each venue lists where none is named (default 8)",
    )
    add("--seed", default="1", help="everything random follows from it (default 1)")
    add("--rate", type=int, default=200, metavar="R", help="messages a second, over all venues (default 200)")
    add("--burst", default="", metavar="F[:LEN/EVERY]", help="F times the rate for LEN out of EVERY, 10:1s/10s")
    add("--duration", default="", metavar="T", help="end after so long (30s, 5m); default: on a signal")
    add("--ledger", type=Path, metavar="FILE", help="write what is issued, NDJSON")
    add("--fault", action="append", default=[], metavar="F", help="a fault from the start (repeatable), see below")
    add("--lifetime", default="", metavar="T", help="cut sockets at this age instead of the venue's own")
    add(
        "--play",
        action="append",
        default=[],
        metavar="[X=]FILE",
        help="play recorded frames instead of inventing them (repeatable)",
    )
    add("--speed", default="1", metavar="X", help="how many times faster to play; max: as fast as possible")
    add("--play-wait", default="10s", metavar="T", help="begin playing after this even if subscriptions are missing")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="default: any free one")
    add("--ready-file", type=Path, metavar="FILE", help="write the listening line there too")
    return parser


def _config(args: argparse.Namespace) -> SimConfig:
    symbols = tuple(s for chunk in args.symbols for s in chunk.split(",") if s)
    return SimConfig(
        exchanges=tuple(args.exchange),
        symbols=symbols,
        instruments=args.instruments,
        seed=args.seed,
        rate=args.rate,
        burst=args.burst,
        ledger=args.ledger,
        faults=tuple(args.fault),
        host=args.host,
        port=args.port,
        play=tuple(args.play),
        speed=_speed(args.speed),
        play_wait_s=duration_ns(args.play_wait, "--play-wait") / _NS_PER_S,
        lifetime_s=duration_ns(args.lifetime, "--lifetime") / _NS_PER_S if args.lifetime else None,
    )


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed < 1e6:
        raise UsageError("--speed", f"{text!r} is no speed", "write 1, 20 or max")
    return speed


def _say(body: dict[str, Any], ready_file: Path | None = None) -> None:
    line = orjson.dumps(body) + b"\n"
    if ready_file is not None:
        part = ready_file.with_name(ready_file.name + ".part")
        part.write_bytes(line)
        part.replace(ready_file)
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


async def _tell_when_played(sim: Simulator) -> None:
    """One line when every recording has been played to its end; nothing if there is none."""
    while not all(replay.is_done for replay in sim.replays.values()):
        await asyncio.sleep(_PLAYED_POLL_S)
    if sim.replays:
        counts = {name: msgspec.structs.asdict(replay.played) for name, replay in sim.replays.items()}
        _say({"event": "played", "counts": counts})


async def _serve(config: SimConfig, duration_s: float | None, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(config) as sim:
        _say(
            {
                "event": "listening",
                "endpoints": sim.endpoints,
                "control": sim.control_url,
                "seed": config.seed,
                "mode": "replay" if config.play else "sim",
            },
            ready_file,
        )
        played = asyncio.create_task(_tell_when_played(sim))
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(sim.wait())]
        done, pending = await asyncio.wait(waits, timeout=duration_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (*pending, played):
            task.cancel()
        for task in done:
            task.result()
    _say({"event": "stopped", "counts": sim.counts(), "ledger_lines": sim.ledger.total()})


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 after a signal or the duration, 2 for wrong use."""
    args = _parser().parse_args(argv)
    try:
        duration_s = duration_ns(args.duration, "--duration") / _NS_PER_S if args.duration else None
        uvloop.run(_serve(_config(args), duration_s, args.ready_file))
    except UsageError as error:
        print(f"feedplane simex: {error}", file=sys.stderr)
        return 2
    return 0
