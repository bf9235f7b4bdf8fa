"""Bad input is told in one line that names it, with exit code 2, and nothing is started."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from feedplane_testing.plane import FEEDPLANE, Plane, Simulator


def up(feedset: Path, tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [
        FEEDPLANE,
        "up",
        "-f",
        str(feedset),
        "--data",
        str(tmp_path / "data"),
        "--mode",
        "sim",
        "--for",
        "20s",
        *args,
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        check=False,
    )


def changed(feedset: Path, tmp_path: Path, **entry: Any) -> Path:
    document = json.loads(feedset.read_text())
    document["spec"]["exchanges"] = [{**document["spec"]["exchanges"][0], **entry}]
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("entry", "path", "hint"),
    [
        ({"exchange": "binance_future"}, "spec.exchanges[0].exchange", "binance_futures"),
        ({"feeds": ["trade"]}, "spec.exchanges[0].feeds[0]", "trades"),
        ({"cadence": {"l1": "200msec"}}, "spec.exchanges[0].cadence.l1", "200ms"),
        ({"simbols": {}}, "spec.exchanges[0].simbols", "symbols"),
        ({"symbols": {"include": ["BTCUSDTT"]}}, "symbols.include", "BTCUSDT"),
    ],
)  # fmt: skip
def test_a_wrong_feedset_names_path_and_remedy(
    tmp_path: Path, feedset: Path, entry: dict[str, Any], path: str, hint: str
) -> None:
    if "symbols" in entry:  # only the venue can know: the simulator lists what it always lists
        with Simulator(tmp_path, "--exchange", "binance_futures") as venues:
            answer = up(changed(feedset, tmp_path, **entry), tmp_path, "--endpoints", str(venues.ready_path))
    else:
        answer = up(changed(feedset, tmp_path, **entry), tmp_path)

    assert answer.returncode == 2, answer.stderr
    told = " ".join(answer.stderr.split())
    assert path in told
    assert hint in told
    assert "Traceback" not in told


def test_a_locked_directory_names_its_holder(tmp_path: Path, feedset: Path, simulated: list[str]) -> None:
    with (
        Simulator(tmp_path, *simulated) as venues,
        Plane(tmp_path, feedset, "--endpoints", str(venues.ready_path)) as plane,
    ):
        plane.wait_ready()
        answer = up(feedset, tmp_path)

    assert answer.returncode == 2
    assert str(plane.process.pid) in answer.stderr
    assert "--data" in answer.stderr


@pytest.mark.parametrize("flag", ["--redis-port", "--clickhouse-port"])
def test_a_taken_port_names_its_flag(tmp_path: Path, feedset: Path, flag: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = up(feedset, tmp_path, flag, str(taken.getsockname()[1]))

    assert answer.returncode == 2
    assert flag in answer.stderr
