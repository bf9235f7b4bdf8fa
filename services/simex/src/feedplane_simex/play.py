"""Recorded frames instead of invented ones: the same sockets and requests, answered from files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from feedplane_core.dialect import (
    Dialect,
    Handshake,
    Happening,
    Market,
    Message,
    Peer,
    Recording,
    RestReply,
    RestRequest,
    Want,
)
from feedplane_core.errors import UsageError
from feedplane_core.frames import FrameReceived, RestAnswer, SocketOpened, parse_lines, unzipped
from feedplane_core.names import NS_PER_S, Feed

from .faults import FaultBoard
from .ledger import Ledger
from .sockets import Channel, Socket
from .venue import VenueSim
from .world import World

_HASH_BYTES = 16
_MAX_FRAMES_PER_TICK = 2000
_PAUSE_AT_BYTES = 1 << 20
_SETTLED_NS = 3 * NS_PER_S  # without a new subscription: the listeners have all they want


class Played(msgspec.Struct, frozen=True):
    """One recorded frame as it is to be sent."""

    recv_ns: int
    payload: bytes
    topics: tuple[str, ...]
    is_binary: bool = False


class Tape(msgspec.Struct):
    """What the files of one venue hold."""

    frames: list[Played] = []
    answers: dict[str, deque[bytes]] = {}
    skipped: int = 0  # acks, heartbeats, lines of no format

    def topics(self) -> set[tuple[str, ...]]:
        """Every channel that is spoken on, by its possible names."""
        return {frame.topics for frame in self.frames}


class PlayCounts(msgspec.Struct):
    """What became of a tape."""

    frames: int = 0
    sent: int = 0
    unheard: int = 0  # nobody had subscribed
    skipped: int = 0
    answers: int = 0  # recorded REST bodies served


def read_tape(dialect: Dialect, paths: Iterable[Path]) -> Tape:
    """All files of one venue in order of receipt. They are held in memory.

    Raises: UsageError for a file that cannot be read.
    """
    tape = Tape()
    for path in paths:
        try:
            with path.open("rb") as stream:
                _read_file(dialect, unzipped(stream), tape)
        except (OSError, EOFError) as error:
            raise UsageError("--play", str(error)) from error
    tape.frames.sort(key=lambda frame: frame.recv_ns)
    return tape


def _read_file(dialect: Dialect, lines: Iterable[bytes], tape: Tape) -> None:
    recording: Recording = dialect.recording("")
    for record in parse_lines(lines):
        match record:
            case SocketOpened(url=url):
                recording = dialect.recording(url)
            case FrameReceived(recv_ns=recv_ns, payload=payload):
                found = recording.read(payload)
                if found is None:
                    tape.skipped += 1
                else:
                    tape.frames.append(Played(recv_ns, found.payload, found.topics, found.is_binary))
            case RestAnswer(url=url, body=body):
                parts = urlsplit(url)
                path = parts.path.removeprefix(f"/{dialect.exchange}")  # recorded from a simulation
                key = dialect.recorded_key(path, dict(parse_qsl(parts.query)))
                tape.answers.setdefault(key, deque()).append(body)


class AnyMarkets(Mapping[str, Market]):
    """No market is known, and none is refused."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Market:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class NoWorld:
    """The `Venue` of a replay."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.markets: Mapping[str, Market] = AnyMarkets()

    def now_ns(self) -> int:
        return self._world.now_ns()


class SilentStream:
    """A channel that says nothing by itself."""

    feeds: frozenset[Feed] = frozenset()
    instrument = ""
    wants: tuple[Want, ...] = ()

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return ()

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


class ReplayVenue(VenueSim):
    """One venue from its tape. Playing begins when every recorded channel has a listener, when no more subscriptions come, or `wait_ns` after the first socket."""

    is_replay = True

    def __init__(
        self, dialect: Dialect, tape: Tape, ledger: Ledger, faults: FaultBoard, now_ns: int, speed: float, wait_ns: int
    ) -> None:
        super().__init__(dialect, World((), "replay", now_ns), ledger, faults, [])
        self.played = PlayCounts(frames=len(tape.frames), skipped=tape.skipped)
        self._view = NoWorld(self.world)
        self._tape = tape
        self._missing = tape.topics()
        self._speed = speed  # 0: as fast as the listeners read
        self._wait_ns = wait_ns
        self._place = 0
        self._first_socket_ns: int | None = None
        self._subscribed_ns = now_ns
        self._began_ns: int | None = None

    @property
    def is_done(self) -> bool:
        return self._place >= len(self._tape.frames)

    def connect(self, handshake: Handshake) -> Peer | RestReply:
        return self.dialect.open_socket(handshake, self._view)

    def attach(self, socket: Socket, now_ns: int) -> None:
        if self._first_socket_ns is None:
            self._first_socket_ns = now_ns
        super().attach(socket, now_ns)

    def _subscribe(self, socket: Socket, topic: str, now_ns: int) -> None:
        channel = self.channels.get(topic)
        if channel is None:
            channel = self.channels[topic] = Channel(topic, SilentStream())
        socket.topics[topic] = None
        channel.sockets[socket.number] = socket
        self._subscribed_ns = now_ns
        self._missing = {topics for topics in self._missing if topic not in topics}

    def tick(self, now_ns: int) -> int:
        """Frames that have come due."""
        self.world.due(now_ns)
        if self._began_ns is None:
            if not self._may_begin(now_ns):
                return 0
            self._began_ns = now_ns
        before = self._place
        for _ in range(_MAX_FRAMES_PER_TICK):
            if self.is_done or not self._is_due(now_ns):
                break
            self._play(self._tape.frames[self._place], now_ns)
            self._place += 1
        return self._place - before

    def _may_begin(self, now_ns: int) -> bool:
        if self._first_socket_ns is None:
            return False
        waited_ns = now_ns - self._first_socket_ns
        is_settled = bool(self.channels) and now_ns - self._subscribed_ns >= _SETTLED_NS
        return not self._missing or is_settled or waited_ns >= self._wait_ns

    def act(self, now_ns: int) -> int:
        return 0

    def _is_due(self, now_ns: int) -> bool:
        if not self._speed:
            return all(socket.outbox.backlog_bytes < _PAUSE_AT_BYTES for socket in self.sockets.values())
        recorded_ns = self._tape.frames[self._place].recv_ns - self._tape.frames[0].recv_ns
        return recorded_ns <= (now_ns - (self._began_ns or 0)) * self._speed

    def _play(self, frame: Played, now_ns: int) -> None:
        message = Message(payload=frame.payload, is_binary=frame.is_binary)
        for topic in frame.topics:
            channel = self.channels.get(topic)
            if channel is not None:
                self.played.sent += 1
                self._playing = topic
                self._deliver(channel, message, now_ns)
                return
        self.played.unheard += 1
        self._playing = frame.topics[0]
        self._account(message, now_ns, sent=False, fault="unheard")

    def _account(self, message: Message, now_ns: int, *, sent: bool, fault: str = "", is_welcome: bool = False) -> None:
        if not sent:
            self.counts.withheld += 1
        digest = "h" + blake2b(message.payload, digest_size=_HASH_BYTES).hexdigest()
        self._ledger.issue_raw(self.exchange, self._playing, digest, now_ns, sent=sent, fault=fault)

    def _answer(self, request: RestRequest, is_stale: bool) -> RestReply:
        """The recorded body; where there are several of one request they come in turn, the last one for good."""
        bodies = self._tape.answers.get(self.dialect.recorded_key(request.path, request.query))
        if not bodies:
            return self.dialect.rest(request, self._view)
        self.played.answers += 1
        return RestReply(body=bodies.popleft() if len(bodies) > 1 else bodies[0])

    def state(self) -> dict[str, Any]:
        return {}
