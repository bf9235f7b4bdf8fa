"""What the sender does about each answer, against a server that answers by script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest
from feedplane_ops.backoff import Backoff
from feedplane_writer.clickhouse_sink.cut import Slice, decoded, encoded
from feedplane_writer.clickhouse_sink.http import ServerError, ShardClient, Unreachable
from feedplane_writer.clickhouse_sink.sender import (
    INSERT_SETTINGS,
    MAX_BISECT_REQUESTS,
    Delivered,
    Observer,
    Sender,
    Stopped,
)

COLUMNS = b'{"name":"n","type":"Int64"}\n'
OK = (200, None, b"")


class Script(ThreadingHTTPServer):
    """Answers inserts with `judge(values, token)` and table questions with `columns`; remembers every insert."""

    block_on_close = False  # a client's idle connection would be waited for

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.inserts: list[tuple[list[int], str, dict[str, str]]] = []
        self.keys: list[str | None] = []
        self.columns = COLUMNS
        self.judge: Any = lambda values, token: OK

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Script
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        given = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers.get("X-ClickHouse-Key"))
        if given["query"].startswith("INSERT"):
            values = decoded(body).column("n").to_pylist()
            token = given["insert_deduplication_token"]
            self.server.inserts.append((values, token, given))
            status, code, text = self.server.judge(values, token)
        else:
            status, code, text = 200, None, self.server.columns
        self.send_response(status)
        if code is not None:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[Script]:
    script = Script()
    thread = threading.Thread(target=script.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    script.shutdown()
    script.server_close()
    thread.join()


class Pauses:
    """Sleeps that take no time; ends the writer after `limit` of them."""

    def __init__(self, limit: int = 1_000) -> None:
        self.taken: list[int] = []
        self.limit = limit

    def __call__(self, ns: int) -> bool:
        self.taken.append(ns)
        return len(self.taken) >= self.limit


def sender_of(
    server: Script, pauses: Callable[[int], bool] | None = None, *endpoints: str, password_file: Path | None = None
) -> Sender:
    client = ShardClient(
        endpoints or [server.endpoint], user="default", password_file=password_file, tls=False, timeout_s=5
    )
    return Sender(
        client,
        database="d",
        table_suffix="",
        backoff=Backoff(1_000, 8_000, rng=lambda: 1.0),
        pause=pauses or Pauses(),
        observer=Observer(),
        clock_ns=lambda: 0,
    )


def piece_of(values: list[int]) -> Slice:
    batch = pa.record_batch({"n": pa.array(values, pa.int64())})
    records = pa.array(range(len(values)), pa.int32())
    return Slice("t", "trades", "20261120", 0, len(values), 0, encoded(batch, "lz4"), records)


def deliver(sender: Sender, values: list[int]) -> Delivered:
    return sender.deliver(piece_of(values), "tok", INSERT_SETTINGS)


def test_an_insert_says_all_that_the_contract_asks_for(server: Script) -> None:
    assert deliver(sender_of(server), [1, 2]) == Delivered(2, [])

    ((values, token, given),) = server.inserts
    assert (values, token) == ([1, 2], "tok")
    assert given["query"] == "INSERT INTO `d`.`t` (`n`) FORMAT ArrowStream"
    assert (given["async_insert"], given["insert_deduplicate"], given["max_partitions_per_insert_block"]) == (
        "0",
        "1",
        "1",
    )


@pytest.mark.parametrize(
    "answer", [(500, 252, b""), (500, 241, b""), (500, 243, b""), (500, 999_999, b""), (503, None, b"busy")]
)
def test_what_passes_is_repeated_as_it_was(server: Script, answer: tuple[int, int | None, bytes]) -> None:
    server.judge = lambda values, token: answer if len(server.inserts) < 4 else OK
    pauses = Pauses()
    sender = sender_of(server, pauses)

    assert deliver(sender, [1, 2]) == Delivered(2, [])
    assert [(values, token) for values, token, _ in server.inserts] == [([1, 2], "tok")] * 4
    assert len({tuple(sorted(given.items())) for _, _, given in server.inserts}) == 1
    assert pauses.taken == [1_000, 2_000, 4_000]
    assert sender.waiting is None


def test_only_the_rows_that_are_refused_are_left_out(server: Script) -> None:
    server.judge = lambda values, token: (500, 469, b"Code: 469.") if set(values) & {3, 11} else OK
    delivered = deliver(sender_of(server), list(range(16)))

    assert (delivered.stored_rows, [(p.row, p.code, p.values) for p in delivered.poison]) == (
        14,
        [(3, 469, {"n": 3}), (11, 469, {"n": 11})],
    )
    landed = [v for values, _, _ in server.inserts if not set(values) & {3, 11} for v in values]
    assert sorted(landed) == [v for v in range(16) if v not in (3, 11)]


def test_halves_carry_tokens_of_their_own_that_a_replay_repeats(server: Script) -> None:
    server.judge = lambda values, token: (500, 469, b"") if 3 in values else OK
    deliver(sender_of(server), list(range(8)))
    first = [(values, token) for values, token, _ in server.inserts]
    server.inserts.clear()
    deliver(sender_of(server), list(range(8)))

    assert [(values, token) for values, token, _ in server.inserts] == first
    assert len({token for _, token in first}) == len(first)


def test_a_table_that_takes_nothing_holds_nobody_up_for_ever(server: Script) -> None:
    server.judge = lambda values, token: (500, 469, b"")
    delivered = deliver(sender_of(server), list(range(2_000)))

    assert (delivered.stored_rows, len(delivered.poison)) == (0, 2_000)
    assert len(server.inserts) <= MAX_BISECT_REQUESTS + 20


@pytest.mark.parametrize("code", [53, 60, 16, 469])
def test_a_table_that_is_not_as_it_should_be_is_waited_for(server: Script, code: int) -> None:
    """Also with a code that would else put the blame on the rows: nothing may be quarantined for a migration under way."""
    server.columns = b'{"name":"n","type":"String"}\n'
    server.judge = lambda values, token: (500, code, b"") if len(server.inserts) < 3 else OK
    seen: list[tuple[str | None, bool]] = []

    def pause(ns: int) -> bool:
        seen.append((sender.waiting, sender.is_schema_wrong))
        return False

    sender: Sender = sender_of(server, pause)

    assert deliver(sender, [1, 2]) == Delivered(2, [])
    assert seen == [("schema: t: column n is String, which int64 does not fit", True)] * 2
    assert not sender.is_schema_wrong


def test_a_missing_table_says_so(server: Script) -> None:
    server.columns = b""
    server.judge = lambda values, token: (404, 60, b"")
    pauses = Pauses(limit=1)
    sender = sender_of(server, pauses)

    with pytest.raises(Stopped):
        deliver(sender, [1])
    assert sender.waiting == "schema: t: the table is missing"


def test_wrong_credentials_wait_for_the_secret_to_change(server: Script, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("old-secret")
    server.judge = lambda values, token: OK if server.keys[-1] == "new-secret" else (403, 516, b"")

    def rotate(ns: int) -> bool:
        fresh = tmp_path / "fresh"
        fresh.write_text("new-secret")
        fresh.replace(secret)
        return False

    sender = sender_of(server, rotate, password_file=secret)

    assert deliver(sender, [1]) == Delivered(1, [])
    assert server.keys == ["old-secret", "new-secret"]


def test_a_replica_that_is_down_is_passed_over(server: Script) -> None:
    pauses = Pauses()
    sender = sender_of(server, pauses, "127.0.0.1:1", server.endpoint)

    assert deliver(sender, [1]) == Delivered(1, [])
    assert len(pauses.taken) == 1


def test_the_end_of_the_writer_ends_a_retry(server: Script) -> None:
    sender = sender_of(server, Pauses(limit=3), "127.0.0.1:1")

    with pytest.raises(Stopped):
        deliver(sender, [1])
    assert sender.waiting is not None
    assert sender.waiting.startswith("store: 127.0.0.1:1: ConnectionRefusedError")


def test_a_code_in_the_body_counts_where_a_proxy_ate_the_header(server: Script) -> None:
    server.judge = lambda values, token: (500, None, b"Code: 252. DB::Exception: Too many parts")
    client = ShardClient([server.endpoint], user="default", password_file=None, tls=False, timeout_s=5)

    with pytest.raises(ServerError) as caught:
        client.insert("INSERT INTO t (n) FORMAT ArrowStream", piece_of([1]).body, {"insert_deduplication_token": "x"})
    assert caught.value.code == 252


def test_an_answer_of_somebody_else_is_no_verdict(server: Script) -> None:
    server.judge = lambda values, token: (502, None, b"<html>bad gateway</html>")
    client = ShardClient([server.endpoint], user="default", password_file=None, tls=False, timeout_s=5)

    with pytest.raises(Unreachable, match="http_502"):
        client.insert("INSERT INTO t (n) FORMAT ArrowStream", piece_of([1]).body, {"insert_deduplication_token": "x"})
