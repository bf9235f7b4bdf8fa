"""Process supervisor of the local mode: starts children, brings the dead ones back, stops all of them in order."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Final

from feedplane_core.errors import UsageError

from feedplane_ops.backoff import Backoff
from feedplane_ops.childlog import ChildLog
from feedplane_ops.childprocess import ChildProcess
from feedplane_ops.signals import EXIT_USAGE
from feedplane_ops.waiting import set_within

logger = logging.getLogger(__name__)

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_KILL_GRACE_S: Final = 1.0
_TERM_SHARE: Final = 0.9  # of the stop budget; the rest is for SIGKILL to take effect

_HOPELESS: Final = frozenset({EXIT_USAGE, 126, 127})
"""Exit codes after which the same command would end the same way: bad input, program cannot be run or is not there."""


class Status(enum.Enum):
    """Where a child is in its life."""

    RUNNING = "running"
    BACKOFF = "backoff"  # died; comes back after a short wait
    FAILED = "failed"  # refused its input (exit code 2) or cannot be started at all; stays down
    DONE = "done"  # a one-shot that ended well
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What to run. `env` is the whole environment of the child, not an addition to ours."""

    name: str
    group: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log_path: Path
    cwd: Path | None = None
    one_shot: bool = False  # exit code 0 is its end; otherwise every exit is a death
    log_max_bytes: int = 8 * 1024 * 1024
    log_keep: int = 2  # rotated files beside the current one


@dataclass(frozen=True, kw_only=True)
class ChildState:
    """A child as seen from outside. `since_ns` is of the supervisor's clock; a negative exit code is a signal."""

    name: str
    group: str
    status: Status
    pid: int | None
    restarts: int
    last_exit_code: int | None
    since_ns: int
    last_lines: tuple[str, ...]


def quick_backoff() -> Backoff:
    """At most 0.2 s after the first death and never more than 2 s, so that a killed child is back within 3 s."""
    return Backoff(200 * _NS_PER_MS, 2 * _NS_PER_S)


class Supervisor:
    """Runs children until told to stop; a child that dies comes back after its backoff, whatever killed it.

    Each child leads a process group of its own, so Ctrl-C reaches the supervisor alone and what a child leaves behind
    is swept with it. On Linux children die with the supervisor even if that is killed with -9. Call `start` from the
    main thread (see `parentguard`).
    """

    def __init__(
        self,
        stop_order: Sequence[str],
        *,
        clock: Callable[[], int] = monotonic_ns,
        backoff: Callable[[], Backoff] = quick_backoff,
        stable_after_ns: int = 10 * _NS_PER_S,
        on_change: Callable[[ChildState], None] | None = None,
    ) -> None:
        """`stop_order` names every group, the one to stop first first (those who produce before those who store)."""
        self._stop_order = tuple(stop_order)
        self._clock = clock
        self._backoff = backoff
        self._stable_after_ns = stable_after_ns
        self._on_change = on_change
        self._children: dict[str, _Child] = {}

    def start(self, spec: ChildSpec) -> ChildState:
        """Start a child and keep it alive; returns once its first process was started.

        Raises:
            UsageError: the name is in use, or the group has no place in the stop order.
        """
        if spec.group not in self._stop_order:
            raise UsageError(spec.name, f"group {spec.group} is not in the stop order")
        held = self._children.get(spec.name)
        if held is not None and not held.is_over():
            raise UsageError(spec.name, "a child of this name runs already")
        child = _Child(spec, self._clock, self._backoff(), self._stable_after_ns, self._on_change)
        self._children[spec.name] = child
        child.launch()
        return child.state()

    def states(self) -> list[ChildState]:
        """All children in the order in which they were first started."""
        return [child.state() for child in self._children.values()]

    def state(self, name: str) -> ChildState:
        """One child.

        Raises:
            KeyError: no child of this name was ever started.
        """
        return self._children[name].state()

    async def stop_child(self, name: str, deadline_s: float = 5.0) -> ChildState:
        """End one child for good: SIGTERM, then SIGKILL at the deadline."""
        child = self._children[name]
        await child.stop(deadline_s)
        return child.state()

    async def stop(self, deadline_s: float = 5.0) -> None:
        """End all children, group after group, in `deadline_s` altogether.

        What is left of the time is split evenly over the groups still to stop, so a group that ends quickly leaves
        its share to the next ones, and a stubborn one cannot take theirs.
        """
        ends_ns = self._clock() + int(deadline_s * _TERM_SHARE * _NS_PER_S)
        groups = [[c for c in self._children.values() if c.spec.group == group] for group in self._stop_order]
        groups = [children for children in groups if any(not c.is_over() for c in children)]
        for position, children in enumerate(groups):
            share_s = max(0.0, (ends_ns - self._clock()) / _NS_PER_S / (len(groups) - position))
            await asyncio.gather(*(child.stop(share_s) for child in children))


@dataclass
class _Child:
    """One supervised child: its process, the task that watches it, its log."""

    spec: ChildSpec
    clock: Callable[[], int]
    backoff: Backoff
    stable_after_ns: int
    on_change: Callable[[ChildState], None] | None
    status: Status = Status.STOPPED
    restarts: int = 0
    last_exit_code: int | None = None
    since_ns: int = 0
    process: ChildProcess | None = None
    watcher: asyncio.Task[None] | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.log = ChildLog(self.spec.log_path, self.spec.log_max_bytes, self.spec.log_keep)

    def is_over(self) -> bool:
        return self.status in (Status.FAILED, Status.DONE, Status.STOPPED)

    def state(self) -> ChildState:
        return ChildState(
            name=self.spec.name,
            group=self.spec.group,
            status=self.status,
            pid=self.process.pid if self.process is not None else None,
            restarts=self.restarts,
            last_exit_code=self.last_exit_code,
            since_ns=self.since_ns,
            last_lines=self.log.last_lines(),
        )

    def launch(self) -> None:
        self._spawn()
        self.watcher = asyncio.create_task(self._watch(), name=f"supervise {self.spec.name}")

    async def stop(self, deadline_s: float) -> None:
        self.stopping.set()
        if self.watcher is None:
            return
        if self.process is not None:
            self.process.terminate()
        done, _ = await asyncio.wait([self.watcher], timeout=deadline_s)
        if not done:
            logger.warning("child killed at deadline", extra={"child": self.spec.name})
            if self.process is not None:
                self.process.kill_group()
            done, _ = await asyncio.wait([self.watcher], timeout=_KILL_GRACE_S)
        for watcher in done:
            watcher.result()  # a bug in the watcher must not vanish with it
        if not done:
            logger.error("child survives sigkill", extra={"child": self.spec.name})

    def _spawn(self) -> None:
        """Start the process and enter `RUNNING`, or `BACKOFF` when the system has no room for it."""
        try:
            self.log.open()
            self.process = ChildProcess(self.spec.argv, self.spec.env, self.spec.cwd, self.log)
        except OSError as e:  # out of processes, memory or disk: may pass
            logger.warning("child not started", extra={"child": self.spec.name, "error": str(e)})
            self.log.note(f"cannot start {self.spec.argv[0]}: {e}")
            self._enter(Status.BACKOFF)
            return
        self._enter(Status.RUNNING)

    async def _watch(self) -> None:
        while True:
            if self.process is not None:
                self._enter(await self._run_to_exit(self.process))
            if self.is_over():
                return
            if await set_within(self.stopping, self.backoff.next_delay_ns() / _NS_PER_S):
                self._enter(Status.STOPPED)
                return
            self.restarts += 1
            self._spawn()

    async def _run_to_exit(self, process: ChildProcess) -> Status:
        """Wait for the process to end and say what comes next."""
        started_ns = self.clock()
        self.last_exit_code = await process.wait()
        self.process = None
        self.log.close()
        if self.clock() - started_ns >= self.stable_after_ns:
            self.backoff.reset()
        return self._after_exit(self.last_exit_code)

    def _after_exit(self, code: int) -> Status:
        if self.stopping.is_set():
            return Status.STOPPED
        if code == 0 and self.spec.one_shot:
            return Status.DONE
        failed = code in _HOPELESS
        logger.warning(
            "child refused its input" if failed else "child died",
            extra={"child": self.spec.name, "exit_code": code, "restarts": self.restarts},
        )
        return Status.FAILED if failed else Status.BACKOFF

    def _enter(self, status: Status) -> None:
        self.status = status
        self.since_ns = self.clock()
        if self.on_change is None:
            return
        try:
            self.on_change(self.state())
        except Exception:  # an observer's bug must not end the supervision of a child
            logger.exception("observer of child states failed", extra={"child": self.spec.name})
