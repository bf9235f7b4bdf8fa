"""C12 and C13: plans cover all, once, within limits; symbols survive the way there and back."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from feedplane_core.adapter import Connection, Limits, Options
from feedplane_core.errors import UsageError
from feedplane_core.instruments import Instrument, InstrumentStatus, pair_name
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_testing.venues import Venue

SYMBOLS = 500


def many(venue: Venue, count: int = SYMBOLS) -> list[Instrument]:
    """`count` instruments in the spelling of the venue, cloned from those of its fixtures."""
    models = [i for i in venue.instruments if i.status is InstrumentStatus.TRADING]
    assert models, "the instruments fixture names nothing that trades"
    return [_numbered(models[number % len(models)], number) for number in range(count)]


def _numbered(model: Instrument, number: int) -> Instrument:
    base = f"{model.base}{number}"
    name = (
        model.instrument.replace(model.base, base, 1)
        if model.base in model.instrument
        else f"{model.instrument}{number}"
    )
    stream_id = model.stream_id.replace(model.base, base, 1) if model.base in model.stream_id else model.stream_id
    return msgspec.structs.replace(model, instrument=name, base=base, stream_id=stream_id)


def live_feeds(venue: Venue) -> list[Feed]:
    return [feed for feed, offer in venue.adapter_class.offers.feeds.items() if offer.live]


def covered(connections: list[Connection]) -> Counter[tuple[str, Feed]]:
    return Counter((channel.instrument, channel.feed) for c in connections for channel in c.channels)


def is_live(venue: Venue, instrument: Instrument, feed: Feed) -> bool:
    """Whether sockets carry this feed of this instrument."""
    return carries(venue, instrument, feed) and venue.adapter_class.offers.feeds[feed].is_live_on(
        instrument.market_type
    )


def carries(venue: Venue, instrument: Instrument, feed: Feed) -> bool:
    """Whether this market has this feed at all: a spot pair has no funding."""
    derivative_only = {Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST, Feed.LIQUIDATIONS}
    if feed is Feed.FUNDING and instrument.market_type is MarketType.DELIVERY:
        return False
    return not (instrument.market_type is MarketType.SPOT and feed in derivative_only)


def test_c12_plan_covers_all_once(venue: Venue) -> None:
    instruments, feeds = many(venue), live_feeds(venue)
    adapter = venue.adapter()
    adapter.use_instruments(instruments)

    plan = covered(adapter.subscriptions(instruments, feeds))

    for instrument in instruments:
        for feed in feeds:
            if is_live(venue, instrument, feed):
                assert plan[instrument.instrument, feed] == 1, f"{instrument.instrument} {feed}"
    assert {name for name, _ in plan} == {i.instrument for i in instruments}


def test_c12_every_channel_is_asked_for(venue: Venue) -> None:
    """The subscribe frames of a socket grow with its channels, and no two sockets share a place."""
    instruments = many(venue, 20)
    adapter = venue.adapter()
    adapter.use_instruments(instruments)

    connections = adapter.subscriptions(instruments, live_feeds(venue))

    assert len({c.key for c in connections}) == len(connections)
    for connection in connections:
        assert connection.channels
        assert connection.url.startswith("wss://") or connection.token is not None
        asked = b"".join(connection.subscribe) + connection.url.encode()
        for channel in connection.channels:
            spellings = {
                channel.name,
                channel.instrument,
                channel.instrument.lower(),
                *_stream_ids(instruments, channel.instrument),
            }
            assert any(spelling.encode() in asked for spelling in spellings if spelling), channel


def _stream_ids(instruments: list[Instrument], name: str) -> list[str]:
    return [i.stream_id for i in instruments if i.instrument == name]


def test_c12_plan_stays_within_limits(venue: Venue) -> None:
    instruments = many(venue)
    adapter = venue.adapter()
    adapter.use_instruments(instruments)
    limits = adapter.limits

    connections = adapter.subscriptions(instruments, live_feeds(venue))

    if limits.channels_per_connection is not None:
        assert max(map(_streams, connections)) <= limits.channels_per_connection
    windows = max(1, 60 * NS_PER_S // limits.connect_window_ns)
    is_soon_open = len(connections) <= limits.connects * windows
    assert is_soon_open or _are_full(connections, limits), "the plan takes more than a minute to open"
    assert all(len(frame) <= c.max_frame_bytes for c in connections for frame in c.subscribe)


def _streams(connection: Connection) -> int:
    """What several channels share counts once."""
    return len({channel.name for channel in connection.channels})


def _are_full(connections: list[Connection], limits: Limits) -> bool:
    """Where the venue itself allows too few channels on a socket, no plan opens sooner than one that fills them."""
    room = limits.channels_per_connection
    return room is not None and sum(map(_streams, connections)) >= 0.9 * room * len(connections)


def test_c12_plan_is_stable(venue: Venue) -> None:
    """The same wishes give the same plan in any order; one symbol more leaves most sockets alone."""
    instruments, feeds = many(venue), live_feeds(venue)
    adapter = venue.adapter()
    adapter.use_instruments(instruments)

    plan = {c.key: c for c in adapter.subscriptions(instruments[:-1], feeds)}
    shuffled = {c.key: c for c in adapter.subscriptions(instruments[:-1][::-1], reversed(feeds))}
    grown = {c.key: c for c in adapter.subscriptions(instruments, feeds)}

    assert plan == shuffled
    untouched = [key for key, connection in plan.items() if grown.get(key) == connection]
    assert len(untouched) >= len(plan) // 2


def test_c12_kline_intervals_are_options(venue: Venue) -> None:
    if Feed.KLINES not in live_feeds(venue):
        return
    instruments = [i for i in many(venue, 30) if is_live(venue, i, Feed.KLINES)][:3]
    adapter = venue.adapter(Options(kline_intervals=("1m", "1h")))
    adapter.use_instruments(instruments)

    channels = [c for connection in adapter.subscriptions(instruments, [Feed.KLINES]) for c in connection.channels]

    assert Counter(c.instrument for c in channels) == dict.fromkeys((i.instrument for i in instruments), 2)
    assert len({c.name for c in channels}) >= 2


def test_c12_a_choice_that_the_venue_does_not_have_is_refused_by_name(venue: Venue) -> None:
    """A misspelled switch would be without effect in silence."""
    choices = [(Options(switches={"no_such_switch": "1"}), "switches.no_such_switch")]
    if Feed.KLINES in venue.adapter().offers:
        choices.append((Options(kline_intervals=("1m", "7m")), "klineIntervals"))
    for options, field in choices:
        with pytest.raises(UsageError) as refused:
            venue.adapter(options)
        assert refused.value.field == field


def test_c12_derived_feeds_imply_book_and_trades(venue: Venue) -> None:
    instruments = many(venue, 3)
    adapter = venue.adapter()
    adapter.use_instruments(instruments)

    plan = covered(adapter.subscriptions(instruments, [Feed.OB_TOP5, Feed.ADVANCED]))

    assert plan == {(i.instrument, feed): 1 for i in instruments for feed in (Feed.OB_DIFFS, Feed.TRADES)}


def test_c12_polls_cover_once_within_the_budget(venue: Venue) -> None:
    instruments = many(venue)
    adapter = venue.adapter()
    adapter.use_instruments(instruments)
    feeds = [feed for feed, offer in adapter.offers.feeds.items() if offer.polled]

    polls = adapter.polls(instruments, feeds)

    asked = Counter((poll.channel.instrument, poll.channel.feed) for poll in polls)
    polled = [(i, f) for i in instruments for f in feeds if adapter.offers.feeds[f].is_polled_on(i.market_type)]
    assert asked == {(i.instrument, f): 1 for i, f in polled if carries(venue, i, f)}
    limits = adapter.limits
    per_second = sum(poll.request.weight * NS_PER_S / poll.every_ns for poll in polls)
    assert per_second <= limits.rest_weight * NS_PER_S / limits.rest_window_ns


def test_c12_one_channel_restarts_without_touching_others(venue: Venue) -> None:
    instruments = many(venue, 5)
    adapter = venue.adapter()
    adapter.use_instruments(instruments)
    for connection in adapter.subscriptions(instruments, live_feeds(venue)):
        others = {c.instrument.lower() for c in connection.channels} - {connection.channels[0].instrument.lower()}
        for frame in adapter.resubscribe(connection, connection.channels[0]):
            assert not any(f'"{other}' in frame.decode().lower() for other in others)


def test_c13_pairs_are_canonical(venue: Venue) -> None:
    assert len({(i.market_type, i.instrument) for i in venue.instruments}) == len(venue.instruments)
    for instrument in venue.instruments:
        assert instrument.exchange == venue.exchange
        if instrument.market_type is not MarketType.DELIVERY:
            assert instrument.pair == pair_name(instrument.base, instrument.quote, instrument.market_type)
        else:
            assert instrument.pair.startswith(f"{instrument.base}-{instrument.quote}-")


def test_c13_names_are_alike_only_where_it_is_said(venue: Venue) -> None:
    """The FeedSet takes markets apart that spell instruments alike, and it can only do so where `same_names` says it."""
    markets: dict[str, set[MarketType]] = {}
    for instrument in venue.instruments:
        markets.setdefault(instrument.instrument, set()).add(instrument.market_type)
    alike = {market for found in markets.values() if len(found) > 1 for market in found}
    said = venue.adapter().offers.same_names

    assert alike <= set(said) <= venue.adapter().offers.markets
    assert len(said) == len(set(said)) != 1


def test_c13_requests_are_told_apart_by_their_url(venue: Venue) -> None:
    """`tag_of` is the inverse of every request that is built, symbols included."""
    adapter = venue.adapter()
    requests = list(adapter.instruments_requests())
    feeds = adapter.offers.feeds
    requests += [poll.request for poll in adapter.polls(venue.instruments, feeds)]
    for instrument in venue.instruments:
        snapshot = adapter.book_snapshot_request(instrument)
        pages = [
            adapter.history_request(instrument, feed, 1_700_000_000 * NS_PER_S, 1_700_003_000 * NS_PER_S, detail="1m")
            for feed, offer in feeds.items()
            if offer.history
        ]
        requests += [request for request in (snapshot, *pages) if request is not None]

    for request in requests:
        tag = adapter.tag_of(request.url)
        assert tag is not None, request.url
        assert (tag.kind, tag.instrument, tag.feed) == (request.tag.kind, request.tag.instrument, request.tag.feed)
    assert adapter.tag_of("https://example.com/nothing/of/ours") is None


def test_c13_events_are_of_the_instruments_market(venue: Venue) -> None:
    markets: dict[str, set[MarketType]] = {}  # a name may be of several
    for instrument in venue.instruments:
        markets.setdefault(instrument.instrument, set()).add(instrument.market_type)
    for case in venue.feed_cases:
        for event in venue.events(case):
            assert event.market_type in markets.get(event.instrument, {event.market_type})
