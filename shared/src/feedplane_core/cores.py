"""Which core runs: the compiled one where it is installed and not forbidden, else the Python reference. Both are one in what they do."""

from __future__ import annotations

from types import ModuleType
from typing import Final

compiled: ModuleType | None
try:
    from feedplane_native import core as compiled
except ImportError:  # the distribution is left out
    compiled = None

PYTHON: Final = "python"
NATIVE: Final = "native"
CORE_NAME: Final = PYTHON if compiled is None else NATIVE
"""What runs in this process."""


def problem_with(wish: str, runs: str = CORE_NAME) -> str:
    """What is wrong with the value of `FEEDPLANE_CORE` ("" is no wish), in a few words; "" if nothing is."""
    if wish not in ("", PYTHON, NATIVE):
        return f"{wish!r} is neither {NATIVE} nor {PYTHON}"
    return f"{wish} is wanted, and only the {runs} core is installed" if wish not in ("", runs) else ""
