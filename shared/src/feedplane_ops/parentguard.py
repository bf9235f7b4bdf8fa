"""Has a child process die with its parent, be the parent killed with -9. Also a program: it execs what it is given.

The supervisor starts children through this file and not with `preexec_fn`: that runs Python between fork and exec, in
a copy of a process whose other threads (telemetry, stores) may hold any lock at that moment, and does deadlock.
Run by path in isolated mode, so it may import nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_EXIT_CANNOT_RUN = 126
_EXIT_NOT_FOUND = 127


def die_with_parent(expected_parent_pid: int, with_signal: int = signal.SIGKILL) -> None:
    """Have the kernel send us `with_signal` when our parent dies. Survives exec, not fork; Linux only.

    The kernel means the parent *thread*: start such children from a thread that lives as long as the process. Ends
    the process at once if the parent has already gone. Elsewhere than on Linux it does nothing.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, with_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != expected_parent_pid:
        os._exit(128 + with_signal)


def guarded(argv: Sequence[str]) -> list[str]:
    """A command line that runs `argv` as a child of the calling process and does not outlive it. Costs 20 ms once.

    Exits with 127 when the program does not exist and 126 when it cannot be run, as a shell does.
    """
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def main(arguments: Sequence[str]) -> int:
    """Become the program: `parentguard.py PARENT_PID PROGRAM [ARGUMENT]...`."""
    parent_pid, *argv = arguments
    die_with_parent(int(parent_pid))
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):  # and the program would inherit that
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as e:
        print(f"cannot start {argv[0]}: {e.strerror}", file=sys.stderr)
        return _EXIT_NOT_FOUND if isinstance(e, FileNotFoundError) else _EXIT_CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
