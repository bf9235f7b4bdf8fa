"""Entering the cluster's network from a test process, so that its own sockets and children reach pods and services."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_CLONE_NEWNET: Final = 0x40000000


@contextmanager
def entered(network_file: Path) -> Iterator[None]:
    """Inside, sockets and child processes of this thread, and threads it starts, belong to the other network.

    Raises:
        OSError: not root, or the namespace is gone.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set(network_file)
        yield
    finally:
        _set_fd(home)
        os.close(home)


def _set(network_file: Path) -> None:
    fd = os.open(network_file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_fd(fd)
    finally:
        os.close(fd)


def _set_fd(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # Python's os.setns comes with 3.12
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
