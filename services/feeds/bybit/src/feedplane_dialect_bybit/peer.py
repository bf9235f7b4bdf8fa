"""One client socket: subscribe, unsubscribe, ping, and what a category answers to each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from feedplane_core.dialect import Answer, Close, Handshake, Message, RestReply, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_S

from .listing import CATEGORIES, SPOT
from .streams import is_known

MAX_ARGS_CHARS = 21_000
MAX_SPOT_ARGS = 10
IDLE_NS = 600 * NS_PER_S
_PATH = "/v5/public/"


def open_peer(handshake: Handshake, venue: Venue) -> BybitPeer | RestReply:
    """`/v5/public/linear`: the category is the path."""
    category = handshake.path.removeprefix(_PATH).strip("/")
    if not handshake.path.startswith(_PATH) or category not in CATEGORIES:
        return RestReply(status=404, body=b"", content_type="text/plain")
    return BybitPeer(category, handshake.number, venue)


class BybitPeer:
    """A topic of the runtime is `category/topic`: the same text means another instrument on another path."""

    def __init__(self, category: str, number: int, venue: Venue) -> None:
        self._category = category
        self._venue = venue
        self._conn_id = f"{number:08x}-ab26-424d-b2c3-74acb11eb61b"
        self._topics: dict[str, None] = {}
        self._heard_ns = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        return []

    def on_tick(self, now_ns: int) -> list[Step]:
        """Whoever neither pings nor asks is let go."""
        return [Close(1000, "idle")] if now_ns - self._heard_ns > IDLE_NS else []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [self._answer("", "", error="error:invalid json")]
        if not isinstance(request, Mapping):
            return [self._answer("", "", error="error:invalid request")]
        op, req_id = str(request.get("op", "")), str(request.get("req_id", ""))
        if op == "ping":
            return [self._pong(req_id)]
        args = request.get("args")
        if op not in ("subscribe", "unsubscribe") or not isinstance(args, list):
            return [self._answer(op, req_id, error="error:unknown op")]
        if error := self._error_of(op, args):
            return [self._answer(op, req_id, error=error)]
        if op == "unsubscribe":
            known = [topic for topic in args if self._topics.pop(topic, self) is None]
            return [*(Unsubscribe(f"{self._category}/{topic}") for topic in known), self._answer(op, req_id)]
        self._topics.update(dict.fromkeys(args))
        # Data may come before the acknowledgement (Bybit.Net#200).
        return [*(Subscribe(f"{self._category}/{topic}") for topic in args), self._answer(op, req_id)]

    def _error_of(self, op: str, args: list[Any]) -> str:
        """One bad topic fails the whole request."""
        if not all(isinstance(topic, str) for topic in args):
            return "error:params error"
        if self._category == SPOT and len(args) > MAX_SPOT_ARGS:
            return "error:args size >10"
        for topic in args:
            if not is_known(self._category, topic, self._venue):
                return f"error:handler not found,topic:{topic}"
            if op == "subscribe" and topic in self._topics:
                return f"error:already subscribed,topic:{topic}"
        if op == "subscribe" and sum(map(len, [*self._topics, *args])) > MAX_ARGS_CHARS:
            return "error:args length exceeds the limit"
        return ""

    def _answer(self, op: str, req_id: str, *, error: str = "") -> Answer:
        told = error or (op if self._category == SPOT else "")
        return self._told(success=not error, text=told, req_id=req_id, op=op)

    def _pong(self, req_id: str) -> Answer:
        """The op of a pong is `ping`; on spot without `req_id`."""
        return self._told(success=True, text="pong", req_id=None if self._category == SPOT else req_id, op="ping")

    def _told(self, *, success: bool, text: str, req_id: str | None, op: str) -> Answer:
        body: dict[str, object] = {"success": success, "ret_msg": text, "conn_id": self._conn_id}
        if req_id is not None:
            body["req_id"] = req_id
        return Answer(orjson.dumps(body | {"op": op}))

    def wrap(self, topic: str, message: Message) -> bytes:
        """Frames are the same for all sockets of a category."""
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        """The venue gives none: a socket may be cut at any time."""
        return []
