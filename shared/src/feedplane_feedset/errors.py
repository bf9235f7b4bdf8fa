"""What can be wrong with a FeedSet, told with a path, a reason and the nearest right spelling.

FeedplaneError
└── FeedSetError         one or more `Problem`s: exit code 2 on the command line, Accepted=False on Kubernetes
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from feedplane_core.errors import FeedplaneError

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend."""

    path: str  # "spec.exchanges[1].feeds[0]", spelled as in the file; "" is the document itself
    message: str
    suggestion: str | None = None  # what most likely was meant, ready to be pasted
    line: int | None = None  # counted from 1; None where the FeedSet did not come from text

    def __str__(self) -> str:
        place = (self.path or "document") + (f" (line {self.line})" if self.line else "")
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion is not None else ""
        return f"{place}: {self.message}{hint}"


class FeedSetError(FeedplaneError):
    """A FeedSet that cannot be accepted; `problems` holds every one found, in the order of the file's paths."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(dict.fromkeys(problems), key=_order))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _order(problem: Problem) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sorts `[2]` before `[10]`: digits compare as numbers, everything else as text."""
    parts = (part for part in _DIGITS.split(problem.path) if part)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts), problem.message
