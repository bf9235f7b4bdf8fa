"""Running other programs: one way to call them, one error that carries what they said."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

_TOLD_CHARS: Final = 4_000
PATIENCE: Final = float(os.environ.get("FEEDPLANE_TEST_PATIENCE", "1"))
"""How many times longer than on a machine of their own things may take; above 1 where others keep the machine busy."""


class ClusterError(Exception):
    """The cluster, the engine or a build did not do what was asked; the text says which step and what it printed."""


def run(
    argv: Sequence[str],
    *,
    input_text: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    timeout_s: float = 120.0,
) -> str:
    """Standard output of a program that must succeed.

    Raises:
        ClusterError: it exits non-zero, takes longer than `timeout_s` or is not installed.
    """
    try:
        done = subprocess.run(
            argv, input=input_text, env=env, cwd=cwd, timeout=timeout_s, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired as e:
        raise ClusterError(f"{' '.join(argv[:6])}: no end after {timeout_s:g} s") from e
    except OSError as e:
        raise ClusterError(f"{argv[0]}: {e.strerror}") from e
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()[-_TOLD_CHARS:]
        raise ClusterError(f"{' '.join(argv[:6])}: exit {done.returncode}: {said}")
    return done.stdout


def wait_until(what: str, is_so: Callable[[], bool], *, timeout_s: float, every_s: float = 0.1) -> float:
    """Poll until `is_so`; the seconds it took.

    Raises:
        ClusterError: not within `timeout_s` (times `PATIENCE`).
    """
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > timeout_s * PATIENCE:
            raise ClusterError(f"{what}: not within {timeout_s:g} s")
        time.sleep(every_s)
    return time.monotonic() - began
