"""Handing the rows of a request to the engine: as a file that has no name and no place on disk."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def as_file(pieces: Iterable[bytes]) -> Iterator[str]:
    """A path under which this process can read `pieces`, one after the other, until the block ends.

    On Linux it is anonymous memory, so that rows go to disk once, as parts. Errors of `pieces` (a cut or oversized
    compressed body) come before the block is entered: the engine never sees a part of a body.
    """
    if sys.platform == "linux":
        descriptor = os.memfd_create("rows", os.MFD_CLOEXEC)
        try:
            for piece in pieces:
                _write(descriptor, piece)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile(prefix="rows-") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        yield file.name


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
