"""Frame files: recorded frames and REST answers as text, and their replay through an adapter.

Two formats, told apart line by line, so a file may hold both:

    frame file    recv_ns<TAB>payload                  a frame as it came; base64:... where the payload is binary or holds a line break
                  recv_ns<TAB>GET <url><TAB>body       a REST answer (or POST)
    capture       <epoch s>: <frame>                   received
                  <url> -> <epoch s>: <body>           a REST answer
                  <url> <-> <epoch s>                  a socket was opened
                  <url> <- <epoch s>: <frame>          sent by the client

An empty line, a first line that is a JSON object (provenance of a fixture) and a capture's `configuration:` line carry nothing.
"""

from __future__ import annotations

import gzip
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import BinaryIO, Protocol, TypeAlias, cast

import msgspec

from .adapter import Adapter, Fetch, Frame, Request, Session, Tag
from .errors import DecodeError
from .events import MarketEvent

_BASE64 = b"base64:"
_GZIP_MAGIC = b"\x1f\x8b"

_OURS = re.compile(rb"(\d{1,19})\t(?:(GET|POST) (\S+)\t)?(.*)", re.DOTALL).fullmatch
_RECEIVED = re.compile(rb"(\d{1,10})(?:\.(\d{1,9})\d*)?: (.*)", re.DOTALL).fullmatch
_CALLED = re.compile(rb"(\S+) (<->|<-|->) (\d{1,10})(?:\.(\d{1,9})\d*)?(?:: (.*))?", re.DOTALL).fullmatch


class SocketOpened(msgspec.Struct, frozen=True):
    """A new socket: what its predecessor's session knew does not hold for it."""

    line: int
    recv_ns: int
    url: str


class FrameReceived(msgspec.Struct, frozen=True):
    """One WebSocket message."""

    line: int
    recv_ns: int
    payload: Frame


class FrameSent(msgspec.Struct, frozen=True):
    """What the client sent; kept for people, not replayed."""

    line: int
    recv_ns: int
    url: str
    payload: Frame


class RestAnswer(msgspec.Struct, frozen=True):
    """One REST body."""

    line: int
    recv_ns: int
    url: str
    body: bytes
    method: str = "GET"


class BadLine(msgspec.Struct, frozen=True):
    """A line of neither format."""

    line: int
    recv_ns: int  # of the line before it
    detail: str


Record: TypeAlias = SocketOpened | FrameReceived | FrameSent | RestAnswer | BadLine


def frame_line(recv_ns: int, payload: Frame) -> bytes:
    """One line of a frame file, newline included; inverse of `parse_lines`."""
    return b"%d\t%b\n" % (recv_ns, _line_text(payload))


def answer_line(recv_ns: int, url: str, body: bytes, method: str = "GET") -> bytes:
    """A REST answer as one line of a frame file, newline included."""
    return b"%d\t%b %b\t%b\n" % (recv_ns, method.encode(), url.encode(), _line_text(body))


def _line_text(payload: bytes) -> bytes:
    if payload.startswith((_BASE64, b"GET ", b"POST ")) or b"\n" in payload or payload.endswith(b"\r"):
        return _BASE64 + b64encode(payload)
    try:
        payload.decode()
    except UnicodeDecodeError:
        return _BASE64 + b64encode(payload)
    return payload


def _payload_of(text: bytes) -> bytes:
    """Raises: Base64Error (a ValueError) where `base64:` is followed by something else."""
    return b64decode(text[len(_BASE64) :], validate=True) if text.startswith(_BASE64) else text


class PeekableStream(Protocol):
    """What `open(path, "rb")` and `sys.stdin.buffer` are."""

    def peek(self, size: int = 0, /) -> bytes: ...


def unzipped(stream: PeekableStream) -> Iterable[bytes]:
    """The lines of an open file, gzip recognised by its first bytes."""
    if stream.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] == _GZIP_MAGIC:
        return cast(Iterable[bytes], gzip.GzipFile(fileobj=cast(BinaryIO, stream)))
    return cast(Iterable[bytes], stream)


def parse_lines(lines: Iterable[bytes]) -> Iterator[Record]:
    """Every record of a frame file or capture, in order; `line` counts from 1. Never raises: what fits no format is a `BadLine`."""
    recv_ns = 0
    for number, raw in enumerate(lines, start=1):
        record = _parse_line(raw.rstrip(b"\r\n"), number, recv_ns)
        if record is not None:
            recv_ns = record.recv_ns
            yield record


def _parse_line(text: bytes, line: int, previous_ns: int) -> Record | None:
    try:
        if ours := _OURS(text):
            stamp, method, url, payload = ours.groups()
            if method is None:
                return FrameReceived(line, int(stamp), _payload_of(payload))
            return RestAnswer(line, int(stamp), url.decode(), _payload_of(payload), method.decode())
        if received := _RECEIVED(text):
            whole, fraction, payload = received.groups()
            return FrameReceived(line, _epoch_ns(whole, fraction), payload)
        if called := _CALLED(text):
            return _parse_call(called, line)
    except (Base64Error, UnicodeDecodeError) as error:
        return BadLine(line, previous_ns, str(error))
    if not text or text.startswith(b"configuration: ") or (line == 1 and text.startswith(b"{")):
        return None
    return BadLine(line, previous_ns, "neither recv_ns<TAB>payload nor a line of a capture")


def _parse_call(called: re.Match[bytes], line: int) -> Record:
    url, arrow, whole, fraction, body = called.groups()
    at_ns = _epoch_ns(whole, fraction)
    match arrow:
        case b"<->":
            return SocketOpened(line, at_ns, url.decode())
        case b"<-":
            return FrameSent(line, at_ns, url.decode(), body or b"")
    return RestAnswer(line, at_ns, url.decode(), body or b"")


def _epoch_ns(whole: bytes, fraction: bytes | None) -> int:
    return int(whole) * 1_000_000_000 + int((fraction or b"").ljust(9, b"0"))


def merged(*sources: Iterable[Record]) -> Iterator[Record]:
    """Records of several files of one time, in order of receipt."""
    return merge(*sources, key=lambda record: record.recv_ns)


class Decoded(msgspec.Struct, frozen=True):
    """What became of one record: its events, or the refusal."""

    record: Record
    events: list[MarketEvent]
    error: DecodeError | None = None


class Replay:
    """Records through one adapter, as the collector would have put them through; no clock, no network.

    A socket that opens gets a new session. REST answers are told apart by `Adapter.tag_of`: instruments are made known, a body that the session has asked for is
    delivered to it, snapshots, polls and history pages are decoded, all else carries no events.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._session: Session = adapter.session()
        self._asked: list[Tag] = []
        self._instrument_bodies: list[bytes] = []

    def feed(self, record: Record) -> Decoded:
        """Decode the next record."""
        try:
            return Decoded(record, self._events(record))
        except DecodeError as error:
            return Decoded(record, [], error)

    def _events(self, record: Record) -> list[MarketEvent]:
        match record:
            case FrameReceived():
                events = self._session.decode(record.payload, record.recv_ns)
                self._asked += [a.request.tag for a in self._session.actions() if isinstance(a, Fetch)]
                return events
            case RestAnswer():
                return self._answer(record)
            case SocketOpened():
                self._session = self._adapter.session()
                self._asked.clear()
            case BadLine():
                raise DecodeError("-", "schema", record.detail)
            case FrameSent():
                pass
        return []

    def _answer(self, answer: RestAnswer) -> list[MarketEvent]:
        tag = self._adapter.tag_of(answer.url)
        if tag is None or tag.kind == "token":
            return []
        if tag in self._asked:
            self._asked.remove(tag)
            return self._session.deliver(tag, answer.body, answer.recv_ns)
        if tag.kind == "instruments":
            self._instrument_bodies.append(
                answer.body
            )  # together they say more: sizes in one, funding intervals in another
            self._adapter.use_instruments(self._adapter.decode_instruments(self._instrument_bodies))
            return []
        if tag.kind == "history":
            request = Request(url=answer.url, tag=tag, method=answer.method)
            return self._adapter.decode_page(request, answer.body, answer.recv_ns).events
        return self._adapter.decode_body(tag, answer.body, answer.recv_ns)


def decode_records(adapter: Adapter, records: Iterable[Record]) -> Iterator[Decoded]:
    """One `Decoded` a record, in order."""
    replay_of = Replay(adapter)
    return (replay_of.feed(record) for record in records)


def replay(adapter: Adapter, records: Iterable[Record]) -> Iterator[MarketEvent | DecodeError]:
    """Every event and every refusal, in frame order, then order inside the frame."""
    for decoded in decode_records(adapter, records):
        if decoded.error is not None:
            yield decoded.error
        else:
            yield from decoded.events
