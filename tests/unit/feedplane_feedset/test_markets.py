"""Markets that spell instruments alike: one collector each, and Redis keys that no two of them share."""

from __future__ import annotations

from typing import Any

from feedplane_core.names import MarketType
from feedplane_feedset.exchanges import RedisKeys
from feedplane_feedset.known import KnownExchanges
from feedplane_feedset.markets import markets_apart
from feedplane_feedset.render import Stores, render_collectors, render_pods, render_writers
from feedplane_feedset.validate import check_symbols

GATEIO = {"exchange": "gateio", "symbols": {"include": ["BTC_USDT"]}}
SPOT = {**GATEIO, "name": "spot", "markets": ["spot"]}
LINEAR = {**GATEIO, "name": "linear", "markets": ["perp_linear"]}
STORES = Stores(redis_endpoints=("127.0.0.1:1",), clickhouse_shards=(("127.0.0.1:2",),))


def collected(feedset: Any) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(c.name, c.markets, c.sibling_markets) for c in render_collectors(feedset, STORES)]


def named(feedset: Any) -> dict[str, tuple[str, ...]]:
    """Markets that the Redis writer of the whole FeedSet names in keys, by exchange."""
    (writer,) = (w for w in render_writers(feedset, STORES) if w.sink == "redis")
    found: dict[str, tuple[str, ...]] = writer.market_in_keys
    return found


def test_an_entry_of_all_markets_is_collected_by_one_collector_for_each_that_is_spelled_alike(
    body: Any, parse: Any
) -> None:
    feedset = parse(body(GATEIO, {"exchange": "tape"}))

    assert collected(feedset) == [
        ("gateio-0", ("spot", "perp_inverse", "delivery"), ("perp_linear",)),
        ("tape-0", (), ()),
        ("gateio-perp-linear-0", ("perp_linear",), ("spot", "perp_inverse", "delivery")),
    ]
    assert named(feedset) == {"gateio": ("perp_linear",)}


def test_markets_that_are_not_alike_stay_together(body: Any, parse: Any) -> None:
    feedset = parse(body({**GATEIO, "markets": ["perp_linear", "perp_inverse"]}))

    assert collected(feedset) == [("gateio-0", ("perp_linear", "perp_inverse"), ())]
    assert named(feedset) == {}


def test_the_first_market_of_the_file_keeps_the_plain_keys(body: Any, parse: Any) -> None:
    assert named(parse(body(LINEAR))) == {}
    assert named(parse(body(LINEAR, SPOT))) == {"gateio": ("spot",)}
    assert named(parse(body(SPOT, LINEAR))) == {"gateio": ("perp_linear",)}


def test_entries_of_one_market_spell_it_alike(body: Any, parse: Any) -> None:
    other = {**LINEAR, "name": "more", "symbols": {"include": ["ETH_USDT"]}}

    assert named(parse(body(LINEAR, other))) == {}
    assert named(parse(body(LINEAR, SPOT, other))) == {"gateio": ("spot",)}
    assert named(parse(body(LINEAR, {**other, "redisKeys": "WithMarket"}, SPOT))) == {"gateio": ("perp_linear",)}


def test_an_entry_that_writes_to_no_redis_takes_no_keys(body: Any, parse: Any) -> None:
    feedset = parse(body({**SPOT, "sinks": ["clickhouse"]}, LINEAR))

    assert named(feedset) == {}


def test_what_is_asked_for_comes_before_the_order(body: Any, parse: Any) -> None:
    assert named(parse(body(SPOT, {**LINEAR, "redisKeys": "Plain"}))) == {"gateio": ("spot",)}
    assert named(parse(body({**SPOT, "redisKeys": "WithMarket"}))) == {"gateio": ("spot",)}
    assert named(parse(body({**SPOT, "redisKeys": "WithMarket"}, LINEAR))) == {"gateio": ("spot",)}


def test_any_venue_may_name_its_markets(body: Any, parse: Any) -> None:
    feedset = parse(body({"exchange": "tape", "redisKeys": "WithMarket"}))

    assert named(feedset) == {"tape": ("spot", "perp_linear", "perp_inverse", "delivery")}


def test_two_markets_cannot_both_be_plain(body: Any, refuse: Any) -> None:
    problems = refuse(body({**SPOT, "redisKeys": "Plain"}, {**LINEAR, "redisKeys": "Plain"}))

    problem = problems["spec.exchanges[1].redisKeys"]
    assert problem.message == "perp_linear of gateio spells instruments as spot does, whose keys are Plain in spot"
    assert problem.suggestion == "WithMarket"


def test_one_market_cannot_be_spelled_in_two_ways(body: Any, refuse: Any) -> None:
    other = {**LINEAR, "name": "more", "symbols": {"include": ["ETH_USDT"]}, "redisKeys": "Plain"}
    problems = refuse(body({**LINEAR, "redisKeys": "WithMarket"}, other))

    assert "one market has one spelling" in problems["spec.exchanges[1].redisKeys"].message


def test_an_entry_that_is_appended_leaves_the_processes_of_others_alone(body: Any, parse: Any) -> None:
    (before,) = render_pods(parse(body(LINEAR)), STORES)
    after, _ = render_pods(parse(body(LINEAR, SPOT)), STORES)

    assert before.config_hash == after.config_hash


def test_names_of_split_entries_are_valid_and_unlike_all_others(body: Any, parse: Any, known: KnownExchanges) -> None:
    long = "a" * 30
    taken = {"name": "aaaaaaaaaaaaaaaaaa-perp-linear", "exchange": "tape"}
    feedset = parse(body({**GATEIO, "name": long}, taken))

    assert [entry.name for entry in feedset.spec.exchanges] == [long, taken["name"], "a" * 16 + "-perp-linear-2"]
    assert markets_apart(feedset, known) == feedset, "what is apart stays as it is"


def test_a_split_entry_is_written_and_read_back_as_it_is(body: Any, parse: Any) -> None:
    feedset = parse(body(GATEIO))
    again = parse(feedset.as_dict())

    assert [(e.name, e.markets, e.redis_keys) for e in again.spec.exchanges] == [
        ("gateio", (MarketType.SPOT, MarketType.PERP_INVERSE, MarketType.DELIVERY), None),
        ("gateio-perp-linear", (MarketType.PERP_LINEAR,), RedisKeys.WITH_MARKET),
    ]


def test_a_symbol_of_the_market_that_was_split_off_is_no_mistake(body: Any, parse: Any) -> None:
    feedset = parse(body({**GATEIO, "symbols": {"include": ["BTC_USDT", "ONLYPERP", "NOWHERE"]}}))
    catalogue = {"gateio": {MarketType.SPOT: {"BTC_USDT"}, MarketType.PERP_LINEAR: {"BTC_USDT", "ONLYPERP"}}}

    assert [problem.path for problem in check_symbols(feedset, catalogue)] == ["spec.exchanges[0].symbols.include[2]"]
