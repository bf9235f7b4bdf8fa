"""Import pyarrow without numpy and pandas.

pyarrow imports numpy when it is loaded and pandas at the first `pa.array(...)`, only to recognise their types. Feedplane passes it lists, and the two cost a
collector half of its resident memory (measured: docs/journal.md). Processes that never meet a data frame call `import_pyarrow()` first thing in `main`; everybody
else imports pyarrow as usual and nothing changes for them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_HIDDEN = frozenset({"numpy", "pandas"})


class _Hide:
    """An import finder for which numpy and pandas are not installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in _HIDDEN:
            raise ModuleNotFoundError(f"{name} is hidden from pyarrow", name=name)
        return None


def import_pyarrow() -> bool:
    """Load pyarrow and its kernels with numpy and pandas hidden; both import normally afterwards, but pyarrow will not take their arrays.

    Returns whether that was done: `False` if pyarrow, numpy or pandas is loaded already, where hiding would gain nothing or break someone.
    """
    if not _HIDDEN.isdisjoint(sys.modules) or "pyarrow" in sys.modules:
        return False
    hide = _Hide()
    sys.meta_path.insert(0, hide)
    try:
        pyarrow = importlib.import_module("pyarrow")
        importlib.import_module("pyarrow.compute")
        pyarrow.array(["1"]).cast(pyarrow.decimal128(38, 18))  # the pandas look-up happens here, once and for all
    finally:
        sys.meta_path.remove(hide)
    return True
