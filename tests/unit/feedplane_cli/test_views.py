"""What a person reads: the live table, the closing lines, a child's last words, durations, addresses."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from feedplane_cli.accounts import COUNTS, merge_accounts
from feedplane_cli.console import seconds_of
from feedplane_cli.datadir import read_note
from feedplane_cli.engines import claim_port
from feedplane_cli.query import as_table
from feedplane_cli.table import Rates, render_table, summary_lines
from feedplane_cli.tables import address_of
from feedplane_cli.up import read_endpoints, told
from feedplane_core.errors import UsageError
from rich.console import Console


def report(**overrides: Any) -> dict[str, Any]:
    feed = dict.fromkeys(COUNTS, 0) | {"received": 1234, "normalised": 1234, "journalled": 1234, "gaps": 2}
    return {
        "name": "okx-0",
        "exchange": "okx",
        "requested": ["trades", "ob_diffs"],
        "feeds": {"ob_diffs": feed | {"state": "live", "lag_ns": 12_000_000}},
        "books": {"synced": 3, "total": 4},
        "problems": [],
        "sockets": {"errors": []},
        "journal": {"pressure": "none"},
    } | overrides


def shown(width: int, mode: str = "live", **overrides: Any) -> str:
    collectors = [report(**overrides)]
    rows = merge_accounts(collectors, {"redis": {}, "clickhouse": {}})
    store = {"ok": False, "detail": "no memory left"}
    status = {
        "collectors": collectors,
        "writers": {"clickhouse": {"store": store}},
        "accounts": rows,
        "silent": ["writer-redis"],
        "mode": mode,
    }
    console = Console(file=io.StringIO(), width=width)
    console.print(render_table(status, Rates(), ["the footer"], width))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_every_requested_feed_has_a_row() -> None:
    lines = shown(140).splitlines()

    (books,) = [line.split() for line in lines if "ob_diffs" in line]
    assert books == ["okx", "ob_diffs", "live", "0", "12", "ms", "3/4", "2", "1,234", "0", "0", "0"]
    (trades,) = [line.split() for line in lines if "trades" in line]
    assert trades[2] == "waiting"
    assert "! writer-redis does not answer" in lines
    assert "! writer-clickhouse: no memory left" in lines
    assert "the footer" in lines


def test_a_narrow_terminal_keeps_what_matters() -> None:
    text = shown(80)

    assert "received" not in text
    assert "3/4" in text
    assert "clickhouse" in text


def test_simulated_data_say_so_and_live_data_do_not() -> None:
    assert "SIMULATED DATA" in shown(140, mode="sim")
    assert "DATA" not in shown(140)


def test_troubles_name_the_collector() -> None:
    text = shown(140, problems=["no such symbol"], journal={"pressure": "hard"})

    assert "! okx-0: no such symbol" in text
    assert "! okx-0: journal pressure hard: data is being shed" in text


def test_the_closing_line_has_every_word_of_the_contract() -> None:
    (line,) = summary_lines(merge_accounts([report()], {"redis": {}}))

    for (
        word
    ) in "received=1234 normalised=1234 rejected=0 journalled=1234 written: redis=0 pending: redis=1234 gaps=2".split():
        assert word in line


def test_a_query_answer_is_a_table_and_nothing_is_none() -> None:
    body = {"meta": [{"name": "n", "type": "UInt64"}, {"name": "s", "type": "String"}], "data": [[1, None]]}

    table = as_table(json.dumps(body).encode())

    assert table is not None
    assert [(column.header, column.justify) for column in table.columns] == [("n", "right"), ("s", "left")]
    assert [list(column.cells) for column in table.columns] == [["1"], [""]]
    assert as_table(b"\n") is None


def test_a_child_that_logs_json_is_quoted_by_its_error() -> None:
    words = 'starting | {"level":"error","error":"symbols.include: no BTCUSDTT"} | {"level":"info"}'

    assert told(words) == "symbols.include: no BTCUSDTT"
    assert told("Segmentation fault") == "Segmentation fault"
    assert told('"text" | [1]') == '"text" | [1]'


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30.0), ("200ms", 0.2), ("10m", 600.0), (None, None)])
def test_durations(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text, "--for") == seconds


@pytest.mark.parametrize("text", ["", "30", "1x", "-1s", "1.5s"])
def test_a_wrong_duration_names_its_option(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        seconds_of(text, "--for")
    assert raised.value.field == "--for"


def test_addresses_of_a_store() -> None:
    assert address_of("http://127.0.0.1:8124") == ("127.0.0.1", 8124, False)
    assert address_of("db.example") == ("db.example", 8123, False)
    assert address_of("https://db.example") == ("db.example", 8443, True)


@pytest.mark.parametrize("url", ["", "ftp://db", "http://", "http://db:99999"])
def test_a_wrong_address_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        address_of(url)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"endpoints": []}', '{"endpoints": {"okx": 1}}'])
def test_a_file_that_is_no_ready_file_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ready.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="--endpoints"):
        read_endpoints(path)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_number_that_is_no_port_is_told(port: int) -> None:
    with pytest.raises(UsageError, match="--redis-port"):
        claim_port(port, "--redis-port")


@pytest.mark.parametrize("note", ["", "{}", "[]"])
def test_a_note_that_is_none_is_told(tmp_path: Path, note: str) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "current").write_text("live")
    (tmp_path / "live" / "plane.json").write_text(note)
    with pytest.raises(UsageError, match="--data"):
        read_note(tmp_path)
