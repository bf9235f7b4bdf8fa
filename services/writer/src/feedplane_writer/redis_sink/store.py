"""Redis as a whole: one server, or a cluster whose slot map is kept here."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from .connection import LinkDown, Login, open_connection
from .entries import Entry, HotKey
from .node import TIMEOUT_S, Limits, Node
from .pipelines import Answers, Pipeline, Queue
from .resp import command
from .slots import SLOTS, Address, primaries, redirected

logger = logging.getLogger(__name__)

_REFRESH_GAP_S: Final = 0.1


class StoreCounts:
    """What happened since the start; read by metrics."""

    def __init__(self) -> None:
        self.commands = 0
        self.pipelines = 0
        self.pipeline_ns = 0
        self.unknown = 0
        self.connects = 0
        self.redirects = 0
        self.refreshed_keys = 0
        self.errors: Counter[str] = Counter()


class Store:
    """One server. `entries` gives every key that this writer serves: after a lost connection all of them are sent again."""

    def __init__(
        self,
        endpoints: Sequence[Address],
        login: Login,
        limits: Limits,
        entries: Callable[[], Iterable[Entry]],
        on_pipeline: Callable[[int, int], None] = lambda commands, took_ns: None,
    ) -> None:
        self.endpoints = list(endpoints)
        self.counts = StoreCounts()
        self.nodes: dict[Address, Node] = {}
        self._login = login
        self._limits = limits
        self._entries = entries
        self._on_pipeline = on_pipeline
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Begin to send. Needs no server to be there."""
        self.failed = asyncio.get_running_loop().create_future()
        self._node(self.endpoints[0])

    async def close(self) -> None:
        """Cut all connections; what is in flight is not waited for."""
        tasks = [*self._tasks.values(), *self._ending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add(self, entry: Entry) -> None:
        """`entry` has something to send."""
        self.nodes[self.endpoints[0]].add(entry)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return all(node.is_idle for node in self.nodes.values())

    def trouble(self, now_ns: int) -> tuple[int, str] | None:
        """(ns since it began, reason) of the server that has been in trouble longest."""
        down = [
            (now_ns - node.down_since_ns, node.trouble)
            for node in self.nodes.values()
            if node.down_since_ns is not None
        ]
        return max(down) if down else None

    # What nodes tell

    def on_connected(self, node: Node, again: bool) -> None:
        self.counts.connects += 1
        if again:
            self._refresh(entry for entry in self._entries() if self._owner(entry) is node)

    def on_trouble(self, node: Node) -> None:
        """Nothing to do: there is no other server."""

    def on_redirected(self, node: Node, answers: Answers) -> bool:
        """Whether the redirections in `answers` are being followed. Not here: the server is part of a cluster, and the settings say it is not."""
        return not answers.moved and not answers.asked

    def on_answers(self, pipeline: Pipeline, answers: Answers, took_ns: int) -> None:
        counts = self.counts
        counts.pipelines += 1
        counts.commands += len(pipeline.items)
        counts.pipeline_ns += took_ns
        if answers.errors:
            counts.errors.update(answers.errors)
        self._on_pipeline(len(pipeline.items), took_ns)

    def on_unknown(self, commands: int) -> None:
        self.counts.unknown += commands

    # Nodes

    def _owner(self, entry: Entry) -> Node | None:
        return self.nodes[self.endpoints[0]]

    def _refresh(self, entries: Iterable[Entry]) -> None:
        """Send these again: their server may have lost them. The guard makes it harmless where it has not."""
        for entry in list(entries):
            if isinstance(entry, HotKey) and entry.ts_ns:
                entry.value_due = True
                self.counts.refreshed_keys += 1
                self.add(entry)

    def _node(self, address: Address) -> Node:
        node = self.nodes.get(address)
        if node is None:
            node = self.nodes[address] = Node(address, self._login, self._limits, self)
            task = asyncio.create_task(node.run(), name=f"redis {address[0]}:{address[1]}")
            task.add_done_callback(self._ended)
            self._tasks[address] = task
        return node

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if (
            not task.cancelled()
            and (error := task.exception()) is not None
            and self.failed is not None
            and not self.failed.done()
        ):
            self.failed.set_exception(error)


class ClusterStore(Store):
    """A cluster: one connection to each primary. `endpoints` are where to ask first."""

    async def start(self) -> None:
        self.failed = asyncio.get_running_loop().create_future()
        self._slots: list[Node | None] = [None] * SLOTS
        self._homeless = Queue()  # of slots that nobody serves, as far as we know
        self._look = asyncio.Event()
        self._look.set()
        self._looking = asyncio.create_task(self._keep_map(), name="redis slot map")
        self._looking.add_done_callback(self._ended)

    async def close(self) -> None:
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        await super().close()

    def add(self, entry: Entry) -> None:
        node = self._slots[entry.slot]
        if node is not None:
            node.add(entry)
        else:
            self._homeless.add(entry)
            self._look.set()

    @property
    def is_idle(self) -> bool:
        return not self._homeless and super().is_idle

    def on_trouble(self, node: Node) -> None:
        self._look.set()

    def on_redirected(self, node: Node, answers: Answers) -> bool:
        for entry, text in answers.moved:
            slot, address = redirected(text, node.address)
            self._slots[slot] = self._node(address)
            self.add(entry)
            self._look.set()
        for entry, text in answers.asked:
            _, address = redirected(text, node.address)
            self._node(address).ask(entry)
        self.counts.redirects += len(answers.moved) + len(answers.asked)
        return True

    def _owner(self, entry: Entry) -> Node | None:
        return self._slots[entry.slot]

    async def _keep_map(self) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            owners = await self._fetch_map()
            if owners is not None:
                self._use_map(owners)
            if owners is None or None in owners:
                self._look.set()
            await asyncio.sleep(_REFRESH_GAP_S * (1 + random.random()))  # noqa: S311 - spreads load, guards nothing

    async def _fetch_map(self) -> list[Address | None] | None:
        well = [address for address, node in self.nodes.items() if node.down_since_ns is None]
        random.shuffle(well)
        for address in dict.fromkeys([*well, *self.endpoints, *self.nodes]):
            try:
                connection = await open_connection(address, self._login, TIMEOUT_S / 2, scripts=())
                try:
                    (answer,) = await connection.ask(command(b"CLUSTER", b"SLOTS"), timeout_s=TIMEOUT_S / 2)
                finally:
                    connection.abort()
            except LinkDown:
                continue
            if isinstance(answer, Exception):
                logger.warning("no slot map", extra={"host": address[0], "port": address[1], "error": str(answer)})
                continue
            owners = primaries(answer, address)
            if any(owners):
                return owners
        return None

    def _use_map(self, owners: Sequence[Address | None]) -> None:
        before = self._slots
        nodes = {address: self._node(address) for address in dict.fromkeys(owners) if address is not None}
        self._slots = [None if address is None else nodes[address] for address in owners]
        waiting = self._homeless.drain()
        for address, node in list(self.nodes.items()):
            waiting += node.queue.drain()
            if address not in nodes:
                task = self._tasks.pop(address)
                self._ending.add(task)
                task.cancel()  # what it has in flight comes back by `add`
                del self.nodes[address]
        for entry in waiting:
            self.add(entry)
        if self._slots != before:
            changed = [before[slot] is not None and before[slot] is not self._slots[slot] for slot in range(SLOTS)]
            self._refresh(entry for entry in self._entries() if changed[entry.slot])
