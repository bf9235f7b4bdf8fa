"""Frames of a venue without a capture: recorded from its simulated side by `feedplane record`, as a person would record the real one."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from feedplane_cli.adapters import load_adapter
from feedplane_core.adapter import Options
from feedplane_core.frames import FrameReceived, RestAnswer, parse_lines
from feedplane_core.instruments import Instrument
from feedplane_testing.plane import FEEDPLANE, Simulator
from feedplane_testing.simulated import simulated_instruments, two_of_one_market

RATE = 2_000


@dataclass(frozen=True)
class Recording:
    """What two instruments of one market said, and the REST answers of the time."""

    instruments: list[Instrument]
    answers: list[tuple[str, bytes]]
    frames: list[bytes]


def record(exchange: str, seconds: int, feeds: str = "") -> Recording:
    """Record the simulated venue for so long; `feeds`, separated by commas, or all that it offers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Simulator(folder, "--exchange", exchange, "--rate", str(RATE), "--instruments", "4") as venue:
            endpoints = json.loads(venue.ready_path.read_text())["endpoints"][exchange]
            chosen = two_of_one_market(simulated_instruments(load_adapter(exchange, Options(endpoints=endpoints))))
            output = folder / "frames.txt"
            command = [FEEDPLANE, "record", "--exchange", exchange, "--endpoints", str(venue.ready_path)]
            command += ["--symbols", ",".join(i.instrument for i in chosen), "--for", f"{seconds}s", "-o", str(output)]
            command += ["--feeds", feeds] if feeds else []
            subprocess.run(command, check=True, capture_output=True)
        with output.open("rb") as lines:
            records = list(parse_lines(lines))
    return Recording(
        chosen,
        [(r.url, r.body) for r in records if isinstance(r, RestAnswer)],
        [r.payload for r in records if isinstance(r, FrameReceived)],
    )
