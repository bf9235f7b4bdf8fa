"""One server and what is due there: a task that sends pipelines, two in flight at most, and waits out trouble."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic_ns, time_ns
from typing import Any, Final, Protocol

import msgspec
from feedplane_core.names import NS_PER_MS, NS_PER_S
from feedplane_ops.backoff import Backoff

from .connection import Connection, LinkDown, Login, open_connection
from .entries import Entry, Terms
from .errors import Verdict
from .pipelines import Answers, Pipeline, Queue, settle, unknown
from .resp import command
from .scripts import SCRIPTS
from .slots import Address

logger = logging.getLogger(__name__)

DEPTH: Final = 2
"""Pipelines in flight: one is worked off by the server while the next one is made."""
TIMEOUT_S: Final = 1.0
_BACKOFF_BASE_NS: Final = 50 * NS_PER_MS
_BACKOFF_CAP_NS: Final = NS_PER_S
_WAITS: Final = frozenset({Verdict.RETRY, Verdict.ELSEWHERE})


class Limits(msgspec.Struct, frozen=True):
    """How pipelines are cut."""

    max_commands: int
    max_age_s: float
    ttl_ns: int


class Owner(Protocol):
    """The store that a node belongs to."""

    def add(self, entry: Entry) -> None: ...

    def on_connected(self, node: Node, again: bool) -> None: ...

    def on_trouble(self, node: Node) -> None: ...

    def on_redirected(self, node: Node, answers: Answers) -> bool: ...

    def on_answers(self, pipeline: Pipeline, answers: Answers, took_ns: int) -> None: ...

    def on_unknown(self, commands: int) -> None: ...


class Node:
    """Run `run` as a task; entries come by `add`."""

    def __init__(
        self,
        address: Address,
        login: Login,
        limits: Limits,
        owner: Owner,
        clock: Callable[[], int] = monotonic_ns,
        wall: Callable[[], int] = time_ns,
    ) -> None:
        self.address = address
        self.queue = Queue()
        self.down_since_ns: int | None = None
        self.trouble = ""
        self._login = login
        self._limits = limits
        self._owner = owner
        self._clock = clock
        self._wall = wall
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._in_flight: deque[tuple[Pipeline, asyncio.Future[list[Any]], Terms]] = deque()
        self._backoff = Backoff(_BACKOFF_BASE_NS, _BACKOFF_CAP_NS)
        self._was_connected = False

    def add(self, entry: Entry) -> None:
        self.queue.add(entry)
        self._wake.set()

    def ask(self, entry: Entry) -> None:
        """`entry`'s next command goes here although another server owns its slot."""
        self.queue.ask(entry)
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        return not self.queue and not self._in_flight

    async def run(self) -> None:
        """Until cancelled. What is in flight then is due again at whoever owns it."""
        try:
            while True:
                if not self.queue:
                    self._wake.clear()
                    await self._wake.wait()
                if len(self.queue) < self._limits.max_commands:
                    await asyncio.sleep(
                        self._limits.max_age_s
                    )  # gathers, and lets newer values take the place of older ones
                await self._round()
        finally:
            self._drop_link()

    async def _round(self) -> None:
        try:
            connection = await self._connected()
            is_well = await self._send_due(connection)
        except LinkDown as e:
            self._drop_link()
            self._in_trouble(str(e))
            await self._pause()
            return
        if is_well:
            self._backoff.reset()
            self.down_since_ns, self.trouble = None, ""
        else:
            await self._pause()

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        connection = await open_connection(self.address, self._login, TIMEOUT_S)
        self._connection = connection
        self._owner.on_connected(self, again=self._was_connected)
        logger.info(
            "redis connected", extra={"host": self.address[0], "port": self.address[1], "again": self._was_connected}
        )
        self._was_connected = True
        return connection

    async def _send_due(self, connection: Connection) -> bool:
        """Send what is due now, not what becomes due meanwhile; whether the server took it all."""
        left = len(self.queue)
        is_well = True
        while self._in_flight or (left > 0 and self.queue and is_well):
            if left > 0 and self.queue and is_well and len(self._in_flight) < DEPTH:
                before = len(self.queue)
                terms = Terms(self._wall(), self._clock(), self._limits.ttl_ns)
                pipeline = self.queue.take(self._limits.max_commands, terms, self._limits.ttl_ns)
                left -= before - len(self.queue)
                if pipeline.items:
                    self._in_flight.append((pipeline, self._sent(connection, pipeline), terms))
            else:
                is_well &= await self._settle_oldest(connection)
        return is_well

    def _sent(self, connection: Connection, pipeline: Pipeline) -> asyncio.Future[list[Any]]:
        try:
            return connection.send(pipeline.payload, len(pipeline.items))
        except LinkDown:
            unknown([pipeline], self._owner.add)
            raise

    async def _settle_oldest(self, connection: Connection) -> bool:
        pipeline, replies_due, terms = self._in_flight[0]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                replies = await replies_due
        except TimeoutError as e:
            raise LinkDown(f"{self.address[0]}:{self.address[1]} does not answer") from e
        self._in_flight.popleft()
        answers = settle(pipeline, replies, terms)
        self._owner.on_answers(pipeline, answers, self._clock() - terms.now_ns)
        is_followed = self._owner.on_redirected(self, answers)
        for entry in answers.again:
            self._owner.add(entry)
        verdicts = answers.verdicts
        if Verdict.LOGIN in verdicts:
            raise LinkDown(f"{self.address[0]}:{self.address[1]} asks for a login")
        if Verdict.LOAD_SCRIPTS in verdicts:
            await connection.ask(*(command(b"SCRIPT", b"LOAD", script) for script in SCRIPTS), timeout_s=TIMEOUT_S)
        if verdicts & _WAITS or not is_followed:
            self._in_trouble(", ".join(sorted(answers.errors)))
            return False
        return True

    def _in_trouble(self, reason: str) -> None:
        if self.down_since_ns is None:
            self.down_since_ns = self._clock()
            logger.warning(
                "redis in trouble", extra={"host": self.address[0], "port": self.address[1], "error": reason}
            )
        self.trouble = reason
        self._owner.on_trouble(self)

    async def _pause(self) -> None:
        await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)

    def _drop_link(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        if self._in_flight:
            lost = [pipeline for pipeline, _, _ in self._in_flight]
            self._in_flight.clear()
            self._owner.on_unknown(unknown(lost, self._owner.add))
