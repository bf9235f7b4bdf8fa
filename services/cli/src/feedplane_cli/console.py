"""What every command shares: consoles, durations, and how a wrong use is told."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from feedplane_core.errors import FeedplaneError, UsageError
from feedplane_core.names import NS_PER_S
from feedplane_feedset.errors import FeedSetError
from feedplane_feedset.units import parse_duration_ns
from pydantic_core import PydanticCustomError
from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Left to `told_plainly`; rich would end with 1, and a reader who has seen enough is no failure of ours."""
        raise BrokenPipeError


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)

EXIT_FAILED = 1
EXIT_USAGE = 2


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """One line on stderr, then the end."""
    err.print(f"feedplane: {message}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def told_plainly() -> Iterator[None]:
    """Wrong use ends with 2 and the field named, failed work with 1; neither with a traceback."""
    try:
        yield
        sys.stdout.flush()  # here, where a reader that has gone is understood, and not at the interpreter's end
    except FeedSetError as e:
        for problem in e.problems:
            err.print(f"{problem}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_USAGE) from e
    except UsageError as e:
        fail(str(e), EXIT_USAGE)
    except FeedplaneError as e:
        fail(str(e))
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(0) from None
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _drop_output()
        fail(f"output cannot be written: {e.strerror}")


def _drop_output() -> None:
    """The reader has gone: what is still buffered goes nowhere, instead of into an error at the interpreter's end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def seconds_of(text: str | None, field: str) -> float | None:
    """`30s` -> 30.0. Raises: UsageError naming the field."""
    if text is None:
        return None
    try:
        return parse_duration_ns(text) / NS_PER_S
    except PydanticCustomError as e:
        raise UsageError(field, e.message()) from e
