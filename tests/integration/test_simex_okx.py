"""OKX over real sockets: what the venue refuses, how one book starts anew, how history is walked. What holds for every venue stands in test_simex.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from feedplane_core.adapter import SnapshotSource
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap, MarketEvent, Trade, type_name
from feedplane_core.identity import identity_of
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.sync import BookSync
from feedplane_simex import SimConfig, Simulator
from feedplane_testing.simclient import SimClient
from websockets.asyncio.client import connect

EXCHANGE = "okx"


def simulator(**settings: Any) -> Simulator:
    return Simulator(
        SimConfig(exchanges=(EXCHANGE,), **({"instruments": 2, "rate": 400, "keep_ledger": True} | settings))
    )


def client(sim: Simulator, **options: Any) -> SimClient:
    return SimClient(EXCHANGE, sim.endpoints[EXCHANGE], **options)


async def said(url: str, *requests: dict[str, Any] | str) -> list[Any]:
    """The first answer to each request, sent one after the other on one socket."""
    answers = []
    async with connect(url) as socket:
        for request in requests:
            await socket.send(request if isinstance(request, str) else orjson.dumps(request).decode())
            text = await asyncio.wait_for(socket.recv(), 2)
            answers.append(text if text == "pong" else orjson.loads(text))
    return answers


def arg(channel: str, name: str) -> dict[str, str]:
    return {"channel": channel, "instId": name}


async def test_the_venue_answers_in_its_own_words() -> None:
    async with simulator() as sim:
        root = sim.endpoints[EXCHANGE]["ws"]
        pong, wrong_path, unknown, keyed, nonsense, ack = await said(
            f"{root}/ws/v5/public",
            "ping",
            {"op": "subscribe", "args": [arg("trades-all", "BTC-USDT")]},
            {"op": "subscribe", "id": "7", "args": [arg("books", "BTC-USDX")]},
            {"op": "subscribe", "args": [arg("books-l2-tbt", "BTC-USDT")]},
            "{",
            {"op": "subscribe", "id": "8", "args": [arg("funding-rate", "BTC-USDT-SWAP")]},
        )

    assert pong == "pong"
    assert [answer["code"] for answer in (wrong_path, unknown, keyed, nonsense)] == ["60018", "60018", "64003", "60012"]
    assert unknown["id"] == "7"
    assert (ack["event"], ack["id"], ack["arg"]) == ("subscribe", "8", arg("funding-rate", "BTC-USDT-SWAP"))


async def test_all_markets_and_feeds_are_carried() -> None:
    async with simulator(rate=2_000) as sim, client(sim) as got:
        await got.listen()
        await got.until(2_500, within_s=12)
        async with asyncio.timeout(12):
            while {type_name(e) for e in got.events} < set(TYPES):
                await asyncio.sleep(0.05)
    markets = {(event.market_type, type_name(event)) for event in got.events}

    assert not got.errors
    assert {market for market, _ in markets} == set(MarketType)
    assert {kind for market, kind in markets if market is MarketType.SPOT} <= {
        "trade",
        "top_of_book",
        "book_snapshot",
        "depth_diff",
        "kline",
    }
    assert (MarketType.PERP_INVERSE, "funding") in markets
    assert (MarketType.DELIVERY, "funding") not in markets


TYPES = "trade top_of_book book_snapshot depth_diff kline mark_price funding open_interest liquidation".split()


async def test_one_book_starts_anew_and_the_others_go_on() -> None:
    async with simulator() as sim, client(sim) as got:
        instruments = got.instruments
        (connection,) = got.adapter.subscriptions(instruments, [Feed.OB_DIFFS])
        socket = await got.open(connection)
        await got.until(20, DepthDiff)
        before = len(got.events)
        channel = next(c for c in connection.channels if c.instrument == "BTC-USD-SWAP")
        for frame in got.adapter.resubscribe(connection, channel):
            await socket.send(frame, text=True)
        await got.until(40, DepthDiff)
        later = got.events[before:]

    assert [e.instrument for e in later if isinstance(e, BookSnapshot)] == ["BTC-USD-SWAP"]
    for instrument in instruments:
        assert not gaps(kept(got, instrument, got.events)), instrument.instrument


def kept(got: SimClient, instrument: Instrument, events: Iterable[MarketEvent]) -> list[Event]:
    sync = BookSync(EXCHANGE, instrument.market_type, instrument.instrument, got.adapter.book_rule(instrument))
    found: list[Event] = []
    for event in events:
        if event.instrument == instrument.instrument and isinstance(event, BookSnapshot):
            found += sync.on_snapshot(event)
        elif event.instrument == instrument.instrument and isinstance(event, DepthDiff):
            found += sync.on_diff(event)
    return found


def gaps(events: Iterable[Event]) -> list[Gap]:
    return [event for event in events if isinstance(event, Gap)]


@pytest.mark.parametrize("fault", ["drop:feed=ob_diffs,count=1", "seq_jump:n=50"])
async def test_a_lost_update_is_noticed_by_its_successor(fault: str) -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(20, DepthDiff)
        sim.add_fault(fault)
        await got.until(80, DepthDiff)

    found = [gap for instrument in got.instruments for gap in gaps(kept(got, instrument, got.events))]
    assert found
    assert {gap.reason for gap in found} == {"sequence"}


async def test_books_may_come_by_rest() -> None:
    """The announced change, behind its switch: snapshots of the socket are not waited for, numbers join what REST answers."""
    async with simulator() as sim, client(sim, switches={"book_snapshot": "rest"}) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(10, DepthDiff)
        await got.snapshots()
        await got.until(40, DepthDiff)
        instrument = next(i for i in got.instruments if i.instrument == "BTC-USDT-SWAP")
        without_socket = [e for e in got.events if not isinstance(e, BookSnapshot) or e is rest_snapshot(got, e)]

    assert got.adapter.book_rule(instrument).source is SnapshotSource.REST
    found = kept(got, instrument, without_socket)
    assert [type(event) for event in found].count(BookSnapshot) == 1
    assert {gap.reason for gap in gaps(found)} <= {"start"}
    assert sum(isinstance(event, DepthDiff) for event in found) > 2


def rest_snapshot(got: SimClient, event: BookSnapshot) -> BookSnapshot:
    """The newest snapshot of its instrument: the one that REST answered."""
    return [e for e in got.events if isinstance(e, BookSnapshot) and e.instrument == event.instrument][-1]


async def test_history_pages_hold_what_the_socket_told() -> None:
    async with simulator(rate=1_500) as sim, client(sim) as got:
        await got.listen({Feed.TRADES})
        await got.until(600, Trade)
        swap = next(i for i in got.instruments if i.instrument == "BTC-USD-SWAP")
        live = {e.trade_id: e for e in got.events if isinstance(e, Trade) and e.instrument == swap.instrument}
        start_ns = min(e.ts_event_ns or 0 for e in live.values())
        request = got.adapter.history_request(swap, Feed.TRADES, start_ns, start_ns + 3_600 * NS_PER_S)
        paged: list[MarketEvent] = []
        while request is not None:
            page = got.adapter.decode_page(request, await got.fetch(request), start_ns)
            paged += page.events
            request = page.next

    by_id = {identity_of(event): event for event in paged if isinstance(event, Trade)}
    assert len(by_id) == len(paged)
    assert live.keys() <= by_id.keys()
    assert all(
        (by_id[i].price, by_id[i].qty, by_id[i].aggressor, by_id[i].ts_event_ns)
        == (trade.price, trade.qty, trade.aggressor, trade.ts_event_ns)
        for i, trade in live.items()
    )


async def test_a_notice_comes_before_the_cut() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES})
        await got.until(5)
        sim.add_fault("notice:grace=200ms")
        async with asyncio.timeout(3):
            while not got.closed:
                await asyncio.sleep(0.02)

    assert any(b'"code":"64008"' in frame for frame in got.frames)
    assert not got.errors
