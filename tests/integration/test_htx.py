"""HTX over real sockets: every market and feed, candles that end, books that are asked for, both dialects of control frames."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from typing import Any

import orjson
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap, Kline
from feedplane_core.names import Feed, MarketType
from feedplane_core.sync import BookSync
from feedplane_simex import SimConfig, Simulator
from feedplane_testing.simclient import SimClient, values_issued, values_of
from websockets.asyncio.client import ClientConnection, connect

HTX = "htx"


def simulator(**settings: Any) -> Simulator:
    defaults: dict[str, Any] = {"instruments": 1, "rate": 400}
    return Simulator(SimConfig(exchanges=(HTX,), keep_ledger=True, **(defaults | settings)))


def client(sim: Simulator, **options: Any) -> SimClient:
    return SimClient(HTX, sim.endpoints[HTX], **options)


async def settle(sim: Simulator) -> None:
    """Nothing is issued any more, and everything that was has arrived."""
    for venue in sim.venues.values():
        sim.pacer_of(venue).rate = 0
    await asyncio.sleep(0.35)
    for venue in sim.venues.values():
        for channel in venue.channels.values():
            channel.sockets.clear()
    await asyncio.sleep(0.1)


async def test_every_line_of_every_market_is_decoded_alike() -> None:
    async with simulator() as sim, client(sim, kline_intervals=("1m", "1h")) as got:
        await got.listen()
        async with asyncio.timeout(10):  # liquidations are rare
            while {e.feed for e in got.events} < set(got.adapter.offers.feeds) - {Feed.OPEN_INTEREST}:
                await asyncio.sleep(0.02)
        sim.add_fault("skew:by=61s")  # the venue's next minute: candles end
        async with asyncio.timeout(5):
            while not any(isinstance(e, Kline) and e.is_closed for e in got.events):
                await asyncio.sleep(0.02)
        await got.poll()
        await settle(sim)
        # The venue never says that a candle is closed: what closes in the last instant is told with the next state, which nobody waits for here.
        issued, decoded = values_issued(sim.ledger), values_of(got.events)

    assert not got.errors
    assert all(text.startswith('["kline"') for text in issued - decoded)
    assert len(issued - decoded) <= len(got.instruments)
    assert decoded - issued == Counter()
    assert {e.market_type for e in got.events} == {MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.DELIVERY}
    assert {e.feed for e in got.events} == set(got.adapter.offers.feeds)


async def test_pages_hold_what_the_sockets_brought() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES})
        await got.until(60)
        await settle(sim)
        live = values_of(got.events)
        paged: Counter[str] = Counter()
        for instrument in got.instruments:
            request = got.adapter.history_request(instrument, Feed.TRADES, 0, 1 << 62)
            assert request is not None
            body = await got.fetch(request)
            paged += values_of(got.adapter.decode_page(request, body, 1 << 61).events)

    assert live - paged == Counter()


async def test_a_lost_increment_costs_one_request_and_the_book_comes_back() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(20, DepthDiff)
        instrument = next(i for i in got.instruments if i.market_type is MarketType.SPOT)
        sync = BookSync(HTX, instrument.market_type, instrument.instrument, got.adapter.book_rule(instrument))
        kept: list[Event] = []
        read = 0

        def catch_up() -> None:
            nonlocal read
            for event in got.events[read:]:
                if event.instrument != instrument.instrument:
                    continue
                if isinstance(event, BookSnapshot):
                    kept.extend(sync.on_snapshot(event))
                elif isinstance(event, DepthDiff):
                    kept.extend(sync.on_diff(event))
            read = len(got.events)

        async def until(is_synced: bool) -> None:
            async with asyncio.timeout(5):
                catch_up()
                while sync.is_synced is not is_synced:
                    await asyncio.sleep(0.02)
                    catch_up()

        await until(True)
        sim.add_fault(f"drop:count=1,feed=ob_diffs,symbol={instrument.instrument}")
        await until(False)
        (connection,) = got.adapter.subscriptions([instrument], [Feed.OB_DIFFS])
        socket = next(s for s in got.sockets if s.request is not None and s.request.path.endswith("/feed"))
        for frame in got.adapter.resubscribe(connection, connection.channels[0]):
            await socket.send(frame, text=True)
        await until(True)

    gaps = [event for event in kept if isinstance(event, Gap) and event.reason != "start"]
    assert [(gap.reason, gap.state) for gap in gaps] == [("sequence", "open"), ("sequence", "closed")]


async def receive(socket: ClientConnection) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(gzip.decompress(await asyncio.wait_for(socket.recv(decode=False), 8)))
    return body


async def ask(socket: ClientConnection, **request: Any) -> dict[str, Any]:
    await socket.send(orjson.dumps(request), text=True)
    return await receive(socket)


async def test_the_venue_refuses_in_its_own_words() -> None:
    async with simulator() as sim:
        base = sim.endpoints[HTX]["spot_ws"]
        async with connect(f"{base}/ws", ping_interval=None, close_timeout=0.2) as spot:
            assert (await ask(spot, sub="market.xx", id="1"))["err-msg"] == "invalid topic market.xx"
            assert (await ask(spot, sub="market.BTC-USDT.bbo", id="2"))["err-msg"] == "invalid symbol"
            assert (await ask(spot, sub="market.btcusdt.mbp.150", id="3"))["status"] == "error"  # on /feed alone
            acks = [
                await ask(spot, sub=["market.btcusdt.ticker", "market.btcusdt.detail"], id="4"),
                await receive(spot),
            ]
            assert [ack["subbed"] for ack in acks] == ["market.btcusdt.ticker", "market.btcusdt.detail"]
        async with connect(f"{base}/feed", ping_interval=None, close_timeout=0.2) as books:
            topic = "market.btcusdt.mbp.150"
            assert (await ask(books, req=topic, id="5"))["data"]["seqNum"] > 0
            assert (await ask(books, req=topic, id="6"))["err-msg"] == "429 too many request"
        async with connect(f"{base}/linear-swap-notification", ping_interval=None, close_timeout=0.2) as notices:
            dated = "public.BTC-USDT-301227.liquidation_orders"
            assert (await ask(notices, op="sub", cid="1", topic=dated))["err-code"] == 2011
            accepted = await ask(notices, op="sub", cid="1", topic=dated, business_type="all")
            assert accepted["err-code"] == 0
            assert (await ask(notices, op="sub", cid="1", topic=dated, business_type="all"))["err-code"] == 2014


async def test_pings_come_in_each_dialect_and_are_answered() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES, Feed.LIQUIDATIONS})
        async with asyncio.timeout(8):
            while sum(_is_ping(frame) for frame in got.frames) < 3:  # spot, linear, notifications
                await asyncio.sleep(0.05)
        peers = [socket.peer for socket in sim.venues[HTX].sockets.values()]
        await asyncio.sleep(0.1)
        unanswered = [peer._unanswered for peer in peers]  # type: ignore[attr-defined]

    assert unanswered == [0, 0, 0]
    assert not got.closed


def _is_ping(frame: bytes) -> bool:
    return b"ping" in gzip.decompress(frame)[:12]
