"""The real engine behind its HTTP front, spoken to by curl and by clickhouse-connect as they are."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
import random
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import lz4.block
import lz4.frame
import pyarrow as pa
import pytest
import zstandard
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData
from feedplane_testing.clickhouse import ClickHouseLite, StartFailed

TRADES = """CREATE TABLE {name} (
    exchange LowCardinality(String), market_type LowCardinality(String), instrument String,
    ts_event DateTime64(9), ts_recv DateTime64(9), price Decimal(38, 18), qty Decimal(38, 18),
    side Enum8('BUY' = 1, 'SELL' = 2, 'UNKNOWN' = 0), trade_id String
) ENGINE = MergeTree PARTITION BY toDate(ts_event) ORDER BY (exchange, instrument, ts_event)
SETTINGS non_replicated_deduplication_window = 10000"""

ROWS = """SELECT 'binance_spot' AS exchange, 'spot' AS market_type, 'SYM' || toString(number % 20) AS instrument,
    toDateTime64('2026-01-01 00:00:00', 9) + number * 0.001 AS ts_event, ts_event AS ts_recv,
    toDecimal128(number, 18) / 7 AS price, toDecimal128(number, 18) / 3 AS qty,
    if(number % 2 = 0, 'BUY', 'SELL')::Enum8('BUY' = 1, 'SELL' = 2, 'UNKNOWN' = 0) AS side,
    toString(number) AS trade_id
FROM numbers({count})"""

READER = {"name": "reader", "password_sha256": hashlib.sha256(b"r").hexdigest(), "readonly": 1}
LIMITED = {
    "name": "limited",
    "password_sha256": hashlib.sha256(b"l").hexdigest(),
    "grants": ["SELECT ON allowed.*"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseLite]:
    folder = tmp_path_factory.mktemp("clickhouse")
    users = folder / "users.json"
    users.write_text(json.dumps([{"name": "default"}, READER, LIMITED]))
    lite = ClickHouseLite(
        folder / "data",
        users_file=users,
        max_threads=2,
        max_body_bytes=32 << 20,
        clusters={"plane": [["127.0.0.1:9000"], ["127.0.0.1:9001"]], "self": [["127.0.0.1:9000"]]},
    )
    with lite:
        yield lite


@pytest.fixture
def client(server: ClickHouseLite) -> Any:
    return server.client()


@pytest.fixture
def table(client: Any) -> str:
    """An empty trades table of the test's own."""
    name = f"trades_{uuid.uuid4().hex}"
    client.command(TRADES.format(name=name))
    return name


def send(
    server: ClickHouseLite, body: bytes | str = b"", headers: dict[str, str] | None = None, **parameters: object
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """POST to the server, whatever it answers."""
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(f"{server.url}/?{urlencode(parameters)}", data, headers or {}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read(), reply.headers
    except urllib.error.HTTPError as e:
        return e.code, e.read(), e.headers


def curl(*arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["curl", "-sS", "--max-time", "30", *arguments], input=data, capture_output=True, check=False)


class TestCurl:
    def test_ping_and_replicas_status(self, server: ClickHouseLite) -> None:
        for path in ("/ping", "/replicas_status", "/"):
            assert curl(server.url + path).stdout == b"Ok.\n"

    def test_query_in_url_or_body_or_both(self, server: ClickHouseLite) -> None:
        url = server.url
        assert curl(f"{url}/?query=SELECT%201").stdout == b"1\n"
        assert curl(url, "-d", "SELECT 1").stdout == b"1\n"
        assert curl(f"{url}/?query=SELECT%201%2B", "-d", "2").stdout == b"3\n"
        assert (
            curl(f"{url}/?param_x=4&default_format=JSONEachRow", "-d", "SELECT {x:UInt8} AS x").stdout == b'{"x":4}\n'
        )

    def test_insert_and_read_back_compressed(self, server: ClickHouseLite, table: str) -> None:
        rows = gzip.compress(b"a,spot,X,2026-01-01,2026-01-01,0.000000000000000001,2,BUY,1\n")
        insert = f"{server.url}/?query=INSERT%20INTO%20{table}%20FORMAT%20CSV"
        done = curl(insert, "-H", "Content-Encoding: gzip", "--data-binary", "@-", data=rows)
        assert (done.stdout, done.returncode) == (b"", 0)

        read = curl("--compressed", server.url, "-d", f"SELECT price, qty FROM {table}")
        assert read.stdout == b"0.000000000000000001\t2\n"

    def test_headers(self, server: ClickHouseLite) -> None:
        reply = curl("-D", "-", "-o", "/dev/null", f"{server.url}/?query_id=abc", "-d", "SELECT 1 FORMAT JSON").stdout
        headers = dict(line.split(": ", 1) for line in reply.decode().splitlines() if ": " in line)
        summary = json.loads(headers["X-ClickHouse-Summary"])

        assert headers["X-ClickHouse-Query-Id"] == "abc"
        assert headers["X-ClickHouse-Format"] == "JSON"
        assert headers["Content-Type"] == "application/json; charset=UTF-8"
        assert headers["X-ClickHouse-Timezone"]
        assert summary["result_rows"] == "1"

    def test_a_result_that_fails_midway_is_no_success(self, server: ClickHouseLite) -> None:
        broken = curl(server.url, "-d", "SELECT throwIf(number = 2000000) FROM numbers(3000000)")

        assert broken.returncode != 0
        assert b"__exception__" in broken.stdout[-2_000:]
        assert b"FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in broken.stdout[-2_000:]

    def test_a_large_result_arrives_whole(self, server: ClickHouseLite) -> None:
        for name in ("TSV", "JSONEachRow", "CSVWithNames"):
            read = curl(server.url, "-d", f"SELECT number FROM numbers(1000000) FORMAT {name}").stdout
            assert read.count(b"\n") == 1_000_000 + (name == "CSVWithNames")


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "status", "code"),
        [
            ("SELECT * FROM nope", 404, 60),
            ("SELEC 1", 400, 62),
            ("SELECT 1; SELECT 2", 400, 62),
            ("", 400, 62),
            ("SELECT nope", 404, 47),
            ("SELECT nope()", 404, 46),
            ("SELECT throwIf(1)", 500, 395),
            ("INSERT INTO nope FORMAT CSV\n1", 404, 60),
            ("SELECT 1 FORMAT Nope", 400, 73),
            (
                "SELECT groupArray(randomString(1000)) FROM numbers(100000) SETTINGS max_memory_usage = 1000000",
                500,
                241,
            ),
            ("SELECT 1 INTO OUTFILE '/tmp/x'", 500, 358),
        ],
    )
    def test_codes_and_statuses_are_a_servers(self, server: ClickHouseLite, sql: str, status: int, code: int) -> None:
        got, body, headers = send(server, sql)

        assert (got, headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
        assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
        assert b"(version 26." in body

    def test_too_many_parts_and_bad_rows_surface(self, server: ClickHouseLite, client: Any) -> None:
        client.command("CREATE TABLE full (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS parts_to_throw_insert = 3")
        client.command("SYSTEM STOP MERGES full")
        insert = "INSERT INTO full FORMAT TSV"
        assert send(server, b"abc\n", query=insert)[2]["X-ClickHouse-Exception-Code"] == "27"
        codes = [send(server, b"1\n", query=insert)[2]["X-ClickHouse-Exception-Code"] for _ in range(6)]

        assert codes[0] is None
        assert codes[-1] == "252"

    @pytest.mark.parametrize("name", ["TSV", "Native", "ArrowStream"])
    def test_rows_refused_after_parsing_are_never_acknowledged(
        self, server: ClickHouseLite, client: Any, table: str, name: str
    ) -> None:
        """The engine's own call for inserting in pieces returns success for all of these."""
        client.command(f"CREATE TABLE {table}_c (a Int8, CONSTRAINT c CHECK a < 5) ENGINE = MergeTree ORDER BY a")
        client.command(f"CREATE TABLE {table}_b (a Int8) ENGINE = MergeTree ORDER BY a")
        client.command(
            f"CREATE MATERIALIZED VIEW {table}_v ENGINE = MergeTree ORDER BY a AS SELECT throwIf(a = 9) AS a FROM {table}_b"
        )
        client.command(f"CREATE TABLE {table}_p (a Int8) ENGINE = MergeTree PARTITION BY a ORDER BY a")
        rows = client.raw_query("SELECT toInt8(9) AS a", fmt=name)
        many = client.raw_query("SELECT toInt8(number) AS a FROM numbers(120)", fmt=name)

        for target, body, code in (("c", rows, "469"), ("b", rows, "395"), ("p", many, "252")):
            status, _, headers = send(server, body, query=f"INSERT INTO {table}_{target} FORMAT {name}")
            assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, code)

    def test_settings_are_checked_and_applied(self, server: ClickHouseLite) -> None:
        assert send(server, "SELECT getSetting('max_block_size')", max_block_size=77)[1] == b"77\n"
        assert send(server, "SELECT 1", no_such_setting=1)[2]["X-ClickHouse-Exception-Code"] == "115"
        _, _, headers = send(server, "SELECT count() FROM numbers(100000000000)", max_execution_time=1)
        assert headers["X-ClickHouse-Exception-Code"] == "159"

    def test_get_only_reads(self, server: ClickHouseLite) -> None:
        denied = curl("-i", f"{server.url}/?query=CREATE%20TABLE%20g%20(a%20Int8)%20ENGINE%3DMemory").stdout

        assert b"X-ClickHouse-Exception-Code: 164" in denied

    def test_bodies_are_bounded(self, server: ClickHouseLite) -> None:
        bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
        reply = send(
            server, bomb, {"Content-Encoding": "zstd"}, query="INSERT INTO FUNCTION null('a String') FORMAT RawBLOB"
        )
        assert (reply[0], reply[2]["X-ClickHouse-Exception-Code"]) == (413, "229")


class TestConnect:
    @pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", True, False])
    def test_everything_with_each_compression(self, server: ClickHouseLite, table: str, compress: str | bool) -> None:
        client = server.client(compress=compress)
        row = ["x", "spot", "BTC", 1_767_225_600_123_456_789, 0, Decimal("0.1"), Decimal(3), "BUY", "7"]
        client.insert(table, [row, [*row[:-1], "8"]])
        arrow = client.query_arrow(f"SELECT * FROM {table}")
        client.insert_arrow(table, arrow, settings={"insert_deduplication_token": "arrow"})
        native = client.raw_query(f"SELECT * FROM {table}", fmt="Native")
        client.raw_insert(table, None, native, fmt="Native", settings={"insert_deduplication_token": "native"})

        assert client.command(f"SELECT count() FROM {table}") == 8
        assert client.query(f"SELECT DISTINCT price, toUnixTimestamp64Nano(ts_event) FROM {table}").result_rows == [
            (Decimal("0.1"), 1_767_225_600_123_456_789)
        ]
        assert client.query(f"SELECT trade_id FROM {table} LIMIT 0").column_names == ("trade_id",)
        assert client.query(
            "SELECT {a:String}, {n:Array(UInt8)}", parameters={"a": "it's\t\\", "n": [1, 2]}
        ).result_rows == [("it's\t\\", [1, 2])]
        with client.query_row_block_stream("SELECT number FROM numbers(200000)") as blocks:
            assert sum(len(block) for block in blocks) == 200_000
        with client.query_arrow_stream("SELECT number, toString(number) AS s FROM numbers(200000)") as batches:
            assert sum(batch.num_rows for batch in batches) == 200_000
        with client.raw_stream("SELECT number FROM numbers(200000)", fmt="TSV") as stream:
            assert stream.read().count(b"\n") == 200_000

    def test_errors_carry_their_code(self, client: Any) -> None:
        with pytest.raises(DatabaseError) as error:
            client.query("SELECT * FROM nope")

        assert (error.value.code, error.value.name) == (60, "UNKNOWN_TABLE")

    def test_an_error_inside_of_a_stream_is_raised(self, client: Any) -> None:
        with (
            pytest.raises(DatabaseError, match="non-zero"),
            client.query_row_block_stream("SELECT throwIf(number = 900000) FROM numbers(1000000)") as blocks,
        ):
            list(blocks)

    def test_sessions_keep_temporary_tables_and_settings(self, server: ClickHouseLite) -> None:
        client = server.client(session_id=str(uuid.uuid4()))
        client.command("CREATE TEMPORARY TABLE tt (a Int32)")
        client.command("INSERT INTO tt VALUES (1), (2)")
        client.command("SET max_block_size = 777")

        assert client.query("SELECT sum(a) FROM tt").result_rows == [(3,)]
        assert client.command("SELECT getSetting('max_block_size')") == 777
        assert client.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 9}).result_rows == [(9,)]
        assert client.command("SELECT getSetting('max_block_size')") == 777
        with pytest.raises(DatabaseError) as error:
            server.client().query("SELECT * FROM tt")
        assert error.value.code == 60

    def test_a_session_serves_one_query_at_a_time(self, server: ClickHouseLite) -> None:
        name = str(uuid.uuid4())
        slow = threading.Thread(target=send, args=(server, "SELECT sleep(1.5)"), kwargs={"session_id": name})
        slow.start()
        time.sleep(0.4)

        assert send(server, "SELECT 1", session_id=name)[2]["X-ClickHouse-Exception-Code"] == "373"
        assert (
            send(server, "SELECT 1", session_id="missing", session_check=1)[2]["X-ClickHouse-Exception-Code"] == "372"
        )
        slow.join()
        assert send(server, "SELECT 1", session_id=name)[1] == b"1\n"

    def test_external_data(self, client: Any) -> None:
        data = ExternalData(file_name="ext", data=b"1\n2\n", fmt="TSV", structure="a UInt8")

        assert client.query("SELECT sum(a) FROM ext", external_data=data).result_rows == [(3,)]

    def test_materialized_views_follow_inserts(self, client: Any, table: str) -> None:
        client.command(
            f"CREATE TABLE {table}_n (exchange String, n UInt64) ENGINE = SummingMergeTree ORDER BY exchange "
            "SETTINGS non_replicated_deduplication_window = 100"
        )
        client.command(
            f"CREATE MATERIALIZED VIEW {table}_v TO {table}_n AS SELECT exchange, count() AS n FROM {table} GROUP BY exchange"
        )
        body = client.raw_query(ROWS.format(count=100), fmt="Native")
        for _ in range(3):
            client.raw_insert(table, None, body, fmt="Native", settings={"insert_deduplication_token": "one"})

        assert client.query(f"SELECT sum(n) FROM {table}_n").result_rows == [(100,)]

    def test_a_database_that_is_missing_is_code_81(self, server: ClickHouseLite, client: Any) -> None:
        client.command("CREATE DATABASE IF NOT EXISTS marketdata")

        assert send(server, "SELECT currentDatabase()", database="marketdata")[1] == b"marketdata\n"
        assert send(server, "SELECT 1", database="nope")[2]["X-ClickHouse-Exception-Code"] == "81"


FORMATS = ["Native", "ArrowStream", "Arrow", "Parquet", "RowBinary", "JSONEachRow", "TabSeparated", "CSV", "Values"]


class TestInserts:
    @pytest.mark.parametrize("name", FORMATS)
    def test_each_format_is_exact_one_part_and_deduplicated(
        self, server: ClickHouseLite, client: Any, table: str, name: str
    ) -> None:
        body = client.raw_query(ROWS.format(count=50_000), fmt=name)
        for _ in range(2):
            status, reply, headers = send(
                server, body, query=f"INSERT INTO {table} FORMAT {name}", insert_deduplication_token="t", async_insert=0
            )
            assert (status, reply) == (200, b"")
        assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "50000"

        columns = "(exchange, market_type, instrument, ts_event, ts_recv, price, qty, side, trade_id)"
        expected = client.command(f"SELECT sum(cityHash64({columns[1:-1]})) FROM ({ROWS.format(count=50_000)})")
        assert client.command(f"SELECT sum(cityHash64({columns[1:-1]})) FROM {table}") == expected
        assert client.query(f"SELECT count(), uniqExact(_part) FROM {table}").result_rows == [(50_000, 1)]

    def test_columns_may_be_listed_and_the_rest_has_defaults(self, server: ClickHouseLite, table: str) -> None:
        send(server, b"9\tx\n", query=f"INSERT INTO {table} (trade_id, exchange) FORMAT TSV")

        assert send(server, f"SELECT trade_id, exchange, price, side FROM {table}")[1] == b"9\tx\t0\tUNKNOWN\n"

    def test_statement_and_data_in_one_body(self, server: ClickHouseLite, table: str) -> None:
        send(server, f"INSERT INTO {table} (trade_id) FORMAT CSV\n1\n2\n")
        send(server, f"INSERT INTO {table} (trade_id) VALUES ('3'), (concat('4', ''))")
        send(server, f"INSERT INTO {table} (trade_id) SELECT toString(a + 1) FROM input('a UInt8') FORMAT CSV\n4\n")
        send(server, "6\n", query="INSERT INTO {t:Identifier} (trade_id) FORMAT CSV", param_t=table)

        assert send(server, f"SELECT trade_id FROM {table} ORDER BY trade_id")[1] == b"1\n2\n3\n4\n5\n6\n"

    @pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "native"])
    def test_compressed_bodies(self, server: ClickHouseLite, table: str, encoding: str) -> None:
        plain = b"".join(b"%d\n" % number for number in range(100_000))
        query = f"INSERT INTO {table} (trade_id) FORMAT TSV"
        if encoding == "native":
            packed = lz4.block.compress(plain, store_size=False)
            block = bytes(16) + struct.pack("<BII", 0x82, len(packed) + 9, len(plain)) + packed
            reply = send(server, block, query=query, decompress=1)
        else:
            pack = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress, "lz4": lz4.frame.compress}
            reply = send(server, pack[encoding](plain), {"Content-Encoding": encoding}, query=query)
            cut = send(server, pack[encoding](plain)[:-20], {"Content-Encoding": encoding}, query=query)
            assert cut[2]["X-ClickHouse-Exception-Code"] == "271"

        assert reply[0] == 200
        assert send(server, f"SELECT uniqExact(trade_id), count() FROM {table}")[1] == b"100000\t100000\n"

    def test_an_upload_that_breaks_off_inserts_nothing(self, server: ClickHouseLite, table: str) -> None:
        path = "/?" + urlencode({"query": f"INSERT INTO {table} (trade_id) FORMAT TSV"})
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode() + b"1\n" * 1000)
        time.sleep(0.2)

        assert send(server, f"SELECT count() FROM {table}")[1] == b"0\n"

    def test_distributed_tables_are_created_and_read_where_all_shards_are_here(self, client: Any, table: str) -> None:
        client.command(f"CREATE TABLE {table}_all AS {table} ENGINE = Distributed(plane, default, {table}, rand())")
        client.command(f"CREATE TABLE {table}_self AS {table} ENGINE = Distributed(self, default, {table})")
        client.command(f"INSERT INTO {table} (trade_id) VALUES ('1')")

        assert client.command(f"SELECT trade_id FROM {table}_self") == 1


class TestSecurity:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT file('{path}')",
            "SELECT fi/**/le/* x */('{path}')",
            "SELECT `fi\\x6ce`('{path}')",
            "SELECT * APPLY(file) FROM (SELECT '{path}')",
            "SELECT * FROM file('{path}', 'LineAsString')",
            "SELECT * FROM `{path}`",
            "SELECT * FROM _lite_files.`{path}`",
            "SELECT * FROM url('file://{path}', 'LineAsString')",
            "SELECT * FROM executable('cat {path}', 'LineAsString', 'a String')",
            "SELECT * FROM sqlite('{path}', 'a')",
            "SELECT * FROM remote('127.0.0.1', view(SELECT file('{path}')))",
            "SELECT * FROM eval('SELECT file(''{path}'')')",
            "SELECT 1 AS a FORMAT Template SETTINGS format_template_row = '{path}'",
            "CREATE TABLE leak (a String) ENGINE = File('LineAsString', '{path}')",
            "CREATE DATABASE leak ENGINE = Filesystem('/')",
            "CREATE DICTIONARY leak (a String) PRIMARY KEY a SOURCE(EXECUTABLE(COMMAND 'cat {path}' FORMAT 'TSV')) "
            "LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
            "CREATE DICTIONARY leak (a String) PRIMARY KEY a SOURCE(FILE(PATH '{path}' FORMAT 'TSV')) "
            "LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
            "CREATE FUNCTION leak AS x -> file(x)",
            "INSERT INTO sink FROM INFILE '{path}' FORMAT LineAsString",
            "INSERT INTO sink VALUES (file('{path}'))",
            "INSERT INTO sink VALUES (`fi\\x6ce`('{path}'))",
            "SELECT 1 INTO OUTFILE '{path}.out'",
            "SELECT count() FROM numbers(1) SETTINGS additional_table_filters = {{'system.numbers': 'file(1) = 1'}}",
            "SET ROLE lite_admin",
            "BACKUP DATABASE default TO File('{path}.bak')",
        ],
    )
    def test_no_statement_reaches_the_host(self, server: ClickHouseLite, tmp_path: Path, sql: str) -> None:
        secret = tmp_path / "secret"
        secret.write_text("hunter2\n")
        send(server, "CREATE TABLE IF NOT EXISTS sink (a String) ENGINE = Memory")

        status, body, _ = send(server, sql.format(path=secret))

        assert status >= 400
        assert b"hunter2" not in body
        assert send(server, "SELECT count() FROM sink")[1] == b"0\n"
        assert [path.name for path in tmp_path.iterdir()] == ["secret"]

    def test_passwords(self, server: ClickHouseLite) -> None:
        for headers, status, code in (
            ({"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "r"}, 200, None),
            ({"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "x"}, 403, "516"),
            ({"X-ClickHouse-User": "nobody", "X-ClickHouse-Key": "r"}, 403, "516"),
        ):
            got, _, reply = send(server, "SELECT 1", headers)
            assert (got, reply["X-ClickHouse-Exception-Code"]) == (status, code)
        assert server.client(username="reader", password="r").command("SELECT 1") == 1
        assert curl("-u", "reader:r", server.url, "-d", "SELECT 1").stdout == b"1\n"
        with pytest.raises(DatabaseError) as error:
            server.client(username="reader", password="wrong")
        assert error.value.code == 516

    def test_readonly_users_only_read(self, server: ClickHouseLite, client: Any, table: str) -> None:
        client.command(f"INSERT INTO {table} (trade_id) VALUES ('1')")
        reader = server.client(username="reader", password="r", session_id=str(uuid.uuid4()))

        assert reader.command(f"SELECT count() FROM {table}") == 1
        for sql in (
            f"INSERT INTO {table} (trade_id) VALUES ('2')", f"DROP TABLE {table}", "SET readonly = 0",
            "SELECT * FROM url('http://127.0.0.1:1', 'TSV', 'a String')", "SELECT file('/etc/hostname')",
            "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'TSV', 'a String')",
        ):  # fmt: skip
            with pytest.raises(DatabaseError) as error:
                reader.command(sql)
            assert error.value.code in (164, 497)

    def test_grants_are_the_engines(self, server: ClickHouseLite, client: Any) -> None:
        client.command("CREATE DATABASE IF NOT EXISTS allowed")
        client.command("CREATE TABLE IF NOT EXISTS allowed.t (a Int8) ENGINE = Memory")
        client.command("CREATE TABLE IF NOT EXISTS hidden (a Int8) ENGINE = Memory")
        limited = server.client(username="limited", password="l")

        assert limited.command("SELECT count() FROM allowed.t") == 0
        for sql in (
            "SELECT * FROM hidden",
            "INSERT INTO allowed.t VALUES (1)",
            "CREATE TABLE x (a Int8) ENGINE = Memory",
        ):
            with pytest.raises(DatabaseError) as error:
                limited.command(sql)
            assert error.value.code == 497

    def test_pages_of_other_origins_are_refused(self, server: ClickHouseLite) -> None:
        assert send(server, "SELECT 1", {"Origin": "http://evil.example"})[0] == 403
        assert send(server, "SELECT 1", {"Origin": server.url})[0] == 200

    def test_injection_stays_a_literal(self, client: Any) -> None:
        hostile = "x'); DROP TABLE t; --"

        assert client.query("SELECT {v:String}", parameters={"v": hostile}).result_rows == [(hostile,)]


class TestConcurrency:
    def test_a_long_read_holds_up_neither_inserts_nor_ping(
        self, server: ClickHouseLite, client: Any, table: str
    ) -> None:
        body = client.raw_query(ROWS.format(count=20_000), fmt="Native")
        busy = {"n": 0}

        def read() -> None:
            send(
                server, "SELECT count() FROM numbers_mt(100000000000) WHERE sipHash64(number) = 1", max_execution_time=2
            )
            busy["n"] += 1

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        time.sleep(0.2)
        worst_s = 0.0
        while busy["n"] == 0:
            began = time.monotonic()
            client.raw_insert(table, None, body, fmt="Native")
            assert curl(server.url + "/ping").stdout == b"Ok.\n"
            worst_s = max(worst_s, time.monotonic() - began)
        for reader in readers:
            reader.join()

        assert worst_s < 1.5
        assert client.command(f"SELECT count() FROM {table}") >= 20_000

    def test_a_client_that_goes_takes_its_query_along(self, server: ClickHouseLite) -> None:
        for sql in (
            "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1",
            "SELECT number FROM numbers(10000000000)",
        ):
            marker = f"gone{uuid.uuid4().hex}"
            curl("--max-time", "0.5", "-o", "/dev/null", server.url, "-d", f"{sql} -- {marker}")
            deadline = time.monotonic() + 5
            probe = (
                f"SELECT count() FROM system.processes WHERE query LIKE '%{marker}%' AND query NOT LIKE '%processes%'"
            )
            while send(server, probe)[1] != b"0\n" and time.monotonic() < deadline:
                time.sleep(0.05)
            assert send(server, probe)[1] == b"0\n"

    def test_the_same_query_id_runs_once(self, server: ClickHouseLite) -> None:
        slow = threading.Thread(target=send, args=(server, "SELECT sleep(1)"), kwargs={"query_id": "twice"})
        slow.start()
        time.sleep(0.3)
        assert send(server, "SELECT 1", query_id="twice")[2]["X-ClickHouse-Exception-Code"] == "216"
        slow.join()

    def test_metrics(self, server: ClickHouseLite) -> None:
        text = curl(server.url + "/metrics").stdout.decode()

        assert 'feedplane_clickhouse_lite_queries_total{kind="insert"}' in text
        assert "feedplane_clickhouse_lite_written_rows_total" in text


class TestLife:
    def test_the_queue_is_bounded(self, tmp_path: Path) -> None:
        with ClickHouseLite(tmp_path / "d", max_concurrent_queries=1, max_queued=1) as lite:
            results: list[tuple[int, str | None]] = []

            def ask() -> None:
                status, _, headers = send(lite, "SELECT sleep(0.5)")
                results.append((status, headers["Retry-After"]))

            asking = [threading.Thread(target=ask) for _ in range(4)]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()

        assert sorted(results, key=str) == [(200, None), (200, None), (503, "1"), (503, "1")]

    def test_a_directory_in_use_and_a_port_in_use_are_told_in_one_line(self, tmp_path: Path) -> None:
        with ClickHouseLite(tmp_path / "a") as lite:
            with pytest.raises(StartFailed) as locked:
                ClickHouseLite(tmp_path / "a").start()
            other = ClickHouseLite(tmp_path / "b")
            other.port = lite.port
            with pytest.raises(StartFailed) as taken:
                other.start()

        for failure, word in ((locked.value, "in use by process"), (taken.value, "cannot be bound")):
            assert failure.exit_code == 2
            assert word in failure.stderr
            assert failure.stderr.count("\n") == 1

    def test_listening_beyond_loopback_needs_passwords(self, tmp_path: Path) -> None:
        with pytest.raises(StartFailed) as failure:
            ClickHouseLite(tmp_path / "d", host="0.0.0.0").start()

        assert failure.value.exit_code == 2

    def test_sigterm_stops_within_two_seconds_whatever_runs(self, tmp_path: Path) -> None:
        lite = ClickHouseLite(tmp_path / "d").start()
        read = threading.Thread(target=curl, args=(lite.url, "-d", "SELECT count() FROM numbers(100000000000)"))
        read.start()
        time.sleep(0.3)
        began = time.monotonic()
        code = lite.stop()

        assert (code, time.monotonic() - began < 2) == (0, True)
        assert not (tmp_path / "d" / "http.port").exists()
        read.join()

    def test_files_can_be_allowed(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("1,a\n2,b\n")
        with ClickHouseLite(tmp_path / "d", allow_files=True) as lite:
            assert send(lite, f"SELECT count() FROM file('{tmp_path}/x.csv', 'CSV')")[1] == b"2\n"

    def test_killed_at_any_instant_it_keeps_what_it_acknowledged(self, tmp_path: Path) -> None:
        """Six kills in the middle of inserts; a batch without an answer is sent again under its token."""
        random.seed(int(os.environ.get("FEEDPLANE_TEST_SEED", "7")))
        lite = ClickHouseLite(tmp_path / "d")
        batch = 0
        with lite:
            lite.client().command(TRADES.format(name="t"))
        for _ in range(6):
            with lite:
                killer = threading.Timer(random.uniform(0.05, 0.4), lite.kill)
                killer.start()
                batch = _insert_until_killed(lite, batch)
                killer.join()
        with lite:
            assert _insert_batch(lite, batch)  # the one in doubt, once more
            batch += 1
            counts = (
                lite.client().query("SELECT count(), uniqExact(trade_id), uniqExact(instrument) FROM t").result_rows
            )

        assert batch > 6
        assert counts == [(batch * 500, batch * 500, batch)]

    def test_a_token_whose_rows_a_crash_took_is_forgotten(self, tmp_path: Path) -> None:
        """The engine logs the token before it renames the part; this is the disk after a kill between the two."""
        lite = ClickHouseLite(tmp_path / "d")
        with lite:
            lite.client().command(TRADES.format(name="t"))
            assert _insert_batch(lite, 1)
            assert _insert_batch(lite, 2)
        part = max((tmp_path / "d" / "db" / "store").glob("*/*/19700101_*"), key=lambda path: path.name)
        part.rename(part.with_name(f"tmp_insert_{part.name}"))

        with lite:
            for _ in range(2):
                assert _insert_batch(lite, 1)
                assert _insert_batch(lite, 2)
            assert lite.client().query("SELECT count(), uniqExact(trade_id) FROM t").result_rows == [(1_000, 1_000)]


def _insert_until_killed(lite: ClickHouseLite, batch: int) -> int:
    try:
        while _insert_batch(lite, batch):
            batch += 1
    except (OSError, http.client.HTTPException):
        return batch
    return batch


def _insert_batch(lite: ClickHouseLite, batch: int) -> bool:
    ids = [f"{batch}-{row}" for row in range(500)]
    columns = {"instrument": [f"batch{batch}"] * 500, "trade_id": ids}
    sink = pa.BufferOutputStream()
    record_batch = pa.record_batch(columns)
    with pa.ipc.new_stream(sink, record_batch.schema) as writer:
        writer.write_batch(record_batch)
    status, _, _ = send(
        lite,
        bytes(sink.getvalue()),
        query="INSERT INTO t (instrument, trade_id) FORMAT ArrowStream",
        insert_deduplication_token=f"batch-{batch}",
        async_insert=0,
    )
    return status == 200
