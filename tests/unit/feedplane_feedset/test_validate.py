from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from feedplane_core.adapter import FeedOffer, Offers, TradeIds
from feedplane_core.names import Feed, MarketType
from feedplane_feedset.errors import FeedSetError, Problem
from feedplane_feedset.known import KnownExchange, KnownExchanges
from feedplane_feedset.model import FeedSet
from feedplane_feedset.validate import check_symbols, parse_feedset
from hypothesis import given
from hypothesis import strategies as st

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart.yaml"

FIRST = "spec.exchanges[0]"


def test_the_design_example_is_accepted(known: KnownExchanges) -> None:
    feedset = parse_feedset(
        """
apiVersion: feedplane.io/v1alpha1
kind: FeedSet
metadata: {name: majors}
spec:
  exchanges:
    - name: binance-futures
      exchange: binance_futures
      markets: [perp_linear]
      feeds: [trades, l1, ob_diffs, ob_top5, ob_top20, liquidations, klines, mark_price, funding, open_interest, advanced]
      symbols: {include: [BTCUSDT, ETHUSDT]}
      cadence: {l1: 200ms, ob_top5: 100ms, ob_top20: 1s, advanced: 1s}
      klineIntervals: [1m]
      shards: 2
      sinks: [redis, clickhouse]
      connection: {staleAfter: 10s, rotateBefore: 23h, overlap: 30s}
  spool: {medium: EmptyDir, size: 4Gi, retention: 24h, onFull: ShedByPriority}
""",
        known,
    )
    (entry,) = feedset.spec.exchanges

    assert entry.feeds == tuple(Feed)
    assert entry.markets == (MarketType.PERP_LINEAR,)
    assert entry.connection.rotate_before_ns == 23 * 3_600 * 10**9
    assert feedset.spec.spool.size_bytes == 4 << 30


def test_quickstart_selects_what_it_says() -> None:
    book = frozenset({Feed.TRADES, Feed.L1, Feed.OB_DIFFS, Feed.KLINES})
    known = KnownExchanges(
        [
            KnownExchange("binance_futures", frozenset(Feed), frozenset({MarketType.PERP_LINEAR})),
            KnownExchange("binance_spot", book, frozenset({MarketType.SPOT})),
            KnownExchange("coinbase", book, frozenset({MarketType.SPOT})),
        ]
    )
    feedset = parse_feedset(QUICKSTART.read_bytes(), known)

    assert feedset.metadata.name == "majors"
    assert [set(entry.feeds) for entry in feedset.spec.exchanges] == [
        set(known[e.exchange].selectable) for e in feedset.spec.exchanges
    ]
    assert [name.value for name in feedset.spec.sinks.named] == ["redis", "clickhouse"]


def test_defaults_make_a_short_file_complete(body: Any, parse: Any) -> None:
    feedset = parse(body({"exchange": "binance_futures"}))
    (entry,) = feedset.spec.exchanges

    assert entry.name == "binance-futures"
    assert entry.symbols.is_discovered
    assert entry.cadence.open_interest_ns == 10 * 10**9
    assert feedset.spec.sinks_of(entry) == feedset.spec.sinks.named


def test_round_trip(body: Any, parse: Any) -> None:
    feedset = parse(
        body(
            {"symbols": {"include": ["BTCUSDT", "币安人生USDT"]}, "cadence": {"l1": "1m"}, "shards": 3},
            {
                "exchange": "bybit",
                "symbols": {"quotes": ["USDT"], "exclude": ["tBTCF0:USTF0", "BTC/USD"]},
                "sinks": ["redis"],
            },
            sinks={"redis": {"mode": "Cluster", "endpoints": ["a:1", "[::1]:2"], "passwordSecretRef": {"name": "r"}}},
            spool={"medium": "PersistentVolumeClaim", "storageClassName": "fast", "size": "64Mi", "retention": "90m"},
            rollout={"strategy": "Recreate"},
            template={"nodeSelector": {"kubernetes.io/arch": "amd64"}},
        )
    )

    assert parse(feedset.as_dict()) == feedset
    assert parse(yaml.safe_dump(feedset.as_dict(), allow_unicode=True)) == feedset


def test_a_kubernetes_object_is_accepted_with_what_the_server_adds(body: Any, parse: Any) -> None:
    data = body()
    data["metadata"] |= {"uid": "1", "generation": 3, "managedFields": [{"manager": "kubectl"}], "namespace": "md"}
    data["status"] = {"anything": 1}

    assert parse(data).metadata.namespace == "md"


def test_a_key_without_value_is_absent(body: Any, parse: Any) -> None:
    assert parse(body({"symbols": None}, paused=None)) == parse(body())


REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str, str, str | None]] = [
    # entry, rest of spec, path, part of the message, suggestion
    ({"exchange": "binance_spott"}, {}, f"{FIRST}.exchange", "unknown exchange 'binance_spott'", "binance_spot"),
    ({"exchange": "Binance-Spot"}, {}, f"{FIRST}.exchange", "unknown exchange", "binance_spot"),
    ({"exchange": "zzzz"}, {}, f"{FIRST}.exchange", "there are binance_futures, binance_spot", None),
    ({"feeds": ["trades", "kline"]}, {}, f"{FIRST}.feeds[1]", "is not one of trades, l1", "klines"),
    ({"feeds": ["orderbook"]}, {}, f"{FIRST}.feeds[0]", "is not one of", "ob_diffs"),
    ({"feeds": ["TRADES"]}, {}, f"{FIRST}.feeds[0]", "is not one of", "trades"),
    ({"feeds": [7]}, {}, f"{FIRST}.feeds[0]", "is not one of", None),
    (
        {"feeds": ["funding"]},
        {},
        f"{FIRST}.feeds[0]",
        "binance_spot does not offer funding; it offers trades, l1, ob_diffs, ob_top5",
        None,
    ),
    (
        {"exchange": "tape", "feeds": ["ob_top5"]},
        {},
        f"{FIRST}.feeds[0]",
        "tape does not offer ob_top5; it offers trades",
        None,
    ),
    ({"feeds": []}, {}, f"{FIRST}.feeds", "at least 1 item", None),
    ({"feeds": "trades"}, {}, f"{FIRST}.feeds", "expected a list, got text", None),
    ({"feeds": ["l1", "trades", "l1"]}, {}, f"{FIRST}.feeds[2]", "l1 stands twice (already at [0])", None),
    ({"feeds": None}, {}, f"{FIRST}.feeds", "is required", None),
    (
        {"markets": ["perp_linear"]},
        {},
        f"{FIRST}.markets[0]",
        "binance_spot has no market perp_linear; it has spot",
        "spot",
    ),
    ({"markets": ["perp-linear"]}, {}, f"{FIRST}.markets[0]", "is not one of spot, perp_linear", "perp_linear"),
    ({"markets": ["swap"]}, {}, f"{FIRST}.markets[0]", "is not one of", "perp_linear"),
    ({"name": "Binance_Spot"}, {}, f"{FIRST}.name", "no DNS label", "binance-spot"),
    ({"name": "a" * 31}, {}, f"{FIRST}.name", "at most 30 characters", None),
    ({"shard": 2}, {}, f"{FIRST}.shard", "unknown key; there are name, exchange", "shards"),
    ({"venue": "x"}, {}, f"{FIRST}.venue", "unknown key", "exchange"),
    ({"channels": []}, {}, f"{FIRST}.channels", "unknown key", "feeds"),
    ({"kline_intervals": ["1m"]}, {}, f"{FIRST}.kline_intervals", "unknown key", "klineIntervals"),
    ({"shards": 65}, {}, f"{FIRST}.shards", "between 1 and 64", "64"),
    ({"shards": 0}, {}, f"{FIRST}.shards", "between 1 and 64", "1"),
    ({"shards": "2"}, {}, f"{FIRST}.shards", "expected a whole number, got text", None),
    ({"shards": True}, {}, f"{FIRST}.shards", "expected a whole number, got true/false", None),
    ({"shards": 33}, {"replicas": 2}, f"{FIRST}.shards", "at most 64", "32"),
    ({"klineIntervals": ["1min"]}, {}, f"{FIRST}.klineIntervals[0]", "is not one of 1m, 3m", "1m"),
    ({"cadence": {"L1": "1s"}}, {}, f"{FIRST}.cadence.L1", "unknown key", "l1"),
    ({"cadence": {"openInterest": "1s"}}, {}, f"{FIRST}.cadence.openInterest", "unknown key", "open_interest"),
    (
        {"cadence": {"l1": 200}},
        {},
        f"{FIRST}.cadence.l1",
        "200 is not accepted: a duration is a whole number and one of ms, s, m, h, d",
        None,
    ),
    ({"cadence": {"l1": "200 msec"}}, {}, f"{FIRST}.cadence.l1", "is not accepted", "200ms"),
    ({"cadence": {"l1": "5ms"}}, {}, f"{FIRST}.cadence.l1", "between 10ms and 1h", "10ms"),
    ({"connection": {"rotateBefore": "8d"}}, {}, f"{FIRST}.connection.rotateBefore", "between 15m and 7d", "7d"),
    ({"connection": {"staleafter": "8s"}}, {}, f"{FIRST}.connection.staleafter", "unknown key", "staleAfter"),
    ({"symbols": ["A", "B"]}, {}, f"{FIRST}.symbols", "got a list", "{include: [A, B]}"),
    ({"symbols": "BTCUSDT"}, {}, f"{FIRST}.symbols", "expected a mapping, got text", None),
    ({"symbols": {"discovery": {}}}, {}, f"{FIRST}.symbols.discovery", "stand under symbols itself", None),
    ({"symbols": {"include": ["BTC USDT"]}}, {}, f"{FIRST}.symbols.include[0]", "cannot be a symbol", None),
    ({"symbols": {"include": [" BTCUSDT"]}}, {}, f"{FIRST}.symbols.include[0]", "cannot be a symbol", "BTCUSDT"),
    ({"symbols": {"include": ["A", "B", "A"]}}, {}, f"{FIRST}.symbols.include[2]", "A stands twice", None),
    ({"symbols": {"include": [1000]}}, {}, f"{FIRST}.symbols.include[0]", "expected text (quote it", None),
    (
        {"symbols": {"include": ["A"], "exclude": ["A"]}},
        {},
        f"{FIRST}.symbols.exclude",
        "A is both included and excluded",
        None,
    ),
    ({"symbols": {"include": ["A"], "quotes": ["USDT"]}}, {}, f"{FIRST}.symbols.quotes", "belongs to discovery", None),
    ({"symbols": {"maxSymbols": 2001}}, {}, f"{FIRST}.symbols.maxSymbols", "between 1 and 2000", "2000"),
    ({"sinks": ["click_house"]}, {}, f"{FIRST}.sinks[0]", "is not one of redis, clickhouse", "clickhouse"),
    (
        {"sinks": ["clickhouse"]},
        {"sinks": {"redis": {}}},
        f"{FIRST}.sinks[0]",
        "does not name clickhouse; it names redis",
        None,
    ),
    (
        {"resources": {"requests": {"cpu": "lots"}}},
        {},
        f"{FIRST}.resources.requests.cpu",
        "characters that do not belong",
        None,
    ),
    (
        {"resources": {"requests": {"memory": "1Gi"}}},
        {},
        f"{FIRST}.resources.requests.memory",
        "more than limits.memory",
        None,
    ),
    ({}, {"sink": {}}, "spec.sink", "unknown key", "sinks"),
    ({}, {"sinks": {}}, "spec.sinks", "names no sink", None),
    ({}, {"paused": "yes"}, "spec.paused", "expected true or false", None),
    ({}, {"spool": {"size": "4GB"}}, "spec.spool.size", "one of Ki, Mi, Gi, Ti", "4Gi"),
    ({}, {"spool": {"size": "1Ki"}}, "spec.spool.size", "between 64Mi and 4Ti", "64Mi"),
    ({}, {"spool": {"onFull": "shedByPriority"}}, "spec.spool.onFull", "is not one of", "ShedByPriority"),
    ({}, {"spool": {"medium": "PersistentVolumeClaim"}}, "spec.spool.storageClassName", "needs storageClassName", None),
    (
        {},
        {"spool": {"medium": "PersistentVolumeClaim", "storageClassName": "x"}},
        "spec.rollout.strategy",
        "needs replicas: 2; otherwise choose Recreate",
        "Recreate",
    ),
    (
        {},
        {"rollout": {"minReadySeconds": 100, "progressDeadlineSeconds": 60}},
        "spec.rollout.progressDeadlineSeconds",
        "must be more than",
        None,
    ),
    ({}, {"sinks": {"redis": {"endpoints": ["http://h:1/x"]}}}, "spec.sinks.redis.endpoints[0]", "no host:port", "h:1"),
    ({}, {"sinks": {"redis": {"endpoints": ["h"]}}}, "spec.sinks.redis.endpoints[0]", "no host:port", None),
    ({}, {"sinks": {"redis": {"endpoints": ["h:65536"]}}}, "spec.sinks.redis.endpoints[0]", "1..65535", None),
    ({}, {"sinks": {"redis": {"endpoints": ["a:1", "b:1"]}}}, "spec.sinks.redis.endpoints", "mode Cluster", None),
    ({}, {"sinks": {"redis": {"url": "h:1"}}}, "spec.sinks.redis.url", "unknown key", "endpoints"),
    ({}, {"sinks": {"redis": {"password": "x"}}}, "spec.sinks.redis.password", "unknown key", "passwordSecretRef"),
    (
        {},
        {"sinks": {"clickhouse": {"applySchema": "yes"}}},
        "spec.sinks.clickhouse.applySchema",
        "expected true or false",
        None,
    ),
    ({}, {"sinks": {"clickhouse": {"database": "a; DROP"}}}, "spec.sinks.clickhouse.database", "do not belong", None),
    ({}, {"template": {"nodeSelector": {"a b": "x"}}}, "spec.template.nodeSelector.a b", "do not belong", None),
]


@pytest.mark.parametrize(
    ("entry", "spec", "path", "message", "suggestion"),
    REFUSALS,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusal_names_path_reason_and_remedy(
    entry: dict[str, Any], spec: dict[str, Any], path: str, message: str, suggestion: str | None, body: Any, refuse: Any
) -> None:
    problems = refuse(body(entry, **spec))

    assert list(problems) == [path]
    assert message in problems[path].message
    assert problems[path].suggestion == suggestion


@pytest.mark.parametrize(
    ("change", "path", "suggestion"),
    [
        ({"apiVersion": "feedplane.io/v1"}, "apiVersion", "feedplane.io/v1alpha1"),
        ({"kind": "Feedset"}, "kind", "FeedSet"),
        ({"metadata": {}}, "metadata.name", None),
        ({"metadata": {"name": "My Set"}}, "metadata.name", "my-set"),
        ({"spec": {"exchanges": []}}, "spec.exchanges", None),
        ({"spec": []}, "spec", None),
        ({"specs": {}}, "specs", "spec"),
    ],
)
def test_refusals_of_the_frame(
    change: dict[str, Any], path: str, suggestion: str | None, body: Any, refuse: Any
) -> None:
    problems = refuse(body() | change)

    assert list(problems) == [path]
    assert problems[path].suggestion == suggestion


@pytest.mark.parametrize("source", ["- 1", "text", "7"])
def test_a_document_that_is_no_mapping(source: str, refuse: Any) -> None:
    assert "expected a mapping" in refuse(source)[""].message


def test_every_problem_is_told_at_once_in_the_order_of_paths(body: Any, known: KnownExchanges) -> None:
    entries = [{"exchange": f"tape{i}"} for i in range(11)] + [
        {"exchange": "tape", "feeds": ["l1", "nope"], "shards": 0}
    ]
    with pytest.raises(FeedSetError) as caught:
        parse_feedset(body(*entries, extra=1), known)
    paths = [problem.path for problem in caught.value.problems]

    assert paths == [
        *(f"spec.exchanges[{i}].exchange" for i in range(11)),
        "spec.exchanges[11].feeds[0]",
        "spec.exchanges[11].feeds[1]",
        "spec.exchanges[11].shards",
        "spec.extra",
    ]


def test_text_gives_lines(refuse: Any) -> None:
    text = QUICKSTART.read_text().replace("exchange: binance_spot", "exchange: binance_sport")
    problem = next(problem for problem in refuse(text).values() if "sport" in problem.message)

    assert problem.line is not None
    assert "binance_sport" in text.splitlines()[problem.line - 1]
    assert str(problem).startswith(f"spec.exchanges[1].exchange (line {problem.line}): unknown exchange")


def test_a_password_in_an_address_is_not_repeated(body: Any, refuse: Any) -> None:
    problems = refuse(body(sinks={"redis": {"endpoints": ["redis://user:hunter2@h:6379/0"]}}))

    assert "hunter2" not in str(list(problems.values()))
    assert problems["spec.sinks.redis.endpoints[0]"].suggestion == "h:6379"


def test_names_are_unique(body: Any, refuse: Any) -> None:
    problems = refuse(body({"feeds": ["trades"]}, {"feeds": ["l1"]}, {"feeds": ["klines"], "name": "binance-spot-2"}))

    assert list(problems) == ["spec.exchanges[1].name"]
    assert problems["spec.exchanges[1].name"].suggestion == "binance-spot-3"


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ({}, {}, "discovered symbols"),
        ({"symbols": {"include": ["A", "B"]}}, {"symbols": {"include": ["C", "B"]}}, "B"),
        ({"symbols": {"include": ["A", "B"]}}, {"symbols": {"exclude": ["A"]}}, "B"),
        ({"symbols": {"quotes": ["USDT", "USDC"]}}, {"symbols": {"quotes": ["USDC"]}}, "discovered symbols"),
        ({"markets": ["spot"]}, {}, "discovered symbols"),
    ],
)
def test_one_stream_is_not_collected_twice(first: Any, second: Any, shared: str, body: Any, refuse: Any) -> None:
    both = {"exchange": "bybit"}
    problems = refuse(body(both | first, both | second | {"name": "again", "feeds": ["l1", "trades"]}))

    assert problems["spec.exchanges[1]"].message == f"trades of {shared} is already collected by exchanges[0] (bybit)"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"feeds": ["l1"]}, {}),
        ({"symbols": {"include": ["A"]}}, {"symbols": {"include": ["B"]}}),
        ({"symbols": {"include": ["A"]}}, {"symbols": {"exclude": ["A"]}}),
        ({"symbols": {"include": ["A"]}}, {"symbols": {"quotes": ["USDT"]}}),
        ({"symbols": {"quotes": ["USDT"]}}, {"symbols": {"quotes": ["USDC"]}}),
        ({"markets": ["spot"]}, {"markets": ["perp_linear"]}),
        ({"exchange": "binance_spot"}, {}),
    ],
)
def test_entries_that_share_no_stream_live_together(first: Any, second: Any, body: Any, parse: Any) -> None:
    both = {"exchange": "bybit"}

    assert len(parse(body(both | first, both | second | {"name": "other"})).spec.exchanges) == 2


CATALOGUE = {
    "bybit": {MarketType.SPOT: ["BTCUSDT", "ETHUSDT", "SOLUSDT"], MarketType.PERP_INVERSE: ["BTCUSD"]},
    "binance_spot": {MarketType.SPOT: ["BTCUSDT"]},
}


def test_unknown_symbols_are_named_with_the_nearest_listed_one(body: Any, parse: Any) -> None:
    feedset = parse(
        body(
            {
                "exchange": "bybit",
                "markets": ["spot"],
                "symbols": {"include": ["BTC-USDT", "ETHUSDT", "SOLUSD", "BTCUSD", "QQQQ"]},
            },
            {"symbols": {"include": ["btcusdt"]}},
            {"exchange": "tape", "symbols": {"include": ["ANY"]}},
        )
    )
    path = "spec.exchanges[0].symbols.include"

    assert check_symbols(feedset, CATALOGUE) == (
        Problem(f"{path}[0]", "bybit lists no symbol BTC-USDT", "BTCUSDT"),
        Problem(f"{path}[2]", "bybit lists no symbol SOLUSD", "SOLUSDT"),
        Problem(f"{path}[3]", "BTCUSD is listed on perp_inverse, which markets (spot) leaves out"),
        Problem(f"{path}[4]", "bybit lists no symbol QQQQ"),
        Problem("spec.exchanges[1].symbols.include[0]", "binance_spot lists no symbol btcusdt", "BTCUSDT"),
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["1s", "4Gi", "trades", "BTCUSDT"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "exchanges",
                    "symbols",
                    "include",
                    "feeds",
                    "exchange",
                    "sinks",
                    "redis",
                    "spool",
                    "name",
                    "cadence",
                    "l1",
                    "zz",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_whatever_comes_is_accepted_or_explained(spec: Any, entry: Any) -> None:
    """No shape of data ends in anything but a FeedSet or a FeedSetError with messages."""
    known = KnownExchanges([KnownExchange("trades", frozenset(Feed), frozenset(MarketType))])
    base = {"apiVersion": "feedplane.io/v1alpha1", "kind": "FeedSet", "metadata": {"name": "x"}}
    for data in (base | {"spec": spec}, base | {"spec": {"exchanges": [entry]}}):
        feedset, problems = _outcome(data, known)
        if feedset is None:
            assert problems
            assert all(problem.message for problem in problems)
        else:
            assert parse_feedset(feedset.as_dict(), known) == feedset


def _outcome(data: Any, known: KnownExchanges) -> tuple[FeedSet | None, tuple[Problem, ...]]:
    try:
        return parse_feedset(data, known), ()
    except FeedSetError as e:
        return None, e.problems


def test_what_an_adapter_has_for_backfill_alone_cannot_be_selected() -> None:
    offers = Offers(
        markets=frozenset({MarketType.SPOT}),
        feeds={
            Feed.OB_DIFFS: FeedOffer(),
            Feed.KLINES: FeedOffer(live=False, polled=True),
            Feed.TRADES: FeedOffer(live=False, history=True),
        },
        trade_ids=TradeIds.NONE,
    )

    assert KnownExchange.from_offers("x", offers).selectable == (
        Feed.L1,
        Feed.OB_DIFFS,
        Feed.OB_TOP5,
        Feed.OB_TOP20,
        Feed.KLINES,
        Feed.ADVANCED,
    )
