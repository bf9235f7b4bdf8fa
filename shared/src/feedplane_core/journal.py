"""The journal's byte format: segment headers and frames, packed, checked and found again in damaged bytes.

Pure: bytes in, values out; the checksum is passed in (`crc(start, data)`, CRC-32C that continues from `start`). All integers are little-endian.

    segment = magic "FPJSEG01" · u32 length · u32 crc(body) · body (JSON, padded with spaces to a multiple of 8) · frame*
    frame   = u32 magic · u32 crc · u32 length · u32 rows · u64 sequence · u8 record · u8 flags · u16 0 · u32 group_index · payload (length bytes)

The frame's checksum covers everything after itself. The magic holds bytes that no UTF-8 text has, so that a venue's text cannot look like a frame.
`group_index` is the frame's place in its group commit: a group is written only after the one before it was synced, so a whole frame of a later group
proves that damage in front of it is rot and not a torn write.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from .errors import JournalCorrupt, JournalError

Crc: TypeAlias = Callable[[int, bytes], int]

SEGMENT_MAGIC = b"FPJSEG01"
_SEGMENT_FAMILY = b"FPJSEG"
FRAME_MAGIC = b"\xfeFP\xff"
MAX_PAYLOAD_BYTES = 16 << 20
MAX_HEADER_BYTES = 16 << 20

_SEGMENT = struct.Struct("<8sII")
_FRAME = struct.Struct("<4sIIIQBBHI")
SEGMENT_PREFIX_BYTES = _SEGMENT.size
FRAME_HEADER_BYTES = _FRAME.size
_CRC_COVERS_FROM = 8  # magic and crc stand before it

RECORD_TYPES = (
    "trade",
    "l1",
    "depth",
    "book_top",
    "checkpoint",
    "liquidation",
    "kline",
    "mark_price",
    "funding",
    "open_interest",
    "advanced_metric",
    "gap",
    "status",
    "instrument",
)
"""Record types in the order of their codes (1, 2, ...). Append only: the code is on disk."""
FILLER = 0
"""Record code of a frame that stands where damage was taken out: no rows, nothing to deliver."""
RECORD_CODES = {name: code for code, name in enumerate(RECORD_TYPES, start=1)}


class Flaw(StrEnum):
    """Why no frame stands at an offset."""

    END = "end"  # the bytes end here: no damage
    TORN = "torn"  # the bytes end inside the frame
    MAGIC = "magic"
    LENGTH = "length"
    CRC = "crc"


class Frame(NamedTuple):
    """One whole, checked frame. `start` and `end` are offsets into the bytes that were scanned, plus the `base` given."""

    start: int
    end: int
    sequence: int
    record: int  # record code; an unknown one is for the caller to judge
    rows: int
    group_index: int
    payload: bytes

    @property
    def group_start(self) -> int:
        """Sequence of the first frame of this frame's group commit."""
        return self.sequence - self.group_index

    @property
    def record_type(self) -> str | None:
        """Name of the record type, `None` for a code that this version does not know."""
        return RECORD_TYPES[self.record - 1] if 0 < self.record <= len(RECORD_TYPES) else None


class Damage(NamedTuple):
    """Bytes between whole frames that are none."""

    start: int
    end: int
    flaw: Flaw


class Peek(NamedTuple):
    """A frame's header, not checked against its payload: enough to count and to skip."""

    length: int
    rows: int
    sequence: int
    record: int


def pack_segment_header(body: bytes, crc: Crc) -> bytes:
    """A segment's first bytes; `body` is the header's JSON. The result's length is a multiple of 8."""
    padded = body + b" " * (-len(body) % 8)
    if len(padded) > MAX_HEADER_BYTES:
        raise JournalError(f"segment header of {len(padded)} bytes is over the limit of {MAX_HEADER_BYTES}")
    return _SEGMENT.pack(SEGMENT_MAGIC, len(padded), crc(0, padded)) + padded


def segment_header_bytes(prefix: bytes) -> int:
    """Length of the whole header, told by its first `SEGMENT_PREFIX_BYTES` bytes.

    Raises: JournalCorrupt if these are not the start of a segment, JournalError if they are one of another format version.
    """
    if len(prefix) < SEGMENT_PREFIX_BYTES:
        raise JournalCorrupt("segment ends inside its header")
    magic, length, _ = _SEGMENT.unpack_from(prefix)
    if magic != SEGMENT_MAGIC:
        if magic.startswith(_SEGMENT_FAMILY) and magic[len(_SEGMENT_FAMILY) :].isdigit():
            raise JournalError(
                f"journal format {magic.decode()} is not {SEGMENT_MAGIC.decode()}: use the version that wrote it"
            )
        raise JournalCorrupt("no segment magic")
    if length > MAX_HEADER_BYTES:
        raise JournalCorrupt(f"segment header claims {length} bytes")
    return SEGMENT_PREFIX_BYTES + int(length)


def unpack_segment_header(data: bytes, crc: Crc) -> tuple[bytes, int]:
    """The header's JSON, and the offset of the first frame. Raises: as `segment_header_bytes`, JournalCorrupt on a checksum that fails."""
    end = segment_header_bytes(data[:SEGMENT_PREFIX_BYTES])
    body = bytes(data[SEGMENT_PREFIX_BYTES:end])
    expected = _SEGMENT.unpack_from(data)[2]
    if len(body) < end - SEGMENT_PREFIX_BYTES:
        raise JournalCorrupt("segment ends inside its header")
    if crc(0, body) != expected:
        raise JournalCorrupt("segment header fails its checksum")
    return body, end


def pack_frame_header(payload: bytes, record: int, rows: int, sequence: int, group_index: int, crc: Crc) -> bytes:
    """The 32 bytes that go before `payload`. Raises: ValueError if the payload is longer than a frame may be."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"payload of {len(payload)} bytes is over the limit of {MAX_PAYLOAD_BYTES}")
    unsigned = _FRAME.pack(FRAME_MAGIC, 0, len(payload), rows, sequence, record, 0, 0, group_index)
    checksum = crc(crc(0, unsigned[_CRC_COVERS_FROM:]), payload)
    return _FRAME.pack(FRAME_MAGIC, checksum, len(payload), rows, sequence, record, 0, 0, group_index)


def frame_at(data: bytes, offset: int, crc: Crc, base: int = 0) -> Frame | Flaw:
    """The frame that starts at `offset` of `data`, or why there is none. `base` is added to the offsets of the answer."""
    available = len(data) - offset
    if available < FRAME_HEADER_BYTES:
        return _short(data, offset)
    magic, checksum, length, rows, sequence, record, _flags, _zero, group_index = _FRAME.unpack_from(data, offset)
    if magic != FRAME_MAGIC:
        return Flaw.MAGIC
    if length > MAX_PAYLOAD_BYTES:
        return Flaw.LENGTH
    if available < FRAME_HEADER_BYTES + length:
        return Flaw.TORN
    start_of_payload = offset + FRAME_HEADER_BYTES
    end = start_of_payload + length
    payload = data[start_of_payload:end]
    if crc(crc(0, data[offset + _CRC_COVERS_FROM : start_of_payload]), payload) != checksum:
        return Flaw.CRC
    return Frame(base + offset, base + end, sequence, record, rows, group_index, payload)


def _short(data: bytes, offset: int) -> Flaw:
    rest = data[offset : offset + len(FRAME_MAGIC)]
    if not rest:
        return Flaw.END
    return Flaw.TORN if FRAME_MAGIC.startswith(rest) else Flaw.MAGIC


def peek_at(data: bytes, offset: int) -> Peek | Flaw:
    """The header at `offset`, with its payload neither read nor checked."""
    if len(data) - offset < FRAME_HEADER_BYTES:
        return _short(data, offset)
    magic, _, length, rows, sequence, record, *_ = _FRAME.unpack_from(data, offset)
    if magic != FRAME_MAGIC:
        return Flaw.MAGIC
    return Flaw.LENGTH if length > MAX_PAYLOAD_BYTES else Peek(length, rows, sequence, record)


def next_frame(data: bytes, offset: int, crc: Crc, base: int = 0) -> Frame | None:
    """The first whole frame that starts at or after `offset`, found by magic and checksum."""
    at = data.find(FRAME_MAGIC, offset)
    while at >= 0:
        found = frame_at(data, at, crc, base)
        if isinstance(found, Frame):
            return found
        at = data.find(FRAME_MAGIC, at + 1)
    return None


def scan(data: bytes, offset: int, crc: Crc, base: int = 0) -> Iterator[Frame | Damage]:
    """Every whole frame from `offset` to the end, and every stretch of bytes that is none, in order. Always ends."""
    while True:
        found = frame_at(data, offset, crc, base)
        if isinstance(found, Frame):
            yield found
            offset = found.end - base
            continue
        if found is Flaw.END:
            return
        following = next_frame(data, offset + 1, crc, base)
        if following is None:
            yield Damage(base + offset, base + len(data), found)
            return
        yield Damage(base + offset, following.start, found)
        offset = following.start - base


def torn_from(parts: list[Frame | Damage], first_sequence: int) -> int | None:
    """Offset from which the last segment was never accepted, or `None` if it ends whole; `parts` as `scan` gives them.

    That is the first damage that can be a torn write: at the very end, or inside the last group that left a whole frame. Damage in front of an earlier or
    complete group is rot in accepted bytes: it stays in place for readers to quarantine, and what follows it stays too.
    `first_sequence` is the sequence that the segment's first frame has.
    """
    last = next((part for part in reversed(parts) if isinstance(part, Frame) and part.record != FILLER), None)
    group_start = last.group_start if last is not None else first_sequence
    expected = first_sequence
    for index, part in enumerate(parts):
        if isinstance(part, Frame):
            expected = max(expected, part.sequence + 1)
        elif expected >= group_start or index == len(parts) - 1:
            return part.start
    return None
