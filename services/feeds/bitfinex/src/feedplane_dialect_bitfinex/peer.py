"""One client socket: configuration, one channel a frame, ids, and one counter over all array frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from feedplane_core.dialect import Answer, Close, Handshake, Message, RestReply, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_S

from .channel import INTERVALS_S, Numbered, ms
from .streams import BOOK_EVERY_NS, LENGTHS, book_topic, is_derivative

TIMESTAMP, SEQ_ALL, OB_CHECKSUM = 32_768, 65_536, 131_072
MAX_CHANNELS = 36
IDLE_NS = 60 * NS_PER_S
_REMEMBERED = 4_096
_PRECISIONS = ("P0", "P1", "P2", "P3", "P4", "R0")


class _Chan:
    """One subscription of this socket, and the numbers under which its messages went out."""

    def __init__(self, chan_id: int) -> None:
        self.id = chan_id
        self.last: int | None = None
        self.numbers: dict[int, int] = {}
        self.greeting: Message | None = None
        self.greeted_as = 0


def open_peer(handshake: Handshake, venue: Venue) -> BitfinexPeer | RestReply:
    if handshake.path.rstrip("/") != "/ws/2":
        return RestReply(status=404, body=b"", content_type="text/plain")
    return BitfinexPeer(handshake.number, venue)


class BitfinexPeer:
    """Frames are `[CHAN_ID, ..., SEQ, TS]`, the tail as configured. A message that was withheld has had its number, and a repeat has the old one."""

    def __init__(self, number: int, venue: Venue) -> None:
        self._venue = venue
        self._number = number
        self._flags = 0
        self._sequence = 0
        self._next_id = 10_000 * number
        self._chans: dict[str, _Chan] = {}
        self._heard_ns = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        info = {"event": "info", "version": 2, "serverId": f"{self._number:08x}", "platform": {"status": 1}}
        return [Answer(orjson.dumps(info))]

    def on_tick(self, now_ns: int) -> list[Step]:
        """Who has no channel and says nothing is let go."""
        is_idle = not self._chans and now_ns - self._heard_ns > IDLE_NS
        return [Close(1000, "idle")] if is_idle else []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        """What is no JSON gets no answer."""
        self._heard_ns = now_ns
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return []
        if not isinstance(request, Mapping):
            return []
        match request.get("event"):
            case "ping":
                return [_tell({"event": "pong", "ts": ms(now_ns), "cid": request.get("cid")})]
            case "conf":
                return [self._configure(request.get("flags"))]
            case "subscribe":
                return self._subscribe(request)
            case "unsubscribe":
                return self._unsubscribe(request.get("chanId"))
        return [_tell({"event": "error", "msg": "unknown event", "code": 10000})]

    def _configure(self, flags: object) -> Answer:
        if not isinstance(flags, int):
            return _tell({"event": "error", "msg": "conf: invalid", "code": 10050})
        self._flags = flags
        return _tell({"event": "conf", "status": "OK", "flags": flags})

    def _subscribe(self, request: Mapping[str, Any]) -> list[Step]:
        wanted = {key: value for key, value in request.items() if key != "event"}
        channel, symbol = wanted.get("channel"), str(wanted.get("symbol", ""))
        if channel in ("candles", "status"):
            return self._subscribe_key(str(channel), wanted)
        if channel not in ("trades", "book", "ticker"):
            return [self._refuse("channel: unknown", 10302, wanted)]
        if symbol not in self._venue.markets:
            return [self._refuse("symbol: invalid", 10300, wanted)]
        told = {"symbol": symbol, "pair": symbol[1:]}
        if channel != "book":
            return self._open(f"{channel}:{symbol}", wanted, told)
        prec, freq = str(wanted.get("prec", "P0")), str(wanted.get("freq", "F0"))
        length = str(wanted.get("len", "25"))
        if prec not in _PRECISIONS or freq not in BOOK_EVERY_NS or length not in LENGTHS:
            return [self._refuse("book: invalid", 10300, wanted)]
        book = {"symbol": symbol, "prec": prec, "freq": freq, "len": length, "pair": symbol[1:]}
        return self._open(book_topic(symbol, prec, freq, length), wanted, book)

    def _subscribe_key(self, channel: str, wanted: Mapping[str, Any]) -> list[Step]:
        """Acks of keys carry neither symbol nor pair; a derivative that is not known gets no answer at all."""
        key = str(wanted.get("key", ""))
        if channel == "status":
            if key != "liq:global" and not is_derivative(self._venue, key.removeprefix("deriv:")):
                return []
        else:
            kind, interval, symbol = (*key.split(":", 2), "", "", "")[:3]
            if kind != "trade" or interval not in INTERVALS_S or symbol not in self._venue.markets:
                return [self._refuse("key: invalid", 10300, wanted)]
        return self._open(f"{channel}:{key}", wanted, {"key": key})

    def _open(self, topic: str, wanted: Mapping[str, Any], told: Mapping[str, Any]) -> list[Step]:
        held = self._chans.get(topic)
        if held is not None:
            return [self._refuse("subscribe: dup", 10301, {**wanted, "chanId": held.id})]
        if len(self._chans) >= MAX_CHANNELS:
            return [self._refuse("subscribe: limit", 10305, wanted)]
        self._next_id += 1
        self._chans[topic] = _Chan(self._next_id)
        ack = {"event": "subscribed", "channel": wanted["channel"], "chanId": self._next_id, **told}
        if "subId" in wanted:
            ack["subId"] = wanted["subId"]
        return [_tell(ack), Subscribe(topic)]

    def _unsubscribe(self, chan_id: object) -> list[Step]:
        for topic, chan in self._chans.items():
            if chan.id == chan_id:
                del self._chans[topic]
                return [Unsubscribe(topic), _tell({"event": "unsubscribed", "status": "OK", "chanId": chan.id})]
        return [_tell({"event": "error", "msg": "unsubscribe: invalid", "code": 10400, "chanId": chan_id})]

    def _refuse(self, text: str, code: int, wanted: Mapping[str, Any]) -> Answer:
        return _tell({"event": "error", "msg": text, "code": code, **wanted})

    def wrap(self, topic: str, message: Message) -> bytes:
        """`[CHAN_ID,` payload `,SEQ,TS]`; what is no array goes out as it is."""
        payload, chan = message.payload, self._chans.get(topic)
        number = self._number_of(chan, message) if chan is not None else 0
        if chan is None or not payload.startswith(b"["):
            return payload
        frame = b"[%d,%b" % (chan.id, payload[1:-1])
        if self._flags & SEQ_ALL:
            frame += b",%d" % number
        if self._flags & TIMESTAMP:
            at_ms = message.ts_ms if isinstance(message, Numbered) else ms(self._venue.now_ns())
            frame += b",%d" % at_ms
        return frame + b"]"

    def _number_of(self, chan: _Chan, message: Message) -> int:
        if not isinstance(message, Numbered):
            return self._count()
        place = message.number
        if place is None:
            if message is not chan.greeting:
                chan.greeting, chan.greeted_as, chan.last = message, self._count(), message.after
            return chan.greeted_as
        if chan.last is not None and place <= chan.last:
            return chan.numbers.get(place, 1)
        for skipped in range(place if chan.last is None else chan.last + 1, place):
            chan.numbers[skipped] = self._count()
        chan.last = place
        chan.numbers[place] = number = self._count()
        while len(chan.numbers) > _REMEMBERED:
            del chan.numbers[next(iter(chan.numbers))]
        return number

    def _count(self) -> int:
        self._sequence += 1
        return self._sequence

    def notice(self, now_ns: int) -> list[Step]:
        """20051: the server stops, reconnect."""
        return [_tell({"event": "info", "code": 20051, "msg": "Stopping. Please try to reconnect"})]


def _tell(body: Mapping[str, object]) -> Answer:
    return Answer(orjson.dumps(body))
