"""Importing pyarrow without numpy and pandas: in processes of its own, since an import cannot be taken back."""

from __future__ import annotations

import subprocess
import sys

_TAKE = """
import sys
{first}
from feedplane_journal.columns import Columns
from feedplane_testing.journals import batches_of, depth_diff
[(_, batch)] = batches_of([depth_diff(1)])
batch.validate(full=True)
print(sorted({{"numpy", "pandas"}} & set(sys.modules)))
{last}
"""


def _run(first: str, last: str = "") -> list[str]:
    script = _TAKE.format(first=first, last=last)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_neither_is_loaded_and_both_can_be_afterwards() -> None:
    first = "from feedplane_journal.lean import import_pyarrow; print(import_pyarrow())"

    assert _run(first, "import numpy; print(numpy.arange(3).sum())") == ["True", "[]", "3"]


def test_a_process_that_uses_numpy_is_left_alone() -> None:
    first = "import numpy; from feedplane_journal.lean import import_pyarrow; print(import_pyarrow())"

    assert _run(first)[0] == "False"
