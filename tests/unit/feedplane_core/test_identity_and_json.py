"""Events as JSON and back; identities that survive it and tell different events apart."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from feedplane_core.errors import DecodeError
from feedplane_core.events import (
    AdvancedMetric,
    BookSnapshot,
    BookTop,
    Checkpoint,
    DepthDiff,
    DerivedL1,
    Event,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Status,
    TopOfBook,
    Trade,
    feed_of,
    type_name,
)
from feedplane_core.identity import identity_of
from feedplane_core.jsonlines import error_line, event_dict, event_from_dict, event_line
from feedplane_core.names import Aggressor, Feed, Liquidated, MarketType
from hypothesis import given
from hypothesis import strategies as st

times = st.integers(1, 1 << 62)
numbers = st.decimals(0, 10**9, places=8).map(lambda d: format(d, "f"))
levels = st.lists(st.tuples(numbers, numbers), max_size=4)
seqs = st.none() | st.integers(0, 1 << 60)
texts = st.text(max_size=12)
feeds = st.sampled_from(Feed)
head = {
    "exchange": st.just("x"),
    "market_type": st.sampled_from(MarketType),
    "instrument": st.sampled_from(["A", "B-USD"]),
    "ts_event_ns": st.none() | times,
    "ts_recv_ns": times,
}
depth = {"bids": levels, "asks": levels, "first_seq": seqs, "last_seq": seqs, "prev_seq": seqs}
quote = dict.fromkeys(("bid_price", "bid_qty", "ask_price", "ask_qty"), numbers) | {"seq": seqs}
metric = dict.fromkeys(
    ("spread_px", "spread_bps", "microprice", "imbalance_5", "imbalance_20", "trade_imb_1s"), numbers
) | {"seq": seqs}
gap = {
    "gap_id": texts, "gap_feed": feeds, "from_ns": times, "to_ns": st.none() | times, "from_seq": seqs, "to_seq": seqs,
    "reason": texts, "detected_by": texts, "state": texts, "repaired_from": texts,
}  # fmt: skip
candle = dict.fromkeys(("open", "high", "low", "close", "volume"), numbers) | {
    "open_ns": times, "interval_s": st.integers(1, 10**6), "trades": st.none() | st.integers(0, 10**6), "is_closed": st.booleans(),
}  # fmt: skip
FIELDS: dict[type[Event], dict[str, st.SearchStrategy[Any]]] = {
    Trade: {"trade_id": texts, "price": numbers, "qty": numbers, "aggressor": st.sampled_from(Aggressor)},
    TopOfBook: quote,
    BookSnapshot: depth,
    DepthDiff: depth,
    Liquidation: {"liquidated": st.sampled_from(Liquidated), "price": numbers, "qty": numbers, "order_id": texts},
    Kline: candle,
    MarkPrice: {"mark_price": st.none() | numbers, "index_price": st.none() | numbers},
    FundingRate: {
        "rate": numbers,
        "interval_s": st.none() | st.integers(1, 86_400),
        "next_funding_ns": st.none() | times,
    },
    OpenInterest: {"open_interest": numbers},
    BookTop: {"depth": st.sampled_from([5, 20]), "bids": levels, "asks": levels, "seq": seqs},
    DerivedL1: quote,
    AdvancedMetric: metric,
    Checkpoint: {"bids": levels, "asks": levels, "seq": seqs},
    Gap: gap,
    Status: {"status_feed": st.none() | feeds, "status": texts, "detail": texts},
}
events = st.one_of([st.builds(kind, **head, **fields) for kind, fields in FIELDS.items()])


def plain(event: Event) -> dict[str, Any]:
    return orjson.loads(event_line(event))  # type: ignore[no-any-return]


@given(events)
def test_an_event_survives_json_with_its_identity_and_feed(event: Event) -> None:
    back = event_from_dict(orjson.loads(event_line(event)))

    assert type(back) is type(event)
    assert plain(back) == plain(event)
    assert feed_of(back) == feed_of(event)
    assert identity_of(back) == identity_of(event)
    assert event_dict(event)["type"] == type_name(event)


@given(events)
def test_numbers_stay_texts_and_times_integers(event: Event) -> None:
    for name, value in plain(event).items():
        assert not isinstance(value, float), name
        if name.endswith("_ns"):
            assert value is None or isinstance(value, int)


HEAD: dict[str, Any] = {"exchange": "x", "market_type": MarketType.SPOT, "instrument": "A", "ts_recv_ns": 9}


def fill(**changes: Any) -> Trade:
    fields: dict[str, Any] = {
        "ts_event_ns": 5,
        "trade_id": "",
        "price": "1",
        "qty": "2",
        "aggressor": Aggressor.BUY,
    } | changes
    return Trade(**HEAD, **fields)


@pytest.mark.parametrize(
    "change", [{"price": "1.5"}, {"qty": "3"}, {"ts_event_ns": 6}, {"ordinal": 1}, {"aggressor": Aggressor.SELL}]
)
def test_fills_without_ids_are_told_apart_by_all_that_they_say(change: dict[str, Any]) -> None:
    assert identity_of(fill()) == identity_of(fill())
    assert identity_of(fill()) != identity_of(fill(**change))


def test_an_identity_does_not_depend_on_when_or_where_a_thing_was_received() -> None:
    late = {name: getattr(fill(), name) for name in ("trade_id", "price", "qty", "aggressor", "ts_event_ns")}
    assert identity_of(fill()) == identity_of(Trade(**HEAD | {"ts_recv_ns": 77}, **late))
    assert identity_of(fill(trade_id="12")) == "12"


def test_ranges_and_levels_make_the_identity_of_depth() -> None:
    def diff(**fields: Any) -> DepthDiff:
        given: dict[str, Any] = {"ts_event_ns": 5, "bids": [("1", "2")], "asks": []}
        return DepthDiff(**HEAD, **(given | fields))

    assert identity_of(diff(first_seq=3, last_seq=9)) == "3-9"
    assert identity_of(diff(last_seq=9)) == "9"
    assert identity_of(diff()) != identity_of(diff(bids=[("1", "3")]))
    assert identity_of(diff()) != identity_of(diff(bids=[], asks=[("1", "2")]))


def test_a_refused_frame_is_one_line() -> None:
    line = orjson.loads(error_line(DecodeError("trade", "number", "price is not a number"), 7))

    assert line == {
        "type": "decode_error",
        "code": "number",
        "channel": "trade",
        "line": 7,
        "detail": "price is not a number",
    }
