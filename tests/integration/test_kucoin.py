"""KuCoin over real sockets: both of its systems, tokens, greetings, silence, recordings."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from feedplane_core.adapter import Request
from feedplane_core.decimals import scaled
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap, Kline, MarketEvent, Trade
from feedplane_core.identity import identity_of
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.sync import BookSync
from feedplane_simex import SimConfig, Simulator
from feedplane_testing.simclient import SimClient, values_issued, values_of
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

KUCOIN = "kucoin"
SYSTEMS = ("uta", "classic")
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"


def simulator(*, instruments: int = 1, rate: int = 400, play: tuple[str, ...] = ()) -> Simulator:
    config = SimConfig(
        exchanges=(KUCOIN,),
        keep_ledger=True,
        instruments=instruments,
        rate=rate,
        play=play,
        speed=0.0 if play else 1.0,
        play_wait_s=2.0,
    )
    return Simulator(config)


def client(sim: Simulator, system: str) -> SimClient:
    return SimClient(KUCOIN, sim.endpoints[KUCOIN], switches={"system": system})


async def standstill(sim: Simulator) -> None:
    """No more acts; pending depth goes out."""
    for venue in sim.venues.values():
        sim.pacer_of(venue).rate = 0
    await asyncio.sleep(0.35)


async def settle(sim: Simulator) -> None:
    """Nothing is issued any more, and everything that was has arrived."""
    await standstill(sim)
    for venue in sim.venues.values():
        for channel in venue.channels.values():
            channel.sockets.clear()
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_every_sent_line_of_every_market_is_decoded_alike(system: str) -> None:
    async with simulator() as sim, client(sim, system) as got:
        await got.listen()
        await got.snapshots()
        await got.poll()
        async with asyncio.timeout(8):
            while {e.feed for e in got.events} != set(got.adapter.offers.feeds) or len(got.events) < 800:
                await asyncio.sleep(0.02)
        await settle(sim)
        issued, decoded = values_issued(sim.ledger), values_of(got.events)

    assert not got.errors
    assert timeless(issued) - timeless(decoded) == Counter()
    assert timeless(decoded) - timeless(issued) == Counter()
    assert {e.market_type for e in got.events} == set(MarketType)


def timeless(values: Counter[str]) -> Counter[str]:
    """Polled open interest has no time of the venue, so that its identity is a time of receipt."""
    found: Counter[str] = Counter()
    for text, count in values.items():
        kind, identity, event = json.loads(text)
        known = identity if event["ts_event_ns"] is not None or kind != "open_interest" else ""
        found[json.dumps([kind, known, event])] += count
    return found


def booked(got: SimClient, instrument: Instrument) -> tuple[BookSync, list[Event]]:
    """The book machine of an instrument over all that came, and what it let through."""
    sync = BookSync(KUCOIN, instrument.market_type, instrument.instrument, got.adapter.book_rule(instrument))
    kept: list[Event] = []
    for event in got.events:
        if event.instrument != instrument.instrument:
            continue
        if isinstance(event, BookSnapshot):
            kept += sync.on_snapshot(event)
        elif isinstance(event, DepthDiff):
            kept += sync.on_diff(event)
    return sync, kept


@pytest.mark.parametrize("system", SYSTEMS)
async def test_synced_books_of_all_markets_are_the_true_books(system: str) -> None:
    async with simulator() as sim, client(sim, system) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(80, DepthDiff)
        await got.snapshots()
        await got.until(160, DepthDiff)
        await standstill(sim)
        truths = {row["instrument"]: row for row in sim.venues[KUCOIN].state().values()}

    assert len(got.instruments) == len(truths) == 4
    for instrument in got.instruments:
        sync, kept = booked(got, instrument)
        truth = truths[instrument.instrument]
        assert sync.is_publishable, instrument.instrument
        assert {gap.reason for gap in kept if isinstance(gap, Gap)} <= {"start"}
        for side, held in (("bids", sync.book.bids), ("asks", sync.book.asks)):
            # Of a snapshot of 100 levels those that are left are known, and none beyond.
            depth = min(len(truth[side]), 50 if system == "classic" else len(truth[side]))
            assert keys(held.top(depth)) == keys(
                [[price, instrument.base_qty(qty, price)] for price, qty in truth[side][:depth]]
            )


def keys(levels: Sequence[Sequence[str]]) -> list[list[int]]:
    return [list(map(scaled, level)) for level in levels]


async def test_a_lost_delta_is_a_gap_that_one_new_subscription_closes() -> None:
    async with simulator() as sim, client(sim, "uta") as got:
        instrument = next(i for i in got.instruments if i.market_type is MarketType.SPOT)
        (plan,) = got.adapter.subscriptions([instrument], [Feed.OB_DIFFS])
        socket = await got.open(plan)
        await got.until(10, DepthDiff)
        sim.add_fault("drop:count=1,feed=ob_diffs")
        await asyncio.sleep(0.3)
        sync, _ = booked(got, instrument)
        assert sync.needs_snapshot
        for frame in got.adapter.resubscribe(plan, plan.channels[0]):
            await socket.send(frame, text=True)
        await got.until(2, BookSnapshot)
        sync, kept = booked(got, instrument)

    assert sync.is_synced
    assert [(gap.reason, gap.state) for gap in kept if isinstance(gap, Gap)] == [
        ("sequence", "open"),
        ("sequence", "closed"),
    ]


async def test_uta_greets_first_speaks_binary_and_acknowledges_what_does_not_exist() -> None:
    async with simulator() as sim, connect(sim.endpoints[KUCOIN]["ws_futures"]) as socket:
        greeting = await socket.recv()
        assert isinstance(greeting, bytes)
        assert json.loads(greeting)["message"] == "welcome"
        wish = {"id": "1", "action": "SUBSCRIBE", "channel": "trade", "tradeType": "SPOT", "symbol": "BTC-USDT"}
        for number, change in enumerate(({}, {"tradeType": "FUTURES", "symbol": "NOBODYUSDTM"}), start=1):
            await socket.send(json.dumps(wish | change | {"id": str(number)}))
            assert json.loads(await socket.recv()) == {"id": str(number), "result": True}
        await socket.send(json.dumps(wish | {"channel": "rumours"}))
        assert json.loads(await socket.recv())["result"] is False
        await socket.send('{"id":"7","type":"ping"}')
        pong = json.loads(await socket.recv())
        assert (pong["type"], pong["id"]) == ("pong", "7")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.4)


async def test_classic_sockets_need_a_token_of_their_own_book() -> None:
    async with simulator() as sim, client(sim, "classic") as got:
        plans = got.adapter.subscriptions(got.instruments, [Feed.TRADES])
        by_key = {plan.key.split("-")[1]: plan for plan in plans}
        tokens: dict[str, Request] = {key: plan.token for key, plan in by_key.items() if plan.token is not None}
        bodies = {key: await got.fetch(token) for key, token in tokens.items()}
        spot = got.adapter.connection_with_token(by_key["spot"], bodies["spot"])
        futures = got.adapter.connection_with_token(by_key["futures"], bodies["futures"])
        stolen = urlsplit(spot.url)._replace(query=urlsplit(futures.url).query).geturl()
        for url in (stolen, spot.url.partition("?")[0]):
            with pytest.raises(InvalidStatus, match="401"):
                await connect(url)
        async with connect(spot.url) as socket:
            assert json.loads(await socket.recv())["type"] == "welcome"
            await socket.send('{"id":1,"type":"subscribe","topic":"/foo:BTC-USDT","response":true}')
            refusal = await socket.recv(decode=False)
    assert json.loads(refusal)["code"] == 404
    with pytest.raises(DecodeError, match="venue_error"):
        got.adapter.session().decode(refusal, 1)


async def test_pages_and_streams_name_the_same_trades() -> None:
    async with simulator() as sim, client(sim, "uta") as got:
        await got.listen({Feed.TRADES})
        await got.until(60, Trade)
        pages: list[MarketEvent] = []
        for instrument in got.instruments:
            request = got.adapter.history_request(instrument, Feed.TRADES, 0, 2**62)
            assert request is not None
            page = got.adapter.decode_page(request, await got.fetch(request), 1)
            assert (page.reaches_back_to_ns is not None) is (len(page.events) == 100)
            pages += page.events
            request = got.adapter.history_request(instrument, Feed.KLINES, 0, 100 * NS_PER_S, detail="1m")
            assert request is not None
            klines = got.adapter.decode_page(request, await got.fetch(request), 1).events
            assert all(isinstance(event, Kline) for event in klines)
    live = {(e.instrument, identity_of(e)): e for e in got.events}
    paged = {(e.instrument, identity_of(e)): e for e in pages}

    assert len(live.keys() & paged.keys()) >= 60
    for key in live.keys() & paged.keys():
        one, other = live[key], paged[key]
        assert isinstance(one, Trade)
        assert isinstance(other, Trade)
        assert (one.price, one.qty, one.aggressor, one.ts_event_ns) == (
            other.price,
            other.qty,
            other.aggressor,
            other.ts_event_ns,
        )


async def test_refusals_of_rest_have_the_body_of_the_venue() -> None:
    async with simulator() as sim, aiohttp.ClientSession() as http, client(sim, "classic") as got:
        root = sim.endpoints[KUCOIN]["rest"]
        for path, status, code in (
            ("/api/v1/market/histories?symbol=XBTUSDTM", 400, "400100"),
            ("/api/v3/market/orderbook/level2?symbol=BTC-USDT", 401, "400001"),
            ("/api/v9/nothing", 404, "404"),
        ):
            async with http.get(root + path) as reply:
                assert (reply.status, (await reply.json())["code"]) == (status, code)
        sim.add_fault("status:code=429,retry_after=3s,count=1")
        request = got.adapter.book_snapshot_request(got.instruments[0])
        assert request is not None
        with pytest.raises(DecodeError, match="429000"):
            got.adapter.decode_body(request.tag, await got.fetch(request), 1)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_the_capture_plays(system: str) -> None:
    """Whole on the classic system; on the other one what stands alone: trades and quotes, but no book without its REST snapshot."""
    paths = sorted(CAPTURES.glob("KUCOIN.*gz"))
    if not paths:
        pytest.skip("no captures beside the checkout")
    async with simulator(play=tuple(map(str, paths))) as sim, client(sim, system) as got:
        spoken = {t.rpartition(":")[2] for topics in sim.replays[KUCOIN]._missing for t in topics}
        got.instruments = [i for i in got.instruments if i.instrument in spoken]
        await got.listen({Feed.TRADES, Feed.L1, Feed.OB_DIFFS})
        async with asyncio.timeout(12):
            while not sim.replays[KUCOIN].is_done:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        await got.snapshots()
        kinds = Counter(type(event).__name__ for event in got.events)

    assert not got.errors
    assert (kinds["Trade"], kinds["TopOfBook"]) == (18, 830)
    assert kinds["DepthDiff"] == (3_853 if system == "classic" else 0)
    assert kinds["BookSnapshot"] == (len(got.instruments) if system == "classic" else 0)
