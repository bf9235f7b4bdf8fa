"""Where events are stored: the `spec.sinks` part of a FeedSet.

Addresses are host:port and nothing else; passwords are never in the file, only the name of the Secret that holds them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from feedplane_core.names import KeyStyle
from pydantic import AfterValidator, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from .base import DATA_KEY_PATTERN, Count, Endpoint, Identifier, Spec, UserName, unique
from .units import Duration
from .workload import WriterResources

SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
SecretKey = Annotated[str, Field(pattern=DATA_KEY_PATTERN, max_length=253)]


class SinkName(StrEnum):
    """The stores a FeedSet can name."""

    REDIS = "redis"
    CLICKHOUSE = "clickhouse"


class RedisMode(StrEnum):
    """Whether the endpoints are one server or seeds of a cluster."""

    STANDALONE = "Standalone"
    CLUSTER = "Cluster"


class SecretKeyRef(Spec):
    """One key of a Secret in the FeedSet's namespace; on one machine, the file `<secrets directory>/<name>/<key>`."""

    name: SecretName = Field(description="Name of the Secret.")
    key: SecretKey = Field(default="password", description="Key inside the Secret.")


class RedisBatch(Spec):
    """How writes to Redis are pipelined."""

    max_rows: Annotated[Count, Field(ge=1, le=1_000)] = Field(default=200, description="Commands in one pipeline.")
    max_age_ns: Annotated[int, Duration("1ms", "1s")] = Field(
        default=10_000_000, description="Longest wait before a pipeline that is not full is sent."
    )


class RedisSink(Spec):
    """Latest state of every instrument."""

    mode: RedisMode = Field(
        default=RedisMode.STANDALONE,
        description="Standalone: one server. Cluster: the endpoints are seeds of a Redis Cluster.",
    )
    endpoints: Annotated[tuple[Endpoint, ...], Field(max_length=32), AfterValidator(unique)] = Field(
        default=(), description="Addresses as host:port. Empty: the embedded engine, on one machine only."
    )
    tls: StrictBool = Field(default=False, description="Connect by TLS and verify the certificate.")
    user: UserName = Field(default="default", description="ACL user.")
    password_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Where the password is kept. Absent: no password."
    )
    key_style: KeyStyle = Field(
        default=KeyStyle.FLAT,
        description="Flat: last:l1:binance_futures:ETHUSDT. Tagged: last:l1:{binance_futures|ETHUSDT}, "
        "so that the keys of one instrument share a Cluster slot.",
    )
    ttl_ns: Annotated[int, Duration("1s", "30d")] = Field(
        default=86_400_000_000_000, description="A key that was not written for this long disappears."
    )
    batch: RedisBatch = Field(default_factory=RedisBatch, description="Pipelining of writes.")
    resources: WriterResources = Field(
        default_factory=WriterResources,
        description="Resources of its writer container on Kubernetes, one per collector.",
    )

    @model_validator(mode="after")
    def _one_server_is_one_endpoint(self) -> Self:
        if self.mode is RedisMode.STANDALONE and len(self.endpoints) > 1:
            raise PydanticCustomError(
                "standalone_endpoints",
                "mode Standalone takes one endpoint; several are the seeds of mode Cluster",
                {"key": "endpoints"},
            )
        return self


class ClickHouseShard(Spec):
    """One shard and its replicas."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=8), AfterValidator(unique)] = Field(
        description="HTTP addresses of its replicas as host:port; the first that answers takes the insert."
    )


class ClickHouseBatch(Spec):
    """How rows are gathered before an insert."""

    max_rows: Annotated[Count, Field(ge=1, le=100_000)] = Field(default=10_000, description="Rows in one insert.")
    max_age_ns: Annotated[int, Duration("50ms", "1m")] = Field(
        default=1_000_000_000, description="Longest wait before a batch that is not full is inserted."
    )


class ClickHouseSink(Spec):
    """Complete history."""

    shards: Annotated[tuple[ClickHouseShard, ...], Field(max_length=64)] = Field(
        default=(),
        description="Shards of the cluster, in order: a row goes to hash(exchange, instrument). "
        "Empty: the embedded engine, on one machine only.",
    )
    tls: StrictBool = Field(default=False, description="Connect by HTTPS and verify the certificate.")
    database: Identifier = Field(default="marketdata", description="Database that holds the tables.")
    cluster: Identifier | None = Field(
        default=None,
        description="Name of the ClickHouse cluster that the shards are: tables are made ON CLUSTER, rows go to the "
        "_local tables and queries read the Distributed ones. Absent: every shard is a server by itself, and a query "
        "has to ask each.",
    )
    apply_schema: StrictBool = Field(
        default=True,
        description="Writers create the tables and bring them forward. false: somebody else does, with "
        "`feedplane ddl apply`, and writers wait for it.",
    )
    user: UserName = Field(default="default", description="Database user.")
    password_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Where the password is kept. Absent: no password."
    )
    batch: ClickHouseBatch = Field(default_factory=ClickHouseBatch, description="Size and age of one insert.")
    resources: WriterResources = Field(
        default_factory=WriterResources,
        description="Resources of its writer container on Kubernetes, one per collector.",
    )


class Sinks(Spec):
    """The stores of this FeedSet. A sink that is not named is not written."""

    redis: RedisSink | None = Field(default=None, description="Latest state of every instrument.")
    clickhouse: ClickHouseSink | None = Field(default=None, description="Complete history.")

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.named:
            raise PydanticCustomError("no_sink", "names no sink; leave it out for both, or name redis, clickhouse", {})
        return self

    @property
    def named(self) -> tuple[SinkName, ...]:
        present = {SinkName.REDIS: self.redis, SinkName.CLICKHOUSE: self.clickhouse}
        return tuple(name for name, sink in present.items() if sink is not None)


def default_sinks() -> Sinks:
    return Sinks(redis=RedisSink(), clickhouse=ClickHouseSink())
