"""The file that tells a writer about its stores: JSON or YAML, written by the operator or by `feedplane up`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from feedplane_core.errors import UsageError
from feedplane_core.names import KeyStyle, MarketType
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_S

Endpoint = Annotated[
    str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$", max_length=300)
]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ClickHouseConfig(_Part):
    """Complete history. Sizes and times may be left out."""

    shards: tuple[tuple[Endpoint, ...], ...] = Field(min_length=1, max_length=64)
    """HTTP addresses `host:port`: for each shard its replicas, the first that answers takes the insert."""
    tls: bool = False
    database: Identifier = "marketdata"
    cluster: Identifier | None = None
    """Set: rows go to `<table>_local` of each shard. Absent: to `<table>`."""
    apply_schema: bool = False
    """Create the tables and bring them forward, before the first insert."""
    user: str = "default"
    password_file: Path | None = None
    max_rows: int = Field(default=10_000, ge=1, le=100_000)
    max_age_ns: int = Field(default=NS_PER_S, ge=10 * NS_PER_MS, le=60 * NS_PER_S)
    in_flight_bytes: int = Field(default=4 << 20, ge=256 << 10, le=256 << 20)
    """What a shard's worker may hold of decoded rows, over all journals."""
    l1_interval_ns: dict[str, int] = Field(default_factory=dict)
    """By exchange; 200 ms for those that are not named."""
    max_event_age_ns: int = Field(default=400 * NS_PER_DAY, ge=NS_PER_DAY)
    """Records whose venue time is older than this at receipt are quarantined; a backfill of old history sets it
    higher."""
    compression: Literal["lz4", "none"] = "lz4"
    request_timeout_s: float = Field(default=30.0, gt=0, le=600)
    retry_base_ns: int = Field(default=200 * NS_PER_MS, ge=NS_PER_MS)
    retry_cap_ns: int = Field(default=5 * NS_PER_S, ge=NS_PER_MS)

    def l1_interval_of(self, exchange: str) -> int:
        """Length of an L1 bucket, never under 1 ms."""
        return max(NS_PER_MS, self.l1_interval_ns.get(exchange, 200 * NS_PER_MS))


class RedisConfig(_Part):
    """Latest state."""

    mode: Literal["Standalone", "Cluster"] = "Standalone"
    endpoints: tuple[Endpoint, ...] = Field(min_length=1, max_length=32)
    tls: bool = False
    user: str = "default"
    password_file: Path | None = None
    key_style: KeyStyle = KeyStyle.FLAT
    market_in_keys: dict[str, tuple[MarketType, ...]] = Field(default_factory=dict)
    """By exchange: markets whose keys end in their name, since another market has the plain ones."""
    ttl_ns: int = Field(default=NS_PER_DAY, ge=NS_PER_S)
    max_rows: int = Field(default=200, ge=1, le=1_000)
    max_age_ns: int = Field(default=5 * NS_PER_MS, ge=NS_PER_MS, le=NS_PER_S)
    stale_after_ns: int = Field(default=15 * NS_PER_S, ge=NS_PER_S, le=3_600 * NS_PER_S)
    """A journal that does not grow for so long has no collector any more: its values are marked stale."""


class WriterConfig(_Part):
    """What one writer process is given; it needs the part of its own sink."""

    clickhouse: ClickHouseConfig | None = None
    redis: RedisConfig | None = None
    drain_ns: int = Field(default=2_500 * NS_PER_MS, ge=0, le=3_600 * NS_PER_S)
    """How long SIGTERM lets the writer empty its journals; the rest stays in them."""


def load_config(path: Path) -> WriterConfig:
    """Read `path`.

    Raises:
        UsageError: it cannot be read, is neither JSON nor YAML, or a field is wrong; the field is named, its value
        is not.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError("--config", f"{path} cannot be read: {e}") from e
    try:
        document = _parsed(text, path)
        if isinstance(document, dict) and "sink" in document:
            document = from_rendered(document)
        return WriterConfig.model_validate(document)
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        raise UsageError(".".join(map(str, first["loc"])) or str(path), first["msg"], f"in {path}") from e


def from_rendered(document: dict[str, Any]) -> dict[str, Any]:
    """The settings that a FeedSet is rendered to (`feedplane_feedset.config`), as this process reads them."""
    shared = {key: document[key] for key in ("tls", "user", "password_file") if key in document}
    bound = {"drain_ns": document["drain_ns"]} if "drain_ns" in document else {}
    sized = {"max_rows": document["batch_max_rows"], "max_age_ns": document["batch_max_age_ns"]}
    if document["sink"] == "redis":
        names = ("mode", "endpoints", "key_style", "market_in_keys", "ttl_ns")
        own = {key: document[key] for key in names if key in document}
        return {"redis": {**shared, **own, **sized}, **bound}
    own = {key: document[key] for key in ("shards", "database", "cluster", "apply_schema") if key in document}
    intervals = {source["exchange"]: source["cadence"]["l1_ns"] for source in document["sources"]}
    return {"clickhouse": {**shared, **own, **sized, "l1_interval_ns": intervals}, **bound}


def _parsed(text: str, path: Path) -> Any:
    import json

    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as e:
            raise UsageError("--config", f"{path} is no JSON: {e}") from e
    import yaml  # 2 MB that JSON, which the operator writes, does without

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise UsageError("--config", f"{path} is neither JSON nor YAML") from e
