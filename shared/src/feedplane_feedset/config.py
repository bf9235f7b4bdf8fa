"""Settings files of the processes: what a collector and a writer are told. Rendered from a FeedSet, read back with
`read_*`.

JSON, snake_case, units in the names. Two equal wishes give equal bytes: lists are sorted, keys are in the order of the
fields.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Annotated, Literal

from feedplane_core.names import Feed, KeyStyle, MarketType
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .errors import FeedSetError, Problem
from .loader import render_path
from .sinks import RedisMode, SinkName
from .workload import OnFull

_HASH_CHARS = 16


class Settings(BaseModel):
    """Base of every part of a settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SymbolSelection(Settings):
    """`include`: exactly these, already this shard's share, perhaps none. `discover`: what the venue lists, filtered
    and then sharded.
    """

    mode: Literal["include", "discover"]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    max_symbols: int
    refresh_ns: int


class CadenceSettings(Settings):
    """Sampling and polling intervals."""

    l1_ns: int
    ob_top5_ns: int
    ob_top20_ns: int
    advanced_ns: int
    open_interest_ns: int


class ConnectionSettings(Settings):
    """Ages at which a socket is replaced."""

    stale_after_ns: int
    rotate_before_ns: int
    overlap_ns: int


class JournalSettings(Settings):
    """Where the journal is, its bounds, and the sinks whose cursors hold its segments."""

    directory: str
    max_bytes: int
    retention_ns: int
    on_full: OnFull
    sinks: tuple[SinkName, ...]


class CollectorConfig(Settings):
    """All that one collector is told. `symbols` alone may change while it runs, and may stand in a file of its own."""

    feedset: str
    entry: str
    exchange: str
    markets: tuple[MarketType, ...]  # empty: all that the exchange has
    sibling_markets: tuple[MarketType, ...] = ()  # names that are listed there alone are another collector's
    feeds: tuple[Feed, ...]
    symbols: SymbolSelection
    shard: int
    shards: int
    cadence: CadenceSettings
    kline_intervals_s: tuple[int, ...]
    connection: ConnectionSettings
    journal: JournalSettings

    @property
    def name(self) -> str:
        """Unique in the FeedSet: `binance-futures-0`."""
        return f"{self.entry}-{self.shard}"


class WriterSource(Settings):
    """One journal that a writer tails, and how its feeds are sampled in history."""

    entry: str
    exchange: str
    shard: int
    journal_directory: str
    feeds: tuple[Feed, ...]
    cadence: CadenceSettings


class RedisWriterConfig(Settings):
    """All that a Redis writer is told."""

    sink: Literal[SinkName.REDIS] = SinkName.REDIS
    feedset: str
    sources: tuple[WriterSource, ...]
    mode: RedisMode
    endpoints: tuple[str, ...]
    tls: bool
    user: str
    password_file: str | None
    key_style: KeyStyle
    market_in_keys: dict[str, tuple[MarketType, ...]] = Field(
        default_factory=dict
    )  # by exchange: markets whose keys name them
    ttl_ns: int
    batch_max_rows: int
    batch_max_age_ns: int
    drain_ns: int  # how long an ending writer may empty its journals


class ClickHouseWriterConfig(Settings):
    """All that a ClickHouse writer is told. `shards[i]` holds the HTTP addresses of shard i's replicas."""

    sink: Literal[SinkName.CLICKHOUSE] = SinkName.CLICKHOUSE
    feedset: str
    sources: tuple[WriterSource, ...]
    shards: tuple[tuple[str, ...], ...]
    tls: bool
    database: str
    table_suffix: Literal["", "_local"]  # "_local" where <table> is a Distributed table
    cluster: str | None
    apply_schema: bool  # whether the writer brings the tables forward by itself
    user: str
    password_file: str | None
    batch_max_rows: int
    batch_max_age_ns: int
    drain_ns: int


WriterConfig = RedisWriterConfig | ClickHouseWriterConfig

_WRITER: TypeAdapter[WriterConfig] = TypeAdapter(Annotated[WriterConfig, Field(discriminator="sink")])


def write_config(config: CollectorConfig | WriterConfig) -> str:
    """The text of the settings file; equal settings give equal text."""
    return _text(config.model_dump(mode="json"))


def write_standing(config: CollectorConfig) -> str:
    """As `write_config`, without the symbols: the part that needs a new process when it changes."""
    return _text(config.model_dump(mode="json", exclude={"symbols"}))


def write_symbols(symbols: SymbolSelection) -> str:
    """The text of the symbols file that stands beside `write_standing`."""
    return _text(symbols.model_dump(mode="json"))


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_collector_config(text: str | bytes, symbols: SymbolSelection | None = None) -> CollectorConfig:
    """`symbols` come from a file of their own; the settings then name none.

    Raises: FeedSetError naming the field.
    """
    try:
        if symbols is None:
            return CollectorConfig.model_validate_json(text)
        document = json.loads(text)
        if isinstance(document, dict):
            if "symbols" in document:
                raise FeedSetError([Problem("symbols", "stand here and in a file of their own")])
            document["symbols"] = symbols.model_dump(mode="json")
        return CollectorConfig.model_validate_json(json.dumps(document))
    except ValidationError as e:
        raise _unreadable(e) from e
    except ValueError as e:
        raise FeedSetError([Problem("", f"is no JSON: {e}")]) from e


def read_symbols(text: str | bytes) -> SymbolSelection:
    """Raises: FeedSetError naming the field."""
    try:
        return SymbolSelection.model_validate_json(text)
    except ValidationError as e:
        raise _unreadable(e) from e


def read_writer_config(text: str | bytes) -> WriterConfig:
    """Raises: FeedSetError naming the field."""
    try:
        return _WRITER.validate_json(text)
    except ValidationError as e:
        raise _unreadable(e) from e


def config_hash(*configs: CollectorConfig | WriterConfig) -> str:
    """16 hex digits that change when any setting does."""
    return _digest([config.model_dump(mode="json") for config in configs])


def pod_hash(*configs: CollectorConfig | WriterConfig) -> str:
    """As `config_hash`, without the symbols: it changes only when the process has to be replaced."""
    return _digest([config.model_dump(mode="json", exclude={"symbols"}) for config in configs])


def symbols_hash(symbols: SymbolSelection) -> str:
    """16 hex digits that change when the selection does; a running collector names what it follows by it."""
    return _digest([symbols.model_dump(mode="json")])


def _digest(values: list[object]) -> str:
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(canonical.encode()).hexdigest()[:_HASH_CHARS]


def _unreadable(error: ValidationError) -> FeedSetError:
    return FeedSetError(
        Problem(render_path(detail["loc"]), detail["msg"]) for detail in error.errors(include_url=False)
    )
