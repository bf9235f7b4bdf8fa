"""Reading request bodies: whole before anything runs, bounded each and all together."""

from __future__ import annotations

from aiohttp import BodyPartReader, web

from feedplane_clickhouse_lite.admission import ByteBudget
from feedplane_clickhouse_lite.errors import BAD_REQUEST_PARAMETER, QUERY_IS_TOO_LARGE, ClickHouseError


class Body:
    """The body of one request, counted against the budget until `release`.

    A body is read to its end before the engine sees any of it, so that an upload that breaks off inserts nothing.
    """

    def __init__(self, budget: ByteBudget, max_bytes: int) -> None:
        self._budget = budget
        self._max_bytes = max_bytes
        self._held_bytes = 0

    async def read(self, request: web.Request) -> bytes:
        """All bytes, still encoded.

        Raises:
            ClickHouseError: 229 beyond the limit of one body, 202 beyond that of all.
        """
        declared = request.content_length
        if declared is not None:
            self._count(declared)  # refuse before the first byte, not after the last
        pieces = []
        async for piece in request.content.iter_any():
            if declared is None:
                self._count(len(piece))
            pieces.append(piece)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    async def read_form(self, request: web.Request) -> dict[str, bytes]:
        """The parts of a multipart form, by name."""
        parts = {}
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise ClickHouseError(BAD_REQUEST_PARAMETER, "A part of the form has no name")
            pieces = []
            while piece := await part.read_chunk(1 << 16):
                self._count(len(piece))
                pieces.append(bytes(piece))
            parts[part.name] = b"".join(pieces)
        return parts

    def release(self) -> None:
        """The bytes are no longer needed."""
        self._budget.give_back(self._held_bytes)
        self._held_bytes = 0

    def _count(self, size: int) -> None:
        if self._held_bytes + size > self._max_bytes:
            raise ClickHouseError(QUERY_IS_TOO_LARGE, f"The request is larger than {self._max_bytes} bytes")
        self._budget.take(size)
        self._held_bytes += size
