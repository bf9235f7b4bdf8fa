"""A venue is its folder and nothing else: a toy one is built as docs/adding-a-venue.md says, and every tool finds it with no other edit.

The folder is tests/support/toy_venue/, copied among other venues in a temporary folder and installed beside the environment instead of into it. Each tool runs as a
process of its own that finds the toy on its `PYTHONPATH`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from feedplane_core.events import BookSnapshot, DepthDiff, Trade
from feedplane_testing.plane import FEEDPLANE
from feedplane_testing.simclient import SimClient, values_issued, values_of

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "tests" / "support" / "toy_venue"
NEIGHBOUR = "binance_spot"
"""A venue that was there before, to see that the toy joins it and does not displace it."""
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist")
TIMEOUT_S = 90


class Added:
    """A checkout of two venues, one of them new, and the environment of a process that can import both."""

    def __init__(self, root: Path, site: Path) -> None:
        self.root = root
        self.site = site
        self.feeds = root / "services" / "feeds"
        self.venue = self.feeds / "toy"
        self.environment = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *command: str | Path, is_known: bool = True) -> subprocess.CompletedProcess[str]:
        """The command with the toy on its path, or without."""
        environment = self.environment if is_known else None
        return subprocess.run(
            list(map(str, command)),
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def told(self, *command: str | Path) -> str:
        """Standard output of a command that must succeed."""
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Added:
    """The toy's folder among others, installed as any venue's is, but to a folder of its own and offline."""
    root, site = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("site")
    feeds = root / "services" / "feeds"
    feeds.mkdir(parents=True)
    shutil.copytree(TEMPLATE, feeds / "toy")
    (feeds / NEIGHBOUR).symlink_to(ROOT / "services" / "feeds" / NEIGHBOUR)
    new = Added(root, site)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index")
    new.told(*pip, "--no-deps", "--no-build-isolation", "--target", site, new.venue)
    return new


def feedset(folder: Path, symbols: int = 150) -> Path:
    entry = {
        "name": "toy",
        "exchange": "toy",
        "feeds": ["trades", "l1", "ob_diffs", "ob_top5", "advanced"],
        "symbols": {"include": [f"SIM{number:03d}-USD" for number in range(symbols)]},
    }
    document = {
        "apiVersion": "feedplane.io/v1alpha1",
        "kind": "FeedSet",
        "metadata": {"name": "with-a-new-venue"},
        "spec": {"exchanges": [entry]},
    }
    path = folder / "feedset.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_feedset_may_name_it(added: Added, tmp_path: Path) -> None:
    path = feedset(tmp_path)

    before = added.run(FEEDPLANE, "validate", "-f", path, is_known=False)

    assert before.returncode == 2
    assert "unknown exchange 'toy'" in before.stderr
    assert "good, 1 exchanges" in added.told(FEEDPLANE, "validate", "-f", path)


def test_a_plan_counts_its_sockets(added: Added, tmp_path: Path) -> None:
    plan = json.loads(added.told(FEEDPLANE, "plan", "--json", "-f", feedset(tmp_path)))

    (collector,) = plan["collectors"]
    assert (collector["exchange"], collector["symbols"]) == ("toy", 150)
    assert (collector["subscriptions"], collector["sockets"]) == (300, 2)  # trades and book of each, 200 a socket


@pytest.mark.parametrize("case", ["trades.trades", "ob_diffs.join", "acks.control", "errors.refused"])
def test_its_fixtures_decode(added: Added, case: str) -> None:
    fixtures = added.venue / "fixtures"

    printed = added.told(FEEDPLANE, "decode", "--exchange", "toy", fixtures / f"{case}.jsonl")

    assert printed == (fixtures / f"{case}.expected.jsonl").read_text()


def test_expected_files_are_written_where_they_lack_and_only_there(added: Added, tmp_path: Path) -> None:
    shutil.copytree(added.venue, tmp_path / "toy")
    kept, *lacking = sorted((tmp_path / "toy" / "fixtures").glob("*.expected.jsonl"))
    texts = {path: path.read_text() for path in lacking}
    kept.write_text("as it was\n")
    for path in lacking:
        path.unlink()

    said = added.told(sys.executable, "-m", "feedplane_testing.expected", "toy", tmp_path)

    assert len(lacking) >= 4
    assert {path: path.read_text() for path in lacking} == texts
    assert kept.read_text() == "as it was\n"
    assert said.count("written") == len(lacking)


def test_the_conformance_suite_runs_on_it(added: Added) -> None:
    told = added.told(*PYTEST, "-v", "tests/conformance", "--exchange", "toy", "--feeds-dir", added.feeds)

    ran = [line for line in told.splitlines() if "PASSED" in line]
    assert len(ran) > 60
    assert all("[toy" in line for line in ran)
    skipped = [line for line in told.splitlines() if line.startswith("SKIPPED")]
    assert all("no page and stream to compare" in line for line in skipped), skipped  # it offers no history


def test_adapter_and_dialect_are_judged_by_each_other(added: Added) -> None:
    """The suite of simulated venues takes whatever is installed."""
    told = added.told(*PYTEST, "-v", "tests/integration/test_simex.py", "-k", "toy")

    passed = {line.partition("::")[2].split(" ")[0] for line in told.splitlines() if "PASSED" in line}
    assert passed >= {
        "test_every_sent_line_is_decoded_alike_and_nothing_else_is[toy]",
        "test_a_synced_book_is_the_true_book[toy]",
    }


def test_the_conformance_suite_would_find_a_fault(added: Added, tmp_path: Path) -> None:
    """An expected line that is not what the frames say: the suite reads this folder and no other."""
    shutil.copytree(added.venue, tmp_path / "toy")
    expected = tmp_path / "toy" / "fixtures" / "trades.trades.expected.jsonl"
    expected.write_text(expected.read_text().replace('"64250.10"', '"64250.11"', 1))

    suite = ("tests/conformance/test_decoding.py", "--exchange", "toy", "--feeds-dir", tmp_path, "-k", "c02")
    done = added.run(*PYTEST, "-q", *suite)

    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_generated_files_list_it(added: Added) -> None:
    generate = (sys.executable, ROOT / "tools" / "generate.py", "--root", added.root)

    assert added.run(*generate, "--check").returncode == 1
    added.told(*generate)
    assert added.told(*generate, "--check") == ""

    rows = [line for line in (added.root / "docs" / "venues.md").read_text().splitlines() if "../services" in line]
    assert [row.split("`")[1] for row in rows] == [NEIGHBOUR, "toy"]
    assert "`spot` | live | book | live | book | book |" in rows[1]
    crd = yaml.safe_load((added.root / "operator" / "crd" / "feedset.yaml").read_text())
    assert exchange_enums(crd) == [[NEIGHBOUR, "toy"]]
    assert crd == yaml.safe_load((added.root / "charts" / "feedset-crds" / "files" / "feedset.yaml").read_text())
    endpoints = json.loads((added.root / "charts" / "feedplane" / "files" / "venue-endpoints.json").read_text())
    assert set(endpoints) == {NEIGHBOUR, "toy"}
    artifacts = yaml.safe_load((added.root / "skaffold.yaml").read_text())["build"]["artifacts"]
    assert {"feedplane/feed-toy", "feedplane/writer"} < {one["image"] for one in artifacts}


def exchange_enums(node: Any) -> list[list[str]]:
    """Every list of exchanges in a CRD: the `enum` of a property called `exchange`."""
    if isinstance(node, list):
        return [found for item in node for found in exchange_enums(item)]
    if not isinstance(node, dict):
        return []
    here = node.get("exchange")
    own = [here["enum"]] if isinstance(here, dict) and "enum" in here else []
    return own + [found for value in node.values() for found in exchange_enums(value)]


@asynccontextmanager
async def simulated(added: Added, folder: Path) -> AsyncIterator[dict[str, Any]]:
    """`feedplane simex` on the toy; its ready line, the same as in `ready.json`, and its ledger in `ledger.ndjson`."""
    arguments = ["--exchange", "toy", "--instruments", "2", "--rate", "300", "--ledger", str(folder / "ledger.ndjson")]
    process = await asyncio.create_subprocess_exec(
        FEEDPLANE,
        "simex",
        *arguments,
        *("--ready-file", str(folder / "ready.json")),
        env=added.environment,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield orjson.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ledger_lines(control: str, path: Path) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(f"{control}/ledger/flush") as reply:
        assert reply.status == 200
    text = await asyncio.to_thread(path.read_bytes)
    return [orjson.loads(line) for line in text.splitlines()]


async def withhold_everything(control: str) -> None:
    """From now on the simulated venue issues only what it does not send."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{control}/fault", data=orjson.dumps({"fault": "drop"})) as reply,
    ):
        assert reply.status == 201


async def test_it_is_simulated_and_every_sent_line_is_decoded(
    added: Added, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(added.site))
    async with simulated(added, tmp_path) as ready, SimClient("toy", ready["endpoints"]["toy"]) as got:
        await got.listen()
        await got.until(300)
        await withhold_everything(ready["control"])
        issued = values_issued(await ledger_lines(ready["control"], tmp_path / "ledger.ndjson"))
        async with asyncio.timeout(5):
            while issued - values_of(got.events):
                await asyncio.sleep(0.02)

    assert not got.errors
    assert values_of(got.events) - issued == Counter()
    assert issued - values_of(got.events) == Counter()
    assert {type(event) for event in got.events} == {Trade, BookSnapshot, DepthDiff}
    assert {event.instrument for event in got.events} == {"BTC-USD", "ETH-USD"}


async def test_it_is_recorded_and_the_recording_decodes(added: Added, tmp_path: Path) -> None:
    frames = tmp_path / "toy.frames.gz"
    async with simulated(added, tmp_path):
        record = (FEEDPLANE, "record", "--exchange", "toy", "--symbols", "BTC-USD", "--for", "2s", "-o", frames)
        await asyncio.to_thread(added.told, *record, "--endpoints", tmp_path / "ready.json")

    decode = (FEEDPLANE, "decode", "--exchange", "toy", "--books", "synced", "--strict", frames)
    events = [orjson.loads(line) for line in added.told(*decode).splitlines()]

    kinds = Counter(event["type"] for event in events if event["type"] != "gap" or event["reason"] != "start")
    assert set(kinds) == {"trade", "book_snapshot", "depth_diff"}
    assert min(kinds["trade"], kinds["depth_diff"]) >= 5
    assert {event["instrument"] for event in events} == {"BTC-USD"}
