"""The binary frames of spot: the venue's schema, built in code, and one parse.

Source: repository mexcdevelop/websocket-proto (change of 2026-06-17), read 2026-11-20. Private messages (304, 306, 307) are left out, so they read as frames without
a body that is known. Fields that the venue adds are skipped, as protobuf has it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from feedplane_core.errors import DecodeError
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.message import DecodeError as _WireError  # type: ignore[import-untyped, unused-ignore]

Message: TypeAlias = Any
"""A message of the schema below: an attribute for each field, `""` or 0 where it is absent (proto3 sends no defaults)."""

CHANNEL = "protobuf"
BODY = "body"
_PACKAGE = "feedplane.mexc"
_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {"string": _FIELD.TYPE_STRING, "int32": _FIELD.TYPE_INT32, "int64": _FIELD.TYPE_INT64}

_SCHEMA: dict[str, str] = {
    "Level": "1 price string, 2 quantity string",
    "Deal": "1 price string, 2 quantity string, 3 tradeType int32, 4 time int64, 5 tradeId string",
    "Deals": "1 deals *Deal, 2 eventType string",
    "AggreDepths": "1 asks *Level, 2 bids *Level, 3 eventType string, 4 fromVersion string, 5 toVersion string, 6 lastOrderCreateTime int64",
    "LimitDepths": "1 asks *Level, 2 bids *Level, 3 eventType string, 4 version string, 5 lastOrderCreateTime int64",
    "Depths": "1 asks *Level, 2 bids *Level, 3 eventType string, 4 version string",
    "DepthsBatch": "1 items *Depths, 2 eventType string",
    "BookTicker": "1 bidPrice string, 2 bidQuantity string, 3 askPrice string, 4 askQuantity string, 5 version string, 6 lastOrderCreateTime int64",
    "BookTickerBatch": "1 items *BookTicker, 2 version string, 3 lastOrderCreateTime int64",
    "Kline": "1 interval string, 2 windowStart int64, 3 openingPrice string, 4 closingPrice string, 5 highestPrice string, 6 lowestPrice string, "
    "7 volume string, 8 amount string, 9 windowEnd int64",
    "MiniTicker": "1 symbol string, 2 price string",
    "MiniTickers": "1 items *MiniTicker",
}
"""Asks come before bids, and the closing price before the highest."""

_WRAPPER = "1 channel string, 3 symbol string, 4 symbolId string, 5 createTime int64, 6 sendTime int64"
_BODIES = (
    "301 publicDeals Deals, 302 publicIncreaseDepths Depths, 303 publicLimitDepths LimitDepths, 305 publicBookTicker BookTicker, 308 publicSpotKline Kline, "
    "309 publicMiniTicker MiniTicker, 310 publicMiniTickers MiniTickers, 311 publicBookTickerBatch BookTickerBatch, "
    "312 publicIncreaseDepthsBatch DepthsBatch, 313 publicAggreDepths AggreDepths, 314 publicAggreDeals Deals, 315 publicAggreBookTicker BookTicker"
)


def _add_fields(message: Message, text: str, *, are_bodies: bool = False) -> None:
    for part in text.split(", "):
        number, name, kind = part.split(" ")
        field = message.field.add(name=name, number=int(number))
        field.label = _FIELD.LABEL_REPEATED if kind.startswith("*") else _FIELD.LABEL_OPTIONAL
        if kind in _TYPES:
            field.type = _TYPES[kind]
        else:
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind.lstrip('*')}"
        if are_bodies:
            field.oneof_index = 0


def _wrapper_class() -> Any:
    """The class of `PushDataV3ApiWrapper`, in a pool of its own: no other package's schema can collide with it."""
    file = descriptor_pb2.FileDescriptorProto(name="feedplane_mexc.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _SCHEMA.items():
        _add_fields(file.message_type.add(name=name), fields)
    wrapper = file.message_type.add(name="Wrapper")
    wrapper.oneof_decl.add(name=BODY)
    _add_fields(wrapper, _WRAPPER)
    _add_fields(wrapper, _BODIES, are_bodies=True)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Wrapper"))


_parse = _wrapper_class().FromString


def parse(frame: bytes) -> Message:
    """One binary frame.

    Raises: DecodeError `schema` for what is no message of this schema.
    """
    try:
        return _parse(frame)
    except _WireError:
        raise DecodeError(CHANNEL, "schema", f"{len(frame)} bytes that are no message") from None
