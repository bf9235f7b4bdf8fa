"""What every sink is given: the process around it, already set up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedplane_ops.health import Health
from feedplane_ops.metrics import Metrics
from feedplane_ops.signals import StopSignal

from .config import WriterConfig
from .journals import find_journals


@dataclass(frozen=True)
class Runtime:
    """Handed to `run(runtime)` of a sink, which returns the exit code once `stop` is set and it has drained.

    `health` and `metrics` are served already; a sink adds its checks and instruments. `set_status` replaces what
    `/status` answers.
    """

    config: WriterConfig
    stop: StopSignal
    metrics: Metrics
    health: Health
    set_status: Callable[[Callable[[], object]], None]
    journal_paths: tuple[Path, ...]
    journal_root: Path | None
    leave_word: Callable[[Mapping[str, Any]], None] = lambda word: None
    """What becomes of a sink's `words.last_word`."""
    spool_dies: bool = False

    def journals(self) -> list[Path]:
        """The journals that exist now; ask again, more may appear."""
        return find_journals(self.journal_paths, self.journal_root)
