"""The dialect itself: sockets, `GET /markets`, replays. Source: README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec
import orjson
from feedplane_core.dialect import (
    Answer,
    Handshake,
    Listing,
    Message,
    Peer,
    Recorded,
    Recording,
    RestReply,
    RestRequest,
    Step,
    Stream,
    Subscribe,
    Traits,
    Unsubscribe,
    Venue,
    coins,
    decimals_of,
)
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_S, MarketType

from . import streams

_CHANNELS = {"trade": "trades", "snapshot": "book", "update": "book"}


class _Control(msgspec.Struct):
    op: str
    channels: list[str]


class _Head(msgspec.Struct):
    type: str = ""
    market: str = ""


class ToyPeer:
    """One client socket. Nothing is wrapped: all sockets get the same bytes."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def greet(self, now_ns: int) -> Sequence[Step]:
        return ()

    def on_frame(self, frame: bytes, now_ns: int) -> Sequence[Step]:
        try:
            control = msgspec.json.decode(frame, type=_Control)
        except msgspec.DecodeError as error:
            return [_error(str(error))]
        steps: dict[str, type[Subscribe | Unsubscribe]] = {"subscribe": Subscribe, "unsubscribe": Unsubscribe}
        if control.op not in steps:
            return [_error(f"no such operation: {control.op}")]
        for name in control.channels:
            kind, _, market = name.partition(":")
            if kind not in _CHANNELS.values() or market not in self._venue.markets:
                return [_error(f"no such channel: {name}")]
        ack = {"type": "ack", "op": control.op, "channels": control.channels}
        return [Answer(orjson.dumps(ack)), *(steps[control.op](name) for name in control.channels)]

    def on_tick(self, now_ns: int) -> Sequence[Step]:
        return ()

    def wrap(self, topic: str, message: Message) -> bytes:
        return message.payload

    def notice(self, now_ns: int) -> Sequence[Step]:
        return ()


def _error(message: str) -> Answer:
    return Answer(orjson.dumps({"type": "error", "message": message}))


class _SelfTellingRecording:
    """Every data frame names its type and market."""

    def read(self, frame: bytes) -> Recorded | None:
        try:
            head = msgspec.json.decode(frame, type=_Head)
        except msgspec.DecodeError:
            return None
        channel = _CHANNELS.get(head.type)
        return None if channel is None else Recorded(payload=frame, topics=(f"{channel}:{head.market}",))


class ToyDialect:
    """One kind of socket and one call."""

    exchange: ClassVar[str] = streams.EXCHANGE
    traits: ClassVar[Traits] = Traits(rest_weight=600, rest_window_ns=60 * NS_PER_S, seq_stride=3)

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        return {"ws": ws_base, "rest": http_base}

    def listings(self, count: int) -> list[Listing]:
        """Dollar pairs."""
        return [
            Listing(
                instrument=f"{coin.base}-USD",
                market_type=MarketType.SPOT,
                base=coin.base,
                quote="USD",
                tick=coin.tick,
                step=coin.step,
                price_decimals=decimals_of(coin.tick),
                qty_decimals=decimals_of(coin.step),
                start_price=coin.price,
                lot=coin.lot,
            )
            for coin in coins(count)
        ]

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        return ToyPeer(venue)

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        return streams.open_stream(topic, venue)

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        if request.path != "/markets":
            return RestReply(status=404, body=b'{"error":"no such call"}')
        rows = [
            {
                "name": market.listing.instrument,
                "base": market.listing.base,
                "quote": market.listing.quote,
                "tick": market.listing.tick,
                "step": market.listing.step,
                "open": market.status is InstrumentStatus.TRADING,
            }
            for market in venue.markets.values()
            if market.status is not InstrumentStatus.DELISTED
        ]
        return RestReply(body=orjson.dumps({"markets": rows}))

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        return RestReply(status=status, body=b'{"error":"slow down"}')

    def recording(self, url: str) -> Recording:
        return _SelfTellingRecording()

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        return path


DIALECT = ToyDialect
