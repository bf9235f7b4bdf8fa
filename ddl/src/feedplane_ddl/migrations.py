"""The SQL files: where they are, their order, their checksums."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

_FILE: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql").fullmatch


@dataclass(frozen=True)
class Migration:
    """One forward-only file. `checksum` is of the template, so it does not depend on the layout."""

    name: str
    template: str

    @property
    def checksum(self) -> str:
        return sha256(self.template.encode()).hexdigest()


def _folder() -> Traversable:
    """`clickhouse/` inside the installed package, or beside `src/` in a checkout."""
    packaged = resources.files("feedplane_ddl") / "clickhouse"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "clickhouse"


@cache
def migrations() -> tuple[Migration, ...]:
    """All files in order.

    Raises:
        ValueError: two files share a number, or a name is not NNNN_<what>.sql.
    """
    return read_migrations(_folder())


def read_migrations(folder: Traversable) -> tuple[Migration, ...]:
    """As `migrations`, of any folder."""
    numbers: dict[str, str] = {}
    found = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".sql"):
            continue
        match = _FILE(file.name)
        if match is None:
            raise ValueError(f"{file.name}: not NNNN_<what>.sql")
        if match[1] in numbers:
            raise ValueError(f"{file.name}: number {match[1]} is taken by {numbers[match[1]]}")
        numbers[match[1]] = file.name
        found.append(Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")))
    return tuple(found)
