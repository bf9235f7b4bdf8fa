"""The compiled core, where there is one: numbers, order books and columns in C, equal to the Python reference in `feedplane_core` and `feedplane_journal`.

`core` is the extension, or `None` where the reference runs: no C compiler was found at installation, or `FEEDPLANE_CORE=python` says so. The choice holds for the
whole process and is needed at import, so it is read here and nowhere else; `feedplane_core.cores.problem_with` tells the process's edge what is wrong with a wish.
"""

from __future__ import annotations

import os
from types import ModuleType


def _compiled() -> ModuleType | None:
    try:
        from . import _core
    except ImportError:
        return None
    return _core


core = None if os.environ.get("FEEDPLANE_CORE") == "python" else _compiled()
