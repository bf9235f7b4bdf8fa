"""The supervisor with real, small child processes; /bin/sh, because a Python child takes longer to start than to test."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from feedplane_core.errors import UsageError
from feedplane_ops.backoff import Backoff
from feedplane_ops.supervisor import ChildSpec, ChildState, Status, Supervisor

MS = 1_000_000
GROUPS = ("collectors", "writers", "stores")


async def until(holds: Callable[[], bool]) -> None:
    """Poll, for what is waited for happens in other processes."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[str, Status]] = []
        self.supervisor = Supervisor(
            GROUPS,
            backoff=lambda: Backoff(20 * MS, 50 * MS, rng=lambda: 1.0),
            on_change=lambda state: self.seen.append((state.name, state.status)),
        )

    def spec(self, name: str, script: str, group: str = "writers", *, one_shot: bool = False) -> ChildSpec:
        return ChildSpec(
            name=name,
            group=group,
            argv=["/bin/sh", "-c", script],
            env={"PATH": os.environ["PATH"], "GREETING": "hello"},
            log_path=self.folder / f"{name}.log",
            one_shot=one_shot,
        )

    def start(self, name: str, script: str, group: str = "writers", *, one_shot: bool = False) -> ChildState:
        return self.supervisor.start(self.spec(name, script, group, one_shot=one_shot))

    async def until(self, name: str, holds: Callable[[ChildState], bool]) -> ChildState:
        await until(lambda: holds(self.supervisor.state(name)))
        return self.supervisor.state(name)

    async def printed(self, name: str, line: str) -> None:
        await self.until(name, lambda state: line in state.last_lines)


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.supervisor.stop(1.0)


def runs_again(restarts: int) -> Callable[[ChildState], bool]:
    return lambda state: state.status is Status.RUNNING and state.restarts == restarts


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_a_child_runs_with_its_own_environment_and_log(bench: Bench) -> None:
    state = bench.start("w", 'echo "$GREETING ${HOME-nohome}"; echo oops >&2; exec sleep 60')
    await bench.printed("w", "oops")

    assert state.status is Status.RUNNING
    assert state.pid is not None
    assert os.getpgid(state.pid) == state.pid
    assert (bench.folder / "w.log").read_text() == "hello nohome\noops\n"


async def test_a_child_killed_with_9_comes_back_within_a_second(bench: Bench) -> None:
    first = bench.start("w", "exec sleep 60")
    for restarts in (1, 2, 3):
        pid = bench.supervisor.state("w").pid
        assert pid is not None
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        back = await bench.until("w", runs_again(restarts))
        assert time.monotonic() - killed < 1.0
        assert back.last_exit_code == -signal.SIGKILL
        assert back.pid != pid
    assert first.restarts == 0


def test_a_default_supervisor_waits_two_seconds_at_most() -> None:
    backoff = Supervisor(GROUPS)._backoff()
    delays = [backoff.next_delay_ns() for _ in range(200)]

    assert max(delays) <= 2_000 * MS
    assert max(delays[:3]) <= 1_000 * MS


async def test_a_clean_exit_of_a_service_is_a_death_too(bench: Bench) -> None:
    bench.start("w", "exit 0")
    state = await bench.until("w", lambda s: s.restarts >= 2)

    assert state.last_exit_code == 0


async def test_a_child_that_refuses_its_input_stays_down_and_says_why(bench: Bench) -> None:
    bench.start("w", "echo 'FEEDPLANE_SINK (sink): Field required' >&2; exit 2")
    state = await bench.until("w", lambda s: s.status is Status.FAILED)
    await asyncio.sleep(0.15)

    assert bench.supervisor.state("w") == state
    assert (state.last_exit_code, state.restarts, state.pid) == (2, 0, None)
    assert state.last_lines == ("FEEDPLANE_SINK (sink): Field required",)


async def test_a_one_shot_ends_well_or_is_repeated(bench: Bench) -> None:
    bench.start("ddl", "exit 0", one_shot=True)
    assert (await bench.until("ddl", lambda s: s.status is Status.DONE)).restarts == 0

    bench.start("again", f"test -e {bench.folder}/flag && exit 0; touch {bench.folder}/flag; exit 1", one_shot=True)
    assert (await bench.until("again", lambda s: s.status is Status.DONE)).restarts == 1


async def test_a_program_that_does_not_exist_fails_at_once(bench: Bench) -> None:
    spec = ChildSpec(name="w", group="writers", argv=["/no/such/program"], env={}, log_path=bench.folder / "w.log")
    bench.supervisor.start(spec)
    state = await bench.until("w", lambda s: s.status is Status.FAILED)

    assert (state.last_exit_code, state.restarts) == (127, 0)
    assert "cannot start /no/such/program" in state.last_lines[0]


async def test_groups_stop_one_after_the_other_in_the_declared_order(bench: Bench) -> None:
    for group in reversed(GROUPS):
        bench.start(group, "trap 'sleep 0.05; exit 0' TERM; echo up; while :; do sleep 0.01; done", group)
        await bench.printed(group, "up")
    await bench.supervisor.stop()

    assert [name for name, status in bench.seen if status is Status.STOPPED] == list(GROUPS)
    assert all(state.last_exit_code == 0 for state in bench.supervisor.states())


async def test_stubborn_children_are_killed_within_the_budget(bench: Bench) -> None:
    for group in GROUPS:
        bench.start(group, "trap '' TERM; echo up; while :; do sleep 0.02; done", group)
        await bench.printed(group, "up")
    started = time.monotonic()
    await bench.supervisor.stop(1.5)

    assert time.monotonic() - started < 2.0
    assert [s.last_exit_code for s in bench.supervisor.states()] == [-signal.SIGKILL] * 3


async def test_stopping_while_a_child_waits_to_come_back(bench: Bench) -> None:
    slow = Supervisor(GROUPS, backoff=lambda: Backoff(60_000 * MS, 60_000 * MS, rng=lambda: 1.0))
    slow.start(bench.spec("w", "exit 1"))
    await until(lambda: slow.state("w").status is Status.BACKOFF)
    await slow.stop(2.0)

    assert slow.state("w").status is Status.STOPPED


async def test_what_a_child_leaves_behind_is_swept(bench: Bench) -> None:
    bench.start("w", f"sleep 60 & echo $! >> {bench.folder}/pids; exit 1")
    await bench.until("w", lambda s: s.restarts >= 1)
    await bench.supervisor.stop(1.0)

    pids = [int(text) for text in (bench.folder / "pids").read_text().split()]
    assert pids
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_flood_of_output_is_capped_and_does_not_hold_up_the_child(bench: Bench) -> None:
    spec = ChildSpec(
        name="w",
        group="writers",
        argv=["/bin/sh", "-c", "head -c 3000000 /dev/zero; echo; echo end; exec sleep 60"],
        env={"PATH": os.environ["PATH"]},
        log_path=bench.folder / "w.log",
        log_max_bytes=200_000,
        log_keep=1,
    )
    bench.supervisor.start(spec)
    await bench.printed("w", "end")

    assert {path.name for path in bench.folder.iterdir()} == {"w.log", "w.log.1"}
    assert sum(path.stat().st_size for path in bench.folder.iterdir()) <= 400_000


async def test_names_and_groups_are_checked(bench: Bench) -> None:
    bench.start("w", "exec sleep 60")
    with pytest.raises(UsageError, match="runs already"):
        bench.start("w", "exec sleep 60")
    with pytest.raises(UsageError, match="stop order"):
        bench.start("v", "exec sleep 60", "elsewhere")

    stopped = await bench.supervisor.stop_child("w")
    assert (stopped.status, stopped.last_exit_code) == (Status.STOPPED, -signal.SIGTERM)
    assert (bench.start("w", "exec sleep 60")).status is Status.RUNNING


async def test_an_observer_that_fails_does_not_end_the_supervision(tmp_path: Path) -> None:
    def observe(state: ChildState) -> None:
        raise RuntimeError(state.name)

    bench = Bench(tmp_path)
    bench.supervisor = Supervisor(GROUPS, backoff=lambda: Backoff(1, 1), on_change=observe)
    bench.start("w", "exit 1")
    try:
        await bench.until("w", lambda s: s.restarts >= 2)
    finally:
        await bench.supervisor.stop(1.0)


def test_it_works_on_uvloop(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> list[ChildState]:
        bench = Bench(tmp_path)
        bench.start("w", "exec sleep 60")
        pid = bench.supervisor.state("w").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await bench.until("w", lambda s: s.restarts == 1 and s.status is Status.RUNNING)
        await bench.supervisor.stop(2.0)
        return bench.supervisor.states()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        (state,) = runner.run(main())
    assert (state.status, state.last_exit_code) == (Status.STOPPED, -signal.SIGTERM)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_children_do_not_outlive_a_supervisor_killed_with_9(tmp_path: Path) -> None:
    code = f"""
import asyncio, os
from pathlib import Path
from feedplane_ops.supervisor import ChildSpec, Supervisor
async def main():
    supervisor = Supervisor(["writers"])
    supervisor.start(ChildSpec(name="w", group="writers", argv=["sh", "-c", "trap '' TERM; echo up; exec sleep 60"],
                                     env=dict(os.environ), log_path=Path({str(tmp_path)!r}) / "w.log"))
    while "up" not in supervisor.state("w").last_lines:
        await asyncio.sleep(0.01)
    print(supervisor.state("w").pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)
    assert parent.stdout is not None
    child_pid = int(parent.stdout.readline())
    assert alive(child_pid)
    parent.kill()
    parent.communicate()

    asyncio.run(until(lambda: not alive(child_pid)))
