"""The life of a service process: start, signals, exit code."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from feedplane_core.errors import UsageError

from feedplane_ops.waiting import set_within

logger = logging.getLogger(__name__)

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """The wish that the service ends. Set by SIGTERM or SIGINT, or by the service itself; never taken back."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason: str | None = None

    def request(self, reason: str) -> None:
        """Ask to stop; the first reason stays."""
        if self.reason is None:
            self.reason = reason
        self._event.set()

    def is_set(self) -> bool:
        """Whether the service shall end."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when the service shall end."""
        await self._event.wait()

    async def sleep(self, seconds: float) -> bool:
        """Sleep, but wake up to stop. Returns whether the service shall end."""
        return await set_within(self._event, seconds)


Main = Callable[[StopSignal], Awaitable[int]]


def run_service(main: Main) -> int:
    """Run `main` on a fresh event loop (uvloop where installed) and return the exit code for `sys.exit`.

    The first SIGTERM or SIGINT sets the stop signal; the second kills the process at once, even when the loop no
    longer turns, because the first one puts the system's default action back. A `UsageError` ends with code 2 and
    any other exception with code 1, each as one log line. Call it from the main thread.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_guarded(main))
    except Exception:  # the outermost boundary: from here on there is only the exit code
        logger.critical("service failed", exc_info=True)
        return EXIT_FAILED


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _guarded(main: Main) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_stray)
    stop = StopSignal()
    for number in _SIGNALS:
        loop.add_signal_handler(number, _on_first_signal, loop, stop, number)
    try:
        return await main(stop)
    except UsageError as e:
        logger.critical("wrong use", extra={"field": e.field, "error": e.message, "remedy": e.remedy})
        return EXIT_USAGE
    finally:
        _restore_defaults(loop)


def _on_first_signal(loop: asyncio.AbstractEventLoop, stop: StopSignal, number: signal.Signals) -> None:
    _restore_defaults(loop)
    logger.info("stopping on signal", extra={"signal": number.name})
    stop.request(number.name)


def _restore_defaults(loop: asyncio.AbstractEventLoop) -> None:
    for number in _SIGNALS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


def _log_stray(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception that no code awaited: a bug in some task, told as a line of its own."""
    error = context.get("exception")
    logger.error(
        "unhandled error in task",
        extra={"detail": context.get("message"), "task": str(context.get("future") or context.get("task") or "")},
        exc_info=error if isinstance(error, BaseException) else None,
    )
