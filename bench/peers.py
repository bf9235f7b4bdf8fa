"""cryptofeed (from its package) on the same frames: the baseline. It keeps nothing: callbacks count."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

import orjson

_TOKEN = {"data": {"token": "-", "instanceServers": [{"endpoint": "wss://localhost", "pingInterval": 18_000}]}}
"""What KuCoin answers to whoever asks where to connect."""
_CONFIG = {"KUCOIN": {"kucoin": {"key_id": "-", "key_secret": "-", "key_passphrase": "-"}}}
"""A key that is never checked: cryptofeed signs its requests for books with it."""


class Peer:
    """One cryptofeed venue, fed by hand. `counts` is what its callbacks saw.

    `reads_top`: the book callback reads the best 20 levels of both sides, as whoever subscribes to a book does; without it callbacks only count.
    """

    def __init__(
        self,
        exchange: str,
        instruments: list[Any],
        subscription: dict[str, list[str]],
        answers: list[tuple[str, bytes]],
        *,
        reads_top: bool,
    ) -> None:
        from cryptofeed.connection import HTTPAsyncConn, HTTPSync
        from cryptofeed.exchanges import EXCHANGE_MAP

        logging.getLogger("feedhandler").setLevel(logging.CRITICAL)
        self.counts: Counter[str] = Counter()
        bodies = {url: body.decode() for url, body in answers}
        listings = iter(instruments)  # asked for one after the other, as they were recorded
        HTTPSync.read = lambda *_args, **_kwargs: next(listings)  # type: ignore[method-assign]

        async def read(_self: object, url: str, **_kwargs: object) -> str:
            return bodies[url]

        HTTPAsyncConn.read = read  # type: ignore[method-assign]
        HTTPSync.write = lambda *_args, **_kwargs: _TOKEN  # type: ignore[method-assign]
        callbacks = {channel: self._counter(channel) for channel in subscription}
        if reads_top:
            callbacks["l2_book"] = self._read_top
        self.feed = EXCHANGE_MAP[exchange](
            candle_closed_only=False,
            subscription=subscription,
            callbacks=callbacks,
            config=_CONFIG.get(exchange, {}),
            checksum_validation=True,
        )
        _, _, self.handler, _ = self.feed.connect()[0]
        self.conn = _Connection(self.feed.websocket_endpoints[0].address)

    def _counter(self, channel: str) -> Any:
        async def count(*_: object, **__: object) -> None:
            self.counts[channel] += 1

        return count

    async def _read_top(self, book: Any, *_: object, **__: object) -> None:
        self.counts["l2_book"] += 1
        for side in (book.book.bids, book.book.asks):
            self.top = [side.index(place) for place in range(min(20, len(side)))]

    async def handle_all(self, messages: list[str]) -> None:
        handler, conn = self.handler, self.conn
        for message in messages:
            await handler(message, conn, 1.0)


class _Connection:
    """What handlers ask of a connection: nothing of weight."""

    def __init__(self, address: str) -> None:
        self.uuid = "1"
        self.conn_type = "wss"
        self.address = address
        self.subscription: dict[str, list[str]] = {}

    async def write(self, *_: object) -> None: ...


def listings_of(instruments_file_text: str) -> list[Any]:
    """The bodies that name the venue's instruments, in the order in which they were asked for."""
    lines = [line for line in instruments_file_text.splitlines() if line.startswith("http")]
    return [orjson.loads(line.partition(" -> ")[2].partition(": ")[2]) for line in lines]


def subscription_of(instruments_file_text: str) -> dict[str, list[str]]:
    """The `configuration:` line of a capture."""
    for line in instruments_file_text.splitlines():
        if line.startswith("configuration: "):
            found: dict[str, list[str]] = orjson.loads(line.partition(": ")[2])
            return found
    raise ValueError("capture has no configuration line")


def run(coroutine: Any) -> Any:
    return asyncio.new_event_loop().run_until_complete(coroutine)
