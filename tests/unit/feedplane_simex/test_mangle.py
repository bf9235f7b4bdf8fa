"""Broken payloads: broken where it matters, whole where it is meant to do no harm."""

from __future__ import annotations

import json

import pytest
from feedplane_core.dialect import Message
from feedplane_core.events import DepthDiff, Trade
from feedplane_core.names import Aggressor, MarketType
from feedplane_simex.mangle import mangled

COMMON = {"exchange": "x", "market_type": MarketType.SPOT, "instrument": "A", "ts_event_ns": 1, "ts_recv_ns": 2}
TRADE = Message(
    payload=b'{"e":"trade","t":5,"p":"12.50","q":"1"}',
    events=(Trade(**COMMON, trade_id="5", price="12.50", qty="1", aggressor=Aggressor.BUY),),
)
NUMBERS = Message(
    payload=b'{"symbol":"A","price":12.50,"qty":112.50}',
    events=(Trade(**COMMON, trade_id="5", price="12.50", qty="112.50", aggressor=Aggressor.BUY),),
)
DEPTH = Message(
    payload=b'{"b":[["10.1","3"],["10.0","1"]],"a":[]}',
    events=(DepthDiff(**COMMON, bids=[["10.1", "3"], ["10.0", "1"]], asks=[]),),
)


@pytest.mark.parametrize(
    ("message", "how", "expected"),
    [
        (TRADE, "nan", b'{"e":"trade","t":5,"p":"NaN","q":"1"}'),
        (TRADE, "huge", b'{"e":"trade","t":5,"p":"1e400","q":"1"}'),
        (TRADE, "missing", b'{"e":"trade","t":5,"q":"1"}'),
        (TRADE, "type", b'{"e":"trade","t":5,"p":{"a":true},"q":"1"}'),
        (NUMBERS, "nan", b'{"symbol":"A","price":NaN,"qty":112.50}'),
        (NUMBERS, "missing", b'{"symbol":"A","qty":112.50}'),
        (DEPTH, "negzero", b'{"b":[["-0","3"],["10.0","1"]],"a":[]}'),
        (DEPTH, "missing", b'{"b":[["3"],["10.0","1"]],"a":[]}'),
    ],
)
def test_the_telling_number_is_struck(message: Message, how: str, expected: bytes) -> None:
    assert mangled(message, how) == expected


@pytest.mark.parametrize("message", [TRADE, NUMBERS, DEPTH])
def test_additions_keep_what_was_there(message: Message) -> None:
    whole = json.loads(message.payload)

    assert json.loads(mangled(message, "extra")) == {"newField": {"since": 1}, **whole}
    assert json.loads(mangled(message, "dupkeys")) == whole


def test_a_repeated_key_is_there_twice() -> None:
    assert mangled(TRADE, "dupkeys").count(b'"e":"trade"') == 2


@pytest.mark.parametrize("how", ["json", "utf8", "deep", "nan", "missing", "type"])
def test_binary_payloads_are_broken_too(how: str) -> None:
    binary = Message(payload=bytes(range(64)), events=TRADE.events, is_binary=True)

    assert mangled(binary, how) != binary.payload
