"""One socket: every frame names its type, and that is all there is to know."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from feedplane_core.adapter import Action, Frame, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent

from .book import SnapshotFrame, UpdateFrame, decode_snapshot, decode_update
from .trades import TradeFrame, decode_trade
from .wire import JSON_ERRORS, refusal

_CHANNELS = {"trade": "trades", "snapshot": "book", "update": "book", "ack": "control", "error": "control"}
"""Type -> channel."""


class AckFrame(msgspec.Struct, tag_field="type", tag="ack", gc=False):
    """`{"type":"ack","op":"subscribe","channels":["trades:BTC-USD"]}`."""

    op: str


class ErrorFrame(msgspec.Struct, tag_field="type", tag="error", gc=False):
    """`{"type":"error","message":"no such channel: trades:NOPE"}`."""

    message: str


class _Probe(msgspec.Struct, gc=False):
    type: str = ""


_Frame: TypeAlias = TradeFrame | SnapshotFrame | UpdateFrame | AckFrame | ErrorFrame

_frame = msgspec.json.Decoder(_Frame).decode
_probe = msgspec.json.Decoder(_Probe).decode


class ToySession:
    """Frames to events; nothing is remembered between them."""

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One event a data frame, `[]` for acks. Raises: DecodeError."""
        try:
            message: _Frame = _frame(frame)
        except JSON_ERRORS as error:
            raise _refusal(frame, error) from error
        match message:
            case TradeFrame():
                return [decode_trade(message, recv_ns)]
            case UpdateFrame():
                return [decode_update(message, recv_ns)]
            case SnapshotFrame():
                return [decode_snapshot(message, recv_ns)]
            case AckFrame():
                return []
            case ErrorFrame():
                raise DecodeError("control", "venue_error", message.message[:200])

    def actions(self) -> list[Action]:
        return []

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """Raises: DecodeError always: this session never asks for a body."""
        raise DecodeError(tag.kind, "unknown_channel", "nothing was asked for")


def _refusal(frame: Frame, error: Exception) -> DecodeError:
    """Tells a broken message of a known type from a type that is not known."""
    try:
        kind = _probe(frame).type
    except JSON_ERRORS:
        return refusal("-", error)
    if kind not in _CHANNELS:
        return DecodeError("-", "unknown_channel", f"type {kind[:32]!r}")
    return refusal(_CHANNELS[kind], error)
