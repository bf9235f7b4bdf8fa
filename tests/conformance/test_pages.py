"""C14: REST pages and the live stream agree on identity and value."""

from __future__ import annotations

import pytest
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.frames import FrameReceived
from feedplane_core.identity import identity_of
from feedplane_core.names import Feed
from feedplane_testing.checks import without
from feedplane_testing.venues import Venue

_CLOCKS = ("ts_recv_ns",)
_KLINE_CLOCKS = ("ts_recv_ns", "ts_event_ns")  # a live kline is stamped when pushed, a page has no such time


@pytest.mark.parametrize("paged", [Feed.TRADES, Feed.KLINES])
def test_c14_pages_and_stream_agree(venue: Venue, paged: Feed) -> None:
    offer = venue.adapter_class.offers.feeds.get(paged)
    if offer is None or not offer.history or not offer.live:
        pytest.skip(f"{paged} has no page and stream to compare")
    live: dict[tuple[str, str], MarketEvent] = {}
    pages: dict[tuple[str, str], MarketEvent] = {}
    for case in venue.labelled(paged):
        for outcome in venue.decode(case):
            into = live if isinstance(outcome.record, FrameReceived) else pages
            for event in outcome.events:
                if not isinstance(event, Kline) or event.is_closed:
                    into[event.instrument, identity_of(event)] = event

    common = live.keys() & pages.keys()

    assert common, f"the {paged} fixtures hold no page of what their frames carry"
    for key in common:
        clocks = _KLINE_CLOCKS if paged is Feed.KLINES else _CLOCKS
        assert without(live[key], *clocks) == without(pages[key], *clocks)


def test_c14_pages_end(venue: Venue) -> None:
    """An empty page is the last one, and a history request names its window."""
    adapter = venue.adapter()
    for feed, offer in adapter.offers.feeds.items():
        if not offer.history:
            continue
        window = (1_700_000_000 * 10**9, 1_700_003_000 * 10**9)
        asked = [adapter.history_request(instrument, feed, *window, detail="1m") for instrument in venue.instruments]
        requests = [request for request in asked if request is not None]  # a spot pair has no funding
        assert requests
        for request in requests:
            assert request.tag.kind == "history"
            assert request.tag.feed is feed
