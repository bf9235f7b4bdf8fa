"""When to ask for a spot book: after its first increment, not too fast, and again when the answer was too old. Pure: the clock is that of the frames."""

from __future__ import annotations

from collections import OrderedDict

import orjson
from feedplane_core.adapter import Frame
from feedplane_core.names import NS_PER_MS, NS_PER_S

REQUEST_GAP_NS = 100 * NS_PER_MS
"""Of one connection: the venue answers one request in 100 ms."""
RETRY_AFTER_NS = NS_PER_S
MAX_WAITING = 1_000


def book_request(topic: str) -> Frame:
    """`{"req":"market.btcusdt.mbp.150","id":"market.btcusdt.mbp.150"}`."""
    return orjson.dumps({"req": topic, "id": topic})


class BookRequests:
    """The books of one socket that are to be asked for. A topic is `market.btcusdt.mbp.150`.

    Source: HTX documents, "Market By Price (incremental update)", steps of keeping a book, read 2026-11-20.
    """

    def __init__(self) -> None:
        self._first_prev: dict[str, int] = {}  # of the first increment of each topic: an older book cannot be joined
        self._waiting: OrderedDict[str, int] = OrderedDict()  # topic -> not before
        self._asked_ns = -REQUEST_GAP_NS

    def on_increment(self, topic: str, prev_seq: int) -> None:
        """The first one of a topic makes it wait for its turn."""
        if topic not in self._first_prev and len(self._first_prev) < MAX_WAITING:
            self._first_prev[topic] = prev_seq
            self._waiting[topic] = 0

    def on_book(self, topic: str, seq: int, recv_ns: int) -> None:
        """An answer; one that ends before the first increment begins is asked for again."""
        if seq < self._first_prev.get(topic, 0):
            self._waiting.setdefault(topic, recv_ns + RETRY_AFTER_NS)

    def on_refusal(self, topic: str, recv_ns: int) -> None:
        """The venue would not answer: too many requests, or a time-out."""
        if topic in self._first_prev:
            self._waiting.setdefault(topic, recv_ns + RETRY_AFTER_NS)

    def due(self, recv_ns: int) -> str | None:
        """The topic to ask for now, if there is one."""
        if not self._waiting or 0 <= recv_ns - self._asked_ns < REQUEST_GAP_NS:
            return None
        for topic, not_before_ns in self._waiting.items():
            if not_before_ns <= recv_ns:
                del self._waiting[topic]
                self._asked_ns = recv_ns
                return topic
        return None
