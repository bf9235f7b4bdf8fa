"""The command line as a stranger uses it: real processes, their exit codes, and what they say."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from feedplane_core.frames import RestAnswer, parse_lines
from feedplane_testing.clickhouse import ClickHouseLite
from feedplane_testing.journals import commit_trades, open_writer
from feedplane_testing.plane import FEEDPLANE, Plane, Simulator, write_feedset
from feedplane_testing.venues import FEEDS_FOLDER, Case, Venue

Answer = subprocess.CompletedProcess[bytes]
_ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}
SPOT_TRADES = FEEDS_FOLDER / "binance_spot" / "fixtures" / "trades.agg_trade_stream.jsonl"


def feedplane(*args: object, stdin: bytes = b"") -> Answer:
    return subprocess.run(
        [FEEDPLANE, *map(str, args)], input=stdin, capture_output=True, timeout=60, env=_ENVIRONMENT, check=False
    )


def said(answer: Answer, code: int) -> str:
    """What it said on stderr. Asserts the exit code, and that it is no traceback."""
    text = answer.stderr.decode()
    assert "Traceback" not in text, text
    assert answer.returncode == code, text
    return text


def objects(answer: Answer) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


# Help and wrong use


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("up", "--file --data --for --json --mode --endpoints --rate --redis-port --clickhouse-port"),
        ("validate", "--file"),
        ("plan", "--file --against --json"),
        ("status", "--data --json"),
        ("decode", "--exchange --instruments --books --assume-contract-size --strict"),
        ("record", "--exchange --symbols --output --for --feeds --endpoints"),
        ("simex", "--exchange --seed --rate --ledger --fault --play --ready-file"),
        ("query", "--data --format"),
        ("journal ls", "--json"),
        ("journal cat", "--type --instrument --limit"),
        ("journal verify", "--json"),
        ("journal repair", "--apply"),
        ("ddl apply", "--url --database --cluster --user --password-file --data"),
    ],
)
def test_help_names_every_option(command: str, options: str) -> None:
    answer = feedplane(*command.split(), "--help")

    said(answer, 0)
    assert [option for option in options.split() if option not in answer.stdout.decode()] == []


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("decode --nope", "--nope"),
        ("nope", "nope"),
        ("query", "sql"),
        ("query x --format xml", "--format"),
        ("up -f /nonexistent.yaml", "-f"),
        ("plan -f /nonexistent.yaml", "-f"),
        ("status", "feedplane up"),
        ("query x", "feedplane up"),
        ("ddl apply", "feedplane up"),
        ("ddl apply --url ftp://x", "--url"),
        ("journal ls /nonexistent", "PATH"),
        ("decode --exchange binance_spo", "binance_spot"),
        ("decode --exchange binance_spot /nonexistent", "FILE"),
        ("decode --exchange okx --assume-contract-size zero", "--assume-contract-size"),
        ("decode --exchange okx --instruments /dev/null", "--instruments"),
        ("record --exchange binance_spot --symbols BTCUSDT --for 1x -o x", "--for"),
        ("record --exchange binance_spot --symbols BTCUSDT --feeds trade -o x", "--feeds"),
        ("record --exchange binance_spot --symbols BTCUSDT --endpoints /dev/null -o x", "--endpoints"),
        ("simex --nope", "--nope"),
        ("simex --exchange nope", "--exchange"),
    ],
)
def test_wrong_use_ends_with_2_and_names_what_is_wrong(
    command: str, names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert names in said(feedplane(*command.split()), 2)


# decode


def instrument_bodies(venue: Venue, folder: Path) -> list[str]:
    """`--instruments` with every body that the venue's fixtures hold."""
    args = []
    for case in venue.labelled("instruments"):
        for number, answer in enumerate(case.answers):
            path = folder / f"{case.name}.{number}.json"
            path.write_bytes(answer.body)
            args += ["--instruments", str(path)]
    return args


@pytest.mark.parametrize("exchange", ["binance_futures", "okx"])
def test_fixtures_decode_to_what_is_expected(exchange: str, tmp_path: Path) -> None:
    venue = Venue(exchange)
    args = instrument_bodies(venue, tmp_path)

    for case in venue.labelled("trades", "ob_diffs", "errors"):
        if any(line.get("code") == "contract_size" for line in case.expected):
            continue  # here a use that is told with exit code 2, below
        answer = feedplane("decode", "--exchange", exchange, *args, case.path)
        said(answer, 0)
        assert objects(answer) == case.expected, case


def test_synced_books_hold_diffs_until_a_snapshot() -> None:
    """The raw stream of a capture begins in the middle: without a snapshot no diff is let through."""
    path = FEEDS_FOLDER / "binance_futures" / "fixtures" / "ob_diffs.recorded-akrousdt.jsonl"
    frames = b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b"\tGET " not in line)

    raw = objects(feedplane("decode", "--exchange", "binance_futures", stdin=frames))
    synced = objects(feedplane("decode", "--exchange", "binance_futures", "--books", "synced", stdin=frames))
    whole = objects(feedplane("decode", "--exchange", "binance_futures", "--books", "synced", path))

    assert any(event["type"] == "depth_diff" for event in raw)
    assert not any(event["type"] == "depth_diff" for event in synced)
    assert {"book_snapshot", "depth_diff"} <= {str(event["type"]) for event in whole}


def test_a_bad_frame_is_told_and_the_stream_goes_on() -> None:
    lines = SPOT_TRADES.read_bytes().splitlines(keepends=True)
    frames = b"".join([*lines[1:3], b'5\t{"stream":"x@aggTrade","data":{"e":"aggTrade"\n', *lines[3:4]])

    answer = feedplane("decode", "--exchange", "binance_spot", stdin=frames)
    strict = feedplane("decode", "--exchange", "binance_spot", "--strict", stdin=frames)

    said(answer, 0)
    assert [event["type"] for event in objects(answer)] == ["trade", "trade", "decode_error", "trade"]
    error = objects(answer)[2]
    assert (error["code"], error["line"]) == ("json", 3)
    assert error["channel"]
    said(strict, 1)
    assert objects(strict) == objects(answer)[:3]


def test_gzip_and_standard_input_read_the_same(tmp_path: Path) -> None:
    packed = tmp_path / "frames.gz"
    packed.write_bytes(gzip.compress(SPOT_TRADES.read_bytes()))
    cut = tmp_path / "cut.gz"
    cut.write_bytes(packed.read_bytes()[:-30])

    plain = feedplane("decode", "--exchange", "binance_spot", SPOT_TRADES)

    assert objects(plain) == Case(SPOT_TRADES).expected
    assert feedplane("decode", "--exchange", "binance_spot", packed).stdout == plain.stdout
    assert feedplane("decode", "--exchange", "binance_spot", "-", stdin=packed.read_bytes()).stdout == plain.stdout
    assert "FILE" in said(feedplane("decode", "--exchange", "binance_spot", cut), 2)


@pytest.mark.parametrize(
    "fixture",
    ["okx/fixtures/trades.recorded", "bybit/fixtures/trades.inverse", "kraken/fixtures/ob_diffs.futures_inverse"],
)
def test_an_unknown_contract_needs_a_size(fixture: str) -> None:
    path = FEEDS_FOLDER / f"{fixture}.jsonl"
    exchange = fixture.partition("/")[0]

    assert "--assume-contract-size" in said(feedplane("decode", "--exchange", exchange, path), 2)
    assumed = feedplane("decode", "--exchange", exchange, "--assume-contract-size", "1", path)
    said(assumed, 0)
    assert {"trade", "depth_diff"} & {str(event["type"]) for event in objects(assumed)}


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.write_bytes(b"".join(SPOT_TRADES.read_bytes().splitlines(keepends=True)[1:2] * 20_000))
    with subprocess.Popen(
        [FEEDPLANE, "decode", "--exchange", "binance_spot", str(many)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"type":"trade"')
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


# record


def test_a_recording_decodes_and_plays(tmp_path: Path) -> None:
    recording = tmp_path / "frames.gz"
    with Simulator(tmp_path, "--exchange", "binance_spot", "--symbols", "BTCUSDT", "--rate", "200") as venues:
        record = ["record", "--exchange", "binance_spot", "--symbols", "BTCUSDT", "--endpoints", venues.ready_path]
        said(feedplane(*record, "--for", "3s", "-o", recording), 0)
        assert "NOSUCH" in said(feedplane(*record[:4], "NOSUCH", *record[5:], "-o", tmp_path / "none"), 2)
        assert "--endpoints" in said(feedplane("record", "--exchange", "okx", *record[3:], "-o", tmp_path / "none"), 2)

    answer = feedplane("decode", "--exchange", "binance_spot", "--books", "synced", recording)

    said(answer, 0)
    kinds = Counter(str(event["type"]) for event in objects(answer))
    assert kinds["decode_error"] == 0
    assert min(kinds["trade"], kinds["depth_diff"], kinds["book_snapshot"], kinds["top_of_book"]) > 0
    with gzip.open(recording) as lines:
        assert any(isinstance(record, RestAnswer) for record in parse_lines(lines))

    again = tmp_path / "again"
    (tmp_path / "second").mkdir()
    with Simulator(tmp_path / "second", "--play", f"binance_spot={recording}", "--exchange", "binance_spot") as venues:
        record = ["record", "--exchange", "binance_spot", "--symbols", "BTCUSDT", "--endpoints", venues.ready_path]
        said(feedplane(*record, "--for", "4s", "-o", again), 0)
    replayed = objects(feedplane("decode", "--exchange", "binance_spot", again))
    first = {event["trade_id"] for event in objects(answer) if event["type"] == "trade"}
    assert first >= {event["trade_id"] for event in replayed if event["type"] == "trade"} > set()
    assert not [event for event in replayed if event["type"] == "decode_error"]


# FeedSets


@pytest.fixture
def feedset(tmp_path: Path) -> Path:
    return write_feedset(tmp_path / "feedset.json", {"binance_spot": ["BTCUSDT"]}, {"binance_spot": ["trades", "l1"]})


def test_a_plan_tells_what_would_be_touched(tmp_path: Path, feedset: Path) -> None:
    more = write_feedset(tmp_path / "more.json", {"binance_spot": ["BTCUSDT", "ETHUSDT"]}, {"binance_spot": ["trades"]})

    fresh = feedplane("plan", "-f", feedset)
    same = feedplane("plan", "-f", feedset, "--against", feedset)
    grown = feedplane("plan", "-f", more, "--against", feedset, "--json")

    said(fresh, 0)
    assert "1 start" in fresh.stdout.decode()
    assert "1 sockets" in fresh.stdout.decode()
    assert "1 keep, 0 hot, 0 roll, 0 start, 0 stop" in same.stdout.decode()
    (row,) = json.loads(grown.stdout)["collectors"]
    assert (row["symbols"], row["subscriptions"]) == (2, 2)
    assert "--against" in said(feedplane("plan", "-f", feedset, "--against", tmp_path / "none"), 2)


def test_validation_lists_every_problem(tmp_path: Path, feedset: Path) -> None:
    document = json.loads(feedset.read_text())
    document["spec"]["exchanges"] += [
        {"exchange": "binance_spt", "feeds": ["trades"], "symbols": {"include": ["X"]}},
        {"exchange": "coinbase", "feeds": ["trade"], "symbols": {"include": ["X"]}, "simbols": 1},
    ]

    good = feedplane("validate", "-f", feedset)
    bad = said(feedplane("validate", "-f", "-", stdin=json.dumps(document).encode()), 2)

    said(good, 0)
    for told in (
        "exchanges[1].exchange",
        "'binance_spot'",
        "exchanges[2].feeds[0]",
        "'trades'",
        "exchanges[2].simbols",
    ):
        assert told in bad


# Journals


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journals" / "binance-futures-0"
    writer = open_writer(path)
    for first in (0, 10, 20):
        commit_trades(writer, first, 10, instrument="ETHUSDT" if first else "BTCUSDT")
    writer.close()
    return path


def test_a_journal_is_listed_and_printed(journal: Path) -> None:
    listing = feedplane("journal", "ls", journal)
    rows = objects(feedplane("journal", "cat", journal, "--type", "trade", "--instrument", "ETHUSDT", "--limit", "15"))

    said(listing, 0)
    assert "binance_futures" in listing.stdout.decode()
    assert (
        sum(
            segment["frames"]
            for segment in json.loads(feedplane("journal", "ls", journal, "--json").stdout)["segments"]
        )
        == 3
    )
    assert [row["trade_id"] for row in rows] == [str(number) for number in range(10, 25)]
    assert "--type" in said(feedplane("journal", "cat", journal, "--type", "trades"), 2)
    assert journal.name in said(feedplane("journal", "ls", journal.parent), 2)
    said(feedplane("journal", "verify", journal), 0)


def test_a_damaged_journal_is_told_and_mended(journal: Path, tmp_path: Path) -> None:
    hurt = tmp_path / "hurt"
    shutil.copytree(journal, hurt)
    segment = max((path for path in hurt.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    torn = segment.read_bytes()[:-20]
    segment.write_bytes(torn)

    said(feedplane("journal", "verify", hurt), 1)
    assert json.loads(feedplane("journal", "verify", hurt, "--json").stdout) != []
    dry = feedplane("journal", "repair", hurt)
    said(dry, 0)
    assert b"--apply" in dry.stdout
    assert segment.read_bytes() == torn

    said(feedplane("journal", "repair", hurt, "--apply"), 0)
    said(feedplane("journal", "verify", hurt), 0)
    kept = objects(feedplane("journal", "cat", hurt))
    assert [row["trade_id"] for row in kept] == [str(number) for number in range(20)]


# Stores


def test_tables_are_applied_once(tmp_path: Path) -> None:
    with ClickHouseLite(tmp_path / "store") as store:
        first = feedplane("ddl", "apply", "--url", store.url)
        second = feedplane("ddl", "apply", "--url", store.url)
        url = store.url

    said(first, 0)
    said(second, 0)
    names = [line.split()[1] for line in first.stdout.decode().splitlines() if line.startswith("applied")]
    assert len(names) > 0
    assert [line.split() for line in second.stdout.decode().splitlines()] == [["unchanged", name] for name in names]
    assert "cannot be applied" in said(feedplane("ddl", "apply", "--url", url), 1)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    folder = tmp_path_factory.mktemp("plane")
    path = write_feedset(folder / "feedset.json", {"binance_spot": ["BTCUSDT"]}, {"binance_spot": ["trades", "l1"]})
    with Plane(folder, path, "--mode", "sim", "--rate", "50") as running:
        running.wait_ready()
        yield running


def test_a_running_plane_is_asked_in_every_format(plane: Plane) -> None:
    sql = "SELECT toDecimal64('0.10', 2) AS d, 18446744073709551615 AS n, repeat('x', 200) AS s"

    def ask(*args: str) -> bytes:
        answer = feedplane("query", *args, "--data", plane.data)
        said(answer, 0)
        return answer.stdout

    assert "x" * 200 in ask(sql).decode()  # a pipe is never cut to the width of a terminal
    assert next(csv.reader(io.StringIO(ask(sql, "--format", "csv").decode()))) == ["d", "n", "s"]
    row = json.loads(ask(sql, "--format", "json"))
    assert row["n"] == 18446744073709551615
    assert isinstance(row["d"], str)
    assert pa.ipc.open_stream(ask(sql, "--format", "arrow")).read_all().num_rows == 1
    assert "trades" in ask("SHOW TABLES").decode()


def test_the_engine_says_what_it_does_not_understand(plane: Plane) -> None:
    told = said(feedplane("query", "SELEC 1", "--data", plane.data), 1)

    assert "yntax error" in told


def test_status_shows_the_plane(plane: Plane) -> None:
    text = feedplane("status", "--data", plane.data)
    document = json.loads(feedplane("status", "--data", plane.data, "--json").stdout)

    said(text, 0)
    assert b"binance_spot" in text.stdout
    assert b"SIMULATED DATA" in text.stdout
    assert document["mode"] == "sim"
    assert {row["feed"] for row in document["accounts"]} >= {"trades", "l1"}
    assert {"clickhouse", "redis"} == set(document["stores"])
