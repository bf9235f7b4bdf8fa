"""Kill points for recovery tests: `FEEDPLANE_WRITER_KILL_AT=<stage>[:n]` ends the process by SIGKILL at the n-th
arrival there (default 1)."""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from itertools import count
from typing import Final

VARIABLE: Final = "FEEDPLANE_WRITER_KILL_AT"


class Stage(StrEnum):
    """Moments between which a crash leaves different things behind."""

    AFTER_READ = "after_read"  # frames read, nothing planned
    AFTER_BEFORE = "after_before"  # slices on disk, nothing sent
    DURING_SEND = "during_send"  # half of a request's body is out
    AFTER_COMMIT = "after_commit"  # the store has said yes, the cursor has not moved
    AFTER_AFTER = "after_after"  # the cursor has moved


_wanted, _, _count = os.environ.get(VARIABLE, "").partition(":")
_arrivals = count(1)
_fatal = int(_count) if _count.isdigit() else 1


def reached(stage: Stage) -> None:
    """Tell that `stage` is reached; costs one comparison where no kill is asked for."""
    if stage == _wanted and next(_arrivals) >= _fatal:
        os.kill(os.getpid(), signal.SIGKILL)
