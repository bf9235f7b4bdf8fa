"""The byte format: what is packed comes back, and damage is told apart from the end."""

from __future__ import annotations

import itertools

import google_crc32c
import pytest
from feedplane_core.errors import JournalCorrupt, JournalError
from feedplane_core.journal import (
    FRAME_HEADER_BYTES,
    FRAME_MAGIC,
    MAX_PAYLOAD_BYTES,
    RECORD_CODES,
    RECORD_TYPES,
    Damage,
    Flaw,
    Frame,
    Peek,
    frame_at,
    next_frame,
    pack_frame_header,
    pack_segment_header,
    peek_at,
    scan,
    segment_header_bytes,
    torn_from,
    unpack_segment_header,
)
from hypothesis import given
from hypothesis import strategies as st


def crc(start: int, data: bytes) -> int:
    return int(google_crc32c.extend(start, data))


def frame(sequence: int, payload: bytes = b"payload!", group_index: int = 0, rows: int = 3) -> bytes:
    return pack_frame_header(payload, RECORD_CODES["depth"], rows, sequence, group_index, crc) + payload


def test_record_codes_are_what_is_on_disk_already() -> None:
    assert RECORD_TYPES[:3] == ("trade", "l1", "depth")
    assert RECORD_CODES["trade"] == 1
    assert RECORD_CODES["instrument"] == 14


def test_a_frame_comes_back_as_packed() -> None:
    data = b"before" + frame(77, b"x" * 40, group_index=2)

    found = frame_at(data, 6, crc, base=1_000)

    assert found == Frame(1_006, 1_006 + FRAME_HEADER_BYTES + 40, 77, RECORD_CODES["depth"], 3, 2, b"x" * 40)
    assert isinstance(found, Frame)
    assert (found.group_start, found.record_type) == (75, "depth")
    assert peek_at(data, 6) == Peek(40, 3, 77, RECORD_CODES["depth"])


def test_the_checksum_is_crc_32c_over_all_that_follows_it() -> None:
    data = frame(1)

    assert int.from_bytes(data[4:8], "little") == google_crc32c.value(data[8:])
    assert google_crc32c.value(b"123456789") == 0xE3069283  # the published check value of CRC-32C


@given(st.integers(min_value=0, max_value=8 * len(frame(5)) - 1))
def test_any_flipped_bit_is_noticed(bit: int) -> None:
    data = bytearray(frame(5))
    data[bit // 8] ^= 1 << bit % 8

    assert not isinstance(frame_at(bytes(data), 0, crc), Frame)


def test_every_cut_of_a_frame_is_torn_and_none_of_it_is_the_end() -> None:
    data = frame(5)

    assert frame_at(b"", 0, crc) is Flaw.END
    assert {frame_at(data[:size], 0, crc) for size in range(1, len(data))} == {Flaw.TORN}


def test_a_claimed_length_beyond_the_limit_is_refused_without_reading() -> None:
    data = bytearray(frame(5))
    data[8:12] = (MAX_PAYLOAD_BYTES + 1).to_bytes(4, "little")

    assert frame_at(bytes(data), 0, crc) is Flaw.LENGTH
    assert peek_at(bytes(data), 0) is Flaw.LENGTH


def test_a_payload_beyond_the_limit_is_not_packed() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        pack_frame_header(bytes(MAX_PAYLOAD_BYTES + 1), 1, 1, 1, 0, crc)


def test_text_cannot_hold_the_magic() -> None:
    with pytest.raises(UnicodeDecodeError):
        FRAME_MAGIC.decode()


def test_the_next_frame_is_found_behind_garbage_and_false_magic() -> None:
    data = b"noise" + FRAME_MAGIC + b"noise" + FRAME_MAGIC + frame(9)

    found = next_frame(data, 0, crc)

    assert found is not None
    assert (found.sequence, found.start) == (9, len(data) - len(frame(9)))
    assert next_frame(data[:-1], 0, crc) is None


@given(st.binary(max_size=300))
def test_scan_accounts_for_every_byte_once(noise: bytes) -> None:
    data = frame(1) + noise + frame(2)

    parts = list(scan(data, 0, crc))

    assert next((p.start, p.end) for p in parts)[0] == 0
    assert parts[-1].end == len(data)
    assert all(a.end == b.start for a, b in itertools.pairwise(parts))
    assert [p.sequence for p in parts if isinstance(p, Frame)][-1] == 2


def _parts(*pieces: bytes) -> list[Frame | Damage]:
    return list(scan(b"".join(pieces), 0, crc))


def _broken(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def test_a_whole_segment_has_no_torn_tail() -> None:
    assert torn_from(_parts(frame(1), frame(2)), 1) is None
    assert torn_from([], 1) is None


def test_damage_at_the_end_is_torn() -> None:
    assert torn_from(_parts(frame(1), frame(2)[:-3]), 1) == len(frame(1))


def test_a_hole_in_the_last_group_takes_the_rest_of_the_group_along() -> None:
    """Frames 2, 3, 4 are one group: with 3 lost, 4 must not make it look whole."""
    parts = _parts(frame(1), frame(2, group_index=0), _broken(frame(3, group_index=1)), frame(4, group_index=2))

    assert torn_from(parts, 1) == 2 * len(frame(1))


def test_a_lost_first_frame_of_the_last_group_takes_the_group_along() -> None:
    assert torn_from(_parts(frame(1), _broken(frame(2)), frame(3, group_index=1)), 1) == len(frame(1))
    assert torn_from(_parts(_broken(frame(1)), frame(2, group_index=1)), 1) == 0


def test_rot_in_front_of_a_later_group_is_no_torn_tail() -> None:
    """Frame 3 opens a group of its own, so the group of frame 2 had been synced."""
    assert torn_from(_parts(frame(1), _broken(frame(2)), frame(3)), 1) is None
    assert torn_from(_parts(_broken(frame(1)), frame(2), frame(3)[:-1]), 1) == 2 * len(frame(1))


def test_a_segment_header_comes_back_and_is_aligned() -> None:
    data = pack_segment_header(b'{"a":1}', crc)

    body, end = unpack_segment_header(data + frame(1), crc)

    assert body.rstrip() == b'{"a":1}'
    assert end == len(data) == segment_header_bytes(data[:16])
    assert end % 8 == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: d[:9], JournalCorrupt, "ends inside"),
        (lambda d: d[:-1], JournalCorrupt, "ends inside"),
        (_broken, JournalCorrupt, "checksum"),
        (lambda d: b"FPJSEG02" + d[8:], JournalError, "use the version that wrote it"),
        (lambda d: b"PAR1PAR1" + d[8:], JournalCorrupt, "no segment magic"),
        (lambda d: d[:8] + b"\xff\xff\xff\xff" + d[12:], JournalCorrupt, "claims"),
    ],
)
def test_a_damaged_or_foreign_header_is_refused(change, error, message) -> None:  # type: ignore[no-untyped-def]
    data = pack_segment_header(b'{"a":1}', crc)

    with pytest.raises(error, match=message):
        unpack_segment_header(change(data), crc)
