from __future__ import annotations

from typing import Any

import pytest
from feedplane_feedset.config import ClickHouseWriterConfig, RedisWriterConfig
from feedplane_feedset.default_sinks import DefaultSinks, with_default_sinks
from feedplane_feedset.errors import FeedSetError
from feedplane_feedset.render import Stores, render_pods
from feedplane_feedset.sinks import RedisMode
from pydantic import ValidationError

DEFAULTS = DefaultSinks.model_validate(
    {
        "redis": {
            "mode": "Cluster",
            "endpoints": ["redis-0:6379", "redis-1:6379"],
            "passwordSecretRef": {"name": "stores", "key": "redis"},
        },
        "clickhouse": {
            "shards": [{"endpoints": ["ch-0:8123"]}, {"endpoints": ["ch-1:8123"]}],
            "user": "writer",
            "passwordSecretRef": {"name": "stores"},
        },
    }
)


def writers(feedset: Any) -> tuple[RedisWriterConfig, ClickHouseWriterConfig]:
    (pod,) = render_pods(with_default_sinks(feedset, DEFAULTS), Stores())
    redis, clickhouse = pod.writers
    assert isinstance(redis, RedisWriterConfig)
    assert isinstance(clickhouse, ClickHouseWriterConfig)
    return redis, clickhouse


def test_sinks_without_addresses_take_the_default_ones(body: Any, parse: Any) -> None:
    redis, clickhouse = writers(parse(body()))

    assert redis.mode is RedisMode.CLUSTER
    assert redis.endpoints == ("redis-0:6379", "redis-1:6379")
    assert redis.password_file == "/run/secrets/feedplane/stores/redis"
    assert clickhouse.shards == (("ch-0:8123",), ("ch-1:8123",))
    assert (clickhouse.user, clickhouse.password_file) == ("writer", "/run/secrets/feedplane/stores/password")
    assert clickhouse.table_suffix == "", "shards without a cluster are single nodes"


def test_what_a_sink_says_besides_its_address_stays(body: Any, parse: Any) -> None:
    said = {"redis": {"keyStyle": "Tagged", "ttl": "60s"}, "clickhouse": {"database": "mine"}}
    redis, clickhouse = writers(parse(body(sinks=said)))

    assert (str(redis.key_style), redis.ttl_ns) == ("Tagged", 60_000_000_000)
    assert clickhouse.database == "mine"


def test_a_sink_with_an_address_takes_nothing_of_the_default(body: Any, parse: Any) -> None:
    """Least of all the password, which would go to somebody else's server."""
    own = {"redis": {"endpoints": ["mine:1"]}, "clickhouse": {"shards": [{"endpoints": ["mine:2"]}]}}
    redis, clickhouse = writers(parse(body(sinks=own)))

    assert (redis.endpoints, redis.mode, redis.password_file) == (("mine:1",), RedisMode.STANDALONE, None)
    assert (clickhouse.shards, clickhouse.user, clickhouse.password_file) == ((("mine:2",),), "default", None)


def test_a_sink_that_is_not_named_is_not_added(body: Any, parse: Any) -> None:
    feedset = with_default_sinks(parse(body(sinks={"redis": {}})), DEFAULTS)

    assert [str(name) for name in feedset.spec.sinks.named] == ["redis"]


def test_without_defaults_the_sink_is_refused_by_name(body: Any, parse: Any) -> None:
    feedset = with_default_sinks(parse(body()), DefaultSinks())

    with pytest.raises(FeedSetError, match=r"spec\.sinks\.redis\.endpoints"):
        render_pods(feedset, Stores())


@pytest.mark.parametrize(
    "wrong",
    [
        {"redis": {"endpoints": []}},
        {"redis": {"endpoints": ["http://redis:6379"]}},
        {"clickhouse": {"shards": []}},
        {"clickhouse": {"shards": [{"endpoints": ["ch:8123"]}], "password": "in the open"}},
        {"kafka": {}},
    ],
)
def test_wrong_defaults_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        DefaultSinks.model_validate(wrong)
