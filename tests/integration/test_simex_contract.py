"""What the dialect contract carries beyond the first venues: checksums, gzip, per-connection numbers, channel ids, application pings, tokens, snapshots on the socket."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, ClassVar
from zlib import crc32

import aiohttp
import orjson
from feedplane_core.dialect import (
    Answer,
    Close,
    DepthBatch,
    Handshake,
    Happening,
    LevelInts,
    Listing,
    Message,
    Peer,
    Recording,
    RestReply,
    RestRequest,
    Step,
    Stream,
    Subscribe,
    Traits,
    Venue,
    Want,
    coins,
    decimals_of,
)
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.names import NS_PER_MS, Feed, MarketType
from feedplane_simex import SimConfig, Simulator
from websockets.asyncio.client import ClientConnection, connect

TOKEN = "let-me-in"
TOP = 10


class Book:
    """Snapshot on the socket, then the changes of the best ten levels, each with a checksum over them."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, name: str) -> None:
        self.instrument = name
        self.wants = (Want(kind=DepthBatch, instrument=name, every_ns=50 * NS_PER_MS),)
        self._market = venue.markets[name]
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def _look(self) -> tuple[list[LevelInts], list[LevelInts], int]:
        bids, asks = self._market.bids(TOP), self._market.asks(TOP)
        self._bids, self._asks = dict(bids), dict(asks)
        return bids, asks, crc32(repr((bids, asks)).encode())

    def welcome(self, now_ns: int) -> Sequence[Message]:
        bids, asks, checksum = self._look()
        return (self._message(BookSnapshot, "snapshot", bids, asks, -1, self._market.seq, checksum, now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        old_bids, old_asks = self._bids, self._asks
        _, _, checksum = self._look()
        bids, asks = _changes(old_bids, self._bids), _changes(old_asks, self._asks)
        prev, last = happening.prev_seq, happening.last_seq
        return (self._message(DepthDiff, "update", bids, asks, prev, last, checksum, now_ns),)

    def _message(
        self,
        kind: Any,
        action: str,
        bids: list[LevelInts],
        asks: list[LevelInts],
        prev: int,
        last: int,
        checksum: int,
        now_ns: int,
    ) -> Message:
        body = {"a": action, "b": bids, "s": asks, "prev": prev, "seq": last, "crc": checksum}
        event = kind(
            exchange="toy",
            market_type=MarketType.PERP_LINEAR,
            instrument="BTCUSDT",
            ts_event_ns=None,
            ts_recv_ns=now_ns,
            bids=self._market.levels_text(bids),
            asks=self._market.levels_text(asks),
            last_seq=last,
            prev_seq=prev,
            checksum=checksum,
        )
        return Message(payload=orjson.dumps(body), events=(event,), is_binary=True)

    def with_wrong_checksum(self, message: Message) -> Message | None:
        body = orjson.loads(message.payload)
        return Message(payload=orjson.dumps(body | {"crc": body["crc"] ^ 1}), events=message.events, is_binary=True)


def _changes(old: dict[int, int], new: dict[int, int]) -> list[LevelInts]:
    return [(tick, new.get(tick, 0)) for tick in sorted(old.keys() | new.keys()) if old.get(tick) != new.get(tick)]


class ToyPeer:
    """Numbers channels and frames per connection, zips everything, pings by itself and ends a client that does not answer."""

    def __init__(self) -> None:
        self._channels: dict[str, int] = {}
        self._seq = 0
        self._unanswered = 0

    def _zipped(self, body: object) -> Answer:
        return Answer(gzip.compress(orjson.dumps(body)), is_binary=True)

    def greet(self, now_ns: int) -> Sequence[Step]:
        return [self._zipped({"event": "info", "version": 2})]

    def on_frame(self, frame: bytes, now_ns: int) -> Sequence[Step]:
        request = orjson.loads(frame)
        if "pong" in request:
            self._unanswered = 0
            return []
        topic = request["sub"]
        channel = self._channels.setdefault(topic, 100 + len(self._channels))
        return [self._zipped({"event": "subscribed", "chanId": channel}), Subscribe(topic)]

    def on_tick(self, now_ns: int) -> Sequence[Step]:
        self._unanswered += 1
        return [Close(1000, "no pong")] if self._unanswered > 2 else [self._zipped({"ping": now_ns // NS_PER_MS})]

    def wrap(self, topic: str, message: Message) -> bytes:
        self._seq += 1
        return gzip.compress(b"[%d,%b,%d]" % (self._channels[topic], message.payload, self._seq), 1)

    def notice(self, now_ns: int) -> Sequence[Step]:
        return [self._zipped({"event": "info", "code": 20051})]


class ToyDialect:
    """Two markets that spell their instrument alike; sockets want a token that a POST gives."""

    exchange: ClassVar[str] = "toy"
    traits: ClassVar[Traits] = Traits(has_checksum=True)

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"rest": http_base}

    def listings(self, count: int) -> list[Listing]:
        return [
            Listing(
                instrument=f"{coin.base}USDT",
                unique_name=f"{market}/{coin.base}USDT",
                market_type=market,
                base=coin.base,
                quote="USDT",
                tick=coin.tick,
                step=coin.step,
                price_decimals=decimals_of(coin.tick),
                qty_decimals=decimals_of(coin.step),
                start_price=coin.price,
                lot=coin.lot,
            )
            for coin in coins(count)
            for market in (MarketType.SPOT, MarketType.PERP_LINEAR)
        ]

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        return ToyPeer() if handshake.query.get("token") == TOKEN else RestReply(status=401, body=b"token")

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        return Book(venue, topic) if topic in venue.markets else None

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        if (request.method, request.path) != ("POST", "/bullet"):
            return RestReply(status=404, body=b"{}")
        return RestReply(body=orjson.dumps({"endpoint": request.ws_base + "/ws", "token": TOKEN}))

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return RestReply(status=status, body=b"{}")

    def recording(self, url: str) -> Recording:
        raise NotImplementedError("the toy records nothing")

    def recorded_key(self, path: str, query: Any) -> str:
        return path


@asynccontextmanager
async def toy_socket(sim: Simulator) -> AsyncIterator[ClientConnection]:
    async with aiohttp.ClientSession() as http, http.post(sim.endpoints["toy"]["rest"] + "/bullet") as reply:
        bullet = await reply.json()
    async with connect(
        f"{bullet['endpoint']}?token={bullet['token']}", ping_interval=None, close_timeout=0.2
    ) as socket:
        yield socket


def toy(**settings: Any) -> Simulator:
    config = SimConfig(instruments=1, rate=400, keep_ledger=True, **settings)
    return Simulator(config, dialects=[ToyDialect()])


async def test_bodies_name_the_host_that_the_client_asked() -> None:
    """Behind a Service the address that simex listens on is of no use to anybody."""
    async with toy() as sim, aiohttp.ClientSession() as http:
        asked = http.post(sim.endpoints["toy"]["rest"] + "/bullet", headers={"Host": "simex.demo.svc:8090"})
        async with asked as reply:
            assert (await reply.json())["endpoint"] == "ws://simex.demo.svc:8090/toy/ws"


async def receive(socket: ClientConnection) -> Any:
    return orjson.loads(gzip.decompress(await asyncio.wait_for(socket.recv(decode=False), 5)))


async def updates(socket: ClientConnection, count: int) -> list[Any]:
    """Data frames; pings are answered."""
    frames: list[Any] = []
    while len(frames) < count:
        body = await receive(socket)
        if isinstance(body, list):
            frames.append(body)
        elif "ping" in body:
            await socket.send(orjson.dumps({"pong": body["ping"]}), text=True)
    return frames


async def subscribed(socket: ClientConnection) -> None:
    assert (await receive(socket))["event"] == "info"
    await socket.send('{"sub":"perp_linear/BTCUSDT"}')
    while "ping" in (answer := await receive(socket)):  # they come on a timer, whatever else is said
        await socket.send(orjson.dumps({"pong": answer["ping"]}), text=True)
    assert answer == {"event": "subscribed", "chanId": 100}


async def test_numbers_run_per_connection_and_late_snapshots_join() -> None:
    async with toy() as sim, toy_socket(sim) as early:
        await subscribed(early)
        first = await updates(early, 20)
        async with toy_socket(sim) as late:
            await subscribed(late)
            second = await updates(late, 20)

    for frames in (first, second):
        assert [frame[0] for frame in frames] == [100] * 20
        assert [frame[2] for frame in frames] == list(range(1, 21))
        bodies = [frame[1] for frame in frames]
        assert [body["a"] for body in bodies] == ["snapshot"] + ["update"] * 19
        assert all(b["prev"] == a["seq"] for a, b in pairwise(bodies))
        bids, asks = dict(bodies[0]["b"]), dict(bodies[0]["s"])
        for body in bodies[1:]:
            bids = {t: q for t, q in {**bids, **dict(body["b"])}.items() if q}
            asks = {t: q for t, q in {**asks, **dict(body["s"])}.items() if q}
            levels = sorted(bids.items(), reverse=True), sorted(asks.items())
            assert crc32(repr(levels).encode()) == body["crc"]


async def test_a_wrong_checksum_is_sent_once_and_owned_up_to() -> None:
    async with toy() as sim, toy_socket(sim) as socket:
        await subscribed(socket)
        await updates(socket, 5)
        sim.add_fault("bad_checksum:symbol=BTCUSDT")
        await updates(socket, 10)
        withheld = [line for line in sim.ledger if not line["sent"]]

    assert [line["fault"] for line in withheld] == ["bad_checksum"]


async def test_a_client_that_answers_no_ping_is_let_go() -> None:
    async with toy() as sim, toy_socket(sim) as socket:
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_reason == "no pong"


async def test_a_socket_without_its_token_is_refused() -> None:
    async with (
        toy() as sim,
        aiohttp.ClientSession() as http,
        http.get(sim.control_url + "/toy/ws", headers={"Upgrade": "websocket", "Connection": "Upgrade"}) as reply,
    ):
        assert reply.status == 401


async def test_a_notice_speaks_the_venues_words() -> None:
    async with toy() as sim, toy_socket(sim) as socket:
        await receive(socket)
        sim.add_fault("notice:grace=100ms")
        async with asyncio.timeout(3):
            while (await receive(socket)).get("code") != 20051:
                pass
        await asyncio.wait_for(socket.wait_closed(), 3)
