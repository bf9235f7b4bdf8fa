from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.names import NS_PER_S, KeyStyle
from feedplane_feedset.config import (
    ClickHouseWriterConfig,
    RedisWriterConfig,
    read_collector_config,
    read_symbols,
    read_writer_config,
    symbols_hash,
    write_config,
    write_standing,
    write_symbols,
)
from feedplane_feedset.errors import FeedSetError
from feedplane_feedset.render import Stores, render_collectors, render_pods, render_writers
from feedplane_feedset.sinks import RedisMode

GOLDEN = Path(__file__).with_name("golden")
EMBEDDED = Stores(
    redis_endpoints=("127.0.0.1:7001",),
    clickhouse_shards=(("127.0.0.1:7002",), ("127.0.0.1:7003",)),
    journal_root="/data/journal",
)

FULL_SINKS = {
    "redis": {
        "mode": "Cluster",
        "endpoints": ["redis-0:6379", "redis-1:6379"],
        "tls": True,
        "user": "writer",
        "passwordSecretRef": {"name": "redis", "key": "pass"},
        "keyStyle": "Tagged",
        "ttl": "60s",
        "batch": {"maxRows": 500, "maxAge": "5ms"},
    },
    "clickhouse": {
        "shards": [{"endpoints": ["ch-0-0:8443", "ch-0-1:8443"]}, {"endpoints": ["ch-1-0:8443"]}],
        "tls": True,
        "database": "md",
        "cluster": "md",
        "user": "writer",
        "passwordSecretRef": {"name": "clickhouse"},
        "batch": {"maxRows": 50000, "maxAge": "2s"},
    },
}
FULL_ENTRY = {
    "exchange": "binance_futures",
    "markets": ["delivery", "perp_linear"],
    "feeds": ["open_interest", "trades", "l1", "ob_diffs", "klines"],
    "symbols": {"include": ["SOLUSDT", "BTCUSDT", "ETHUSDT", "XRPUSDT", "ADAUSDT"]},
    "cadence": {"l1": "500ms", "open_interest": "30s"},
    "klineIntervals": ["1h", "1m"],
    "shards": 2,
    "connection": {"staleAfter": "5s"},
}
TAPE = {
    "exchange": "tape",
    "sinks": ["clickhouse"],
    "symbols": {"quotes": ["USDT", "EUR"], "exclude": ["B", "A"], "maxSymbols": 7},
}


def test_golden(body: Any, parse: Any) -> None:
    """All settings of a FeedSet that uses every field. After a wanted change, write the printed text to the file and read its diff."""
    feedset = parse(
        body(FULL_ENTRY, TAPE, sinks=FULL_SINKS, spool={"size": "1Gi", "retention": "2h", "onFull": "StopCapture"})
    )
    pods = render_pods(feedset, Stores())
    rendered = [
        {
            "collector": pod.collector.model_dump(mode="json"),
            "writers": [w.model_dump(mode="json") for w in pod.writers],
        }
        for pod in pods
    ]
    text = json.dumps(rendered, indent=1) + "\n"

    assert text == (GOLDEN / "full.json").read_text(), text


def test_settings_survive_their_files(body: Any, parse: Any) -> None:
    for pod in render_pods(parse(body(FULL_ENTRY, TAPE, sinks=FULL_SINKS)), Stores()):
        assert read_collector_config(write_config(pod.collector)) == pod.collector
        assert tuple(read_writer_config(write_config(writer)) for writer in pod.writers) == pod.writers


def test_symbols_may_stand_in_a_file_of_their_own(body: Any, parse: Any) -> None:
    (pod,) = render_pods(parse(body({"symbols": {"include": ["BTCUSDT"]}})), EMBEDDED)
    (changed,) = render_pods(parse(body({"symbols": {"include": ["BTCUSDT", "ETHUSDT"]}})), EMBEDDED)
    symbols = read_symbols(write_symbols(pod.collector.symbols))

    assert write_standing(pod.collector) == write_standing(changed.collector)
    assert read_collector_config(write_standing(pod.collector), symbols) == pod.collector
    assert symbols_hash(symbols) == pod.symbols_hash != changed.symbols_hash


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no JSON"),
        ("[]", "Input should be an object"),
        ("{}", "feedset"),
        ('{"symbols": {}}', "symbols: stand here and in a file of their own"),
    ],
)
def test_settings_beside_a_symbols_file_are_refused_with_a_reason(text: str, told: str, body: Any, parse: Any) -> None:
    (pod,) = render_pods(parse(body()), EMBEDDED)

    with pytest.raises(FeedSetError, match=told):
        read_collector_config(text, pod.collector.symbols)


@pytest.mark.parametrize(("text", "field"), [('{"mode": "all"}', "mode"), ("{", "JSON"), ("[1]", "object|dictionary")])
def test_a_bad_symbols_file_is_refused_with_a_reason(text: str, field: str) -> None:
    with pytest.raises(FeedSetError, match=field):
        read_symbols(text)


def test_writers_drain_for_as_long_as_the_feedset_says(body: Any, parse: Any) -> None:
    feedset = parse(body(rollout={"drainSeconds": 30}))

    assert {w.drain_ns for pod in render_pods(feedset, EMBEDDED) for w in pod.writers} == {30 * NS_PER_S}
    assert {w.drain_ns for w in render_writers(feedset, replace(EMBEDDED, drain_ns=7))} == {7}


def test_shards_share_the_listed_symbols(body: Any, parse: Any) -> None:
    collectors = render_collectors(parse(body(FULL_ENTRY)), EMBEDDED)

    assert [collector.name for collector in collectors] == ["binance-futures-0", "binance-futures-1"]
    assert sorted(s for c in collectors for s in c.symbols.include) == sorted(FULL_ENTRY["symbols"]["include"])  # type: ignore[index]


def test_a_shard_without_symbols_does_not_fall_back_to_discovery(body: Any, parse: Any) -> None:
    collectors = render_collectors(parse(body({"symbols": {"include": ["BTCUSDT"]}, "shards": 2})), EMBEDDED)

    assert {collector.symbols.mode for collector in collectors} == {"include"}
    assert sorted(len(collector.symbols.include) for collector in collectors) == [0, 1]


def test_order_in_the_file_is_no_difference(body: Any, parse: Any) -> None:
    def hashes(entry: dict[str, Any]) -> list[str]:
        return [pod.config_hash for pod in render_pods(parse(body(entry)), EMBEDDED)]

    turned = {key: value[::-1] if isinstance(value, list) else value for key, value in FULL_ENTRY.items()}
    turned["symbols"] = {"include": FULL_ENTRY["symbols"]["include"][::-1]}  # type: ignore[index]

    assert hashes(turned) == hashes(FULL_ENTRY)


@pytest.mark.parametrize(
    ("change", "is_hot"),
    [
        ({"symbols": {"include": ["BTCUSDT"]}}, True),
        ({"symbols": {"quotes": ["USDT"]}}, True),
        ({"cadence": {"l1": "1s"}}, False),
        ({"feeds": ["trades", "l1"]}, False),
        ({"connection": {"overlap": "20s"}}, False),
        ({"sinks": ["redis"]}, False),
    ],
)
def test_hashes_tell_a_hot_change_from_a_rollout(change: dict[str, Any], is_hot: bool, body: Any, parse: Any) -> None:
    (before,) = render_pods(parse(body()), EMBEDDED)
    (after,) = render_pods(parse(body(change)), EMBEDDED)

    assert before.config_hash != after.config_hash
    assert (before.pod_hash == after.pod_hash) is is_hot


def test_one_writer_per_sink_serves_all_journals_of_a_machine(body: Any, parse: Any) -> None:
    feedset = parse(body(FULL_ENTRY, TAPE))
    redis, clickhouse = render_writers(feedset, EMBEDDED)

    assert isinstance(redis, RedisWriterConfig)
    assert isinstance(clickhouse, ClickHouseWriterConfig)
    assert [source.journal_directory for source in redis.sources] == [
        f"/data/journal/binance-futures-{n}" for n in (0, 1)
    ]
    assert [source.entry for source in clickhouse.sources] == ["binance-futures", "binance-futures", "tape"]
    assert [source.cadence.l1_ns for source in clickhouse.sources] == [500_000_000, 500_000_000, 200_000_000]


def test_embedded_engines_are_plain_single_nodes(body: Any, parse: Any) -> None:
    """What speaks of a remote server (TLS, user, password, cluster) does not reach an engine that has none of it."""
    sinks = {
        "redis": FULL_SINKS["redis"] | {"endpoints": []},
        "clickhouse": FULL_SINKS["clickhouse"] | {"shards": []},
    }
    redis, clickhouse = render_writers(parse(body(sinks=sinks)), EMBEDDED)

    assert isinstance(redis, RedisWriterConfig)
    assert isinstance(clickhouse, ClickHouseWriterConfig)
    assert (redis.endpoints, redis.mode, redis.tls, redis.user, redis.password_file) == (
        ("127.0.0.1:7001",),
        RedisMode.STANDALONE,
        False,
        "default",
        None,
    )
    assert redis.key_style is KeyStyle.TAGGED
    assert clickhouse.shards == EMBEDDED.clickhouse_shards
    assert (clickhouse.table_suffix, clickhouse.cluster, clickhouse.tls, clickhouse.password_file) == (
        "",
        None,
        False,
        None,
    )


def test_simulated_data_goes_to_its_own_database(body: Any, parse: Any) -> None:
    stores = Stores(clickhouse_shards=(("h:1",),), redis_endpoints=("h:2",), database="feedplane_sim")
    writers = render_writers(parse(body()), stores)

    assert [writer.database for writer in writers if isinstance(writer, ClickHouseWriterConfig)] == ["feedplane_sim"]


@pytest.mark.parametrize(
    ("sink", "path"), [("redis", "spec.sinks.redis.endpoints"), ("clickhouse", "spec.sinks.clickhouse.shards")]
)
def test_a_sink_without_address_or_engine_is_named(sink: str, path: str, body: Any, parse: Any) -> None:
    with pytest.raises(FeedSetError) as caught:
        render_pods(parse(body(sinks={sink: {}})), Stores())

    assert [problem.path for problem in caught.value.problems] == [path]


def test_a_sink_that_no_entry_uses_has_no_writer(body: Any, parse: Any) -> None:
    writers = render_writers(parse(body({"sinks": ["redis"]})), EMBEDDED)

    assert [writer.sink.value for writer in writers] == ["redis"]


@pytest.mark.parametrize("read", [read_collector_config, read_writer_config])
def test_a_damaged_settings_file_is_refused(read: Any) -> None:
    with pytest.raises(FeedSetError):
        read('{"sink": "redis", "feedset": 1')
    with pytest.raises(FeedSetError, match="feedset"):
        read('{"sink": "redis", "feedset": 1}')
