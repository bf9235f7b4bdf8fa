"""C01, C02, C04, C05, C06 (values), C08 (trades) and C11: what frames become."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from feedplane_core.events import Trade
from feedplane_core.frames import FrameReceived, Replay
from feedplane_core.identity import identity_of
from feedplane_core.names import NS_PER_S, Feed
from feedplane_core.sequence import FeedTracker
from feedplane_testing.checks import assert_sound
from feedplane_testing.venues import PROVENANCES, Case, Venue, accepted, case_lines, output_lines

_DAY_NS = 86_400 * NS_PER_S


def test_c01_same_frames_give_the_same_events_twice(venue: Venue, case: Case) -> None:
    assert output_lines(venue.decode(case)) == output_lines(venue.decode(case))


def test_c02_decodes_to_the_expected_lines(venue: Venue, case: Case) -> None:
    assert case_lines(venue, case) == case.expected


def test_c02_fixture_says_where_it_comes_from(venue: Venue, case: Case) -> None:
    assert case.provenance["provenance"] in PROVENANCES
    assert case.provenance["source"]
    assert case.provenance["date"]


def test_c04_offered_feeds_appear_and_others_never_do(venue: Venue, feed: Feed) -> None:
    seen = Counter(event.feed for case in venue.feed_cases for event in venue.events(case))

    assert (feed in venue.adapter_class.offers) == (seen[feed] > 0)


def test_c04_cases_are_named_after_what_they_carry(venue: Venue) -> None:
    for case in venue.feed_cases:
        assert Feed(case.label) in {event.feed for event in venue.events(case)}, case


def test_c04_market_types_are_offered(venue: Venue) -> None:
    markets = {event.market_type for case in venue.feed_cases for event in venue.events(case)}

    assert markets <= venue.adapter_class.offers.markets
    assert {instrument.market_type for instrument in venue.instruments} <= venue.adapter_class.offers.markets


def test_c05_event_time_is_within_a_day_of_receive_time(venue: Venue, case: Case) -> None:
    for outcome in venue.decode(case):
        if not isinstance(outcome.record, FrameReceived):
            continue  # history is old by nature; snapshots and polls repeat the clock of the frames
        for event in outcome.events:
            assert event.ts_recv_ns == outcome.record.recv_ns
            assert event.ts_event_ns is None or abs(event.ts_event_ns - event.ts_recv_ns) < _DAY_NS


def test_c06_values_are_finite_and_positive(venue: Venue, case: Case) -> None:
    for outcome in venue.decode(case):
        for event in outcome.events:
            assert event.exchange == venue.exchange
            assert_sound(event)


def test_c08_repeated_trade_keeps_its_identity(venue: Venue) -> None:
    trades = [e for c in venue.labelled("trades") for o in venue.decode(c) for e in o.events if isinstance(e, Trade)]
    tracked = {}
    for trade in trades:
        key = trade.instrument
        if key not in tracked:
            tracked[key] = FeedTracker(
                venue.exchange,
                trade.market_type,
                key,
                Feed.TRADES,
                trade_ids=venue.adapter_class.offers.trade_ids,
            )
        tracked[key].on_event(trade)
    again = [e for c in venue.labelled("trades") for o in venue.decode(c) for e in o.events if isinstance(e, Trade)]

    assert trades
    assert [identity_of(trade) for trade in trades] == [identity_of(trade) for trade in again]
    assert not any(tracked[trade.instrument].on_event(trade).is_new for trade in again)


def test_c11_acks_and_pongs_yield_nothing(venue: Venue) -> None:
    acks = venue.labelled("acks")

    assert any(case.frames for case in acks)
    for case in acks:
        assert list(accepted(venue.decode(case))) == []


def test_c11_refusals_leave_the_stream_alone(venue: Venue) -> None:
    """A refused frame in front changes nothing of what follows it."""
    refused = [frame for case in venue.labelled("errors") for frame in case.frames]
    assert refused
    for case in venue.feed_cases:
        replay = Replay(venue.adapter())
        assert all(replay.feed(frame).error is not None for frame in refused)
        assert output_lines(map(replay.feed, case.records)) == output_lines(venue.decode(case))


def test_c06_contract_quantities_are_in_base_units(venue: Venue) -> None:
    """Where an instrument counts contracts, its size is known and positive."""
    for instrument in venue.instruments:
        for number in (instrument.tick, instrument.step, instrument.contract_size):
            assert number is None or Decimal(number) > 0
