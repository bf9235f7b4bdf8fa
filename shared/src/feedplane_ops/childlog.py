"""The output of a child process: a file with a cap, rotated, and the last lines in memory."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import BinaryIO, Final

KEPT_LINES: Final = 20
_MAX_LINE_BYTES: Final = 2_000  # of a line kept in memory; the file has it whole


class ChildLog:
    """`path`, `path.1` (newer) .. `path.<keep>`: together never more than `(keep + 1) * max_bytes`.

    A disk that is full loses log bytes, counted in `bytes_lost`; it never stops the reading of a child's pipe, which
    would stop the child.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        if max_bytes < 1 or keep < 0:
            raise ValueError(f"max_bytes: {max_bytes} and keep: {keep} are not a log")
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._file: BinaryIO | None = None
        self._size = 0
        self._lines: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._partial = b""
        self.bytes_lost = 0

    def open(self) -> None:
        """Append to the file; its folder is made where missing.

        Raises:
            OSError: the file cannot be opened.
        """
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        self._size = self._file.tell()

    def close(self) -> None:
        """Close the file; an unfinished last line counts as a line."""
        if self._partial:
            self._lines.append(self._partial)
            self._partial = b""
        if self._file is not None:
            self._file.close()
            self._file = None

    def write(self, chunk: bytes) -> None:
        """Append what the child wrote, rotating first where it would not fit."""
        self._remember(chunk)
        for start in range(0, len(chunk), self._max_bytes):
            piece = chunk[start : start + self._max_bytes]
            try:
                if self._size + len(piece) > self._max_bytes:
                    self._rotate()
                written = self._file.write(piece) or 0 if self._file is not None else 0
            except OSError:
                written = 0
            self._size += written
            self.bytes_lost += len(piece) - written

    def note(self, line: str) -> None:
        """Add a line of the supervisor's own, such as why the child could not be started."""
        self.write(line.encode() + b"\n")

    def last_lines(self) -> tuple[str, ...]:
        """The newest lines, oldest first, as text."""
        lines = [*self._lines, self._partial] if self._partial else self._lines
        return tuple(line.decode("utf-8", "replace") for line in lines)

    def _remember(self, chunk: bytes) -> None:
        *lines, partial = (self._partial + chunk).split(b"\n")
        self._lines.extend(line[:_MAX_LINE_BYTES] for line in lines)
        self._partial = partial[:_MAX_LINE_BYTES]

    def _rotate(self) -> None:
        """Shift the files by one and begin anew; what cannot be shifted is given up, for the cap holds in any case."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        try:
            for number in range(self._keep, 0, -1):
                source = self._numbered(number - 1)
                if source.exists():
                    source.replace(self._numbered(number))
        except OSError:
            self.bytes_lost += self._size
        self._file = self._path.open("wb", buffering=0)
        self._size = 0

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")
