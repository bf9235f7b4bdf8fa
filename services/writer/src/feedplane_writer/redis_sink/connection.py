"""One connection to one Redis server: bytes of whole pipelines out, parsed replies back, in order."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
from feedplane_core.errors import UsageError
from feedplane_ops.settings import read_secret

from .resp import command
from .scripts import SCRIPTS
from .slots import Address

CLIENT_NAME = b"feedplane-writer"


class LinkDown(Exception):
    """The connection cannot be made, or was lost; what was in flight may have been applied."""


class Login(NamedTuple):
    """How to introduce oneself. The password is read from its file at every connect, so a rotated one is picked up."""

    user: str = "default"
    password_file: Path | None = None
    tls: ssl.SSLContext | None = None

    def commands(self) -> list[bytes]:
        """Raises: UsageError if the password file cannot be read."""
        if self.password_file is None:
            return []
        password = read_secret(self.password_file).get_secret_value()
        return [command(b"AUTH", self.user.encode(), password.encode())]


class Connection(asyncio.Protocol):
    """Use `open`. Replies come in the order of the requests; losing the connection fails all that wait."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.on_lost: Callable[[], None] | None = None
        self._parser = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[_Waiting] = deque()
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        waiting = self._waiting
        try:
            while (reply := self._parser.gets()) is not False:
                if not waiting:
                    self.abort()  # an answer to nothing: nothing that follows can be trusted
                    return
                head = waiting[0]
                head.replies.append(reply)
                if len(head.replies) == head.count:
                    waiting.popleft()
                    if not head.done.done():
                        head.done.set_result(head.replies)
        except hiredis.ProtocolError:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        waiting, self._waiting = self._waiting, deque()
        for head in waiting:
            if not head.done.done():
                head.done.set_exception(LinkDown(f"connection to {self.address[0]}:{self.address[1]} lost"))
                head.done.exception()  # somebody may have stopped waiting
        if self.on_lost is not None:
            self.on_lost()

    def send(self, payload: bytes, count: int) -> asyncio.Future[list[Any]]:
        """Send `count` commands; their replies, error replies as exceptions in the list. Raises: LinkDown, at once or by the future."""
        if not self.is_open or self._transport is None:
            raise LinkDown(f"connection to {self.address[0]}:{self.address[1]} is closed")
        waiting = _Waiting(count, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._transport.write(payload)
        return waiting.done

    async def ask(self, *commands: bytes, timeout_s: float) -> list[Any]:
        """As `send`, awaited. Raises: LinkDown also when it takes too long."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.send(b"".join(commands), len(commands))
        except TimeoutError as e:
            self.abort()
            raise LinkDown(f"{self.address[0]}:{self.address[1]} does not answer") from e

    def abort(self) -> None:
        """Close at once, without waiting for what is in flight."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()


class _Waiting:
    __slots__ = ("count", "done", "replies")

    def __init__(self, count: int, done: asyncio.Future[list[Any]]) -> None:
        self.count = count
        self.done = done
        self.replies: list[Any] = []


async def open_connection(
    address: Address, login: Login, timeout_s: float, scripts: Sequence[bytes] = SCRIPTS
) -> Connection:
    """A connection that is logged in and whose server knows `scripts`.

    Raises:
        LinkDown: no connection in time, the server refuses the login, or the password file cannot be read just now.
    """
    try:
        login_commands = login.commands()
    except UsageError as e:
        raise LinkDown(str(e)) from e
    connection = Connection(address)
    try:
        await _connected(connection, login, timeout_s)
        loads = [command(b"SCRIPT", b"LOAD", script) for script in scripts]
        hello = [*login_commands, command(b"CLIENT", b"SETNAME", CLIENT_NAME), *loads]
        replies = await connection.ask(*hello, timeout_s=timeout_s)
        for index, reply in enumerate(replies):
            is_name = index == len(login_commands)  # a user who may not name himself may still write
            if isinstance(reply, Exception) and not is_name:
                raise LinkDown(f"{address[0]}:{address[1]} refuses: {str(reply).split(' ', 1)[0]}")
    except BaseException:  # a cancelled task's as well: nobody else knows of the socket
        connection.abort()
        raise
    return connection


async def _connected(connection: Connection, login: Login, timeout_s: float) -> None:
    host, port = connection.address
    name = host if login.tls else None
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(
                lambda: connection, host, port, ssl=login.tls, server_hostname=name
            )
    except (OSError, TimeoutError) as e:
        raise LinkDown(f"{host}:{port} cannot be reached: {e or 'timeout'}") from e
