"""The life of one planned connection: open, subscribe, watch, replace before the venue cuts, reconnect when it breaks.

A replacement is make-before-break: the new socket is live and has spoken on every active channel before the old one is closed, and the pipeline drops what both bring.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import msgspec
from feedplane_core.adapter import Adapter, Channel, Connection, Fetch, Reconnect, Send, Session
from feedplane_core.names import NS_PER_S, Feed
from feedplane_ops.backoff import Backoff, CircuitBreaker
from feedplane_ops.ratelimit import TokenBucket

from feedplane_collector.pipeline import Pipeline
from feedplane_collector.rest import RestClient, RestFailed
from feedplane_collector.staleness import StalenessWatch
from feedplane_collector.transport import ConnectFailed, Socket, Transport

logger = logging.getLogger(__name__)

_WATCH_EVERY_S = 0.25
_BACKOFF_BASE_NS = 500_000_000
_BACKOFF_CAP_NS = 30 * NS_PER_S
_BREAKER_FAILURES = 8
_BREAKER_OPEN_NS = 60 * NS_PER_S
_STEADY_NS = 30 * NS_PER_S
"""A socket that lived so long ends the run of failures."""
_MAX_DECODE_ERRORS_PER_MINUTE = 200
_RESUBSCRIBES_BEFORE_REPLACING = 2
_ROTATION_JITTER = 0.05
_socket_ids = count(1)


class SocketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a FeedSet may say about sockets."""

    stale_after_ns: int
    rotate_before_ns: int
    overlap_ns: int


class SocketCounts(msgspec.Struct):
    """What happened to the sockets of a collector."""

    connects: int = 0
    connect_failures: int = 0
    disconnects: int = 0
    rotations: int = 0
    stale_channels: int = 0
    resubscribes: int = 0
    frames: int = 0
    bytes: int = 0


class LiveSocket:
    """One open socket and the session that understands it."""

    def __init__(self, adapter: Adapter, connection: Connection, opened_ns: int) -> None:
        self.id = next(_socket_ids)
        self.connection = connection
        self.session: Session = adapter.session(connection)
        self.seen: dict[tuple[str, Feed], int] = {}
        self.channel_feeds = {channel.name: channel.feed for channel in connection.channels}
        self.opened_ns = opened_ns
        self.last_frame_ns = opened_ns
        self.decode_errors = 0
        self.socket: Socket | None = None
        self.wake = asyncio.Event()

    def is_warm(self, reference: LiveSocket, now_ns: int, window_ns: int) -> bool:
        """Whether every channel that the reference heard within the window has been heard here."""
        return all(key in self.seen for key, at_ns in reference.seen.items() if now_ns - at_ns < window_ns)


class SocketRunner:
    """Keeps one planned connection alive until stopped."""

    def __init__(
        self,
        connection: Connection,
        pipeline: Pipeline,
        transport: Transport,
        rest: RestClient,
        clock: Callable[[], int],
        settings: SocketSettings,
        connects: TokenBucket,
        counts: SocketCounts,
    ) -> None:
        self.connection = connection
        self._pipeline = pipeline
        self._adapter = pipeline.adapter
        self._transport = transport
        self._rest = rest
        self._clock = clock
        self._settings = settings
        self._connects = connects
        self._counts = counts
        self._backoff = Backoff(_BACKOFF_BASE_NS, _BACKOFF_CAP_NS)
        self._breaker = CircuitBreaker(_BREAKER_FAILURES, _BREAKER_OPEN_NS)
        self._live: list[LiveSocket] = []
        self._watch = StalenessWatch(connection.channels, settings.stale_after_ns, clock())
        self._tasks: set[asyncio.Task[None]] = set()
        self._repairs: dict[tuple[str, Feed], int] = {}
        self.last_error = ""

    @property
    def is_connected(self) -> bool:
        return bool(self._live)

    def is_covered(self, channel: Channel) -> bool:
        """Whether a live socket carries this channel and has spoken on it."""
        return any((channel.instrument, channel.feed) in live.seen for live in self._live)

    def stale_channels(self) -> list[Channel]:
        return self._watch.stale_channels()

    async def run(self) -> None:
        """Ends by cancellation, having closed what was open."""
        try:
            while True:
                live = await self._open_with_backoff()
                await self._serve(live)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every live socket, quickly."""
        for task in self._tasks:
            task.cancel()
        closing = [live.socket.close() for live in self._live if live.socket is not None]
        if closing:
            await asyncio.wait({asyncio.ensure_future(c) for c in closing}, timeout=1.5)
        self._live.clear()

    async def change(self, added: tuple[Channel, ...], removed: tuple[Channel, ...]) -> bool:
        """Add and remove channels on the live socket; False where this venue, or the socket's capacity, does not allow it."""
        connection = self.connection
        kept = tuple(c for c in connection.channels if c not in removed)
        if connection.capacity < len(kept) + len(added):
            return False
        frames = self._adapter.change_subscription(connection, added, removed)
        if not frames:
            return False
        self.connection = msgspec.structs.replace(connection, channels=kept + added)
        self._watch.remove(removed)
        self._watch.add(added, self._clock())
        for live in self._live:
            live.connection = self.connection
            live.channel_feeds.update({channel.name: channel.feed for channel in added})
            await self._send_paced(live, frames)
        return True

    # Opening

    async def _open_with_backoff(self) -> LiveSocket:
        while True:
            if not self._breaker.allows(self._clock()):
                await asyncio.sleep(1.0)
                continue
            try:
                live = await self._open()
            except (ConnectFailed, RestFailed) as e:
                self._counts.connect_failures += 1
                self._breaker.on_failure(self._clock())
                self.last_error = str(e)
                retry_after_ns = int((getattr(e, "retry_after_s", None) or 0) * NS_PER_S)
                delay_ns = self._backoff.next_delay_ns(retry_after_ns)
                logger.warning(
                    "connect failed",
                    extra={"conn_id": self.connection.key, "error": str(e), "retry_in_s": delay_ns / NS_PER_S},
                )
                await asyncio.sleep(delay_ns / NS_PER_S)
                continue
            self._breaker.on_success()
            self.last_error = ""
            return live

    async def _open(self) -> LiveSocket:
        wait_ns = self._connects.reserve(self._clock())
        if wait_ns:
            await asyncio.sleep(wait_ns / NS_PER_S)
        connection = self.connection
        if connection.token is not None:
            body, _ = await self._rest.fetch(connection.token)
            connection = self._adapter.connection_with_token(connection, body)
        live = LiveSocket(self._adapter, connection, self._clock())
        live.socket = await self._transport(
            connection.url,
            lambda frame, recv_ns: self._on_frame(live, frame, recv_ns),
            max_frame_bytes=connection.max_frame_bytes,
            headers=connection.headers,
            compression=connection.compression,
            ping_every_ns=connection.protocol_ping_every_ns,
        )
        self._counts.connects += 1
        live.opened_ns = live.last_frame_ns = self._clock()
        self._live.append(live)
        self._spawn(self._send_paced(live, list(connection.subscribe)))
        if connection.ping is not None:
            self._spawn(self._ping(live))
        logger.info("connected", extra={"conn_id": connection.key, "channels": len(connection.channels)})
        return live

    async def _send_paced(self, live: LiveSocket, frames: list[bytes]) -> None:
        assert live.socket is not None
        gap_s = live.connection.min_send_gap_ns / NS_PER_S
        try:
            for index, frame in enumerate(frames):
                if index and gap_s:
                    await asyncio.sleep(gap_s)
                await live.socket.send(frame)
        except Exception as e:  # the reader learns of a dead socket and tells why; two reports would be one too many
            logger.debug("send failed", extra={"conn_id": live.connection.key, "error": repr(e)})

    async def _ping(self, live: LiveSocket) -> None:
        ping = live.connection.ping
        assert ping is not None
        while live in self._live:
            await asyncio.sleep(ping.every_ns / NS_PER_S)
            await self._send_paced(live, [ping.frame])

    # Serving

    def _on_frame(self, live: LiveSocket, frame: bytes, recv_ns: int) -> None:
        live.last_frame_ns = recv_ns
        self._counts.frames += 1
        self._counts.bytes += len(frame)
        try:
            self._pipeline.on_frame(live, frame, recv_ns)
        except Exception:  # a bug met by one frame must not silence a whole shard: it is counted, logged and kept raw
            logger.exception("frame raised", extra={"conn_id": live.connection.key})
            self._pipeline.on_bug(frame, recv_ns)
        for action in live.session.actions():
            self._perform(live, action)

    def _perform(self, live: LiveSocket, action: Send | Fetch | Reconnect) -> None:
        if isinstance(action, Send):
            self._spawn(self._send_paced(live, [action.frame]))
        elif isinstance(action, Fetch):
            self._spawn(self._fetch_for(live, action))
        elif action.planned:
            live.wake.set()
        else:
            logger.warning("session asks to reconnect", extra={"conn_id": live.connection.key, "reason": action.reason})
            self._abort(live)

    async def _fetch_for(self, live: LiveSocket, action: Fetch) -> None:
        try:
            body, recv_ns = await self._rest.fetch(action.request)
        except RestFailed as e:
            logger.warning("fetch failed", extra={"conn_id": live.connection.key, "error": str(e)})
            return
        self._pipeline.on_delivery(live, action.request.tag, body, recv_ns)

    async def _serve(self, live: LiveSocket) -> None:
        """Until the socket ends with no replacement in place."""
        while True:
            assert live.socket is not None
            ended = asyncio.ensure_future(live.socket.closed())
            minder = asyncio.ensure_future(self._mind(live))
            await asyncio.wait({ended, minder}, return_when=asyncio.FIRST_COMPLETED)
            minder.cancel()
            await asyncio.wait({minder})
            successor = None if minder.cancelled() else minder.result()
            if successor is not None:
                await self._retire(live, ended)
                live = successor
                continue
            self._on_ended(live, ended.result() if ended.done() else "silent")
            ended.cancel()
            if not self._live:
                return
            live = self._live[-1]  # its replacement was being warmed up when it died

    async def _mind(self, live: LiveSocket) -> LiveSocket | None:
        """Watch one socket; returns its successor when it is time, never while all is well. `None` after it was aborted."""
        lifetimes = [ns for ns in (live.connection.lifetime_ns, self._settings.rotate_before_ns) if ns is not None]
        spread = 1 - _ROTATION_JITTER * random.random()  # noqa: S311 - spreads rotations, guards nothing
        due_ns = live.opened_ns + int(min(lifetimes) * spread) if lifetimes else None
        errors_until_ns, errors_before = live.opened_ns, 0
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            now_ns = self._clock()
            if now_ns >= errors_until_ns:
                errors_until_ns, errors_before = now_ns + 60 * NS_PER_S, live.decode_errors
            elif live.decode_errors - errors_before > _MAX_DECODE_ERRORS_PER_MINUTE:
                logger.warning("too many undecodable frames", extra={"conn_id": live.connection.key})
                self._abort(live)
                return None
            if live.wake.is_set() or (due_ns is not None and now_ns >= due_ns):
                live.wake.clear()
                successor = await self._successor(live)
                if successor is not None:
                    return successor
                due_ns = now_ns + self._settings.overlap_ns
            if not await self._keep_fresh(live, now_ns):
                return None

    async def _successor(self, live: LiveSocket) -> LiveSocket | None:
        """A second socket that has spoken on all channels that the first one speaks on, or as far as the overlap allows."""
        try:
            fresh = await self._open()
        except (ConnectFailed, RestFailed) as e:
            logger.warning("replacement failed", extra={"conn_id": live.connection.key, "error": str(e)})
            return None
        self._counts.rotations += 1
        deadline_ns = self._clock() + self._settings.overlap_ns
        window_ns = self._settings.overlap_ns
        while self._clock() < deadline_ns and not fresh.is_warm(live, self._clock(), window_ns):
            await asyncio.sleep(0.02)
        return fresh

    async def _retire(self, live: LiveSocket, ended: asyncio.Future[str]) -> None:
        # What the old socket still has in its buffers is read until the close handshake is through.
        assert live.socket is not None
        self._spawn(live.socket.close())
        await asyncio.wait({ended}, timeout=2.0)
        if live in self._live:
            self._live.remove(live)
        logger.info("rotated", extra={"conn_id": live.connection.key, "age_s": self._age_s(live)})

    def _on_ended(self, live: LiveSocket, why: str) -> None:
        if live in self._live:
            self._live.remove(live)
        now_ns = self._clock()
        self._counts.disconnects += 1
        self.last_error = why
        logger.warning("disconnected", extra={"conn_id": live.connection.key, "error": why, "age_s": self._age_s(live)})
        if now_ns - live.opened_ns > _STEADY_NS:
            self._backoff.reset()
        for channel in self.connection.channels:
            if not self.is_covered(channel):
                self._pipeline.interrupt(channel.instrument, channel.feed, "disconnect", now_ns)

    def _age_s(self, live: LiveSocket) -> float:
        return round((self._clock() - live.opened_ns) / NS_PER_S, 3)

    async def _keep_fresh(self, live: LiveSocket, now_ns: int) -> bool:
        """Act on silence. False: the socket was given up."""
        halted = self._pipeline.halted
        verdicts = self._watch.check(self.seen(), halted, now_ns)
        for channel in verdicts.recovered:
            self._repairs.pop((channel.instrument, channel.feed), None)
            self._say(channel, "fresh", now_ns)
        if not verdicts.stale:
            return True
        self._counts.stale_channels += len(verdicts.stale)
        for channel in verdicts.stale:
            self._pipeline.interrupt(channel.instrument, channel.feed, "stale", now_ns)
            self._say(channel, "stale", now_ns)
        if verdicts.all_silent:
            logger.warning("socket is silent", extra={"conn_id": live.connection.key})
            self._abort(live)
            return False
        await self._revive(live, verdicts.stale)
        return True

    async def _revive(self, live: LiveSocket, stale: tuple[Channel, ...]) -> None:
        """Start silent channels anew and touch no other; when that does not help, replace the socket without a break."""
        for channel in stale:
            key = (channel.instrument, channel.feed)
            self._repairs[key] = self._repairs.get(key, 0) + 1
            frames = self._adapter.resubscribe(live.connection, channel)
            logger.warning("channel is silent", extra={"channel": channel.name, "feed": channel.feed})
            if frames and self._repairs[key] <= _RESUBSCRIBES_BEFORE_REPLACING:
                self._counts.resubscribes += 1
                await self._send_paced(live, frames)
            elif self._repairs[key] <= _RESUBSCRIBES_BEFORE_REPLACING + 1:
                live.wake.set()

    def resubscribe(self, name: str, feed: Feed) -> bool:
        """Ask the venue to start one channel anew; False where only a new socket can."""
        for channel in self.connection.channels:
            if (channel.instrument, channel.feed) == (name, feed) and self._live:
                live = self._live[-1]
                frames = self._adapter.resubscribe(live.connection, channel)
                if frames:
                    self._counts.resubscribes += 1
                    self._spawn(self._send_paced(live, frames))
                else:
                    self._abort(live)
                return True
        return False

    def _abort(self, live: LiveSocket) -> None:
        if live.socket is not None:
            live.socket.abort()

    def seen(self) -> dict[tuple[str, Feed], int]:
        """Receive time of the newest event per (instrument, feed), over all live sockets."""
        if len(self._live) == 1:
            return self._live[0].seen
        newest: dict[tuple[str, Feed], int] = {}
        for live in self._live:
            for key, at_ns in live.seen.items():
                newest[key] = max(at_ns, newest.get(key, 0))
        return newest

    def _say(self, channel: Channel, status: str, now_ns: int) -> None:
        state = self._pipeline.states.get(channel.instrument)
        if state is not None:
            self._pipeline.status(state.instrument, channel.feed, status, now_ns)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
