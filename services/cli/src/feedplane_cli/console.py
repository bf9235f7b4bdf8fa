"""What every command shares: consoles, durations, and how a wrong use is told."""

from __future__ import annotations

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

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

EXIT_FAILED = 1
EXIT_USAGE = 2


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """One line on stderr, then the end."""
    err.print(f"feedplane: {message}", style="red", markup=False)
    raise typer.Exit(code)


@contextmanager
def told_plainly() -> Iterator[None]:
    """Wrong use ends with 2 and the field named, failed work with 1; neither with a traceback."""
    try:
        yield
    except FeedSetError as e:
        for problem in e.problems:
            err.print(f"{problem}", style="red", markup=False)
        raise typer.Exit(EXIT_USAGE) from e
    except UsageError as e:
        fail(str(e), EXIT_USAGE)
    except FeedplaneError as e:
        fail(str(e))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nothing more to say to anyone
        raise typer.Exit(0) from None


def seconds_of(text: str | None, field: str) -> float | None:
    """`30s` -> 30.0. Raises: UsageError naming the field."""
    if text is None:
        return None
    try:
        return parse_duration_ns(text) / NS_PER_S
    except PydanticCustomError as e:
        raise UsageError(field, e.message()) from e
