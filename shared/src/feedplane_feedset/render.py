"""FeedSet -> settings of every process. Pure and deterministic: the operator puts them in ConfigMaps, `feedplane up` in
files.

A pod (and, on one machine, a group of processes) is one collector and one writer per sink; one writer may also serve
many journals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

from feedplane_core.names import NS_PER_S, Feed, MarketType

from .config import (
    CadenceSettings,
    ClickHouseWriterConfig,
    CollectorConfig,
    ConnectionSettings,
    JournalSettings,
    RedisWriterConfig,
    SymbolSelection,
    WriterConfig,
    WriterSource,
    config_hash,
    pod_hash,
    symbols_hash,
)
from .errors import FeedSetError, Problem
from .exchanges import ExchangeEntry, RedisKeys
from .model import FeedSet
from .sharding import owned
from .sinks import ClickHouseSink, RedisMode, RedisSink, SecretKeyRef, SinkName
from .units import parse_duration_ns

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What the FeedSet leaves to its surroundings: engines for sinks without addresses, and directories."""

    redis_endpoints: tuple[str, ...] = ()
    redis_mode: RedisMode = RedisMode.STANDALONE
    clickhouse_shards: tuple[tuple[str, ...], ...] = ()  # one node each: inserts go to <table>
    database: str | None = None  # instead of the FeedSet's: simulated and replayed data never meet live data
    drain_ns: int | None = None  # instead of the FeedSet's: nothing hangs on it where the journal outlives the process
    journal_root: str = "/var/lib/feedplane/journal"
    secrets_root: str = "/run/secrets/feedplane"


@dataclass(frozen=True, slots=True)
class Pod:
    """One collector and the writers beside it, one per sink."""

    collector: CollectorConfig
    writers: tuple[WriterConfig, ...]

    @property
    def config_hash(self) -> str:
        return config_hash(self.collector, *self.writers)

    @property
    def pod_hash(self) -> str:
        """Equal while a change can be taken up by the running processes (symbols only)."""
        return pod_hash(self.collector, *self.writers)

    @property
    def symbols_hash(self) -> str:
        return symbols_hash(self.collector.symbols)


def render_pods(feedset: FeedSet, stores: Stores) -> tuple[Pod, ...]:
    """One pod per (entry, shard), in the order of the file.

    Raises: FeedSetError naming a sink that has no address, neither of its own nor in `stores`.
    """
    return tuple(
        Pod(collector, tuple(_writer(feedset, sink, (collector,), stores) for sink in collector.journal.sinks))
        for collector in render_collectors(feedset, stores)
    )


def render_collectors(feedset: FeedSet, stores: Stores) -> tuple[CollectorConfig, ...]:
    return tuple(
        _collector(feedset, entry, shard, stores) for entry in feedset.spec.exchanges for shard in range(entry.shards)
    )


def render_writers(feedset: FeedSet, stores: Stores) -> tuple[WriterConfig, ...]:
    """One writer per sink that serves the journals of all collectors, for one machine. Sinks that no entry uses are
    left out.

    Raises: FeedSetError as `render_pods`.
    """
    return tuple(_shared_writers(feedset, stores))


def _shared_writers(feedset: FeedSet, stores: Stores) -> Iterator[WriterConfig]:
    collectors = render_collectors(feedset, stores)
    for sink in feedset.spec.sinks.named:
        users = tuple(collector for collector in collectors if sink in collector.journal.sinks)
        if users:
            yield _writer(feedset, sink, users, stores)


def _collector(feedset: FeedSet, entry: ExchangeEntry, shard: int, stores: Stores) -> CollectorConfig:
    spool = feedset.spec.spool
    return CollectorConfig(
        feedset=feedset.metadata.name,
        entry=entry.name,
        exchange=entry.exchange,
        markets=_in_order(entry.markets),
        sibling_markets=_in_order(entry.siblings),
        feeds=tuple(feed for feed in Feed if feed in entry.feeds),
        symbols=_selection(entry, shard),
        shard=shard,
        shards=entry.shards,
        cadence=_cadence(entry),
        kline_intervals_s=tuple(
            sorted(parse_duration_ns(str(interval)) // NS_PER_S for interval in entry.kline_intervals)
        ),
        connection=ConnectionSettings(
            stale_after_ns=entry.connection.stale_after_ns,
            rotate_before_ns=entry.connection.rotate_before_ns,
            overlap_ns=entry.connection.overlap_ns,
        ),
        journal=JournalSettings(
            directory=f"{stores.journal_root}/{entry.name}-{shard}",
            max_bytes=spool.size_bytes,
            retention_ns=spool.retention_ns,
            on_full=spool.on_full,
            sinks=feedset.spec.sinks_of(entry),
        ),
    )


def _selection(entry: ExchangeEntry, shard: int) -> SymbolSelection:
    symbols = entry.symbols
    if symbols.is_discovered:
        return SymbolSelection(
            mode="discover",
            exclude=tuple(sorted(symbols.exclude)),
            quotes=tuple(sorted(symbols.quotes)),
            max_symbols=symbols.max_symbols,
            refresh_ns=symbols.refresh_ns,
        )
    share = owned(symbols.include, shard, entry.shards)
    return SymbolSelection(
        mode="include", include=share, max_symbols=symbols.max_symbols, refresh_ns=symbols.refresh_ns
    )


def _cadence(entry: ExchangeEntry) -> CadenceSettings:
    cadence = entry.cadence
    return CadenceSettings(
        l1_ns=cadence.l1_ns,
        ob_top5_ns=cadence.ob_top5_ns,
        ob_top20_ns=cadence.ob_top20_ns,
        advanced_ns=cadence.advanced_ns,
        open_interest_ns=cadence.open_interest_ns,
    )


def _writer(feedset: FeedSet, sink: SinkName, collectors: tuple[CollectorConfig, ...], stores: Stores) -> WriterConfig:
    sources = tuple(_source(collector) for collector in collectors)
    sinks = feedset.spec.sinks
    if sink is SinkName.REDIS and sinks.redis is not None:
        return _redis_writer(feedset, sinks.redis, sources, stores)
    if sink is SinkName.CLICKHOUSE and sinks.clickhouse is not None:
        return _clickhouse_writer(feedset, sinks.clickhouse, sources, stores)
    raise FeedSetError([Problem(f"spec.sinks.{sink}", "is used by an entry but not named")])


def _source(collector: CollectorConfig) -> WriterSource:
    return WriterSource(
        entry=collector.entry,
        exchange=collector.exchange,
        shard=collector.shard,
        journal_directory=collector.journal.directory,
        feeds=collector.feeds,
        cadence=collector.cadence,
    )


def _drain_ns(feedset: FeedSet, stores: Stores) -> int:
    return feedset.spec.rollout.drain_seconds * NS_PER_S if stores.drain_ns is None else stores.drain_ns


def _redis_writer(
    feedset: FeedSet, sink: RedisSink, sources: tuple[WriterSource, ...], stores: Stores
) -> RedisWriterConfig:
    """An embedded engine takes its own mode, without TLS, user or password."""
    is_embedded = not sink.endpoints
    endpoints = (
        _given(stores.redis_endpoints, "spec.sinks.redis.endpoints") if is_embedded else tuple(sorted(sink.endpoints))
    )
    return RedisWriterConfig(
        feedset=feedset.metadata.name,
        sources=sources,
        mode=stores.redis_mode if is_embedded else sink.mode,
        endpoints=endpoints,
        tls=sink.tls and not is_embedded,
        user="default" if is_embedded else sink.user,
        password_file=None if is_embedded else _password_file(sink.password_secret_ref, stores),
        key_style=sink.key_style,
        market_in_keys=_market_in_keys(feedset, {source.entry for source in sources}),
        ttl_ns=sink.ttl_ns,
        batch_max_rows=sink.batch.max_rows,
        batch_max_age_ns=sink.batch.max_age_ns,
        drain_ns=_drain_ns(feedset, stores),
    )


def _market_in_keys(feedset: FeedSet, entries: set[str]) -> dict[str, tuple[MarketType, ...]]:
    """Of the entries that one writer serves, so that an entry that comes or goes leaves the writers of others alone."""
    named: dict[str, set[MarketType]] = {}
    for entry in feedset.spec.exchanges:
        if entry.name in entries and entry.redis_keys is RedisKeys.WITH_MARKET:
            named.setdefault(entry.exchange, set()).update(entry.markets or MarketType)
    return {exchange: _in_order(markets) for exchange, markets in sorted(named.items())}


def _in_order(markets: Collection[MarketType]) -> tuple[MarketType, ...]:
    return tuple(market for market in MarketType if market in markets)


def _clickhouse_writer(
    feedset: FeedSet, sink: ClickHouseSink, sources: tuple[WriterSource, ...], stores: Stores
) -> ClickHouseWriterConfig:
    """An embedded engine is one node per shard, without TLS, user or password."""
    is_embedded = not sink.shards
    own = tuple(shard.endpoints for shard in sink.shards)
    cluster = None if is_embedded else sink.cluster
    return ClickHouseWriterConfig(
        feedset=feedset.metadata.name,
        sources=sources,
        shards=_given(stores.clickhouse_shards, "spec.sinks.clickhouse.shards") if is_embedded else own,
        tls=sink.tls and not is_embedded,
        database=stores.database or sink.database,
        table_suffix="" if cluster is None else "_local",
        cluster=cluster,
        apply_schema=sink.apply_schema,
        user="default" if is_embedded else sink.user,
        password_file=None if is_embedded else _password_file(sink.password_secret_ref, stores),
        batch_max_rows=sink.batch.max_rows,
        batch_max_age_ns=sink.batch.max_age_ns,
        drain_ns=_drain_ns(feedset, stores),
    )


def _given(engines: tuple[T, ...], path: str) -> tuple[T, ...]:
    if not engines:
        raise FeedSetError([Problem(path, "is empty, and there is no embedded engine here")])
    return engines


def _password_file(secret: SecretKeyRef | None, stores: Stores) -> str | None:
    return None if secret is None else f"{stores.secrets_root}/{secret.name}/{secret.key}"
