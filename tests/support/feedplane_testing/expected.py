"""Writes the expected files that a venue's fixtures still lack: `python -m feedplane_testing.expected <exchange> [folder of venues]`.

A file that exists is never touched: what changes in it must be read, and removed by hand first.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from feedplane_testing.venues import FEEDS_FOLDER, Venue, case_lines


def write_missing(venue: Venue) -> list[Path]:
    """What was written."""
    written = []
    for case in venue.cases:
        if not case.expected_path.exists():
            case.expected_path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in case_lines(venue, case)))
            written.append(case.expected_path)
    return written


def main(arguments: list[str]) -> int:
    """0, or 2 for wrong use."""
    folder = Path(arguments[1]) if len(arguments) > 1 else FEEDS_FOLDER
    if not arguments or not (folder / arguments[0] / "fixtures").is_dir():
        print(
            f"usage: python -m feedplane_testing.expected EXCHANGE [FOLDER]; EXCHANGE/fixtures must stand in {folder}"
        )
        return 2
    for path in write_missing(Venue(arguments[0], folder)):
        print(f"written, now read it: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
