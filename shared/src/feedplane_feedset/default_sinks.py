"""Stores for FeedSets that name none: a cluster's operator is told them once, as one machine has its embedded engines."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool

from .base import Endpoint, Identifier, Spec, UserName, unique
from .model import FeedSet
from .sinks import ClickHouseShard, RedisMode, SecretKeyRef


class DefaultRedis(Spec):
    """Where latest state goes when `spec.sinks.redis` has no endpoints; the fields are those of the FeedSet."""

    mode: RedisMode = RedisMode.STANDALONE
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=32), AfterValidator(unique)]
    tls: StrictBool = False
    user: UserName = "default"
    password_secret_ref: SecretKeyRef | None = None


class DefaultClickHouse(Spec):
    """Where history goes when `spec.sinks.clickhouse` has no shards. Several shards without a `cluster` are single
    nodes: inserts go to `<table>` of each, and nothing distributes reads.
    """

    shards: Annotated[tuple[ClickHouseShard, ...], Field(min_length=1, max_length=64)]
    tls: StrictBool = False
    cluster: Identifier | None = None
    user: UserName = "default"
    password_secret_ref: SecretKeyRef | None = None


class DefaultSinks(Spec):
    """The setting as a whole, a JSON object. A password's Secret is looked for in the namespace of each FeedSet."""

    redis: DefaultRedis | None = None
    clickhouse: DefaultClickHouse | None = None


def with_default_sinks(feedset: FeedSet, defaults: DefaultSinks) -> FeedSet:
    """The FeedSet with the default addresses where a named sink has none; user, password, TLS and mode come along, what
    else the sink says stays. A sink without addresses and without a default stays as it is: rendering refuses it.
    """
    sinks = feedset.spec.sinks
    filled: dict[str, object] = {}
    if sinks.redis is not None and not sinks.redis.endpoints and defaults.redis is not None:
        filled["redis"] = sinks.redis.model_copy(update=_fields(defaults.redis))
    if sinks.clickhouse is not None and not sinks.clickhouse.shards and defaults.clickhouse is not None:
        filled["clickhouse"] = sinks.clickhouse.model_copy(update=_fields(defaults.clickhouse))
    spec = feedset.spec.model_copy(update={"sinks": sinks.model_copy(update=filled)})
    return feedset.model_copy(update={"spec": spec})


def _fields(default: DefaultRedis | DefaultClickHouse) -> dict[str, object]:
    return {name: getattr(default, name) for name in type(default).model_fields}
