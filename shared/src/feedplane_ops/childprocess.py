"""One child process: started, its output copied to a log, its end awaited, its process group swept.

Not `asyncio.create_subprocess_exec`, for two reasons. uvloop forks and runs every library's after-fork hook in the
child, where a hook that wants a lock or a thread hangs for ever; `subprocess` without `preexec_fn` runs no Python
there. And asyncio's `Process.wait()` does not return while a grandchild holds the output pipe open, so the death of
the child itself would go unnoticed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from feedplane_ops.childlog import ChildLog
from feedplane_ops.parentguard import guarded
from feedplane_ops.waiting import set_within

_READ_BYTES: Final = 65_536
_EOF_GRACE_S: Final = 0.2


class ChildProcess:
    """Runs `argv` with exactly this environment, as leader of a process group, not outliving us (`parentguard`).

    Raises:
        OSError: the system has no room for another process or pipe, or the folder is not there.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None, log: ChildLog) -> None:
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._output = _OutputPipe(log)
        try:
            self._popen = subprocess.Popen(  # noqa: S603 (argv comes from our own renderer, and there is no shell)
                guarded(argv),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=self._output.write_fd,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            self._output.abandon()
            raise
        self._output.started()
        self.pid = self._popen.pid
        # a thread per child, as asyncio's own watcher does: works on every system and with every event loop
        threading.Thread(target=self._reap, name=f"wait {self.pid}", daemon=True).start()

    async def wait(self) -> int:
        """The exit code (negative: the signal), once the child is dead, its group killed and its output taken in."""
        code = await asyncio.shield(self._exited)
        self.kill_group()
        await self._output.close(_EOF_GRACE_S)
        return code

    def terminate(self) -> None:
        """Ask the child itself to end; what it has started is its business."""
        self._popen.terminate()

    def kill_group(self) -> None:
        """Kill the child and all that it started: it leads its group, so the group's id is its pid."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _reap(self) -> None:
        code = self._popen.wait()
        with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._on_exit, code)

    def _on_exit(self, code: int) -> None:
        if not self._exited.done():
            self._exited.set_result(code)


class _OutputPipe:
    """Carries what a child writes into its log. Give `write_fd` to the child as stdout, then call `started`."""

    def __init__(self, log: ChildLog) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._loop.add_reader(self._read_fd, self._on_readable)

    def started(self) -> None:
        """The child holds the writing end now: give up ours, so that the pipe ends with the child."""
        os.close(self.write_fd)

    def abandon(self) -> None:
        """There is no child after all."""
        os.close(self.write_fd)
        self._end()

    async def close(self, grace_s: float) -> None:
        """Take in what is still in the pipe; whoever holds it open longer than `grace_s` is no longer heard."""
        if not await set_within(self._ended, grace_s):
            self._end()

    def _on_readable(self) -> None:
        try:
            chunk = os.read(self._read_fd, _READ_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._log.write(chunk)
        else:
            self._end()

    def _end(self) -> None:
        self._loop.remove_reader(self._read_fd)
        os.close(self._read_fd)
        self._ended.set()
