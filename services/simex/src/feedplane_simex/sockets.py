"""Client connections, the channels they listen to, and what is counted of both."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from feedplane_core.dialect import Message, Peer, Stream

from .wire import BINARY, TEXT, Outbox


class Socket:
    """One client connection. `close(code, reason)` asks the server to end it; code 0 resets it without a closing frame."""

    def __init__(self, number: int, peer: Peer, outbox: Outbox, now_ns: int, close: Callable[[int, str], None]) -> None:
        self.number = number
        self.peer = peer
        self.outbox = outbox
        self.opened_ns = now_ns
        self.topics: dict[str, None] = {}
        self.close = close
        self.inbound = 0
        self.inbound_since_ns = now_ns
        self.heard_ns = now_ns
        self.pinged_ns = now_ns

    def send(self, topic: str, message: Message) -> None:
        self.outbox.push(self.peer.wrap(topic, message), BINARY if message.is_binary else TEXT)


class Channel:
    """A stream and the sockets that listen to it."""

    def __init__(self, topic: str, stream: Stream) -> None:
        self.topic = topic
        self.stream = stream
        self.sockets: dict[int, Socket] = {}
        self.held: list[Message] = []  # by the fault `reorder`


class Counts(msgspec.Struct):
    """What a venue has done since it began."""

    messages: int = 0  # issued to somebody, or withheld by a fault
    withheld: int = 0
    frames: int = 0  # messages x sockets
    requests: int = 0
    refused: int = 0  # requests over the budget or by a fault
    sockets: int = 0
    closed_slow: int = 0
    closed_flood: int = 0
