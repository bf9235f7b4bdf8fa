"""One simulated venue: its dialect over its world, its sockets and channels, what faults do to them, and the account of it all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from feedplane_core.dialect import (
    Answer,
    Close,
    Dialect,
    Handshake,
    Happening,
    Message,
    Peer,
    RestReply,
    RestRequest,
    Step,
    Subscribe,
    Unsubscribe,
    Want,
)
from feedplane_core.dialect import DepthBatch as _DepthBatch

from .faults import Fault, FaultBoard, Scope
from .ledger import Ledger
from .mangle import HARMLESS, mangled
from .sockets import Channel, Counts, Socket
from .wire import BINARY, TEXT
from .world import World

LOG_KEPT = 20_000
"""What clients did, for the judge: openings, subscriptions, ends."""
RESEND_KEPT = 2000
"""Messages remembered per venue, for the fault `resend`."""
RouteKey = tuple[type[Happening], str, tuple[int, int]]


class VenueSim:
    """Everything of one venue that needs no network: the server drives it and carries its bytes."""

    is_replay = False

    def __init__(
        self, dialect: Dialect, world: World, ledger: Ledger, faults: FaultBoard, spare_listings: list[Any]
    ) -> None:
        self.dialect = dialect
        self.exchange = dialect.exchange
        self.world = world
        self.counts = Counts()
        self.sockets: dict[int, Socket] = {}
        self.channels: dict[str, Channel] = {}
        self.spare_listings = spare_listings  # for the fault `list`
        self._ledger = ledger
        self._faults = faults
        self._routes: dict[RouteKey, list[Channel]] = {}
        self.log: deque[tuple[int, int, str, str]] = deque(maxlen=LOG_KEPT)  # time, socket, what, topic
        self._recent: deque[tuple[str, Message]] = deque(maxlen=RESEND_KEPT)
        self._stale = world.frozen_copy()
        self._weight = 0
        self._weight_window = 0

    # Sockets

    def connect(self, handshake: Handshake) -> Peer | RestReply:
        return self.dialect.open_socket(handshake, self.world)

    def attach(self, socket: Socket, now_ns: int) -> None:
        self.sockets[socket.number] = socket
        self.counts.sockets += 1
        self.log.append((now_ns, socket.number, "open", ""))
        self.perform(socket, socket.peer.greet(now_ns), now_ns)

    def detach(self, socket: Socket, now_ns: int) -> None:
        if self.sockets.pop(socket.number, None) is not None:
            self.log.append((now_ns, socket.number, "end", ""))
        for topic in list(socket.topics):
            self._unsubscribe(socket, topic)

    def on_frame(self, socket: Socket, frame: bytes, now_ns: int) -> None:
        """A data frame from the client."""
        if self.count_inbound(socket, now_ns):
            self.perform(socket, socket.peer.on_frame(frame, now_ns), now_ns)

    def count_inbound(self, socket: Socket, now_ns: int) -> bool:
        """Whether the client is within the venue's limit of messages; closes the socket if it is not."""
        if socket.number not in self.sockets:
            return False  # it is being closed already
        traits = self.dialect.traits
        socket.heard_ns = now_ns
        if traits.inbound_limit is None:
            return True
        if now_ns - socket.inbound_since_ns >= traits.inbound_window_ns:
            socket.inbound, socket.inbound_since_ns = 0, now_ns
        socket.inbound += 1
        if socket.inbound <= traits.inbound_limit:
            return True
        self.counts.closed_flood += 1
        socket.close(1008, "Too many requests")
        return False

    def perform(self, socket: Socket, steps: Iterable[Step], now_ns: int) -> None:
        for step in steps:
            match step:
                case Answer(frame, is_binary):
                    socket.outbox.push(frame, BINARY if is_binary else TEXT)
                case Subscribe(topic):
                    self._subscribe(socket, topic, now_ns)
                case Unsubscribe(topic):
                    self.log.append((now_ns, socket.number, "unsubscribe", topic))
                    self._unsubscribe(socket, topic)
                case Close(code, reason):
                    socket.close(code, reason)

    def _subscribe(self, socket: Socket, topic: str, now_ns: int) -> None:
        channel = self.channels.get(topic)
        if channel is None:
            stream = self.dialect.open_stream(topic, self.world)
            if stream is None:
                return
            channel = self.channels[topic] = Channel(topic, stream)
            for want in stream.wants:
                self._routes.setdefault(_route_of(want), []).append(channel)
                self.world.start(want, now_ns)
        elif socket.number in channel.sockets:
            return
        else:
            self._flush_depth(channel, now_ns)
        socket.topics[topic] = None
        self.log.append((now_ns, socket.number, "subscribe", topic))
        channel.sockets[socket.number] = socket
        for message in channel.stream.welcome(now_ns):
            self._deliver(channel, message, now_ns, only=socket)

    def flush_depth_of(self, instrument: str, now_ns: int) -> None:
        """Send all pending depth of an instrument at once."""
        market = self.world.markets[instrument]
        for every_ns in list(market.pending):
            batch = market.flush(every_ns, self.world.now_ns())
            if batch is not None:
                self._route(batch, now_ns)

    def _flush_depth(self, channel: Channel, now_ns: int) -> None:
        """Bring the channel's earlier listeners up to now, so that a snapshot for a new one joins what all get next."""
        for want in channel.stream.wants:
            market = self.world.markets.get(want.instrument)
            if want.kind is _DepthBatch and market is not None:
                batch = market.flush(want.every_ns, self.world.now_ns())
                if batch is not None:
                    self._route(batch, now_ns)

    def _unsubscribe(self, socket: Socket, topic: str) -> None:
        socket.topics.pop(topic, None)
        channel = self.channels.get(topic)
        if channel is None:
            return
        channel.sockets.pop(socket.number, None)
        if channel.sockets:
            return
        del self.channels[topic]
        for want in channel.stream.wants:
            key = _route_of(want)
            listeners = self._routes[key]
            listeners.remove(channel)
            if not listeners:
                del self._routes[key]
                self.world.stop(want)

    # Happenings

    def tick(self, now_ns: int) -> int:
        """Timers that have come due; returns messages issued."""
        before = self.counts.messages
        for happening in self.world.due(now_ns):
            self._route(happening, now_ns)
        return self.counts.messages - before

    def act(self, now_ns: int) -> int:
        """One random act of the world; returns messages issued."""
        before = self.counts.messages
        for happening in self.world.act():
            self._route(happening, now_ns)
        return self.counts.messages - before

    def tell(self, happening: Happening, now_ns: int) -> None:
        """A happening made from outside (listings, halts)."""
        self._route(happening, now_ns)

    def _route(self, happening: Happening, now_ns: int) -> None:
        kind, route = type(happening), happening.route
        for name in (happening.instrument, "") if happening.instrument else ("",):
            for channel in self._routes.get((kind, name, route), ()):
                for message in channel.stream.on(happening, now_ns):
                    self._deliver(channel, message, now_ns)

    # Delivery

    def _deliver(self, channel: Channel, message: Message, now_ns: int, only: Socket | None = None) -> None:
        targets = (only,) if only is not None else tuple(channel.sockets.values())
        self.counts.messages += 1
        if self._faults.faults:
            is_data = bool(message.events) or self.is_replay
            stream = channel.stream
            fault = self._faults.hit(self.exchange, stream.instrument, stream.feeds, now_ns, is_data=is_data)
            if fault is not None:
                self._deliver_faulty(channel, message, targets, fault, now_ns)
                return
        self._send(channel, message, targets, now_ns, is_welcome=only is not None)

    def _send(
        self,
        channel: Channel,
        message: Message,
        targets: Sequence[Socket],
        now_ns: int,
        *,
        fault: str = "",
        is_welcome: bool = False,
    ) -> None:
        reached = 0
        for socket in targets:
            socket.send(channel.topic, message)
            reached += not (socket.outbox.is_frozen or socket.outbox.is_closing)
        self.counts.frames += len(targets)
        if not is_welcome:
            self._recent.append((channel.topic, message))
        if not reached and not fault:
            fault = "half_open" if any(s.outbox.is_frozen for s in targets) else "cut"
        self._account(message, now_ns, sent=bool(reached), fault=fault, is_welcome=is_welcome)
        if channel.held:
            held, channel.held = channel.held, []
            for late in held:
                for socket in channel.sockets.values():
                    socket.send(channel.topic, late)

    def _account(self, message: Message, now_ns: int, *, sent: bool, fault: str = "", is_welcome: bool = False) -> None:
        if not sent:
            self.counts.withheld += 1
        for event in message.events:
            if is_welcome and self._ledger.was_issued(event):
                continue  # told again to a newcomer: nothing new
            self._ledger.issue(event, now_ns, sent=sent, fault=fault)

    def _deliver_faulty(
        self, channel: Channel, message: Message, targets: Sequence[Socket], fault: Fault, now_ns: int
    ) -> None:
        spared = [s for s in targets if fault.socket is not None and s.number != fault.socket]
        struck = [s for s in targets if s not in spared]
        name = fault.name
        if name == "duplicate":
            self._send(channel, message, targets, now_ns, fault=name)
            for socket in struck:
                socket.send(channel.topic, message)
        elif name == "reorder" and not channel.held:
            channel.held.append(message)
            self._account(message, now_ns, sent=True, fault=name)
        elif name in ("stall", "drop"):
            self._send_spared(channel, message, spared, name, now_ns)
        else:
            broken = self._broken(channel, message, fault)
            if broken is None:
                fault.take_back()
                self._send(channel, message, targets, now_ns)
                return
            for socket in struck:
                socket.send(channel.topic, broken)
            if fault.values.get("how") in HARMLESS:
                for socket in spared:
                    socket.send(channel.topic, message)
                self._account(message, now_ns, sent=True, fault=name)
            else:
                self._send_spared(channel, message, spared, name, now_ns)

    def _send_spared(
        self, channel: Channel, message: Message, spared: Sequence[Socket], fault: str, now_ns: int
    ) -> None:
        for socket in spared:
            socket.send(channel.topic, message)
        self._account(message, now_ns, sent=bool(spared), fault=fault)

    def _broken(self, channel: Channel, message: Message, fault: Fault) -> Message | None:
        if fault.name == "bad_checksum":
            return channel.stream.with_wrong_checksum(message)
        if fault.name in ("malformed", "drift"):
            return msgspec.structs.replace(message, payload=mangled(message, fault.values["how"]))
        return None

    def release_held(self) -> None:
        """Send what `reorder` holds back, where no neighbour came."""
        for channel in self.channels.values():
            for message in channel.held:
                for socket in channel.sockets.values():
                    socket.send(channel.topic, message)
            channel.held.clear()

    def resend(self, fault: Fault) -> None:
        """The venue's last `n` messages once more, of the instrument or feed the fault names: nothing new is issued."""
        for topic, message in list(self._recent)[-fault.number_of("n") :]:
            channel = self.channels.get(topic)
            if channel is None or not fault.concerns(self.exchange, channel.stream.instrument, channel.stream.feeds):
                continue
            for socket in channel.sockets.values():
                socket.send(topic, message)

    # REST

    def rest(self, request: RestRequest) -> tuple[RestReply, int]:
        """The answer and how long to wait with it (ns)."""
        self.counts.requests += 1
        now_ns, traits = request.now_ns, self.dialect.traits
        delay_ns, is_stale = 0, False
        for fault in self._faults.live(Scope.REST, now_ns):
            if not self._concerns_request(fault, request) or not fault.strikes():
                continue
            if fault.name == "rest_slow":
                delay_ns = fault.span_ns("delay")
            elif fault.name == "stale_snapshot":
                is_stale = True
            else:
                return self._refuse(
                    fault.number_of("code"), fault.span_ns("retry_after") if fault.name == "status" else 0
                ), delay_ns
        reply = self._answer(request, is_stale)
        window = now_ns // traits.rest_window_ns
        if window != self._weight_window:
            self._weight, self._weight_window = 0, window
        self._weight += reply.weight
        if self._weight > traits.rest_weight:
            return self._refuse(429, (window + 1) * traits.rest_window_ns - now_ns), delay_ns
        for event in reply.events:
            if self._ledger.was_issued(event):
                continue
            self._ledger.issue(event, now_ns, sent=True)
        if traits.rest_used_header:
            reply = msgspec.structs.replace(
                reply, headers={**reply.headers, traits.rest_used_header: str(self._weight)}
            )
        return reply, delay_ns

    def _answer(self, request: RestRequest, is_stale: bool) -> RestReply:
        return self.dialect.rest(request, self._stale if is_stale else self.world)

    def _concerns_request(self, fault: Fault, request: RestRequest) -> bool:
        if fault.exchange and fault.exchange != self.exchange:
            return False
        where = f"{request.path}?{'&'.join(request.query.values())}"
        return not fault.instrument or fault.instrument in where

    def _refuse(self, status: int, retry_after_ns: int) -> RestReply:
        self.counts.refused += 1
        seconds = -(-retry_after_ns // 1_000_000_000)
        reply = self.dialect.refusal(status, seconds)
        headers = {**reply.headers, "Retry-After": str(seconds)} if seconds else dict(reply.headers)
        return msgspec.structs.replace(reply, status=status, headers=headers)

    # Clocks of sockets

    def mind_sockets(self, now_ns: int) -> list[Socket]:
        """About once a second: application duties, lifetimes, patience; returns sockets that are owed a protocol ping."""
        traits, owed = self.dialect.traits, []
        for socket in list(self.sockets.values()):
            self.perform(socket, socket.peer.on_tick(now_ns), now_ns)
            if traits.lifetime_ns is not None and now_ns - socket.opened_ns >= traits.lifetime_ns:
                socket.close(1001, "lifetime")
            if traits.ping_every_ns is None or socket.outbox.is_frozen:
                continue
            if now_ns - socket.heard_ns > traits.ping_every_ns + traits.pong_within_ns:
                socket.close(1008, "Pong timeout")
            elif now_ns - socket.pinged_ns >= traits.ping_every_ns:
                socket.pinged_ns = now_ns
                owed.append(socket)
        return owed

    def flush(self) -> None:
        """Hand all queued frames to the network; a client that does not read is cut off, as venues do."""
        for socket in list(self.sockets.values()):
            if not socket.outbox.flush():
                self.counts.closed_slow += 1
                socket.outbox.abort()

    # For the judge

    def state(self) -> dict[str, Any]:
        """The truth of every instrument, as text."""
        return {name: _market_state(market) for name, market in self.world.markets.items()}


def _route_of(want: Want) -> RouteKey:
    return want.kind, want.instrument, (want.every_ns, want.interval_s)


def _market_state(market: Any) -> dict[str, Any]:
    trade = market.last_trade
    return {
        "instrument": market.listing.instrument,
        "market_type": market.listing.market_type,
        "status": market.status,
        "seq": market.seq,
        "bids": market.levels_text(market.bids(5000)),
        "asks": market.levels_text(market.asks(5000)),
        "last_trade": None
        if trade is None
        else {
            "number": trade.number,
            "price": market.price_text(trade.price),
            "qty": market.qty_text(trade.qty),
            "aggressor": "buy" if trade.is_buy else "sell",
            "ts_event_ns": trade.ts_ns,
        },
        "mark_price": market.mark_text(market.mark),
        "index_price": market.mark_text(market.index),
        "funding_rate": market.mark_text(market.funding),
        "next_funding_ns": market.next_funding_ns,
        "open_interest": market.qty_text(market.open_interest),
    }
