"""Compression of HTTP bodies both ways, in pieces and within bounds."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import lz4.block  # type: ignore[import-untyped]
import lz4.frame  # type: ignore[import-untyped]
import zstandard

from feedplane_clickhouse_lite.errors import BAD_REQUEST_PARAMETER, CANNOT_DECOMPRESS, QUERY_IS_TOO_LARGE
from feedplane_clickhouse_lite.errors import ClickHouseError as _Error

_PIECE_BYTES: Final = 1 << 20
_GZIP: Final = 31  # zlib window bits: 15, in a gzip wrapper
_AUTO: Final = 47  # zlib or gzip, whichever comes
_PREFERRED: Final = ("zstd", "lz4", "gzip", "deflate")
_ZSTD_WINDOW_BYTES: Final = 1 << 27  # what the format's own tool accepts by default; a window is memory

_CHECKSUM_BYTES: Final = 16
_BLOCK_HEADER: Final = struct.Struct("<BII")
_MAX_BLOCK_BYTES: Final = 1 << 30


class Encoder(Protocol):
    """Compresses one response."""

    def compress(self, data: bytes | memoryview) -> bytes:
        """What can be sent after `data`; possibly nothing yet."""

    def flush(self) -> bytes:
        """The rest."""


def negotiate(accept_encoding: str) -> str | None:
    """The encoding to answer with: the cheapest that `Accept-Encoding` admits, or None for none."""
    offered = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.strip().partition(";")
        offered[name.strip()] = "".join(parameters.split()) not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((name for name in _PREFERRED if offered.get(name)), None)


def encoder(encoding: str, level: int) -> Encoder:
    """A compressor for a name that `negotiate` gave; `level` is ClickHouse's `http_zlib_compression_level`."""
    match encoding:
        case "gzip":
            return zlib.compressobj(level, wbits=_GZIP)
        case "deflate":
            return zlib.compressobj(level)
        case "zstd":
            return zstandard.ZstdCompressor(level=min(level, 3)).compressobj()
        case _:
            return _Lz4Encoder()


class _Lz4Encoder:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._started = False

    def compress(self, data: bytes | memoryview) -> bytes:
        head = b"" if self._started else bytes(self._frame.begin())
        self._started = True
        return head + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        head = b"" if self._started else bytes(self._frame.begin())
        return head + bytes(self._frame.flush())


def decoded(body: bytes, encoding: str, max_bytes: int) -> Iterator[bytes]:
    """The body of a request without its `Content-Encoding`, in pieces of about a MiB.

    Raises:
        ClickHouseError: 408 for an unknown encoding, 271 for a damaged or cut body, 229 beyond `max_bytes`.
    """
    match encoding.strip().lower():
        case "" | "identity":
            pieces: Iterable[bytes] = (body,)
        case "gzip" | "x-gzip" | "deflate":
            pieces = _inflated(body)
        case "zstd":
            pieces = _zstd(body)
        case "lz4":
            pieces = _lz4(body)
        case other:
            raise _Error(BAD_REQUEST_PARAMETER, f"Unknown Content-Encoding: {other[:32]!r}")
    return _bounded(pieces, max_bytes)


def native_decoded(body: bytes, max_bytes: int) -> Iterator[bytes]:
    """The body of a request with `decompress=1`: ClickHouse's own blocks (LZ4, ZSTD or stored).

    Sizes and the codec's own structure are checked; the CityHash checksum in front of each block is not.
    """
    return _bounded(_native_blocks(body), max_bytes)


def _bounded(pieces: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    total = 0
    try:
        for piece in pieces:
            total += len(piece)
            if total > max_bytes:
                raise _Error(QUERY_IS_TOO_LARGE, f"The request is larger than {max_bytes} bytes once decompressed")
            yield piece
    except (zlib.error, zstandard.ZstdError, lz4.block.LZ4BlockError, RuntimeError, EOFError, struct.error) as e:
        raise _Error(CANNOT_DECOMPRESS, f"Cannot decompress the request: {e}") from e


def _inflated(body: bytes) -> Iterator[bytes]:
    while body:  # gzip members may follow one another
        member = zlib.decompressobj(_AUTO)
        rest = body
        while rest and not member.eof:
            yield member.decompress(rest, _PIECE_BYTES)
            rest = member.unconsumed_tail
        while not member.eof:
            piece = member.decompress(b"", _PIECE_BYTES)
            if not piece:
                raise EOFError("the stream ends too early")
            yield piece
        body = member.unused_data


def _zstd(body: bytes) -> Iterator[bytes]:
    window = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    size = 0
    with window.stream_reader(body, read_across_frames=True) as reader:
        while piece := reader.read(_PIECE_BYTES):
            size += len(piece)
            yield piece
    _require_whole_zstd(body, size)


def _require_whole_zstd(body: bytes, size: int) -> None:
    """The reader ends silently on a cut frame; a frame that declares its size tells, and one that does not is walked."""
    declared = zstandard.frame_content_size(body) if body else 0
    if declared > size:
        raise EOFError("the stream ends too early")
    if declared < 0:
        walker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
        for at in range(0, len(body), _PIECE_BYTES):
            walker.decompress(body[at : at + _PIECE_BYTES])
            if walker.eof:
                return
        raise EOFError("the stream ends too early")


def _lz4(body: bytes) -> Iterator[bytes]:
    while body:
        frame = lz4.frame.LZ4FrameDecompressor()
        piece = frame.decompress(body, _PIECE_BYTES)
        yield piece
        while not frame.eof:
            if frame.needs_input:
                raise EOFError("the stream ends too early")
            yield frame.decompress(b"", _PIECE_BYTES)
        body = frame.unused_data or b""


def _native_blocks(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        at += _CHECKSUM_BYTES
        method, packed, plain = _BLOCK_HEADER.unpack_from(body, at)
        if plain > _MAX_BLOCK_BYTES or packed < _BLOCK_HEADER.size or at + packed > len(body):
            raise EOFError("a block's sizes are wrong, or it is cut")
        data = body[at + _BLOCK_HEADER.size : at + packed]
        at += packed
        piece = _BLOCK_CODECS.get(method, _unknown_block)(data, plain)
        if len(piece) != plain:
            raise EOFError("a block has another size than it says")
        yield piece


def _unknown_block(data: bytes, plain: int) -> bytes:
    raise EOFError("unknown codec of a block")


_BLOCK_CODECS: Final[dict[int, Callable[[bytes, int], bytes]]] = {
    0x82: lambda data, plain: bytes(lz4.block.decompress(data, uncompressed_size=plain)),
    0x90: lambda data, plain: zstandard.ZstdDecompressor().decompress(data, max_output_size=plain),
    0x02: lambda data, plain: data,
}
