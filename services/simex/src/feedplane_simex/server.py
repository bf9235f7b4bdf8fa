"""The network edge: one HTTP and WebSocket server for all venues, and the control routes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson
from aiohttp import WSMsgType, web
from feedplane_core.dialect import Handshake, RestReply, RestRequest
from feedplane_core.errors import UsageError
from feedplane_core.names import NS_PER_S

from .faults import FaultBoard, Scope
from .sockets import Socket
from .venue import VenueSim
from .wire import PING, Outbox

if TYPE_CHECKING:
    from .simulator import Simulator

_CLOSE_WITHIN_S = 2.0


def _query(request: web.Request) -> dict[str, str]:
    return dict(request.query)


def _headers(request: web.Request) -> dict[str, str]:
    return {key.lower(): value for key, value in request.headers.items()}


def _response(reply: RestReply) -> web.Response:
    return web.Response(
        status=reply.status, body=reply.body, headers={**reply.headers, "Content-Type": reply.content_type}
    )


class VenueServer:
    """Carries one venue's bytes below `/<exchange>`."""

    def __init__(self, venue: VenueSim, faults: FaultBoard, lifetime_s: float | None) -> None:
        self.venue = venue
        self._faults = faults
        self._lifetime_ns = None if lifetime_s is None else int(lifetime_s * NS_PER_S)
        self._numbers = 0
        self._live: dict[int, web.WebSocketResponse] = {}
        self._closing: set[asyncio.Task[bool]] = set()

    def routes(self, app: web.Application) -> None:
        app.router.add_route("*", f"/{self.venue.exchange}{{tail:.*}}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = unquote(request.match_info["tail"]) or "/"
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request, path)
        asked = RestRequest(
            method=request.method,
            path=path,
            query=_query(request),
            headers=_headers(request),
            body=await request.read(),
            ws_base=f"ws://{request.host}/{self.venue.exchange}",  # as the client knows us, be it by a Service's name
            http_base=f"http://{request.host}/{self.venue.exchange}",
            now_ns=time.time_ns(),
        )
        reply, delay_ns = self.venue.rest(asked)
        if delay_ns:
            await asyncio.sleep(delay_ns / NS_PER_S)
        return _response(reply)

    def _refusal(self, now_ns: int) -> int | None:
        for fault in self._faults.live(Scope.CONNECT, now_ns):
            if fault.exchange in ("", self.venue.exchange) and fault.strikes():
                return fault.number_of("code")
        return None

    async def _socket(self, request: web.Request, path: str) -> web.StreamResponse:
        now_ns = time.time_ns()
        transport = request.transport
        refused = self._refusal(now_ns)
        if refused is not None or transport is None:
            self.venue.counts.refused += 1
            if refused or transport is None:
                return web.Response(status=refused or 503)
            transport.abort()
            return web.Response(status=503)
        self._numbers += 1
        handshake = Handshake(path=path, query=_query(request), headers=_headers(request), number=self._numbers)
        peer = self.venue.connect(handshake)
        if isinstance(peer, RestReply):
            return _response(peer)
        ws = web.WebSocketResponse(
            autoping=False, autoclose=True, compress=self.venue.dialect.traits.deflate, timeout=_CLOSE_WITHIN_S
        )
        await ws.prepare(request)
        number = handshake.number
        outbox = Outbox(transport)
        socket = Socket(number, peer, outbox, now_ns, lambda code, why: self._close(number, code, why))
        self._live[number] = ws
        self.venue.attach(socket, now_ns)
        socket.outbox.flush()
        try:
            await self._read(ws, socket)
        finally:
            self._live.pop(number, None)
            self.venue.detach(socket, time.time_ns())
        return ws

    async def _read(self, ws: web.WebSocketResponse, socket: Socket) -> None:
        async for message in ws:
            if socket.outbox.is_frozen:
                continue
            now_ns = time.time_ns()
            if message.type is WSMsgType.TEXT:
                self.venue.on_frame(socket, message.data.encode(), now_ns)
            elif message.type is WSMsgType.BINARY:
                self.venue.on_frame(socket, message.data, now_ns)
            elif message.type is WSMsgType.PING:
                if self.venue.count_inbound(socket, now_ns):
                    await ws.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self.venue.count_inbound(socket, now_ns)
            socket.outbox.flush()

    def _close(self, number: int, code: int, reason: str) -> None:
        """End a socket: code 0 resets it."""
        socket, ws = self.venue.sockets.get(number), self._live.get(number)
        if socket is None or ws is None:
            return
        self.venue.detach(socket, time.time_ns())
        if not code:
            socket.outbox.abort()
            return
        socket.outbox.flush()
        task = asyncio.ensure_future(ws.close(code=code, message=reason.encode()))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def mind(self, now_ns: int) -> None:
        """Pings that are owed, and lifetimes shorter than the venue's own."""
        for socket in self.venue.mind_sockets(now_ns):
            socket.outbox.push(str(now_ns // 1_000_000).encode(), PING)
        if self._lifetime_ns is None:
            return
        for socket in list(self.venue.sockets.values()):
            if now_ns - socket.opened_ns >= self._lifetime_ns:
                socket.close(1001, "lifetime")

    async def close(self) -> None:
        """Go away from all clients."""
        for socket in list(self.venue.sockets.values()):
            socket.outbox.is_frozen = False
            socket.close(1001, "going away")
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_WITHIN_S)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def control_routes(sim: Simulator, app: web.Application) -> None:
    """Faults, the ledger and the truth, for whoever drives or judges a run."""

    async def add_fault(request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.read())
            name = body.pop("fault") if "fault" in body else body.pop("name")
            if body:
                name += ("," if ":" in name else ":") + ",".join(f"{k}={v}" for k, v in body.items())
            return _json(sim.add_fault(name).as_dict(), 201)
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError):
            return _json({"error": 'a body {"fault": "name:key=value,..."} is needed'}, 400)
        except UsageError as error:
            return _json({"error": str(error)}, 400)

    async def drop_faults(request: web.Request) -> web.Response:
        number = request.match_info.get("number", "")
        return _json({"removed": sim.clear_faults(int(number) if number else None)})

    async def list_faults(request: web.Request) -> web.Response:
        return _json([fault.as_dict() for fault in sim.faults.faults])

    async def flush(request: web.Request) -> web.Response:
        sim.ledger.flush()
        return _json({"lines": sim.ledger.total()})

    async def summary(request: web.Request) -> web.Response:
        return _json(sim.ledger.summary())

    async def state(request: web.Request) -> web.Response:
        venue = sim.venues.get(request.match_info["exchange"])
        return _json({"error": "no such exchange"}, 404) if venue is None else _json(venue.state())

    async def clients(request: web.Request) -> web.Response:
        venue = sim.venues.get(request.match_info["exchange"])
        if venue is None:
            return _json({"error": "no such exchange"}, 404)
        names = ("at_ns", "socket", "what", "topic")
        return _json([dict(zip(names, line, strict=True)) for line in venue.log])

    async def counts(request: web.Request) -> web.Response:
        return _json(sim.counts())

    app.router.add_post("/fault", add_fault)
    app.router.add_get("/fault", list_faults)
    app.router.add_delete("/fault", drop_faults)
    app.router.add_delete(r"/fault/{number:\d+}", drop_faults)
    app.router.add_get("/ledger/flush", flush)
    app.router.add_get("/ledger/summary", summary)
    app.router.add_get("/state/{exchange}", state)
    app.router.add_get("/clients/{exchange}", clients)
    app.router.add_get("/counts", counts)
