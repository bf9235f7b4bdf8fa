"""Output formats: their content types, and which of them may be sent piece by piece."""

from __future__ import annotations

import struct
from typing import Final

DEFAULT_FORMAT: Final = "TabSeparated"

# The engine prints each piece of a streamed result as a document of its own. These formats have neither header nor
# trailer nor separator between rows of two pieces, so that the pieces joined are the whole.
_JOINABLE: Final = frozenset(
    {"Native", "RowBinary", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "Raw", "CSV", "TSKV", "MsgPack"}
    | {"JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow", "JSONCompactEachRow", "JSONCompactStringsEachRow"}
)
_ARROW_STREAM: Final = "ArrowStream"
_ARROW_END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"

_TEXT_PLAIN: Final = "text/plain; charset=UTF-8"


def can_stream(name: str) -> bool:
    """Whether a result in format `name` may be sent while it is computed."""
    return name in _JOINABLE or name == _ARROW_STREAM


def content_type(name: str | None) -> str:
    """The Content-Type a server sends with format `name`."""
    if name is None:
        return _TEXT_PLAIN
    if name in ("JSON", "JSONStrings", "JSONCompact", "JSONCompactStrings", "JSONColumns", "JSONObjectEachRow"):
        return "application/json; charset=UTF-8"
    if name in ("JSONLines", "NDJSON") or (name.startswith("JSON") and "EachRow" in name):
        return "application/x-ndjson; charset=UTF-8"
    if name.startswith(("TabSeparated", "TSV")) or name == "Raw":
        return "text/tab-separated-values; charset=UTF-8"
    if name.startswith("CSV"):
        header = "present" if "With" in name else "absent"
        return f"text/csv; charset=UTF-8; header={header}"
    if name == "XML":
        return "application/xml; charset=UTF-8"
    if name.startswith(("Native", "RowBinary", "Arrow", "Parquet", "ORC", "Avro", "MsgPack", "Protobuf", "Npy")):
        return "application/octet-stream"
    return _TEXT_PLAIN


class Joiner:
    """Joins the pieces of one streamed result into one document. Only ArrowStream needs work."""

    def __init__(self, name: str) -> None:
        self._is_arrow = name == _ARROW_STREAM
        self._schema: bytes | None = None

    def add(self, piece: memoryview | bytes) -> list[memoryview | bytes]:
        """What to send for `piece`."""
        if not self._is_arrow or not piece:
            return [piece]
        view = memoryview(piece)
        schema_end = _first_message_end(view)
        body = view[: -len(_ARROW_END)] if bytes(view[-len(_ARROW_END) :]) == _ARROW_END else view
        if self._schema is None:
            self._schema = bytes(view[:schema_end])
            return [body]
        return [body[schema_end:]]

    def end(self) -> bytes:
        """What closes the document."""
        return _ARROW_END if self._schema is not None else b""


def _first_message_end(view: memoryview) -> int:
    """The end of a stream's schema message: continuation mark, int32 metadata length, metadata, no body.

    Source: Arrow columnar format, "Encapsulated message format", read 2026-11.
    """
    mark, length = struct.unpack_from("<II", view)
    if mark != 0xFFFFFFFF:
        raise ValueError("not an Arrow stream")
    return 8 + int(length)
