"""The life of one planned connection: open, subscribe, watch, replace before the venue cuts, reconnect when it breaks.

A replacement is make-before-break: the new socket is live and has spoken on every active channel before the old one is closed, and the pipeline drops what both bring.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import msgspec
from feedplane_core.adapter import Channel, Connection, Fetch, Reconnect, Send
from feedplane_core.names import NS_PER_S, Feed
from feedplane_core.sending import stamped
from feedplane_ops.backoff import Backoff, CircuitBreaker
from feedplane_ops.ratelimit import TokenBucket

from feedplane_collector.pipeline import Pipeline
from feedplane_collector.rest import RestClient, RestFailed
from feedplane_collector.sockets import LiveSocket, SocketCounts, SocketSettings
from feedplane_collector.staleness import StalenessWatch
from feedplane_collector.state import channel_key
from feedplane_collector.transport import ConnectFailed, Transport

logger = logging.getLogger(__name__)

_WATCH_EVERY_S = 0.25
_WARM_EVERY_S = 0.02
_BACKOFF_BASE_NS = 500_000_000
_BACKOFF_CAP_NS = 30 * NS_PER_S
_BREAKER_FAILURES = 8
_BREAKER_OPEN_NS = 60 * NS_PER_S
_STEADY_NS = 30 * NS_PER_S
"""A socket that lived so long ends the run of failures."""
_SETTLE_NS = NS_PER_S
"""After the last subscribe frame; a channel that is still silent then has nothing to say."""
_PONG_WITHIN_S = 5.0
_GREETING_WITHIN_NS = 10 * NS_PER_S
_GREETING_EVERY_S = 0.01
_MAX_DECODE_ERRORS_PER_MINUTE = 200
_RESUBSCRIBES_BEFORE_REPLACING = 2
_ROTATION_JITTER = 0.05
_MINUTE_NS = 60 * NS_PER_S


class Parts(NamedTuple):
    """What all runners of a collector share. `clock` stamps, `timer` times."""

    pipeline: Pipeline
    transport: Transport
    rest: RestClient
    clock: Callable[[], int]
    timer: Callable[[], int]
    settings: SocketSettings
    connects: TokenBucket
    counts: SocketCounts


class SocketRunner:
    """Keeps one planned connection alive until stopped."""

    def __init__(self, connection: Connection, parts: Parts) -> None:
        self.connection = connection
        self._parts = parts
        self._pipeline = parts.pipeline
        self._adapter = parts.pipeline.adapter
        self._timer = parts.timer
        self._settings = parts.settings
        self._counts = parts.counts
        self._backoff = Backoff(_BACKOFF_BASE_NS, _BACKOFF_CAP_NS)
        self._breaker = CircuitBreaker(_BREAKER_FAILURES, _BREAKER_OPEN_NS)
        self._settle_ns = min(_SETTLE_NS, parts.settings.overlap_ns // 2)
        self._live: list[LiveSocket] = []
        self._watch = StalenessWatch(connection.channels, parts.settings.stale_after_ns, parts.timer())
        self._tasks: set[asyncio.Task[None]] = set()
        self._repairs: dict[str, int] = {}
        self.last_error = ""

    @property
    def is_connected(self) -> bool:
        return bool(self._live)

    def is_covered(self, channel: Channel) -> bool:
        """Whether a live socket carries this channel and has spoken on it."""
        key = channel_key(channel.instrument, channel.feed)
        return any(key in live.seen for live in self._live)

    def unheard(self, now_ns: int) -> list[Channel]:
        """Channels that are not known to be carried: not subscribed yet, or silent and still within the time that they have to speak."""
        since = [live.subscribed_ns for live in self._live if live.subscribed_ns is not None]
        waited_ns = now_ns - min(since) if since else -1
        return [c for c in self.connection.channels if not self.is_covered(c) and waited_ns < self._speaks_within_ns(c)]

    def _speaks_within_ns(self, channel: Channel) -> int:
        own_ns = channel.stale_after_ns
        return self._settle_ns if own_ns is None else max(own_ns, self._settings.stale_after_ns)

    def stale_channels(self) -> list[Channel]:
        return self._watch.stale_channels()

    def seen(self) -> dict[str, int]:
        """Receive time of the newest event per channel, over all live sockets."""
        if len(self._live) == 1:
            return self._live[0].seen
        newest: dict[str, int] = {}
        for live in self._live:
            for key, stamp in live.seen.items():
                newest[key] = max(stamp, newest.get(key, 0))
        return newest

    async def run(self) -> None:
        """Ends by cancellation, having closed what was open."""
        try:
            while True:
                live = await self._open_with_backoff()
                await self._serve(live)
                # Also the first time: after an outage of the venue, all who watched it come back at once.
                await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every live socket, quickly."""
        for task in self._tasks:
            task.cancel()
        closing = [live.socket.close() for live in self._live if live.socket is not None]
        if closing:
            await asyncio.wait({asyncio.ensure_future(c) for c in closing}, timeout=1.25)
        self._live.clear()

    # Changes of the plan

    async def change(self, added: tuple[Channel, ...], removed: tuple[Channel, ...]) -> bool:
        """Add and remove channels without touching the others; False where this venue, or the socket's capacity, does not allow it."""
        current = self.connection
        kept = tuple(c for c in current.channels if c not in removed)
        if added and current.capacity < len(kept) + len(added):
            return False
        frames = self._adapter.change_subscription(current, added, removed)
        if not frames:
            return False
        self._take_plan(self._planned(kept + added, current), added, removed)
        for live in self._live:
            live.adopt(self.connection)
            await self._send_paced(live, frames)
        return True

    def replace_without(self, removed: tuple[Channel, ...]) -> None:
        """For venues whose live sockets cannot be changed: a new socket without these channels takes over from the old one."""
        kept = tuple(c for c in self.connection.channels if c not in removed)
        self._take_plan(self._planned(kept, self.connection), (), removed)
        for live in self._live:
            live.wake.set()

    def _take_plan(self, plan: Connection, added: tuple[Channel, ...], removed: tuple[Channel, ...]) -> None:
        self.connection = plan
        self._watch.remove(removed)
        self._watch.add(added, self._timer())
        for channel in removed:
            self._repairs.pop(channel_key(channel.instrument, channel.feed), None)

    def _planned(self, channels: tuple[Channel, ...], current: Connection) -> Connection:
        """The connection that a new socket for exactly these channels has: what a live one was told later must not be forgotten at the next reconnect."""
        states = self._pipeline.states
        names = {channel.instrument for channel in channels}
        instruments = [states[name].instrument for name in sorted(names) if name in states]
        wanted = {(c.instrument, c.feed, c.name) for c in channels}
        for plan in self._adapter.subscriptions(instruments, self._pipeline.subscribed):
            if {(c.instrument, c.feed, c.name) for c in plan.channels} == wanted:
                return msgspec.structs.replace(plan, key=current.key)
        subscribe = self._adapter.change_subscription(msgspec.structs.replace(current, channels=()), channels, ())
        return msgspec.structs.replace(current, channels=channels, subscribe=tuple(subscribe) or current.subscribe)

    # Opening

    async def _open_with_backoff(self) -> LiveSocket:
        while True:
            if not self._breaker.allows(self._timer()):
                await asyncio.sleep(1.0)
                continue
            try:
                live = await self._open()
            except (ConnectFailed, RestFailed) as e:
                self._counts.connect_failures += 1
                self._breaker.on_failure(self._timer())
                self.last_error = str(e)
                retry_after_ns = int((getattr(e, "retry_after_s", None) or 0) * NS_PER_S)
                delay_ns = self._backoff.next_delay_ns(retry_after_ns)
                logger.warning(
                    "connect failed",
                    extra={"conn_id": self.connection.key, "error": str(e), "retry_in_s": delay_ns / NS_PER_S},
                )
                await asyncio.sleep(delay_ns / NS_PER_S)
                continue
            self.last_error = ""
            return live

    async def _open(self) -> LiveSocket:
        wait_ns = self._parts.connects.reserve(self._timer())
        if wait_ns:
            await asyncio.sleep(wait_ns / NS_PER_S)
        plan = connection = self.connection
        if connection.token is not None:
            body, _ = await self._parts.rest.fetch(connection.token)
            connection = self._adapter.connection_with_token(connection, body)
        live = LiveSocket(self._adapter, connection, self._timer())
        live.socket = await self._parts.transport(
            connection.url,
            lambda frame, recv_ns: self._on_frame(live, frame, recv_ns),
            max_frame_bytes=connection.max_frame_bytes,
            headers=connection.headers,
            compression=connection.compression,
            ping_every_ns=connection.protocol_ping_every_ns,
        )
        self._counts.connects += 1
        live.opened_ns = self._timer()
        if self.connection is not plan:  # changed while we were connecting
            live.adopt(msgspec.structs.replace(self.connection, url=connection.url))
        self._live.append(live)
        self._spawn(self._subscribe(live))
        if connection.ping is not None:
            self._spawn(self._ping(live))
        logger.info("connected", extra={"conn_id": connection.key, "channels": len(connection.channels)})
        return live

    async def _subscribe(self, live: LiveSocket) -> None:
        """Subscribe; what is silent on the new socket although it has settled has nothing to say, so a hole that is open ends."""
        if live.connection.awaits_greeting and not await self._greeted(live):
            return
        await self._send_paced(live, list(live.connection.subscribe))
        live.subscribed_ns = self._timer()
        await asyncio.sleep(self._settle_ns / NS_PER_S)
        if live not in self._live:
            return
        now_ns = self._parts.clock()
        for channel in live.connection.channels:
            if channel.stale_after_ns is None and not self.is_covered(channel):
                self._pipeline.settle(channel.instrument, channel.feed, now_ns)

    async def _greeted(self, live: LiveSocket) -> bool:
        """Wait for the venue's first frame; a socket without one in time is given up."""
        deadline_ns = self._timer() + _GREETING_WITHIN_NS
        while not live.frames and live in self._live:
            if self._timer() > deadline_ns:
                logger.warning("no greeting", extra={"conn_id": live.connection.key})
                self._abort(live)
                return False
            await asyncio.sleep(_GREETING_EVERY_S)
        return live in self._live

    async def _send_paced(self, live: LiveSocket, frames: list[bytes]) -> None:
        gap_s = live.connection.min_send_gap_ns / NS_PER_S
        try:
            for index, frame in enumerate(frames):
                if index and gap_s:
                    await asyncio.sleep(gap_s)
                if live.socket is not None:
                    await live.socket.send(stamped(frame, self._parts.clock()))
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
        live.frames += 1
        self._counts.frames += 1
        self._counts.bytes += len(frame)
        try:
            self._pipeline.on_frame(live, frame, recv_ns)
            for action in live.session.actions():
                self._perform(live, action)
        except Exception:  # a bug met by one frame must not silence a whole shard: it is counted, logged and kept raw
            logger.exception("frame raised", extra={"conn_id": live.connection.key})
            self._pipeline.on_bug(live, frame, recv_ns)

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
            body, recv_ns = await self._parts.rest.fetch(action.request)
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
            try:
                await asyncio.wait({ended, minder}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                minder.cancel()
            await asyncio.wait({minder})
            successor = None if minder.cancelled() else minder.result()
            if successor is not None:
                await self._retire(live, ended, *successor)
                live = successor[0]
                continue
            if not ended.done():  # given up: its end comes now
                await asyncio.wait({ended}, timeout=1.0)
            self._on_ended(live, ended.result() if ended.done() else "silent")
            ended.cancel()
            if not self._live:
                return
            live = self._live[-1]  # its replacement was being warmed up when it died

    async def _mind(self, live: LiveSocket) -> tuple[LiveSocket, set[str]] | None:
        """Watch one socket; returns its successor (and what that has not heard) when it is time, never while all is well. `None` after it was given up."""
        due_ns = self._rotation_due_ns(live)
        errors_until_ns, errors_before = live.opened_ns, 0
        frames, heard_ns = -1, live.opened_ns
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            now_ns = self._timer()
            if now_ns - live.opened_ns > _STEADY_NS:
                self._backoff.reset()
                self._breaker.on_success()
            if now_ns >= errors_until_ns:
                errors_until_ns, errors_before = now_ns + _MINUTE_NS, live.decode_errors
            elif live.decode_errors - errors_before > _MAX_DECODE_ERRORS_PER_MINUTE:
                logger.warning("too many undecodable frames", extra={"conn_id": live.connection.key})
                self._abort(live)
                return None
            if live.wake.is_set() or now_ns >= due_ns:
                live.wake.clear()
                successor = await self._successor(live)
                if successor is not None:
                    return successor
                due_ns = now_ns + self._settings.overlap_ns
            if not await self._keep_fresh(live, now_ns):
                return None
            if live.frames != frames:
                frames, heard_ns = live.frames, now_ns
            elif now_ns - heard_ns > self._settings.stale_after_ns:
                heard_ns = now_ns
                self._spawn(self._probe(live))

    def _rotation_due_ns(self, live: LiveSocket) -> int:
        """Before the FeedSet's age and before the venue's cut, with room for two attempts; each socket at another moment."""
        age_ns = self._settings.rotate_before_ns
        if live.connection.lifetime_ns is not None:
            age_ns = min(age_ns, live.connection.lifetime_ns - 2 * self._settings.overlap_ns)
        spread = 1 - _ROTATION_JITTER * random.random()  # noqa: S311 - spreads rotations, guards nothing
        return live.opened_ns + int(age_ns * spread)

    async def _probe(self, live: LiveSocket) -> None:
        """A socket on which nothing at all comes may be half open: the network never tells. No answer to a ping does."""
        if live.socket is None or await live.socket.is_answered(_PONG_WITHIN_S) or live not in self._live:
            return
        self._counts.unanswered_pings += 1
        logger.warning("ping not answered", extra={"conn_id": live.connection.key})
        self._abort(live)

    async def _successor(self, live: LiveSocket) -> tuple[LiveSocket, set[str]] | None:
        """A second socket that has spoken on all channels that the first one speaks on, or as far as the overlap allows (then with what it lacks)."""
        heard_before = dict(live.seen)
        try:
            fresh = await self._open()
        except (ConnectFailed, RestFailed) as e:
            logger.warning("replacement failed", extra={"conn_id": live.connection.key, "error": str(e)})
            return None
        self._counts.rotations += 1
        deadline_ns = self._timer() + self._settings.overlap_ns
        books = self._pipeline.books
        while (now_ns := self._timer()) < deadline_ns:
            settled_ns = fresh.subscribed_ns
            is_settled = settled_ns is not None and now_ns - settled_ns >= self._settle_ns
            if is_settled and not fresh.lacks(live, heard_before) and not books.awaits(fresh.id):
                break
            await asyncio.sleep(_WARM_EVERY_S)
        return fresh, fresh.lacks(live, heard_before)

    async def _retire(self, live: LiveSocket, ended: asyncio.Future[str], fresh: LiveSocket, lacking: set[str]) -> None:
        # What the old socket still has in its buffers is read until the close handshake is through.
        assert live.socket is not None
        self._spawn(live.socket.close())
        await asyncio.wait({ended}, timeout=2.0)
        if live in self._live:
            self._live.remove(live)
        now_ns = self._parts.clock()
        self._pipeline.books.leave(live.id, "" if ended.done() else "rotation", now_ns)
        for channel in self.connection.channels:
            key = channel_key(channel.instrument, channel.feed)
            if key in lacking and key not in fresh.seen:
                self._pipeline.interrupt(channel.instrument, channel.feed, "rotation", now_ns)
        logger.info("rotated", extra={"conn_id": live.connection.key, "age_s": self._age_s(live)})

    def _on_ended(self, live: LiveSocket, why: str) -> None:
        if live in self._live:
            self._live.remove(live)
        now_ns = self._parts.clock()
        self._counts.disconnects += 1
        self.last_error = why
        logger.warning("disconnected", extra={"conn_id": live.connection.key, "error": why, "age_s": self._age_s(live)})
        if self._timer() - live.opened_ns <= _STEADY_NS:
            self._breaker.on_failure(self._timer())
        self._pipeline.books.leave(live.id, "disconnect", now_ns)
        cut = [channel for channel in self.connection.channels if not self.is_covered(channel)]
        self._watch.cut(cut, self._timer())
        for channel in cut:
            self._pipeline.interrupt(channel.instrument, channel.feed, "disconnect", now_ns)
            self._pipeline.status(channel.instrument, channel.feed, "disconnected", now_ns)

    def _age_s(self, live: LiveSocket) -> float:
        return round((self._timer() - live.opened_ns) / NS_PER_S, 3)

    # Silence

    async def _keep_fresh(self, live: LiveSocket, now_ns: int) -> bool:
        """Act on silence. False: the socket was given up."""
        verdicts = self._watch.check(self.seen(), self._pipeline.halted, now_ns)
        stamp_ns = self._parts.clock()
        for channel in verdicts.recovered:
            self._repairs.pop(channel_key(channel.instrument, channel.feed), None)
            self._pipeline.status(channel.instrument, channel.feed, "fresh", stamp_ns)
        if not verdicts.stale:
            return True
        self._counts.stale_channels += len(verdicts.stale)
        for channel in verdicts.stale:
            self._pipeline.interrupt(channel.instrument, channel.feed, "stale", stamp_ns)
            self._pipeline.status(channel.instrument, channel.feed, "stale", stamp_ns)
        if verdicts.all_silent:
            logger.warning("socket is silent", extra={"conn_id": live.connection.key})
            self._abort(live)
            return False
        await self._revive(live, verdicts.stale)
        return True

    async def _revive(self, live: LiveSocket, stale: tuple[Channel, ...]) -> None:
        """Start silent channels anew and touch no other; once, when that does not help, replace the socket without a break.

        After that they are asked for again as long as they stay silent, a minute apart or more (`StalenessWatch`): no storm over a dead symbol.
        """
        asked: set[str] = set()
        for channel in stale:
            key = channel_key(channel.instrument, channel.feed)
            attempt = self._repairs[key] = self._repairs.get(key, 0) + 1
            logger.warning("channel is silent", extra={"channel": channel.name, "feed": channel.feed})
            frames = self._adapter.resubscribe(live.connection, channel)
            if not frames or attempt == _RESUBSCRIBES_BEFORE_REPLACING + 1:
                live.wake.set()
            elif channel.name not in asked:  # two feeds may share a stream
                asked.add(channel.name)
                self._counts.resubscribes += 1
                await self._send_paced(live, frames)

    def resubscribe(self, name: str, feed: Feed) -> bool:
        """Ask the venue to start one channel anew; False where no socket carries it now."""
        for channel in self.connection.channels:
            if (channel.instrument, channel.feed) == (name, feed) and self._live:
                live = self._live[-1]
                frames = self._adapter.resubscribe(live.connection, channel)
                if frames:
                    self._counts.resubscribes += 1
                    self._spawn(self._send_paced(live, frames))
                else:
                    live.wake.set()
                return True
        return False

    def _abort(self, live: LiveSocket) -> None:
        if live.socket is not None:
            live.socket.abort()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_spawned_done)

    def _on_spawned_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("socket task failed", extra={"conn_id": self.connection.key}, exc_info=error)
