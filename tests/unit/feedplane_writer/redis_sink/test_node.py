"""A server's task ends when it is told to, whatever arrives at that moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from feedplane_core.names import NS_PER_S, Mode
from feedplane_writer.redis_sink import node as module
from feedplane_writer.redis_sink.books import Books
from feedplane_writer.redis_sink.connection import Login
from feedplane_writer.redis_sink.entries import Entry, HotKey
from feedplane_writer.redis_sink.kinds import L1
from feedplane_writer.redis_sink.node import Limits, Node
from feedplane_writer.redis_sink.pipelines import Answers, Pipeline

T0_NS = 1_790_000_000 * NS_PER_S


class HeldAnswers:
    """A connection that answers when the test says so."""

    is_open = True

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[list[Any]]] = []

    def send(self, payload: bytes, count: int) -> asyncio.Future[list[Any]]:
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]

    def abort(self) -> None:
        self.is_open = False


class Notes:
    """A store that notes what its node tells."""

    def __init__(self) -> None:
        self.back: list[Entry] = []
        self.unknown = 0

    def add(self, entry: Entry) -> None:
        self.back.append(entry)

    def on_connected(self, node: Node, again: bool) -> None:
        """Not noted."""

    def on_trouble(self, node: Node) -> None:
        """Not noted."""

    def on_redirected(self, node: Node, answers: Answers) -> bool:
        return True

    def on_answers(self, pipeline: Pipeline, answers: Answers, took_ns: int) -> None:
        """Not noted."""

    def on_unknown(self, commands: int) -> None:
        self.unknown += commands


async def test_a_node_that_is_cancelled_as_its_answer_arrives_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    connection, notes, key = HeldAnswers(), Notes(), HotKey(L1, b"last:l1:x:BTCUSDT", Mode.LIVE)

    async def opened(*_: object) -> HeldAnswers:
        return connection

    monkeypatch.setattr(module, "open_connection", opened)
    node = Node(("127.0.0.1", 1), Login(), Limits(100, 0.0, NS_PER_S), notes)
    key.set(books := Books("j"), Mode.LIVE, T0_NS, [str(T0_NS), "1", "", *["1"] * 6], books.open(), 0)
    node.add(key)
    running = asyncio.create_task(node.run())
    while not connection.sent:
        await asyncio.sleep(0)

    connection.sent[0].set_result([1])
    running.cancel()
    await asyncio.wait({running}, timeout=1)

    assert running.cancelled()
    assert (notes.back, notes.unknown, connection.is_open) == ([key], 1, False)
