"""Where things are kept: what is expensive to make in a cache that may be deleted at any time, what runs under /run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).resolve().parents[2]
"""The folder `tests/k8s/cluster` of the checkout: Go module, image recipes."""


def cache(*parts: str) -> Path:
    """A folder below `$XDG_CACHE_HOME/feedplane/k8s`, made if missing. Nothing in it is needed: all can be made again."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return _made(base / "feedplane" / "k8s" / Path(*parts))


def running(name: str) -> Path:
    """The folder of sockets, logs and process ids of one machine; short, since socket paths end at 107 bytes."""
    return _made(Path("/run/feedplane") / name)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def content_hash(parts: Iterable[Path | str]) -> str:
    """16 hex digits of the texts and of the files' contents, in order."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]
