"""Compression of bodies both ways, and its bounds."""

from __future__ import annotations

import gzip
import os
import struct
import zlib

import lz4.block
import lz4.frame
import pytest
import zstandard
from feedplane_clickhouse_lite.codec import decoded, encoder, native_decoded, negotiate
from feedplane_clickhouse_lite.errors import ClickHouseError
from hypothesis import given
from hypothesis import strategies as st

_PLAIN = b"0123456789" * 400_000 + os.urandom(1 << 16)
_PACK = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
}


def _streamed_zstd(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("encoding", _PACK)
def test_a_packed_body_comes_out_in_pieces(encoding: str) -> None:
    pieces = list(decoded(_PACK[encoding](_PLAIN), encoding, len(_PLAIN)))

    assert b"".join(pieces) == _PLAIN
    assert len(pieces) > 1


@pytest.mark.parametrize("encoding", _PACK)
def test_frames_may_follow_one_another(encoding: str) -> None:
    twice = _PACK[encoding](b"ab") + _PACK[encoding](b"cd")

    assert b"".join(decoded(twice, encoding, 10)) == b"abcd"


@pytest.mark.parametrize("encoding", _PACK)
def test_a_bomb_stops_at_the_limit(encoding: str) -> None:
    with pytest.raises(ClickHouseError) as error:
        list(decoded(_PACK[encoding](bytes(50 << 20)), encoding, 1 << 20))

    assert error.value.code == 229


@pytest.mark.parametrize("pack", [*_PACK.items(), ("zstd", _streamed_zstd)])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.95])
def test_a_cut_body_is_refused(pack: tuple[str, object], keep: float) -> None:
    encoding, function = pack
    packed = function(_PLAIN)  # type: ignore[operator]

    with pytest.raises(ClickHouseError) as error:
        list(decoded(packed[: int(len(packed) * keep)], encoding, len(_PLAIN)))

    assert error.value.code == 271


@pytest.mark.parametrize("encoding", _PACK)
def test_garbage_is_refused(encoding: str) -> None:
    with pytest.raises(ClickHouseError) as error:
        list(decoded(b"this is no compressed data at all", encoding, 1_000))

    assert error.value.code == 271


def test_an_unknown_encoding_is_a_bad_request() -> None:
    with pytest.raises(ClickHouseError) as error:
        decoded(b"", "snappy", 1)

    assert error.value.code == 408


@pytest.mark.parametrize("encoding", _PACK)
@given(data=st.lists(st.binary(max_size=3_000), max_size=5))
def test_responses_can_be_read_again(encoding: str, data: list[bytes]) -> None:
    packer = encoder(encoding, 3)
    packed = b"".join([*map(packer.compress, data), packer.flush()])

    assert b"".join(decoded(packed, encoding, 100_000)) == b"".join(data)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate", "gzip"), ("lz4,zstd,gzip", "zstd"), ("br", None), ("", None), ("zstd;q=0, gzip;q=0.5", "gzip"),
        ("*", None),
    ],
)  # fmt: skip
def test_the_best_accepted_encoding_is_chosen(accepted: str, chosen: str | None) -> None:
    assert negotiate(accepted) == chosen


def _block(method: int, packed: bytes, plain_size: int) -> bytes:
    return bytes(16) + struct.pack("<BII", method, len(packed) + 9, plain_size) + packed


def test_native_blocks_of_all_three_codecs() -> None:
    body = (
        _block(0x82, lz4.block.compress(b"one", store_size=False), 3)
        + _block(0x90, zstandard.ZstdCompressor().compress(b"two"), 3)
        + _block(0x02, b"six", 3)
    )

    assert b"".join(native_decoded(body, 100)) == b"onetwosix"


@pytest.mark.parametrize(
    "body", [bytes(10), _block(0x82, b"xx", 3), _block(0x33, b"x", 1), _block(0x02, b"abc", 3)[:-1], _block(2, b"a", 2)]
)
def test_damaged_native_blocks_are_refused(body: bytes) -> None:
    with pytest.raises(ClickHouseError) as error:
        list(native_decoded(body, 100))

    assert error.value.code == 271
