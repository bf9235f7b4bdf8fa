"""Sockets of the UTA system: a fixed host for each book of business, one symbol a frame, no token. Source: UTA docs, "Connection" and limits of 2026-09-20."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from feedplane_core.adapter import Channel, Connection, Frame, Ping
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, Feed

from .klines import INTERVALS
from .plan import PING_EVERY_NS, changed_topics, topics_of
from .symbols import trade_type_of
from .wire import TradeType

MAX_TOPICS = 600
"""Of one connection, by the documents."""
SEND_GAP_NS = 50 * NS_PER_MS
"""20 a second; the venue takes 300 in 10 s, pings included."""
BOOK = "increment@10ms"

_PING = b'{"id":"ping","type":"ping"}'
_FIRST_CHANGE_ID = 1_000_000
_CHANNELS = {
    Feed.TRADES: "trade",
    Feed.L1: "ticker",
    Feed.OB_DIFFS: "obu",
    Feed.MARK_PRICE: "mark-price",
    Feed.OPEN_INTEREST: "mark-price",
    Feed.FUNDING: "funding-fee",
}


class UtaPlan:
    """A topic is named `obu.SPOT:BTC-USDT:increment@10ms`: channel, trade type, symbol, and the depth or interval where it has one."""

    def __init__(self, hosts: Mapping[TradeType, str], intervals: Sequence[str], capacity: int) -> None:
        self._hosts = hosts
        self._intervals = intervals
        self._capacity = capacity

    def names(self, instrument: Instrument, feed: Feed) -> list[str]:
        place = f"{trade_type_of(instrument)}:{instrument.instrument}"
        if feed is Feed.KLINES:
            return [f"kline.{place}:{INTERVALS[key].name}" for key in self._intervals]
        if feed is Feed.OB_DIFFS:
            return [f"obu.{place}:{BOOK}"]
        return [f"{_CHANNELS[feed]}.{place}"] if feed in _CHANNELS else []

    def connection(self, trade_type: TradeType, number: int, carried: tuple[Channel, ...]) -> Connection:
        topics = topics_of(carried)
        return Connection(
            key=f"{trade_type.lower()}-{number}",
            url=self._hosts[trade_type],
            channels=carried,
            subscribe=tuple(_frame("subscribe", topic, 1 + place) for place, topic in enumerate(topics)),
            min_send_gap_ns=SEND_GAP_NS,
            ping=Ping(every_ns=PING_EVERY_NS, frame=_PING),
            max_frame_bytes=4 << 20,
            capacity=self._capacity,
            awaits_greeting=True,
        )

    def restart(self, channel: Channel) -> list[Frame]:
        return [
            _frame("unsubscribe", channel.name, _FIRST_CHANGE_ID),
            _frame("subscribe", channel.name, _FIRST_CHANGE_ID + 1),
        ]

    def change(self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]) -> list[Frame]:
        dropped, fresh = changed_topics(connection, added, removed)
        wishes = [("unsubscribe", topic) for topic in dropped] + [("subscribe", topic) for topic in fresh]
        return [_frame(action, topic, _FIRST_CHANGE_ID + place) for place, (action, topic) in enumerate(wishes)]


def _frame(action: str, topic: str, number: int) -> Frame:
    """`{"id":"1","action":"subscribe","channel":"obu","tradeType":"SPOT","symbol":"BTC-USDT","depth":"increment@10ms","rpiFilter":0}`"""
    head, symbol, *parameter = topic.split(":")
    channel, _, trade_type = head.partition(".")
    body: dict[str, str | int] = {
        "id": str(number),
        "action": action,
        "channel": channel,
        "tradeType": trade_type,
        "symbol": symbol,
    }
    if channel == "kline":
        body["interval"] = parameter[0]
    elif channel == "obu":
        body["depth"] = parameter[0]
        if action == "subscribe":
            body["rpiFilter"] = 0
    return orjson.dumps(body)
